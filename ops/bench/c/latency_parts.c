// A part of the baseline of `latency`: one row in one durable transaction, as a worker's direct door needs for one job.
//
//   cc -O2 -o latency_parts latency_parts.c -lsqlite3 && ./latency_parts FILE ROWS
//
// FILE must not exist. Prints one JSON object; microseconds.

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void check(int code, sqlite3 *db) {
  if (code == SQLITE_OK || code == SQLITE_DONE) return;
  fprintf(stderr, "latency_parts: %s\n", sqlite3_errmsg(db));
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec * 1e-3;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
  long rows = argc == 3 ? atol(argv[2]) : 0;
  if (rows < 1) {
    fprintf(stderr, "usage: latency_parts FILE ROWS\n");
    return 2;
  }
  sqlite3 *db;
  check(sqlite3_open(argv[1], &db), db);
  check(sqlite3_exec(db,
                     "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=8192;"
                     "CREATE TABLE jobs(seq INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, job_id BLOB NOT NULL, verb INTEGER,"
                     " digest BLOB, status INTEGER, result BLOB, accepted_ms INTEGER, finished_ms INTEGER, UNIQUE(tenant, job_id));",
                     0, 0, 0),
        db);
  sqlite3_stmt *begin, *insert, *commit;
  check(sqlite3_prepare_v2(db, "BEGIN IMMEDIATE", -1, &begin, 0), db);
  check(sqlite3_prepare_v2(db,
                           "INSERT INTO jobs(tenant, job_id, verb, digest, status, result, accepted_ms, finished_ms)"
                           " VALUES(0, ?1, 0, ?2, 0, ?3, 1700000000000, 1700000000000)",
                           -1, &insert, 0),
        db);
  check(sqlite3_prepare_v2(db, "COMMIT", -1, &commit, 0), db);
  double *times = malloc(rows * sizeof *times);
  unsigned char id[16] = {0}, digest[16] = {3}, result[64] = {7};
  for (long i = 0; i < rows; i++) {
    double started = now();
    for (int byte = 0; byte < 8; byte++) id[byte] = (unsigned long)i >> (56 - 8 * byte);
    check(sqlite3_step(begin), db);
    sqlite3_reset(begin);
    sqlite3_bind_blob(insert, 1, id, sizeof id, SQLITE_STATIC);
    sqlite3_bind_blob(insert, 2, digest, sizeof digest, SQLITE_STATIC);
    sqlite3_bind_blob(insert, 3, result, sizeof result, SQLITE_STATIC);
    check(sqlite3_step(insert), db);
    sqlite3_reset(insert);
    check(sqlite3_step(commit), db);
    sqlite3_reset(commit);
    times[i] = now() - started;
  }
  qsort(times, rows, sizeof *times, compare);
  printf("{\"p50\": %.2f, \"p99\": %.2f, \"p999\": %.2f}\n", times[rows / 2], times[rows * 99 / 100], times[rows * 999 / 1000]);
  sqlite3_close(db);
  return 0;
}
