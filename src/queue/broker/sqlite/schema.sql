-- The queue. A task is one row; it is in exactly one state.
--
-- state: p pending, s pending as a suspect, f in flight, w delayed, x dead letter, d ended.
-- extra: x: why it died; d: how it ended. due_ms: of w. epoch, alone, ready_ms: of f.
-- spec: what its handler gets; NULL once it has ended.
CREATE TABLE task (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  lane TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('p', 's', 'f', 'w', 'x', 'd')),
  extra TEXT NOT NULL DEFAULT '',
  due_ms INTEGER NOT NULL DEFAULT 0,
  epoch INTEGER NOT NULL DEFAULT 0,
  alone INTEGER NOT NULL DEFAULT 0,
  ready_ms INTEGER NOT NULL DEFAULT 0,
  delivery INTEGER NOT NULL DEFAULT 0,
  failures INTEGER NOT NULL DEFAULT 0,
  crashes INTEGER NOT NULL DEFAULT 0,
  crashed_ms INTEGER NOT NULL DEFAULT 0,
  since_ms INTEGER NOT NULL,
  deadline_ms INTEGER NOT NULL,
  enqueued_ms INTEGER NOT NULL,
  cancel INTEGER NOT NULL DEFAULT 0,
  spec BLOB,
  error TEXT
) STRICT;
CREATE INDEX task_pending ON task (lane, number) WHERE state = 'p';
CREATE INDEX task_suspect ON task (number) WHERE state = 's';
CREATE INDEX task_in_flight ON task (epoch) WHERE state = 'f';
CREATE INDEX task_delayed ON task (due_ms) WHERE state = 'w';
CREATE INDEX task_dead ON task (since_ms) WHERE state = 'x';
CREATE INDEX task_ended ON task (since_ms) WHERE state = 'd';
CREATE TABLE count (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE kind (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE rule (
  scope TEXT PRIMARY KEY,
  paused INTEGER NOT NULL,
  in_flight_limit INTEGER NOT NULL,
  interval_us INTEGER NOT NULL,
  burst INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- A lease of a worker process. `owner` names the run of the process that owns the file: leases of others are over.
CREATE TABLE epoch (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  owner TEXT NOT NULL,
  secret TEXT NOT NULL,
  who TEXT NOT NULL,
  round INTEGER NOT NULL DEFAULT 0,
  answer BLOB
) STRICT;
CREATE TABLE key (
  key TEXT PRIMARY KEY,
  fingerprint TEXT NOT NULL,
  id TEXT NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX key_age ON key (at_ms);
