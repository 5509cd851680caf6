// A virtual machine with one vCPU at ring 3, from the bare KVM API: what the baselines of NubMachine's figures share. The shape is
// nub's (docs/decisions): long mode, CPL 3, one port allowed by the TSS's bitmap, memory slots of nub's sizes and kinds.

#pragma once
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
  port = 0x10,
  pml4 = 0x1000, pdpt = 0x2000, directory = 0x3000, gdt = 0x4000, tss = 0x4100,
  code = 0x5000,
  control = 0x6000,       // how many messages of 64 bytes there are
  requests = 0x10000, results = 0x20000,
  low_size = 2 << 20,
  // As nub's: the areas that the host writes, and the guest's own memory with its heap of 64 MiB.
  host_size = 36 << 20, guest_size = 84 << 20,
};

struct machine {
  int vm, vcpu;
  struct kvm_run *run;
  size_t run_size;
  uint8_t *low, *host, *guest;
};

// The guest: copies control[0] messages of 64 bytes from the requests to the results and rings the doorbell, for ever. The second
// entry point loops and never leaves.
asm(".pushsection .rodata\n"
    "guest_begin:\n"
    "1: mov 0x6000, %ecx\n"
    "   mov $0x10000, %esi\n"
    "   mov $0x20000, %edi\n"
    "2: test %ecx, %ecx\n"
    "   jz 3f\n"
    "   movups (%rsi), %xmm0\n   movups 16(%rsi), %xmm1\n   movups 32(%rsi), %xmm2\n   movups 48(%rsi), %xmm3\n"
    "   movups %xmm0, (%rdi)\n   movups %xmm1, 16(%rdi)\n   movups %xmm2, 32(%rdi)\n   movups %xmm3, 48(%rdi)\n"
    "   add $64, %rsi\n   add $64, %rdi\n   dec %ecx\n   jmp 2b\n"
    "3: out %al, $0x10\n"
    "   jmp 1b\n"
    "guest_endless:\n"
    "4: jmp 4b\n"
    "guest_end:\n"
    ".popsection\n");
extern const uint8_t guest_begin[], guest_endless[], guest_end[];

static inline void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static inline int call(int fd, unsigned long request, void *argument, const char *what) {
  int result = ioctl(fd, request, argument);
  if (result < 0) fail(what);
  return result;
}
#define CALL(fd, request, argument) call(fd, request, (void *)(argument), #request)

static inline double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec * 1e-3;
}

static inline int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static inline uint8_t *map(size_t size) {
  uint8_t *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  return memory;
}

static inline void slot(struct machine *m, uint32_t number, uint32_t flags, uint64_t physical, uint8_t *memory, size_t size) {
  struct kvm_userspace_memory_region region = {number, flags, physical, size, (uint64_t)memory};
  CALL(m->vm, KVM_SET_USER_MEMORY_REGION, &region);
}

static inline struct kvm_segment segment(uint16_t selector, uint8_t type, int is_code) {
  struct kvm_segment s = {0};
  s.limit = 0xffffffff, s.selector = selector, s.type = type, s.present = 1, s.dpl = 3, s.db = !is_code, s.s = 1, s.l = is_code;
  s.g = 1;
  return s;
}

// What kvm_fd and the processor's description are asked for once, not per machine.
struct host {
  int kvm;
  size_t run_size;
  struct kvm_cpuid2 *cpuid;
};

static inline struct host open_host(void) {
  struct host h;
  h.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (h.kvm < 0) fail("/dev/kvm");
  h.run_size = CALL(h.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  h.cpuid = calloc(1, sizeof *h.cpuid + 256 * sizeof *h.cpuid->entries);
  h.cpuid->nent = 256;
  CALL(h.kvm, KVM_GET_SUPPORTED_CPUID, h.cpuid);
  return h;
}

static inline void make(struct machine *m, const struct host *h, const uint8_t *entry) {
  m->low = map(low_size), m->host = map(host_size), m->guest = map(guest_size);
  m->vm = CALL(h->kvm, KVM_CREATE_VM, 0);
  m->vcpu = CALL(m->vm, KVM_CREATE_VCPU, 0);
  m->run_size = h->run_size;
  m->run = mmap(0, m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
  if (m->run == MAP_FAILED) fail("mmap of the run page");
  slot(m, 0, 0, 0, m->low, low_size);
  slot(m, 1, KVM_MEM_READONLY, 1ull << 32, m->host, host_size);
  slot(m, 2, KVM_MEM_LOG_DIRTY_PAGES, 2ull << 32, m->guest, guest_size);

  // One large page for ring 3, accessed and dirty; Intel SDM vol. 3, 4.5.
  *(uint64_t *)(m->low + pml4) = pdpt | 0x27;
  *(uint64_t *)(m->low + pdpt) = directory | 0x27;
  *(uint64_t *)(m->low + directory) = 0xe7;
  uint64_t *descriptors = (uint64_t *)(m->low + gdt);
  uint32_t tss_limit = 104 + port / 8 + 1;
  descriptors[5] = 0x00cff3000000ffff, descriptors[6] = 0x00affb000000ffff;
  descriptors[8] = tss_limit | (uint64_t)tss << 16 | 0x8bull << 40;
  m->low[tss + 102] = 104;
  memset(m->low + tss + 104, 0xff, port / 8 + 2);
  m->low[tss + 104 + port / 8] &= ~(1 << port % 8);
  memcpy(m->low + code, guest_begin, guest_end - guest_begin);

  CALL(m->vcpu, KVM_SET_CPUID2, h->cpuid);
  struct kvm_sregs s;
  CALL(m->vcpu, KVM_GET_SREGS, &s);
  s.cr0 = 0x80010033, s.cr3 = pml4, s.cr4 = 0x620, s.efer = 0xd00;
  s.cs = segment(0x33, 11, 1);
  s.ds = s.es = s.ss = s.fs = s.gs = segment(0x2b, 3, 0);
  s.gdt.base = gdt, s.gdt.limit = 0x4f, s.idt.base = 0, s.idt.limit = 0;
  memset(&s.tr, 0, sizeof s.tr);
  s.tr.base = tss, s.tr.limit = tss_limit, s.tr.selector = 0x40, s.tr.type = 11, s.tr.present = 1;
  memset(&s.ldt, 0, sizeof s.ldt);
  s.ldt.unusable = 1;
  CALL(m->vcpu, KVM_SET_SREGS, &s);
  struct kvm_regs r = {0};
  r.rip = code + (entry - guest_begin), r.rflags = 2, r.rsp = low_size - 8;
  CALL(m->vcpu, KVM_SET_REGS, &r);
  struct {
    struct kvm_msrs header;
    struct kvm_msr_entry entries[4];
  } msrs = {{4}, {{0x174, 0, 0}, {0xc0000081, 0, 0}, {0xc0000082, 0, code}, {0xc0000084, 0, 0xffffffff}}};
  if (CALL(m->vcpu, KVM_SET_MSRS, &msrs) != 4) fail("KVM_SET_MSRS");
}

// Enters the guest until it rings the doorbell.
static inline void enter(struct machine *m) {
  int result;
  while ((result = ioctl(m->vcpu, KVM_RUN, 0)) < 0 && errno == EINTR) {}
  if (result < 0 || m->run->exit_reason != KVM_EXIT_IO || m->run->io.port != port) {
    fprintf(stderr, "KVM_RUN: result %d, exit reason %u\n", result, m->run->exit_reason);
    exit(1);
  }
}

static inline void destroy(struct machine *m) {
  munmap(m->run, m->run_size);
  close(m->vcpu);
  close(m->vm);
  munmap(m->low, low_size);
  munmap(m->host, host_size);
  munmap(m->guest, guest_size);
}
