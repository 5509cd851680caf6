#pragma once
// libzmq as it is, and the calls that its threads need and Swift's Glibc module leaves out.
#include <malloc.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <zmq.h>

// pthread.h declares it under _GNU_SOURCE only, which cannot be set for a module that is already built.
extern int pthread_setname_np(pthread_t thread, const char *name);

// EFD_NONBLOCK and EFD_CLOEXEC are enum members under macros of the same names, which Swift does not import.
static inline int nub_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }
