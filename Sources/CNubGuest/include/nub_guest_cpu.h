// What the guest's Swift needs of the processor and Swift cannot say.
#ifndef NUB_GUEST_CPU_H
#define NUB_GUEST_CPU_H

#include "nub_abi.h"

// Leaves the VM. Everything said travels in memory; the clobber makes the compiler write it before and read it after.
static inline void nub_cpu_doorbell(void) {
  __asm__ volatile("outb %%al, %0" : : "i"(NUB_PORT_DOORBELL) : "memory");
}

static inline uint64_t nub_cpu_ticks(void) { return __builtin_ia32_rdtsc(); }

// The store that ends a result: a host that interrupts the guest sees the whole result or none of it.
static inline void nub_cpu_publish(uint32_t *field, uint32_t value) {
  __atomic_store_n(field, value, __ATOMIC_RELEASE);
}

static inline uint32_t nub_cpu_load(const uint32_t *field) { return __atomic_load_n(field, __ATOMIC_RELAXED); }

// The faults of the diagnostic function 18. Each is written so that no optimiser can take it away.
static inline void nub_cpu_fault_invalid_opcode(void) { __asm__ volatile("ud2"); }
static inline void nub_cpu_fault_read(uint64_t address) {
  __asm__ volatile("movb (%0), %%al" : : "r"(address) : "rax", "memory");
}
static inline void nub_cpu_fault_write(uint64_t address) {
  __asm__ volatile("movb $1, (%0)" : : "r"(address) : "memory");
}
static inline void nub_cpu_fault_execute(uint64_t address) { __asm__ volatile("call *%0" : : "r"(address) : "memory"); }
static inline void nub_cpu_fault_divide(void) {
  __asm__ volatile("xorl %%ecx, %%ecx; xorl %%edx, %%edx; movl $1, %%eax; divl %%ecx" : : : "rax", "rcx", "rdx");
}
static inline void nub_cpu_fault_privileged(void) { __asm__ volatile("hlt"); }
static inline void nub_cpu_fault_port(void) { __asm__ volatile("outb %%al, $0x80" : : : "memory"); }
static inline void nub_cpu_fault_stack(void) {
  __asm__ volatile("1: pushq %%rax; jmp 1b" : : : "memory");
}
static inline uint64_t nub_cpu_code_address(void) {
  uint64_t address;
  __asm__ volatile("leaq (%%rip), %0" : "=r"(address));
  return address;
}

#endif
