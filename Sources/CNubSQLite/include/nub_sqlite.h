// The parts of SQLite's API that are variadic, which Swift cannot call.
#ifndef NUB_SQLITE_H
#define NUB_SQLITE_H

/// Keeps the closing of `db`, a `sqlite3 *`, from moving the log into the database, even if it is the last connection.
/// Returns a SQLite result code.
int nub_sqlite_no_checkpoint_on_close(void *db);

/// Keeps SQLite from counting the memory it uses, for which it takes one lock, of the whole process, at each allocation. Without effect
/// once SQLite is in use. Returns a SQLite result code.
int nub_sqlite_no_memory_statistics(void);

#endif
