// The baseline of `commit_256`: what SQLite itself needs for the statements of a group commit, from C, without nub.
//
//   cc -O2 -o commit commit.c -lsqlite3 && ./commit FILE JOBS [JOBS_PER_TRANSACTION [RESULT_BYTES [full|normal [CHECKPOINT_BYTES]]]]
//
// FILE must not exist. One transaction records that many finished jobs, adds the journal row of the next batch and deletes that of
// this one, as a worker's committer does. Prints one JSON object. Ids are 16 bytes and time-ordered, like UUIDv7.

#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static sqlite3 *db;

static void check(int code, const char *what) {
  if (code == SQLITE_OK || code == SQLITE_DONE || code == SQLITE_ROW) return;
  fprintf(stderr, "commit: %s: %s\n", what, db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
  exit(1);
}

static void run(const char *sql) { check(sqlite3_exec(db, sql, 0, 0, 0), sql); }

// Frames in the log after the last commit.
static long frames;

static int committed(void *context, sqlite3 *connection, const char *name, int count) {
  frames = count;
  return SQLITE_OK;
}

static sqlite3_stmt *prepare(const char *sql) {
  sqlite3_stmt *statement;
  check(sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, 0), sql);
  return statement;
}

static void step(sqlite3_stmt *statement) {
  check(sqlite3_step(statement), sqlite3_sql(statement));
  sqlite3_reset(statement);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static double cpu(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

// The tables that a commit touches, as NubStore's schema version 1 has them.
static const char *const schema =
    "CREATE TABLE journal(batch INTEGER PRIMARY KEY, worker INTEGER, attempts INTEGER NOT NULL, count INTEGER NOT NULL,"
    " jobs BLOB NOT NULL);"
    "CREATE TABLE jobs(seq INTEGER PRIMARY KEY AUTOINCREMENT, tenant INTEGER NOT NULL, job_id BLOB NOT NULL, verb INTEGER NOT NULL,"
    " function INTEGER, operand BLOB, digest BLOB NOT NULL, state INTEGER NOT NULL, attempts INTEGER NOT NULL,"
    " status INTEGER NOT NULL, guest_status INTEGER, worker INTEGER NOT NULL, engine INTEGER NOT NULL, image INTEGER,"
    " sandbox INTEGER NOT NULL, queued_us INTEGER NOT NULL, run_us INTEGER NOT NULL, accepted_ms INTEGER NOT NULL,"
    " finished_ms INTEGER NOT NULL, message TEXT, result BLOB, UNIQUE(job_id, tenant));"
    "CREATE INDEX jobs_failed ON jobs(seq, status) WHERE status <> 0;";

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: commit FILE JOBS [JOBS_PER_TRANSACTION [RESULT_BYTES [full|normal [CHECKPOINT_BYTES]]]]\n");
    return 2;
  }
  long jobs = atol(argv[2]);
  long batch = argc > 3 ? atol(argv[3]) : 256;
  long size = argc > 4 ? atol(argv[4]) : 64;
  int full = argc > 5 ? strcmp(argv[5], "normal") != 0 : 1;
  long checkpoint_bytes = argc > 6 ? atol(argv[6]) : 16L << 20;
  if (jobs < 1 || batch < 1 || size < 0) return 2;

  check(sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, 0), argv[1]);
  run("PRAGMA journal_mode=WAL");
  run(full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
  run("PRAGMA cache_size=-32768");
  sqlite3_wal_hook(db, committed, 0);
  run(schema);

  sqlite3_stmt *begin = prepare("BEGIN IMMEDIATE"), *commit = prepare("COMMIT");
  sqlite3_stmt *insert = prepare(
      "INSERT INTO jobs(tenant, job_id, verb, function, operand, digest, state, attempts, status, guest_status, worker, engine,"
      " image, sandbox, queued_us, run_us, accepted_ms, finished_ms, message, result)"
      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)"
      " ON CONFLICT(job_id, tenant) DO NOTHING");
  sqlite3_stmt *add = prepare("INSERT OR REPLACE INTO journal(batch, worker, attempts, count, jobs) VALUES(?1, ?2, ?3, ?4, ?5)");
  sqlite3_stmt *drop = prepare("DELETE FROM journal WHERE batch = ?1");

  unsigned char *result = malloc(size + 1), *journal = malloc(batch * (size + 48));
  memset(result, 7, size + 1);
  memset(journal, 9, batch * (size + 48));
  unsigned char id[16] = {0}, digest[16];
  memset(digest, 3, sizeof digest);
  const int64_t milliseconds = 1700000000000;

  double started = now(), cpu_started = cpu();
  long transaction = 0;
  for (long done = 0; done < jobs; transaction++) {
    step(begin);
    for (long i = 0; i < batch && done < jobs; i++, done++) {
      for (int byte = 0; byte < 8; byte++) id[byte] = (uint64_t)done >> (56 - 8 * byte);
      sqlite3_bind_int64(insert, 1, 0);
      sqlite3_bind_blob(insert, 2, id, sizeof id, SQLITE_STATIC);
      sqlite3_bind_int64(insert, 3, 0);
      sqlite3_bind_int64(insert, 4, 1);
      sqlite3_bind_null(insert, 5);
      sqlite3_bind_blob(insert, 6, digest, sizeof digest, SQLITE_STATIC);
      sqlite3_bind_int64(insert, 7, 1);
      sqlite3_bind_int64(insert, 8, 1);
      sqlite3_bind_int64(insert, 9, 0);
      sqlite3_bind_null(insert, 10);
      sqlite3_bind_int64(insert, 11, 1);
      sqlite3_bind_int64(insert, 12, 1);
      sqlite3_bind_int64(insert, 13, 1);
      sqlite3_bind_int64(insert, 14, 5);
      sqlite3_bind_int64(insert, 15, 120);
      sqlite3_bind_int64(insert, 16, 3);
      sqlite3_bind_int64(insert, 17, milliseconds + done / 100);
      sqlite3_bind_int64(insert, 18, milliseconds + done / 100);
      sqlite3_bind_null(insert, 19);
      sqlite3_bind_blob(insert, 20, result, size, SQLITE_STATIC);
      step(insert);
    }
    sqlite3_bind_int64(add, 1, transaction + 1);
    sqlite3_bind_int64(add, 2, 1);
    sqlite3_bind_int64(add, 3, 0);
    sqlite3_bind_int64(add, 4, batch);
    sqlite3_bind_blob(add, 5, journal, batch * (size + 48), SQLITE_STATIC);
    step(add);
    sqlite3_bind_int64(drop, 1, transaction);
    step(drop);
    step(commit);
    // The log is moved into the database when it has reached that size, by default as large as the worker's.
    if (frames * 4120L >= checkpoint_bytes) {
      check(sqlite3_wal_checkpoint_v2(db, 0, SQLITE_CHECKPOINT_PASSIVE, 0, 0), "checkpoint");
      frames = 0;
    }
  }
  double seconds = now() - started, used = cpu() - cpu_started;
  printf("{\"jobs\": %ld, \"batch\": %ld, \"seconds\": %.4f, \"jobs_per_second\": %.0f, \"cpu_us_per_job\": %.3f}\n", jobs, batch,
         seconds, jobs / seconds, used / jobs * 1e6);
  sqlite3_close_v2(db);
  return 0;
}
