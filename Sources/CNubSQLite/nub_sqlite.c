#include "nub_sqlite.h"

#include <sqlite3.h>

int nub_sqlite_no_checkpoint_on_close(void *db) {
  return sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)0);
}

int nub_sqlite_no_memory_statistics(void) { return sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); }
