/// Version 1. The tables are internal; people ask the views (docs/store.md).
///
/// In `jobs`, what may be large comes last: SQLite has to walk a row's overflow pages to reach a column behind it.
enum SchemaV1 {
  static let tables = """
    CREATE TABLE tenants(
      tenant INTEGER PRIMARY KEY AUTOINCREMENT,
      name TEXT NOT NULL UNIQUE,
      first_seen_ms INTEGER NOT NULL
    );
    INSERT INTO tenants VALUES(0, '', 0);

    CREATE TABLE workers(
      worker INTEGER PRIMARY KEY AUTOINCREMENT,
      name TEXT NOT NULL,
      host TEXT NOT NULL,
      pid INTEGER NOT NULL,
      version TEXT NOT NULL,
      started_ms INTEGER NOT NULL,
      heartbeat_ms INTEGER NOT NULL,
      ended_ms INTEGER            -- NULL until it has stopped in good order, or its journal was taken over
    );

    CREATE TABLE images(
      image INTEGER PRIMARY KEY,
      digest BLOB NOT NULL UNIQUE,
      name TEXT NOT NULL,
      first_used_ms INTEGER NOT NULL
    );
    CREATE TABLE functions(
      image INTEGER NOT NULL,
      function INTEGER NOT NULL,
      name TEXT NOT NULL,
      PRIMARY KEY(image, function)
    ) WITHOUT ROWID;

    CREATE TABLE caps(
      cap INTEGER PRIMARY KEY,
      hash BLOB NOT NULL UNIQUE,
      kind INTEGER NOT NULL,
      size INTEGER NOT NULL,
      first_put_ms INTEGER NOT NULL,
      last_used_ms INTEGER NOT NULL,
      puts INTEGER NOT NULL,
      skips INTEGER NOT NULL
    );
    CREATE TABLE cap_bodies(
      cap INTEGER PRIMARY KEY,
      wire BLOB NOT NULL
    );
    CREATE TABLE cap_refs(
      parent INTEGER NOT NULL,
      child_hash BLOB NOT NULL,
      PRIMARY KEY(parent, child_hash)
    ) WITHOUT ROWID;
    CREATE INDEX cap_refs_by_child ON cap_refs(child_hash, parent);
    CREATE TABLE cap_tenants(
      cap INTEGER NOT NULL,
      tenant INTEGER NOT NULL,
      PRIMARY KEY(cap, tenant)
    ) WITHOUT ROWID;

    CREATE TABLE journal(
      batch INTEGER PRIMARY KEY,
      worker INTEGER,             -- NULL: to be run again by whoever comes first
      attempts INTEGER NOT NULL,
      count INTEGER NOT NULL,
      jobs BLOB NOT NULL
    );

    CREATE TABLE jobs(
      seq INTEGER PRIMARY KEY AUTOINCREMENT,    -- never given twice: cursors and house-keeping rely on it
      tenant INTEGER NOT NULL,
      job_id BLOB NOT NULL,
      verb INTEGER NOT NULL,
      function INTEGER,           -- the operand of a call, as a number
      operand BLOB,               -- the operand of anything else
      digest BLOB NOT NULL,
      state INTEGER NOT NULL,
      attempts INTEGER NOT NULL,
      status INTEGER NOT NULL,
      guest_status INTEGER,
      worker INTEGER NOT NULL,
      engine INTEGER NOT NULL,
      image INTEGER,
      sandbox INTEGER NOT NULL,
      queued_us INTEGER NOT NULL,
      run_us INTEGER NOT NULL,
      accepted_ms INTEGER NOT NULL,
      finished_ms INTEGER NOT NULL,
      message TEXT,
      result BLOB,
      UNIQUE(job_id, tenant)      -- ids first: time-ordered ones append here, however many tenants there are
    );
    CREATE INDEX jobs_failed ON jobs(seq, status) WHERE status <> 0;
    CREATE TABLE job_spans(       -- in which runs of 1024 numbers a tenant has jobs; may name runs whose jobs are gone
      tenant INTEGER NOT NULL,
      span INTEGER NOT NULL,      -- seq / 1024
      PRIMARY KEY(tenant, span)
    ) WITHOUT ROWID;
    CREATE TABLE requests(
      seq INTEGER PRIMARY KEY,    -- of the failed job that this would run again
      request BLOB NOT NULL
    );

    CREATE TABLE cancels(
      cancel INTEGER PRIMARY KEY AUTOINCREMENT,
      tenant INTEGER NOT NULL,
      job_id BLOB NOT NULL,
      requested_ms INTEGER NOT NULL
    );
    """

  static let views = """
    CREATE VIEW results AS
    SELECT
      j.seq,
      CASE
        WHEN length(CAST(j.job_id AS TEXT)) = length(j.job_id) AND CAST(j.job_id AS TEXT) NOT GLOB '*[^ -~]*'
        THEN CAST(j.job_id AS TEXT) ELSE lower(hex(j.job_id))
      END AS job,
      lower(hex(j.job_id)) AS job_hex,
      t.name AS tenant,
      \(Names.sqlCase("j.verb", Names.verbs)) AS verb,
      coalesce(f.name, CAST(j.function AS TEXT), lower(hex(j.operand))) AS function,
      \(Names.sqlCase("j.state", Names.states)) AS state,
      j.status AS status_code,
      \(Names.sqlCase("j.status", Names.statuses)) AS status,
      j.guest_status,
      j.message,
      length(j.result) AS result_size,
      j.result,
      j.attempts,
      w.name AS worker,
      \(Names.sqlCase("j.engine", Names.engines)) AS engine,
      i.name AS image,
      j.sandbox,
      j.queued_us,
      j.run_us,
      strftime('%Y-%m-%dT%H:%M:%fZ', j.accepted_ms / 1000.0, 'unixepoch') AS accepted,
      strftime('%Y-%m-%dT%H:%M:%fZ', j.finished_ms / 1000.0, 'unixepoch') AS finished,
      lower(hex(j.digest)) AS digest
    FROM jobs j
    LEFT JOIN tenants t ON t.tenant = j.tenant
    LEFT JOIN workers w ON w.worker = j.worker
    LEFT JOIN images i ON i.image = j.image
    LEFT JOIN functions f ON f.image = j.image AND f.function = j.function;

    CREATE VIEW caps_summary AS
    SELECT
      c.cap,
      lower(hex(c.hash)) AS hash,
      \(Names.sqlCase("c.kind", Names.capKinds)) AS kind,
      c.size,
      c.puts,
      c.skips,
      strftime('%Y-%m-%dT%H:%M:%fZ', c.first_put_ms / 1000.0, 'unixepoch') AS first_put,
      strftime('%Y-%m-%dT%H:%M:%fZ', c.last_used_ms / 1000.0, 'unixepoch') AS last_used,
      (SELECT count(*) FROM cap_refs r WHERE r.parent = c.cap) AS refs,
      (SELECT count(*) FROM cap_refs r WHERE r.parent = c.cap
        AND NOT EXISTS (SELECT 1 FROM caps k WHERE k.hash = r.child_hash)) AS missing_refs,
      (SELECT count(*) FROM cap_refs r WHERE r.child_hash = c.hash) AS referred_by,
      (SELECT count(*) FROM cap_tenants s WHERE s.cap = c.cap) AS tenants
    FROM caps c;

    CREATE VIEW throughput_by_minute AS
    SELECT
      strftime('%Y-%m-%dT%H:%MZ', finished_ms / 60000 * 60, 'unixepoch') AS minute,
      count(*) AS jobs,
      sum(status = 0) AS ok,
      sum(status <> 0) AS failed,
      CAST(avg(queued_us) AS INTEGER) AS mean_queued_us,
      CAST(avg(run_us) AS INTEGER) AS mean_run_us,
      max(run_us) AS max_run_us
    FROM jobs
    GROUP BY finished_ms / 60000;
    """
}
