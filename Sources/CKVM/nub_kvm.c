#define _GNU_SOURCE
#include "nub_kvm.h"

#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

int nub_kvm_set_msrs(int vcpu, const uint32_t *indices, const uint64_t *values, uint32_t count) {
  // A structure that ends in a flexible array, with room for it behind.
  union {
    struct kvm_msrs list;
    uint8_t room[sizeof(struct kvm_msrs) + NUB_KVM_MSR_MAX * sizeof(struct kvm_msr_entry)];
  } msrs;
  if (count > NUB_KVM_MSR_MAX) return -E2BIG;
  memset(&msrs, 0, sizeof msrs);
  msrs.list.nmsrs = count;
  for (uint32_t i = 0; i < count; i++) {
    msrs.list.entries[i].index = indices[i];
    msrs.list.entries[i].data = values[i];
  }
  return nub_result(ioctl(vcpu, KVM_SET_MSRS, &msrs));
}

int nub_kvm_deny_msrs(int vm) {
  // A filter that denies by default must have a range (api.rst, KVM_X86_SET_MSR_FILTER): one MSR, not allowed either.
  static uint8_t none[1];
  struct kvm_msr_filter filter;
  memset(&filter, 0, sizeof filter);
  filter.flags = KVM_MSR_FILTER_DEFAULT_DENY;
  filter.ranges[0].flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
  filter.ranges[0].nmsrs = 1;
  filter.ranges[0].base = 0;
  filter.ranges[0].bitmap = none;
  return nub_result(ioctl(vm, KVM_X86_SET_MSR_FILTER, &filter));
}

#define CPUID_MAX 256
union cpuid {
  struct kvm_cpuid2 list;
  uint8_t room[sizeof(struct kvm_cpuid2) + CPUID_MAX * sizeof(struct kvm_cpuid_entry2)];
};

int nub_kvm_supported_cpuid(int kvm, struct kvm_cpuid_entry2 *entries, uint32_t capacity) {
  union cpuid all;
  memset(&all, 0, sizeof all);
  all.list.nent = CPUID_MAX;
  int result = nub_result(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &all));
  if (result < 0) return result;
  if (all.list.nent > capacity) return -E2BIG;
  memcpy(entries, all.list.entries, all.list.nent * sizeof *entries);
  return (int)all.list.nent;
}

int nub_kvm_set_cpuid(int vcpu, const struct kvm_cpuid_entry2 *entries, uint32_t count) {
  union cpuid all;
  if (count > CPUID_MAX) return -E2BIG;
  memset(&all.list, 0, sizeof(struct kvm_cpuid2));
  all.list.nent = count;
  memcpy(all.list.entries, entries, count * sizeof *entries);
  return nub_result(ioctl(vcpu, KVM_SET_CPUID2, &all));
}

// Read by the handler on the same thread, so a plain thread-local and a compiler barrier suffice.
static _Thread_local struct kvm_run *volatile armed;

static void on_signal(int signal) {
  (void)signal;
  struct kvm_run *run = armed;
  if (run) ((volatile struct kvm_run *)run)->immediate_exit = 1;
}

static volatile int installed_signal;

void nub_kvm_arm(struct kvm_run *run) {
  // Threads of a pool often start with every signal blocked, and a blocked signal interrupts nothing. Once for each
  // thread, because the call is on the way of every guest call.
  static _Thread_local int unblocked;
  if (!unblocked && installed_signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, installed_signal);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    unblocked = 1;
  }
  armed = run;
  __asm__ volatile("" : : : "memory");
}

int nub_kvm_install_signal(int signal) {
  struct sigaction old;
  if (sigaction(signal, NULL, &old) < 0) return -errno;
  if (!(old.sa_flags & SA_SIGINFO) && old.sa_handler == on_signal) return 0;
  if ((old.sa_flags & SA_SIGINFO) || (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN)) return -EBUSY;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  // Other system calls of the thread go on; KVM_RUN returns EINTR all the same.
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  if (sigaction(signal, &action, NULL) < 0) return -errno;
  installed_signal = signal;
  return 0;
}

int nub_kvm_signal_thread(int thread, int signal) {
  return nub_result(syscall(SYS_tgkill, getpid(), thread, signal));
}
int nub_kvm_thread_id(void) {
  // Cached: the answer never changes for a thread, and the call is on the way of every guest call.
  static _Thread_local int cached;
  if (!cached) cached = (int)syscall(SYS_gettid);
  return cached;
}
int nub_kvm_first_realtime_signal(void) { return SIGRTMIN; }
int nub_kvm_last_realtime_signal(void) { return SIGRTMAX; }

int nub_futex_wait(const uint32_t *word, uint32_t expected, uint64_t until_ns) {
  struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000u), .tv_nsec = (long)(until_ns % 1000000000u)};
  // FUTEX_WAIT_BITSET takes an absolute time on the monotonic clock.
  return nub_result(syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected,
                            until_ns == UINT64_MAX ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY));
}
int nub_futex_wake(const uint32_t *word, int count) {
  return nub_result(syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0));
}

int nub_memfd(const char *name) { return nub_result(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING)); }
int nub_memfd_seal(int fd) {
  return nub_result(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL));
}
