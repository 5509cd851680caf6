#define _GNU_SOURCE
#include "nub_process.h"

#include <errno.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int result(long value) { return value < 0 ? -errno : (int)value; }

int nub_notify_open(void) {
  int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -errno;
  // A manager that does not read must not hold up the thread that reports progress.
  struct timeval patience = {.tv_sec = 1};
  (void)setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  return descriptor;
}

int nub_notify_send(int socket, const char *address, size_t address_length, const void *bytes, size_t count) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  if (address_length < 2 || address_length > sizeof to.sun_path) return -EINVAL;
  memcpy(to.sun_path, address, address_length);
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + address_length);
  return result(sendto(socket, bytes, count, MSG_NOSIGNAL, (const struct sockaddr *)&to, length));
}

int nub_drop_to(uid_t user, gid_t group, const gid_t *groups, size_t count) {
  // glibc changes all threads (nptl(7)). The order matters: without root the first two would be refused.
  if (setgroups(count, groups) != 0) return -errno;
  if (setresgid(group, group, group) != 0) return -errno;
  if (setresuid(user, user, user) != 0) return -errno;
  // A return value of 0 is not believed where everything depends on it.
  uid_t real, effective, saved;
  gid_t real_group, effective_group, saved_group;
  if (getresuid(&real, &effective, &saved) != 0 || getresgid(&real_group, &effective_group, &saved_group) != 0)
    return -errno;
  if (real != user || effective != user || saved != user || real_group != group || effective_group != group ||
      saved_group != group || setresuid(-1, 0, -1) == 0)
    return -EPERM;
  return 0;
}

int nub_no_new_privileges(void) { return result(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); }
int nub_set_dumpable(int is_dumpable) { return result(prctl(PR_SET_DUMPABLE, is_dumpable != 0, 0, 0, 0)); }
int nub_is_dumpable(void) { return result(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)); }

_Static_assert(sizeof(nub_bpf) == sizeof(struct sock_filter), "nub_bpf is a sock_filter");

int nub_seccomp_install(const nub_bpf *program, uint16_t count) {
  struct sock_fprog filter = {.len = count, .filter = (struct sock_filter *)program};
  long value = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
  // A positive answer is the thread that could not be brought along.
  return value > 0 ? -ESRCH : result(value);
}

long nub_system_call(long number, long a, long b, long c, long d, long e, long f) {
  long value = syscall(number, a, b, c, d, e, f);
  return value < 0 ? -errno : value;
}

#define CALL(name) {#name, SYS_##name}
static const struct {
  const char *name;
  uint32_t number;
} refused[] = {
    // Other programs and other processes' memory.
    CALL(execve), CALL(execveat), CALL(ptrace), CALL(process_vm_readv), CALL(process_vm_writev), CALL(kcmp),
    CALL(pidfd_getfd), CALL(process_madvise), CALL(process_mrelease),
#ifdef SYS_fork
    CALL(fork), CALL(vfork),
#endif
    // The file system's shape, and namespaces.
    CALL(mount), CALL(umount2), CALL(pivot_root), CALL(chroot), CALL(setns), CALL(unshare), CALL(open_tree),
    CALL(move_mount), CALL(fsopen), CALL(fsconfig), CALL(fsmount), CALL(fspick), CALL(mount_setattr),
    CALL(open_by_handle_at), CALL(fanotify_init), CALL(quotactl), CALL(swapon), CALL(swapoff), CALL(mknodat),
#ifdef SYS_mknod
    CALL(mknod),
#endif
    // The kernel itself.
    CALL(bpf), CALL(perf_event_open), CALL(kexec_load), CALL(kexec_file_load), CALL(init_module), CALL(finit_module),
    CALL(delete_module), CALL(reboot), CALL(syslog), CALL(acct), CALL(settimeofday), CALL(clock_settime),
    CALL(clock_adjtime), CALL(adjtimex), CALL(sethostname), CALL(setdomainname), CALL(vhangup), CALL(personality),
    CALL(keyctl), CALL(add_key), CALL(request_key), CALL(userfaultfd), CALL(lookup_dcookie),
#ifdef SYS_iopl
    CALL(iopl), CALL(ioperm), CALL(modify_ldt),
#endif
    // Who it is: decided once, at the start.
    CALL(setuid), CALL(setgid), CALL(setreuid), CALL(setregid), CALL(setresuid), CALL(setresgid), CALL(setfsuid),
    CALL(setfsgid), CALL(setgroups), CALL(capset),
    // A second door to most system calls, which no filter looks at.
    CALL(io_uring_setup), CALL(io_uring_enter), CALL(io_uring_register),
};

size_t nub_refused_call_count(void) { return sizeof refused / sizeof *refused; }
const char *nub_refused_call_name(size_t index) { return refused[index].name; }
uint32_t nub_refused_call_number(size_t index) { return refused[index].number; }

int nub_call_number(int call) {
  switch (call) {
    case NUB_CALL_CLONE: return SYS_clone;
    case NUB_CALL_CLONE3: return SYS_clone3;
    case NUB_CALL_SOCKET: return SYS_socket;
    case NUB_CALL_MMAP: return SYS_mmap;
    case NUB_CALL_MPROTECT: return SYS_mprotect;
    case NUB_CALL_PKEY_MPROTECT: return SYS_pkey_mprotect;
    case NUB_CALL_IOCTL: return SYS_ioctl;
    case NUB_CALL_SHMAT: return SYS_shmat;
    default: return -1;
  }
}
