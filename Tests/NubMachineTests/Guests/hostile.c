// A guest that attacks its host: functions that write anywhere, ring the doorbell with anything, and execute what ring 3
// must not. The tests say where and what; the code here only does it.
#include "nub_abi.h"
#include "nub_guest.h"

static uint64_t number(const nub_call *call, size_t index) {
  uint64_t value = 0;
  if ((index + 1) * 8 <= call->payload_length) __builtin_memcpy(&value, call->payload + index * 8, 8);
  return value;
}

static void ring(void) { __asm__ volatile("outb %%al, %0" : : "i"(NUB_PORT_DOORBELL) : "memory"); }

static void poke(uint64_t address, uint64_t width, uint64_t value) {
  switch (width) {
  case 1: *(volatile uint8_t *)address = (uint8_t)value; break;
  case 2: *(volatile uint16_t *)address = (uint16_t)value; break;
  case 4: *(volatile uint32_t *)address = (uint32_t)value; break;
  default: *(volatile uint64_t *)address = value; break;
  }
}

// What happens after the writes of function 300.
enum { RETURN = 0, RING = 1, SPIN = 2, RING_FOREVER = 3 };

// [how it ends, (address, width, value)...]: the writes, then the end.
NUB_FUNCTION(300, poke) {
  for (size_t i = 1; (i + 3) * 8 <= call->payload_length; i += 3) {
    poke(number(call, i), number(call, i + 1), number(call, i + 2));
  }
  switch (number(call, 0)) {
  case RETURN: return 0;
  case RING: ring(); return 0;
  case RING_FOREVER: for (;;) ring();
  default: for (;;) __asm__ volatile("pause");
  }
}

// [address, length] → the bytes there.
NUB_FUNCTION(301, peek) {
  return nub_write(call, (const void *)number(call, 0), number(call, 1));
}

// [function, address, length]: a host call with an argument of the caller's choice → status, length of the answer.
NUB_FUNCTION(302, host_call) {
  const uint8_t *answer = 0;
  size_t length = 0;
  uint64_t out[2];
  out[0] = nub_host_call(call, (uint32_t)number(call, 0), (const void *)number(call, 1), number(call, 2), &answer, &length);
  out[1] = length;
  return nub_write(call, out, sizeof out);
}

// [address]: jumps there.
NUB_FUNCTION(303, jump) {
  ((void (*)(void))number(call, 0))();
  return 0;
}

// [value]: leaves it in the heap, far down the stack, in the log area's tail, and in every vector register, above the
// low halves too; and rings, so that the registers are as they are here when the VM is left.
NUB_FUNCTION(304, hide) {
  uint64_t value = number(call, 0);
  uint64_t *heap = malloc(1 << 16);
  if (!heap) return 5;
  for (size_t i = 0; i < (1 << 16) / 8; i++) ((volatile uint64_t *)heap)[i] = value;
  volatile uint64_t stack[4096];
  for (size_t i = 0; i < 4096; i++) stack[i] = value;
  for (uint64_t at = 0x40010000 + 4096; at < 0x40010000 + 32768; at += 8) *(volatile uint64_t *)at = value;
  for (size_t i = 0; i < 8; i++) ((volatile uint64_t *)call->output)[1000 + i] = value;
  *(volatile uint32_t *)(0x40000000 + offsetof(nub_guest_control, reason)) = 77;
  __asm__ volatile(
      "vmovq %0, %%xmm0\n vpunpcklqdq %%xmm0, %%xmm0, %%xmm0\n vinsertf128 $1, %%xmm0, %%ymm0, %%ymm0\n"
      "vmovaps %%ymm0, %%ymm1\n vmovaps %%ymm0, %%ymm2\n vmovaps %%ymm0, %%ymm3\n vmovaps %%ymm0, %%ymm4\n"
      "vmovaps %%ymm0, %%ymm5\n vmovaps %%ymm0, %%ymm6\n vmovaps %%ymm0, %%ymm7\n vmovaps %%ymm0, %%ymm8\n"
      "vmovaps %%ymm0, %%ymm9\n vmovaps %%ymm0, %%ymm10\n vmovaps %%ymm0, %%ymm11\n vmovaps %%ymm0, %%ymm12\n"
      "vmovaps %%ymm0, %%ymm13\n vmovaps %%ymm0, %%ymm14\n vmovaps %%ymm0, %%ymm15\n"
      "movq %0, %%mm0\n movq %0, %%mm7\n"
      "outb %%al, %1\n"
      :
      : "r"(value), "i"(NUB_PORT_DOORBELL)
      : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
        "xmm12", "xmm13", "xmm14", "xmm15", "mm0", "mm7");
  return 0;
}

// The vector registers as they are: 16 × 32 bytes. The caller's code has used some of the low ones by now.
NUB_FUNCTION(305, registers) {
  uint8_t *out = nub_reserve(call, 512);
  if (!out) return NUB_STATUS_RESULT_TOO_LARGE;
#define SAVE(N) __asm__ volatile("vmovups %%ymm" #N ", %0" : "=m"(*(struct { uint8_t b[32]; } *)(out + 32 * N)));
  SAVE(0) SAVE(1) SAVE(2) SAVE(3) SAVE(4) SAVE(5) SAVE(6) SAVE(7)
  SAVE(8) SAVE(9) SAVE(10) SAVE(11) SAVE(12) SAVE(13) SAVE(14) SAVE(15)
  return 0;
}

// [which]: one thing that ring 3 must not do, or that must not matter.
#define DO(N, CODE) case N: __asm__ volatile(CODE : : "a"(scratch), "d"(scratch + 64) : "memory", "rcx", "rbx", "rsi", "rdi"); break;
NUB_FUNCTION(306, instruction) {
  static uint8_t scratch[4096];
  switch (number(call, 0)) {
    DO(0, "hlt")
    DO(1, "cli")
    DO(2, "sti")
    DO(3, "movl $0xc0000080, %%ecx; rdmsr")
    DO(4, "movl $0xc0000082, %%ecx; xorl %%eax, %%eax; xorl %%edx, %%edx; wrmsr")
    DO(5, "lgdt (%%rax)")
    DO(6, "lidt (%%rax)")
    DO(7, "movq %%rax, %%cr3")
    DO(8, "movq %%cr0, %%rax")
    DO(9, "movq %%rax, %%cr4")
    DO(10, "movq %%rax, %%dr7")
    DO(11, "clts")
    DO(12, "invlpg (%%rax)")
    DO(13, "wbinvd")
    DO(14, "swapgs")
    DO(15, "movw $0x40, %%cx; ltr %%cx")
    DO(16, "movw $0x28, %%cx; lldt %%cx")
    DO(17, "lmsw %%ax")
    DO(18, "xorl %%ecx, %%ecx; rdpmc")
    DO(19, "xorl %%ecx, %%ecx; xorl %%edx, %%edx; movl $7, %%eax; xsetbv")
    DO(20, "monitor")
    DO(21, "mwait")
    DO(22, "int $0x20")
    DO(23, "int $0x80")
    DO(24, "int $14")
    DO(25, "int $8")
    DO(26, "int $2")
    DO(27, "int3")
    DO(28, ".byte 0xf1") // int1
    DO(29, "syscall")
    DO(30, "sysenter")
    DO(31, "sysretq")
    DO(32, "inb $0xe0, %%al")
    DO(33, "outw %%ax, $0xe0")
    DO(34, "outl %%eax, $0xe0")
    DO(35, "movw $0xe0, %%dx; movq %%rax, %%rsi; movl $16, %%ecx; rep outsb")
    DO(36, "movw $0xe0, %%dx; movq %%rax, %%rdi; movl $16, %%ecx; rep insb")
    DO(37, "outb %%al, $0xe1")
    DO(38, "outb %%al, $0x80")
    DO(39, "movw $0xffff, %%dx; outb %%al, %%dx")
    DO(40, "movw $0xcf8, %%dx; inl %%dx, %%eax")
    DO(41, "outw %%ax, $0xdf") // spans the doorbell
    DO(42, "vmcall")
    DO(43, "vmmcall")
    DO(44, "vmxon (%%rax)")
    DO(45, ".byte 0x0f, 0x01, 0xd8") // vmrun
    DO(46, "pushq $0x18; pushq %%rsp; pushfq; pushq $0x10; leaq 1f(%%rip), %%rcx; pushq %%rcx; iretq; 1: nop")
    DO(47, "pushq $0x10; leaq 1f(%%rip), %%rcx; pushq %%rcx; lretq; 1: nop")
    DO(48, "movw $0x18, %%cx; movw %%cx, %%ss")
    DO(49, "movw $0x10, %%cx; movw %%cx, %%ds")
    DO(50, "pushfq; orq $0x3000, (%%rsp); popfq; cli")
    DO(51, "pushfq; orq $0x100, (%%rsp); popfq; nop; nop")
    DO(52, "pushfq; orq $0x4000, (%%rsp); popfq; movq $-1, %%rcx; pushq %%rcx; pushq %%rcx; popq %%rcx; popq %%rcx")
    DO(53, "pushfq; orq $0x40100, (%%rsp); popfq; movl 1(%%rax), %%ecx; syscall")
    DO(54, ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90")
    DO(55, ".byte 0xf0, 0x90")
    DO(56, "movabsq $0x8000000000000000, %%rcx; movb (%%rcx), %%al")
    DO(57, "movabsq $0xffff800000000000, %%rcx; movb (%%rcx), %%al")
    DO(58, "movabsq $0xffffffff81000000, %%rcx; movb $1, (%%rcx)")
    DO(59, "movabsq $0x8000000000000000, %%rsp; pushq %%rax")
    DO(60, "movabsq $0x8000000000000000, %%rcx; jmp *%%rcx")
    DO(61, "movabsq $0xffffffff81000000, %%rcx; jmp *%%rcx")
    DO(62, "movl $0x100000, %%ecx; movq (%%rcx), %%rax")
    DO(63, "movl $0x100000, %%ecx; movq %%rax, (%%rcx)")
    DO(64, "movl $0x101000, %%ecx; jmp *%%rcx")
    DO(65, "movl $0x20000000, %%ecx; movq %%rax, (%%rcx)")
    DO(66, "movl $0x20200000, %%ecx; movq %%rax, (%%rcx)")
    DO(67, "movl $0x30000000, %%ecx; movq %%rax, (%%rcx)")
    DO(68, "jmp *%%rsp")
    DO(69, "jmp *%%rax")
    DO(70, "movl $0x400000, %%ecx; movb $0xc3, (%%rcx)")
    DO(71, "movl $0x5ffff000, %%ecx; jmp *%%rcx")
    DO(72, "movl $0x40000000, %%ecx; jmp *%%rcx")
    DO(73, "movl $0x80001000, %%ecx; jmp *%%rcx")
    DO(74, "wrfsbase %%rax; wrgsbase %%rax")
    DO(75, "sgdt (%%rax); sidt (%%rax); str %%cx; sldt %%cx; smsw %%cx")
    DO(76, "fnclex; pushq $0; fldcw (%%rsp); fld1; fldz; fdivrp; fwait; popq %%rcx")
    DO(77, "pushq $0; ldmxcsr (%%rsp); pxor %%xmm0, %%xmm0; divss %%xmm0, %%xmm0; popq %%rcx")
    DO(78, "rsm")
    DO(79, "xorl %%esp, %%esp; pushq %%rax")
    DO(80, "cpuid")
    DO(81, "ud1 %%eax, %%eax")
    DO(82, "movl $0x40000000, %%esp; int3")
    DO(83, "xorl %%ecx, %%ecx; .byte 0x0f, 0x01, 0xc8; .byte 0x0f, 0x01, 0xd7") // monitor, enclu
    DO(84, "rdtscp; rdtsc")
    DO(85, "xorl %%eax, %%eax; movq $-1, %%rcx; movl $0x80001000, %%edi; rep stosb")
  default: return 1;
  }
  return 0;
}

// Publishes every result of the batch by itself and then never rings. [results]
NUB_FUNCTION(307, publish_and_stay) {
  volatile nub_guest_control *control = (volatile nub_guest_control *)0x40000000;
  nub_result *result = (nub_result *)0x40200000;
  for (uint32_t i = 0; i < number(call, 0); i++) {
    result[i] = (nub_result){.index = i, .status = 0, .length = 0};
  }
  __atomic_store_n(&control->published, (uint32_t)number(call, 0), __ATOMIC_RELEASE);
  for (;;) __asm__ volatile("pause");
}

// Publishes its own result, then faults.
NUB_FUNCTION(308, publish_and_fault) {
  volatile nub_guest_control *control = (volatile nub_guest_control *)0x40000000;
  nub_result *result = (nub_result *)0x40200000;
  *result = (nub_result){.index = 0, .status = 0, .length = 0};
  __atomic_store_n(&control->published, 1, __ATOMIC_RELEASE);
  (void)call;
  __builtin_trap();
}

// [level, times] and a message: that many log records.
NUB_FUNCTION(309, say) {
  if (call->payload_length < 16) return 1;
  for (uint64_t i = 0; i < number(call, 1); i++) {
    nub_log(call, (unsigned)number(call, 0), call->payload + 16, call->payload_length - 16);
  }
  return 0;
}

// [code] and a message: gives up.
NUB_FUNCTION(310, give_up) {
  if (call->payload_length < 8) return 1;
  nub_abort(call, (uint32_t)number(call, 0), call->payload + 8, call->payload_length - 8);
}

// [(address, bytes)...]: writes there for ever, whatever comes to its mind. What it writes is often almost right.
NUB_FUNCTION(311, scribble) {
  uint64_t state = 88172645463325252u;
  for (;;) {
    for (size_t i = 0; (i + 2) * 8 <= call->payload_length; i += 2) {
      uint64_t words = number(call, i + 1) / 8;
      for (uint64_t n = 0; n < words; n++) {
        // xorshift64 (Marsaglia, 2003)
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((volatile uint64_t *)number(call, i))[n] = state & 64 ? state : state & 3;
      }
    }
  }
}

// [value, whether there is AVX-512]: leaves it in what else the processor keeps of a program: MXCSR, the x87 stack and its
// control word, mask registers, the vector registers that only AVX-512 has; and leaves the VM as it is.
NUB_FUNCTION(312, hide_state) {
  uint64_t value = number(call, 0);
  uint32_t mxcsr = 0x7f80;
  uint16_t control = 0x0c7f;
  __asm__ volatile("ldmxcsr %0; fninit; fldcw %1; fildq %2; fildq %2; fildq %2" : : "m"(mxcsr), "m"(control), "m"(value));
  if (number(call, 1)) {
    __asm__ volatile(
        "kmovw %k0, %%k1; kmovw %k0, %%k7; vpbroadcastq %0, %%zmm0; vpbroadcastq %0, %%zmm16; vpbroadcastq %0, %%zmm31"
        : : "r"(value) : "xmm0");
  }
  ring();
  return 0;
}

// [whether there is AVX-512]: what 312 has left → 512 bytes as FXSAVE writes them, then k1, k7, zmm0, zmm16 and zmm31.
NUB_FUNCTION(313, state) {
  static uint8_t area[512 + 16 + 192] __attribute__((aligned(64)));
  for (size_t i = 0; i < sizeof area; i++) ((volatile uint8_t *)area)[i] = 0;
  __asm__ volatile("fxsaveq (%0)" : : "r"(area) : "memory");
  if (number(call, 0)) {
    __asm__ volatile(
        "kmovw %%k1, %%eax; movl %%eax, 512(%0); kmovw %%k7, %%eax; movl %%eax, 520(%0)\n"
        "vmovdqu64 %%zmm0, 528(%0); vmovdqu64 %%zmm16, 592(%0); vmovdqu64 %%zmm31, 656(%0)"
        : : "r"(area) : "memory", "rax");
  }
  // The low registers have been used by whoever called this.
  for (size_t i = 160; i < 416; i++) area[i] = 0;
  return nub_write(call, area, sizeof area);
}

// [bytes, byte]: what 315 answers from now on; the tests put 315 in the place of nub's own functions.
static uint64_t lie_length, lie_byte;
NUB_FUNCTION(314, prepare_lie) {
  lie_length = number(call, 0);
  lie_byte = number(call, 1);
  return 0;
}

NUB_FUNCTION(315, lie) {
  uint8_t *out = nub_reserve(call, lie_length);
  if (!out) return NUB_STATUS_RESULT_TOO_LARGE;
  memset(out, (int)lie_byte, lie_length);
  return 0;
}

// [bytes]: needs that much stack.
static __attribute__((noinline)) uint64_t deep(uint64_t bytes, volatile uint8_t *above) {
  // Each frame is in use while the next one runs, so that they cannot become a loop.
  volatile uint8_t frame[1024];
  for (size_t i = 0; i < sizeof frame; i += 64) frame[i] = (uint8_t)bytes;
  if (bytes > sizeof frame) deep(bytes - sizeof frame, frame);
  above[0] += frame[0];
  return above[0];
}
NUB_FUNCTION(316, deep) {
  volatile uint8_t first = 0;
  uint64_t sum = deep(number(call, 0), &first);
  return nub_write(call, &sum, sizeof sum);
}
