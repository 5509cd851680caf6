// The least that C can do on raw KVM for the same work, to hold nub's figures against.
#ifndef NUB_BENCH_H
#define NUB_BENCH_H

#include <stdint.h>

// A started sandbox's parts, for a loop that knows nothing of sandboxes.
typedef struct nub_bench_machine {
  int vcpu;
  void *run;          // struct kvm_run
  void *host_control; // nub_host_control
  void *request;
  void *guest_control; // nub_guest_control
  void *result;
} nub_bench_machine;

// Echoes `length` bytes `calls` times, `batch` in each entry: fill the request area, KVM_RUN, copy the results out into
// fresh memory, as a caller that keeps them must. Returns nanoseconds in all, or -errno.
int64_t nub_bench_echo(const nub_bench_machine *machine, const void *payload, uint32_t length, uint32_t batch, uint32_t calls);

// Makes and drops `count` virtual machines with one vCPU, three slots of these sizes, CPUID, special and general
// registers. Returns nanoseconds in all, or -errno.
int64_t nub_bench_create(uint64_t template_size, uint64_t host_size, uint64_t guest_size, uint32_t count);

#endif
