#define _GNU_SOURCE
#include "nub_bench.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "nub_abi.h"

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t nub_bench_echo(const nub_bench_machine *m, const void *payload, uint32_t length, uint32_t batch, uint32_t calls) {
  nub_host_control *host = m->host_control;
  volatile nub_guest_control *guest = m->guest_control;
  struct kvm_run *run = m->run;
  uint32_t step = 16 + ((length + 15) & ~15u);
  int64_t start = now();
  for (uint32_t done = 0; done < calls; done += batch) {
    uint8_t *at = m->request;
    for (uint32_t i = 0; i < batch; i++, at += step) {
      nub_request header = {.function = 1, .length = length};
      memcpy(at, &header, sizeof header);
      memcpy(at + sizeof header, payload, length);
    }
    host->sequence++;
    host->call_count = batch;
    host->request_length = (uint64_t)batch * step;
    host->drained = 0;
    while (ioctl(m->vcpu, KVM_RUN, 0) < 0) {
      // A signal that came late for the turn before.
      if (errno != EINTR) return -errno;
      run->immediate_exit = 0;
    }
    if (run->exit_reason != KVM_EXIT_IO || guest->reason != NUB_DOORBELL_BATCH_DONE) return -EPROTO;
    const uint8_t *from = m->result;
    for (uint32_t i = 0; i < batch; i++) {
      nub_result header;
      memcpy(&header, from, sizeof header);
      if (header.index != i || header.length != length) return -EPROTO;
      void *copy = malloc(length);
      if (!copy) return -ENOMEM;
      memcpy(copy, from + sizeof header, length);
      __asm__ volatile("" : : "r"(copy) : "memory");
      free(copy);
      from += sizeof header + ((length + 15) & ~15u);
    }
  }
  return now() - start;
}

static int add_slot(int vm, uint32_t slot, uint32_t flags, uint64_t address, uint64_t size, void **memory) {
  *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (*memory == MAP_FAILED) return -errno;
  struct kvm_userspace_memory_region region = {
      .slot = slot, .flags = flags, .guest_phys_addr = address, .memory_size = size, .userspace_addr = (uint64_t)*memory};
  return ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static int create(int kvm, int run_size, struct kvm_cpuid2 *cpuid, const uint64_t *sizes) {
  static const uint64_t addresses[3] = {0x10000, 0x20000000, 0x100000000};
  static const uint32_t flags[3] = {KVM_MEM_READONLY, KVM_MEM_READONLY, KVM_MEM_LOG_DIRTY_PAGES};
  void *memory[3] = {MAP_FAILED, MAP_FAILED, MAP_FAILED};
  int result = -1;
  int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  if (vm < 0) return -errno;
  int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  void *run = MAP_FAILED;
  if (vcpu < 0) goto out;
  run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  if (run == MAP_FAILED) goto out;
  for (int i = 0; i < 3; i++) {
    if (add_slot(vm, i, flags[i], addresses[i], sizes[i], &memory[i]) < 0) goto out;
  }
  if (ioctl(vcpu, KVM_SET_CPUID2, cpuid) < 0) goto out;
  struct kvm_sregs special;
  if (ioctl(vcpu, KVM_GET_SREGS, &special) < 0 || ioctl(vcpu, KVM_SET_SREGS, &special) < 0) goto out;
  struct kvm_regs registers = {.rflags = 2};
  if (ioctl(vcpu, KVM_SET_REGS, &registers) < 0) goto out;
  result = 0;
out:
  if (result < 0) result = errno ? -errno : -EIO;
  if (run != MAP_FAILED) munmap(run, run_size);
  if (vcpu >= 0) close(vcpu);
  close(vm);
  for (int i = 0; i < 3; i++) {
    if (memory[i] != MAP_FAILED) munmap(memory[i], sizes[i]);
  }
  return result;
}

int64_t nub_bench_create(uint64_t template_size, uint64_t host_size, uint64_t guest_size, uint32_t count) {
  const uint64_t sizes[3] = {template_size, host_size, guest_size};
  int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) return -errno;
  union {
    struct kvm_cpuid2 list;
    uint8_t room[sizeof(struct kvm_cpuid2) + 256 * sizeof(struct kvm_cpuid_entry2)];
  } cpuid;
  memset(&cpuid, 0, sizeof cpuid);
  cpuid.list.nent = 256;
  int64_t result = ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) < 0 ? -errno : 0;
  int run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  int64_t start = now();
  for (uint32_t i = 0; result >= 0 && i < count; i++) result = create(kvm, run_size, &cpuid.list, sizes);
  int64_t took = now() - start;
  close(kvm);
  return result < 0 ? result : took;
}
