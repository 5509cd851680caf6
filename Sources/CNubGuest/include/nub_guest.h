// The kit for authors of guest functions, in C. Swift authors use the same through `import NubGuestKit`.
//
// A function is registered by its name alone: the build collects every symbol `nub_fn_<id>_<name>` into the table that
// the host can list without running the image.
//
//     #include "nub_guest.h"
//     NUB_FUNCTION(300, reverse) {
//       uint8_t *out = nub_reserve(call, call->payload_length);
//       if (!out) return NUB_STATUS_RESULT_TOO_LARGE;
//       for (size_t i = 0; i < call->payload_length; i++) out[i] = call->payload[call->payload_length - 1 - i];
//       return 0;
//     }
#ifndef NUB_GUEST_H
#define NUB_GUEST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Statuses from here on are nub's; a function's own statuses are 1 to 0xFFFFFEFF.
#define NUB_STATUS_FIRST_RESERVED 0xffffff00u
#define NUB_STATUS_UNKNOWN_FUNCTION 0xffffff01u
#define NUB_STATUS_CAP_MISSING 0xffffff02u      // result: n × 32-byte hashes
#define NUB_STATUS_CAP_INVALID 0xffffff03u      // not a cap, or of another kind than the function wants
#define NUB_STATUS_RESULT_TOO_LARGE 0xffffff04u // the result went over the limit
#define NUB_STATUS_OUT_OF_MEMORY 0xffffff05u
#define NUB_STATUS_BAD_PAYLOAD 0xffffff06u // the payload has not the form that the function documents
#define NUB_STATUS_HOST 0xffffff07u        // a host function failed
#define NUB_STATUS_UNSUPPORTED 0xffffff08u // not on this engine

// One call, valid while the function runs.
typedef struct nub_call {
  void *runtime;          // nub's own
  const uint8_t *payload; // read-only memory, not copied
  size_t payload_length;
  uint8_t *output; // at least `output_capacity` bytes; nub_reserve and nub_write fill it in order
  size_t output_capacity;
  size_t output_length;
  uint32_t function;
  uint32_t reserved;
} nub_call;

// A function need not look at its call.
#define NUB_FUNCTION(ID, NAME) uint32_t nub_fn_##ID##_##NAME(nub_call *call __attribute__((unused)))

// Room for `length` more bytes of output, or NULL when the result would go over the limit. The bytes count at once.
uint8_t *nub_reserve(nub_call *call, size_t length);
// Appends bytes to the output. 0, or NUB_STATUS_RESULT_TOO_LARGE.
uint32_t nub_write(nub_call *call, const void *bytes, size_t length);
// Replaces the output by a message and returns `status`: `return nub_fail(call, 7, "no such key", 11);`
uint32_t nub_fail(nub_call *call, uint32_t status, const void *message, size_t length);

// The wire form of a cap, by its hash: from the sandbox's directory, else through the host from the store. 0 and the
// bytes, which stay valid while the function runs; else NUB_STATUS_CAP_MISSING or NUB_STATUS_CAP_INVALID, and the
// output is filled so that the function can return that status as it is.
uint32_t nub_cap(nub_call *call, const uint8_t hash[32], const uint8_t **wire, size_t *length);
// The bytes of a Data cap; as nub_cap, but NUB_STATUS_CAP_INVALID for another kind.
uint32_t nub_cap_data(nub_call *call, const uint8_t hash[32], const uint8_t **bytes, size_t *length);

// A log record; its source is the function's name. Cut at 1024 bytes; dropped when the log area is full.
#define NUB_LOG_TRACE 0u
#define NUB_LOG_DEBUG 1u
#define NUB_LOG_INFO 2u
#define NUB_LOG_NOTICE 3u
#define NUB_LOG_WARNING 4u
#define NUB_LOG_ERROR 5u
#define NUB_LOG_CRITICAL 6u
void nub_log(nub_call *call, unsigned level, const void *message, size_t length);

// Calls a host function. 0 and its answer, valid until the next host call; else the host's status, the answer then
// being a message.
uint32_t nub_host_call(nub_call *call, uint32_t function, const void *argument, size_t argument_length,
                       const uint8_t **answer, size_t *answer_length);

// Gives up: the sandbox is dropped, the caller sees code and message (cut at 1024 bytes).
void nub_abort(nub_call *call, uint32_t code, const void *message, size_t length) __attribute__((noreturn));

// What there is of the C library. The heap is bounded: malloc and its kin return NULL where it is used up.
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *pointer, size_t size);
void free(void *pointer);
int posix_memalign(void **result, size_t alignment, size_t size);
void *memcpy(void *target, const void *source, size_t count);
void *memmove(void *target, const void *source, size_t count);
void *memset(void *target, int value, size_t count);
int memcmp(const void *left, const void *right, size_t count);
size_t strlen(const char *text);

#ifdef __cplusplus
}
#endif
#endif
