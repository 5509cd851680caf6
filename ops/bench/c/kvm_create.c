// The baseline of `sandbox_create`: the bare ioctls that make a virtual machine of a sandbox's shape, one entry, and its end.
//
//   cc -O2 -o kvm_create kvm_create.c && ./kvm_create COUNT
//
// Prints one JSON object; milliseconds.

#include "kvm_guest.h"

int main(int argc, char **argv) {
  long count = argc == 2 ? atol(argv[1]) : 0;
  if (count < 1) {
    fprintf(stderr, "usage: kvm_create COUNT\n");
    return 2;
  }
  struct host h = open_host();
  double started = now_us();
  for (long i = 0; i < count; i++) {
    struct machine m;
    make(&m, &h, guest_begin);
    enter(&m);
    destroy(&m);
  }
  printf("{\"ms\": %.4f}\n", (now_us() - started) / count / 1e3);
  return 0;
}
