// The baselines of `call`, `call_batch_256` and `interrupt`: the same from C on the bare KVM API.
//
//   cc -O2 -o kvm_call kvm_call.c -lpthread
//   kvm_call call COUNT            one message of 64 bytes there and back in each entry; microseconds per call
//   kvm_call batch ENTRIES SIZE    SIZE messages in each entry; microseconds per message
//   kvm_call interrupt COUNT       from another thread's signal until KVM_RUN is back
//
// Prints one JSON object.

#include "kvm_guest.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>

static struct machine m;

static void exchange(uint32_t count, uint8_t *in, uint8_t *out) {
  memcpy(m.low + requests, in, count * 64);
  *(volatile uint32_t *)(m.low + control) = count;
  enter(&m);
  memcpy(out, m.low + results, count * 64);
}

static void measure(long entries, uint32_t size) {
  uint8_t *in = malloc(size * 64), *out = malloc(size * 64);
  double *times = malloc(entries * sizeof *times);
  for (uint32_t i = 0; i < size * 64; i++) in[i] = i;
  exchange(size, in, out);
  double started = now_us();
  for (long i = 0; i < entries; i++) {
    double began = now_us();
    exchange(size, in, out);
    times[i] = now_us() - began;
  }
  double total = now_us() - started;
  if (memcmp(in, out, size * 64)) {
    fprintf(stderr, "kvm_call: the echo is wrong\n");
    exit(1);
  }
  qsort(times, entries, sizeof *times, compare_doubles);
  printf("{\"us\": %.4f, \"p50\": %.4f, \"p99\": %.4f}\n", total / entries / size, times[entries / 2], times[entries * 99 / 100]);
}

static volatile double asked_at;
static volatile int running, over;
static volatile long interrupted;
static pthread_t vcpu_thread;

static void ignore(int number) {}

static void *interrupter(void *unused) {
  while (!over) {
    usleep(1000 + rand() % 1000);
    if (!running) continue;
    long before = interrupted;
    asked_at = now_us();
    // Asked again every 100 ms, so that whatever might eat a signal costs a figure and not the run.
    while (interrupted == before && !over) {
      double sent_at = now_us();
      __atomic_store_n(&m.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
      pthread_kill(vcpu_thread, SIGUSR1);
      while (interrupted == before && !over && now_us() - sent_at < 100e3) sched_yield();
    }
  }
  return 0;
}

static void interrupts(long count) {
  struct sigaction action = {.sa_handler = ignore};
  sigaction(SIGUSR1, &action, 0);
  vcpu_thread = pthread_self();
  double *times = malloc(count * sizeof *times);
  pthread_t thread;
  pthread_create(&thread, 0, interrupter, 0);
  for (long i = 0; i < count; i++) {
    running = 1;
    if (ioctl(m.vcpu, KVM_RUN, 0) == 0 || errno != EINTR) fail("KVM_RUN was to be interrupted");
    times[i] = now_us() - asked_at;
    // Before the other thread may ask again: a late store would wipe its request.
    __atomic_store_n(&m.run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    running = 0;
    interrupted++;
  }
  over = 1;
  pthread_join(thread, 0);
  qsort(times, count, sizeof *times, compare_doubles);
  printf("{\"p50\": %.2f, \"p99\": %.2f}\n", times[count / 2], times[count * 99 / 100]);
}

int main(int argc, char **argv) {
  const char *mode = argc > 2 ? argv[1] : "";
  long count = argc > 2 ? atol(argv[2]) : 0, size = argc > 3 ? atol(argv[3]) : 1;
  int endless = strcmp(mode, "interrupt") == 0;
  if (count < 1 || size < 1 || size > 512 || !(endless || strcmp(mode, "call") == 0 || strcmp(mode, "batch") == 0)) {
    fprintf(stderr, "usage: kvm_call call COUNT | batch ENTRIES SIZE | interrupt COUNT\n");
    return 2;
  }
  struct host h = open_host();
  make(&m, &h, endless ? guest_endless : guest_begin);
  if (endless) interrupts(count);
  else measure(count, size);
  return 0;
}
