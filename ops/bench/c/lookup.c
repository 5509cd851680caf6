// The baseline of `lookup_1m`: the same statement on the same store from C on sqlite3.
//
//   cc -O2 -o lookup lookup.c -lsqlite3 && ./lookup FILE JOBS LOOKUPS
//
// FILE is a store whose jobs have the ids 0 to JOBS - 1 as 16 bytes: eight of the number, most significant first, and eight zeros.
// Prints one JSON object; microseconds.

#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void check(int code, sqlite3 *db) {
  if (code == SQLITE_OK) return;
  fprintf(stderr, "lookup: %s\n", sqlite3_errmsg(db));
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: lookup FILE JOBS LOOKUPS\n");
    return 2;
  }
  uint64_t jobs = strtoull(argv[2], 0, 10), lookups = strtoull(argv[3], 0, 10), found = 0, state = 88172645463325252ull;
  sqlite3 *db;
  check(sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, 0), db);
  check(sqlite3_exec(db, "PRAGMA cache_size=-32768", 0, 0, 0), db);
  sqlite3_stmt *find;
  check(sqlite3_prepare_v2(db,
                           "SELECT status, guest_status, digest, attempts, worker, engine, sandbox, queued_us, run_us, finished_ms,"
                           " result, message FROM jobs WHERE tenant = 0 AND job_id = ?1",
                           -1, &find, 0),
        db);
  struct timespec a, b;
  clock_gettime(CLOCK_MONOTONIC, &a);
  for (uint64_t i = 0; i < lookups; i++) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    uint64_t job = state % jobs;
    unsigned char id[16] = {0};
    for (int byte = 0; byte < 8; byte++) id[byte] = job >> (56 - 8 * byte);
    sqlite3_bind_blob(find, 1, id, sizeof id, SQLITE_STATIC);
    if (sqlite3_step(find) == SQLITE_ROW && sqlite3_column_bytes(find, 10) == 64 && sqlite3_column_blob(find, 10)) found++;
    sqlite3_reset(find);
  }
  clock_gettime(CLOCK_MONOTONIC, &b);
  if (found != lookups) {
    fprintf(stderr, "lookup: found %llu of %llu\n", (unsigned long long)found, (unsigned long long)lookups);
    return 1;
  }
  printf("{\"us\": %.4f}\n", ((b.tv_sec - a.tv_sec) * 1e6 + (b.tv_nsec - a.tv_nsec) * 1e-3) / lookups);
  sqlite3_close(db);
  return 0;
}
