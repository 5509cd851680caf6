// The memory that the host and a guest share, as C structures, because C promises a layout and Swift does not.
//
// Both sides compile this file. Each field has one writer, named beside it. The host treats everything that a guest
// may write as hostile: it copies a field once, checks the copy, and uses only the copy.
#ifndef NUB_ABI_H
#define NUB_ABI_H

#include <stddef.h>
#include <stdint.h>

// Bumped whenever anything in this file changes meaning. Host and image must agree exactly.
#define NUB_ABI_VERSION 1u

#define NUB_HOST_MAGIC 0x3154534f4842554eull      // "NUBHOST1"
#define NUB_GUEST_MAGIC 0x315453554742554eull     // "NUBGUST1"
#define NUB_DIRECTORY_MAGIC 0x315352494442554eull // "NUBDIRS1"
#define NUB_BOOT_MAGIC 0x31544f4f4242554eull      // "NUBBOOT1"

// The one I/O port that ring 3 may write, and the one that the ring-0 exception stubs write. Both lie below the TSS
// limit; the permission bitmap allows the first alone.
#define NUB_PORT_DOORBELL 0xe0u
#define NUB_PORT_EXCEPTION 0xe1u

// Why the guest rang the doorbell.
#define NUB_DOORBELL_READY 1u      // start-up has finished, the first batch may come
#define NUB_DOORBELL_BATCH_DONE 2u // every call of the batch has its result published
#define NUB_DOORBELL_DRAIN 3u      // the result area may be too full for another result
#define NUB_DOORBELL_HOST_CALL 4u  // a host function is called, see nub_guest_control.host_call_*
#define NUB_DOORBELL_ABORT 5u      // the guest gives up, see nub_guest_control.abort_*

#define NUB_ABORT_MESSAGE_MAX 1024u
#define NUB_LOG_MESSAGE_MAX 1024u

// Written by the host, read-only for the guest (a read-only memory slot and read-only page-table entries).
// One page. The fields from `sequence` on change at each entry.
typedef struct nub_host_control {
  uint64_t magic;
  uint32_t abi_version;
  uint32_t directory_capacity; // entries, a power of two
  uint64_t request_base;       // area that holds the calls of a batch
  uint64_t request_size;
  uint64_t response_base; // area that holds the answer to a host call
  uint64_t response_size;
  uint64_t result_base; // area that the guest writes results to
  uint64_t result_size;
  uint64_t control_base; // nub_guest_control
  uint64_t log_base;     // nub_log_area
  uint64_t log_size;
  uint64_t heap_base;
  uint64_t heap_size;
  uint64_t max_result; // bytes a single result may have
  uint64_t seed[2];    // for the guest's hash tables; no secret
  uint64_t tsc_khz;
  uint32_t log_level; // records less severe than this are not written
  uint32_t log_drained; // how often the log area has been read

  uint32_t sequence;   // number of the batch, never 0
  uint32_t call_count; // calls in the request area
  uint64_t request_length;
  uint32_t drained; // results that the host has copied out of the result area
  uint32_t host_call_status;
  uint64_t host_call_length; // bytes of the answer in the response area
} nub_host_control;

// A call in the request area, 16-byte aligned, its payload right behind it.
typedef struct nub_request {
  uint32_t function;
  uint32_t length; // payload bytes; the next request starts at the next multiple of 16
  uint64_t reserved;
} nub_request;

// A result in the result area, 16-byte aligned, its bytes right behind it.
typedef struct nub_result {
  uint32_t index; // which call of the batch
  uint32_t status;
  uint32_t length;
  uint32_t reserved;
  uint64_t cycles; // time-stamp counter ticks the function took, as the guest saw them
  uint64_t reserved1;
} nub_result;

// Written by the guest.
typedef struct nub_guest_control {
  uint64_t magic;
  uint32_t abi_version;
  uint32_t reason;    // NUB_DOORBELL_*
  uint32_t sequence;  // of the batch that `published` counts
  uint32_t published; // results complete in this batch; the release store of this field ends a result
  uint64_t boot_info; // address of nub_boot_info
  uint32_t host_call_function;
  uint32_t reserved0;
  uint64_t host_call_argument; // address
  uint64_t host_call_length;
  uint32_t abort_code;
  uint32_t abort_length;
  uint8_t abort_message[NUB_ABORT_MESSAGE_MAX];
} nub_guest_control;

// What fn 5 returns.
typedef struct nub_boot_info {
  uint64_t magic;
  uint32_t abi_version;
  uint32_t function_count;
  uint64_t directory; // address of nub_directory
  uint32_t directory_capacity;
  uint32_t directory_entry_size;
  uint64_t heap_base;
  uint64_t heap_size;
} nub_boot_info;

// The directory of caps: open addressing with linear probing from the first 8 bytes of the hash (little-endian, modulo
// the capacity), entries moved back on removal, so that a lookup ends at the first empty entry.
typedef struct nub_directory_entry {
  uint64_t hash[4]; // the 32 bytes of the hash, as four little-endian words
  uint64_t address; // of the wire form
  uint32_t length;  // of the wire form
  uint32_t state;   // 0 empty, 1 present
  uint64_t last_used;
  uint64_t pins;
} nub_directory_entry;

typedef struct nub_directory {
  uint64_t magic;
  uint32_t abi_version;
  uint32_t capacity;
  uint32_t count;
  uint32_t evictions;
  uint64_t bytes; // sum of lengths
  uint64_t clock;
  uint64_t reserved[3];
  // nub_directory_entry entries[capacity] follow
} nub_directory;

// The log area: records appended by the guest, read by the host whenever the guest has rung the doorbell, or will not
// run any more. After reading, the host counts `log_drained` up, and the guest begins again at the start of the area.
typedef struct nub_log_area {
  uint64_t length;  // bytes of records behind this header
  uint64_t dropped; // records that did not fit, since start-up
  uint64_t reserved[6];
} nub_log_area;

typedef struct nub_log_record {
  uint32_t length; // whole record, a multiple of 8
  uint16_t level;  // 0 trace, 1 debug, 2 info, 3 notice, 4 warning, 5 error, 6 critical
  uint16_t source_length;
  uint32_t message_length;
  uint32_t reserved;
  // source, then message
} nub_log_record;

// One entry of an image's function table, section "nub_functions". The name is NUL-terminated.
typedef struct nub_function_entry {
  uint64_t id;
  const char *name;
  uint32_t (*function)(void *call);
} nub_function_entry;

_Static_assert(sizeof(nub_host_control) <= 4096, "one page");
_Static_assert(sizeof(nub_guest_control) <= 4096, "one page");
_Static_assert(sizeof(nub_request) == 16 && sizeof(nub_result) == 32, "16-byte steps");
_Static_assert(sizeof(nub_directory) == 64 && sizeof(nub_directory_entry) == 64, "one cache line each");
_Static_assert(sizeof(nub_boot_info) == 48 && sizeof(nub_log_area) == 64, "documented sizes");
_Static_assert(sizeof(nub_function_entry) == 24, "documented size");

#endif
