// The system calls of KVM that Swift cannot express: ioctl is variadic and its request numbers are macros. Each function
// does one thing and returns a non-negative number or -errno. (Linux, Documentation/virt/kvm/api.rst)
#ifndef NUB_KVM_H
#define NUB_KVM_H

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static inline int nub_result(long value) { return value < 0 ? -errno : (int)value; }

static inline int nub_kvm_open(const char *path) { return nub_result(open(path, O_RDWR | O_CLOEXEC)); }
static inline int nub_kvm_duplicate(int fd) { return nub_result(fcntl(fd, F_DUPFD_CLOEXEC, 3)); }
static inline int nub_kvm_api_version(int kvm) { return nub_result(ioctl(kvm, KVM_GET_API_VERSION, 0)); }
static inline int nub_kvm_check_extension(int fd, int extension) {
  return nub_result(ioctl(fd, KVM_CHECK_EXTENSION, (unsigned long)extension));
}
static inline int nub_kvm_create_vm(int kvm) { return nub_result(ioctl(kvm, KVM_CREATE_VM, 0)); }
static inline int nub_kvm_create_vcpu(int vm) { return nub_result(ioctl(vm, KVM_CREATE_VCPU, 0)); }
static inline int nub_kvm_run_size(int kvm) { return nub_result(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0)); }
static inline int nub_kvm_set_region(int vm, const struct kvm_userspace_memory_region *region) {
  return nub_result(ioctl(vm, KVM_SET_USER_MEMORY_REGION, region));
}
static inline int nub_kvm_dirty_log(int vm, uint32_t slot, void *bitmap) {
  struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = bitmap};
  return nub_result(ioctl(vm, KVM_GET_DIRTY_LOG, &log));
}
static inline int nub_kvm_tsc_khz(int vcpu) { return nub_result(ioctl(vcpu, KVM_GET_TSC_KHZ, 0)); }

static inline int nub_kvm_get_regs(int vcpu, struct kvm_regs *r) { return nub_result(ioctl(vcpu, KVM_GET_REGS, r)); }
static inline int nub_kvm_set_regs(int vcpu, const struct kvm_regs *r) { return nub_result(ioctl(vcpu, KVM_SET_REGS, r)); }
static inline int nub_kvm_get_sregs(int vcpu, struct kvm_sregs *r) { return nub_result(ioctl(vcpu, KVM_GET_SREGS, r)); }
static inline int nub_kvm_set_sregs(int vcpu, const struct kvm_sregs *r) { return nub_result(ioctl(vcpu, KVM_SET_SREGS, r)); }
static inline int nub_kvm_get_xsave(int vcpu, struct kvm_xsave *r) { return nub_result(ioctl(vcpu, KVM_GET_XSAVE, r)); }
static inline int nub_kvm_set_xsave(int vcpu, const struct kvm_xsave *r) { return nub_result(ioctl(vcpu, KVM_SET_XSAVE, r)); }
static inline int nub_kvm_get_debugregs(int vcpu, struct kvm_debugregs *r) { return nub_result(ioctl(vcpu, KVM_GET_DEBUGREGS, r)); }
static inline int nub_kvm_set_debugregs(int vcpu, const struct kvm_debugregs *r) { return nub_result(ioctl(vcpu, KVM_SET_DEBUGREGS, r)); }

static inline int nub_kvm_get_events(int vcpu, struct kvm_vcpu_events *e) { return nub_result(ioctl(vcpu, KVM_GET_VCPU_EVENTS, e)); }
static inline int nub_kvm_set_events(int vcpu, const struct kvm_vcpu_events *e) { return nub_result(ioctl(vcpu, KVM_SET_VCPU_EVENTS, e)); }

// Denies the guest every MSR that it has no use for. 0, or -errno where KVM has no filter.
int nub_kvm_deny_msrs(int vm);

#define NUB_KVM_MSR_MAX 16
// Sets MSRs; the result is how many were set, in order.
int nub_kvm_set_msrs(int vcpu, const uint32_t *indices, const uint64_t *values, uint32_t count);

// What KVM offers as CPUID, at most `capacity` entries; the result is how many there are.
int nub_kvm_supported_cpuid(int kvm, struct kvm_cpuid_entry2 *entries, uint32_t capacity);
int nub_kvm_set_cpuid(int vcpu, const struct kvm_cpuid_entry2 *entries, uint32_t count);

// Fields of kvm_run that lie in unnamed unions.
static inline uint8_t nub_run_io_direction(const struct kvm_run *r) { return r->io.direction; }
static inline uint8_t nub_run_io_size(const struct kvm_run *r) { return r->io.size; }
static inline uint16_t nub_run_io_port(const struct kvm_run *r) { return r->io.port; }
static inline uint32_t nub_run_io_count(const struct kvm_run *r) { return r->io.count; }
static inline uint32_t nub_run_suberror(const struct kvm_run *r) { return r->internal.suberror; }
static inline uint64_t nub_run_entry_failure(const struct kvm_run *r) { return r->fail_entry.hardware_entry_failure_reason; }
static inline uint64_t nub_run_mmio_address(const struct kvm_run *r) { return r->mmio.phys_addr; }
static inline const struct kvm_regs *nub_run_regs(const struct kvm_run *r) { return &r->s.regs.regs; }
static inline const struct kvm_sregs *nub_run_sregs(const struct kvm_run *r) { return &r->s.regs.sregs; }

// Interrupting a thread that is in KVM_RUN.
//
// The signal's handler sets immediate_exit of the vCPU that the thread has armed, so a signal that arrives between a
// check of the kill flag and KVM_RUN is not lost (api.rst, 5. kvm_run, immediate_exit).

// Installs the handler for `signal`. 0, or -EBUSY where the application already handles that signal, or -errno.
int nub_kvm_install_signal(int signal);
// Makes `run` the vCPU that this thread's signals are for; NULL for none.
void nub_kvm_arm(struct kvm_run *run);
// Sends `signal` to one thread of this process.
int nub_kvm_signal_thread(int thread, int signal);
int nub_kvm_thread_id(void);
int nub_kvm_first_realtime_signal(void);
int nub_kvm_last_realtime_signal(void);

static inline int nub_kvm_run(int vcpu) { return nub_result(ioctl(vcpu, KVM_RUN, 0)); }

// Waits while *word equals expected, at most until the monotonic time given in nanoseconds (UINT64_MAX: no limit).
int nub_futex_wait(const uint32_t *word, uint32_t expected, uint64_t until_ns);
int nub_futex_wake(const uint32_t *word, int count);
static inline uint32_t nub_atomic_load(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void nub_atomic_increment(uint32_t *word) { __atomic_fetch_add(word, 1, __ATOMIC_ACQ_REL); }

// Anonymous memory that several mappings share, and its sealing against any further change.
int nub_memfd(const char *name);
int nub_memfd_seal(int fd);

#endif
