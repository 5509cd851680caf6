// What Swift cannot say to the kernel about this process: prctl and syscall are variadic, setresuid hides behind
// _GNU_SOURCE, sockaddr_un ends in an array. Each function does one thing and returns a non-negative number or -errno.
#ifndef NUB_PROCESS_H
#define NUB_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// A datagram socket for nub_notify_send; sends wait a second at most.
int nub_notify_open(void);
// Sends one message to a unix address: a path, or a name in the abstract namespace, whose first byte is then 0.
int nub_notify_send(int socket, const char *address, size_t address_length, const void *bytes, size_t count);

// Gives up root for good: groups, then the group, then the user, for every thread. Fails if anything of root is left.
int nub_drop_to(uid_t user, gid_t group, const gid_t *groups, size_t count);

// prctl(PR_SET_NO_NEW_PRIVS): no program that this process starts has more rights than it.
int nub_no_new_privileges(void);
// prctl(PR_SET_DUMPABLE): 0 for no core files and no debugger of the same user.
int nub_set_dumpable(int is_dumpable);
int nub_is_dumpable(void);

// One instruction of classic BPF, laid out as struct sock_filter.
typedef struct {
  uint16_t code;
  uint8_t jump_true;
  uint8_t jump_false;
  uint32_t operand;
} nub_bpf;

// Installs a seccomp filter for every thread of the process (SECCOMP_FILTER_FLAG_TSYNC).
int nub_seccomp_install(const nub_bpf *program, uint16_t count);
// A system call by number, for tests of the filter.
long nub_system_call(long number, long a, long b, long c, long d, long e, long f);

// The system calls that nub never makes, by index.
size_t nub_refused_call_count(void);
const char *nub_refused_call_name(size_t index);
uint32_t nub_refused_call_number(size_t index);

// Numbers of those that it makes with some arguments only.
enum {
  NUB_CALL_CLONE, NUB_CALL_CLONE3, NUB_CALL_SOCKET, NUB_CALL_MMAP, NUB_CALL_MPROTECT, NUB_CALL_PKEY_MPROTECT, NUB_CALL_IOCTL,
  NUB_CALL_SHMAT,
};
int nub_call_number(int call);

#endif
