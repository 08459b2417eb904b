//! The shape of the two files, and how one is opened: recognised, brought up to date, or refused.

use crate::error::{Fault, OpenError};
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A kind of file: which one it is, and every step that made it what it is now.
#[derive(Debug)]
pub(crate) struct Schema {
    /// Its name in the data folder.
    pub(crate) name: &'static str,
    /// What SQLite's header says, so that a foreign file is not touched.
    pub(crate) application_id: i64,
    /// Only ever appended to; the file's version is how many it has seen.
    pub(crate) migrations: &'static [&'static str],
}

/// Where each ticket is, and what happened to it.
pub(crate) const BOOKS: Schema = Schema {
    name: "books.db",
    application_id: 0x476F_4231, // "GoB1"
    migrations: &[BOOKS_1, BOOKS_2, BOOKS_3],
};

/// The reports.
pub(crate) const OOPSES: Schema = Schema {
    name: "oopses.db",
    application_id: 0x476F_4F31, // "GoO1"
    migrations: &[OOPSES_1],
};

/// `tickets` rarely changes and carries the payload; `places` is the small row that every step
/// rewrites. The partial indexes hold only what is in hand, so their size does not follow history.
/// `orphans` are attempts that died with their process after their ticket had been given up: they
/// have yet to be reported.
const BOOKS_1: &str = "
CREATE TABLE stages (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE scenes (
  id INTEGER PRIMARY KEY, holder TEXT NOT NULL, hostname TEXT NOT NULL, version TEXT NOT NULL,
  UNIQUE (holder, hostname, version)) STRICT;
CREATE TABLE tickets (
  seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, stage INTEGER NOT NULL, kind TEXT NOT NULL,
  flow TEXT, key TEXT, content_type TEXT, deadline INTEGER, created_at INTEGER NOT NULL,
  root BLOB, parent BLOB, depth INTEGER NOT NULL, trace TEXT, payload BLOB NOT NULL) STRICT;
CREATE TABLE places (
  seq INTEGER PRIMARY KEY, state INTEGER NOT NULL, stage INTEGER NOT NULL,
  ready_seq INTEGER NOT NULL, generation INTEGER NOT NULL, hop INTEGER NOT NULL,
  attempt INTEGER NOT NULL, since INTEGER NOT NULL, scene INTEGER, reason INTEGER, until INTEGER,
  because TEXT, detail TEXT, mark INTEGER, oops BLOB, lock_key TEXT, next_key TEXT) STRICT;
CREATE INDEX runnable ON places (stage, ready_seq) WHERE state = 0;
CREATE INDEX waiting ON places (reason, stage) WHERE state = 2;
CREATE INDEX timed ON places (reason, until) WHERE until IS NOT NULL;
CREATE INDEX ended ON places (since) WHERE state >= 3;
CREATE UNIQUE INDEX one_at_work ON places (stage, lock_key) WHERE lock_key IS NOT NULL;
CREATE UNIQUE INDEX one_in_line ON places (stage, next_key) WHERE next_key IS NOT NULL;
CREATE TABLE attempts (
  ticket INTEGER NOT NULL, hop INTEGER NOT NULL, generation INTEGER NOT NULL,
  attempt INTEGER NOT NULL, stage INTEGER NOT NULL, started_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL, outcome INTEGER NOT NULL, scene INTEGER NOT NULL, oops BLOB,
  memory INTEGER, cpu_user INTEGER, cpu_system INTEGER,
  PRIMARY KEY (ticket, hop, generation, attempt)) WITHOUT ROWID, STRICT;
CREATE TABLE notes (
  id INTEGER PRIMARY KEY, ticket INTEGER NOT NULL, at INTEGER NOT NULL,
  generation INTEGER NOT NULL, hop INTEGER NOT NULL, attempt INTEGER NOT NULL,
  stage INTEGER NOT NULL, what TEXT NOT NULL, why TEXT NOT NULL, oops BLOB) STRICT;
CREATE INDEX notes_of_ticket ON notes (ticket);
CREATE TABLE orphans (
  ticket INTEGER PRIMARY KEY, generation INTEGER NOT NULL, hop INTEGER NOT NULL,
  attempt INTEGER NOT NULL, holder TEXT NOT NULL, started_at INTEGER NOT NULL,
  since INTEGER NOT NULL) STRICT;
CREATE TABLE counters (
  stage INTEGER NOT NULL, what INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY (stage, what)) WITHOUT ROWID, STRICT;
CREATE TABLE control (
  one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
";

/// Breakers and release plans, each a row with its state as bytes. Of a place `signature` is how
/// its last attempt failed while it waits, and `plan` what has released it until its next attempt
/// ends. `chosen` are the tickets of the plans that people made, the longest waiting first. The
/// words of the partial indexes are those of `codes` and of the marks in `spot`. What a settlement
/// changes is in one of them only, since each costs every ticket.
const BOOKS_2: &str = "
ALTER TABLE places ADD COLUMN signature TEXT;
ALTER TABLE places ADD COLUMN plan BLOB;
CREATE INDEX repairs ON places (stage, detail, since, state, reason, mark)
  WHERE state = 2 AND reason = 5 AND mark = 1;
CREATE INDEX out_of_plan ON places (plan) WHERE plan IS NOT NULL;
CREATE TABLE rosters (stage INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE breakers (
  stage INTEGER NOT NULL, scope TEXT NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (stage, scope)) WITHOUT ROWID, STRICT;
CREATE TABLE plans (
  id BLOB PRIMARY KEY NOT NULL, is_live INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE INDEX live_plans ON plans (is_live) WHERE is_live = 1;
CREATE TABLE chosen (
  plan BLOB NOT NULL, position INTEGER NOT NULL, ticket INTEGER NOT NULL,
  PRIMARY KEY (plan, position)) WITHOUT ROWID, STRICT;
CREATE INDEX chosen_tickets ON chosen (plan, ticket);
";

/// `alone` are the tickets on trial, that are to run in a process of their own; `deaths` says of
/// each attempt that died, and is yet to be judged, how many others died with it. They are no
/// columns of `places`, so that they cost nothing where nothing dies.
const BOOKS_3: &str = "
CREATE TABLE alone (ticket INTEGER PRIMARY KEY, stage INTEGER NOT NULL) STRICT;
CREATE TABLE deaths (ticket INTEGER PRIMARY KEY, beside INTEGER NOT NULL) STRICT;
";

/// The columns are for finding; `body` has the whole report.
const OOPSES_1: &str = "
CREATE TABLE oopses (
  seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, ticket BLOB NOT NULL, time INTEGER NOT NULL,
  stage TEXT NOT NULL, flow TEXT, kind TEXT NOT NULL, outcome INTEGER NOT NULL,
  type TEXT NOT NULL, value TEXT NOT NULL, version TEXT NOT NULL, host TEXT NOT NULL,
  worker TEXT NOT NULL, trace TEXT, src TEXT NOT NULL, attempt INTEGER NOT NULL,
  body TEXT NOT NULL) STRICT;
CREATE INDEX oopses_by_time ON oopses (time);
CREATE INDEX oopses_of_ticket ON oopses (ticket);
";

/// Pages of the log after which the writer copies them into the file; at 4 KiB each this is
/// 32 MiB. Fewer would fsync more often under load, more would lengthen the stall when it comes.
const CHECKPOINT_PAGES: i64 = 8_192;
/// What the log is cut back to after it was emptied.
const LOG_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// Page cache of the writer and of each reader, in KiB as SQLite wants it: negative.
const WRITER_CACHE_KIB: i64 = -16 * 1024;
const READER_CACHE_KIB: i64 = -4 * 1024;
/// Statements that a connection keeps prepared.
const STATEMENTS_MAX: usize = 96;
/// How long a connection waits for another's lock; only recovery after a crash ever takes one.
const BUSY: Duration = Duration::from_secs(5);
/// Up to this size a file is read through when it is opened; a larger one is left to
/// `doctor --deep`, since reading it would delay the start by seconds.
const CHECKED_BYTES_MAX: u64 = 64 * 1024 * 1024;

impl Schema {
    /// The newest version that this program knows.
    pub(crate) const fn version(&self) -> i64 {
        self.migrations.len() as i64
    }

    /// Where the file is.
    pub(crate) fn file(&self, folder: &Path) -> PathBuf {
        folder.join(self.name)
    }

    /// Opens the file for writing; makes it if there is none.
    #[cfg(test)]
    pub(crate) fn open(&self, folder: &Path) -> Result<Connection, OpenError> {
        self.look(folder)?.open()
    }

    /// Looks whether the file can be used, and changes nothing.
    pub(crate) fn look(&self, folder: &Path) -> Result<Recognised<'_>, OpenError> {
        let file = self.file(folder);
        let db = self
            .look_at(&file)
            .map_err(|refusal| refusal.about(&file))?;
        let schema = self;
        Ok(Recognised { schema, file, db })
    }

    fn look_at(&self, file: &Path) -> Result<Option<Connection>, Refusal> {
        let is_new = std::fs::metadata(file).map_or(true, |found| found.len() == 0);
        if is_new {
            return Ok(None);
        }
        let db = Connection::open(file)?;
        db.busy_timeout(BUSY)?;
        self.recognise(&db, file)?;
        Ok(Some(db))
    }

    fn open_at(&self, file: &Path, db: Option<Connection>) -> Result<Connection, Refusal> {
        let mut db = match db {
            Some(db) => db,
            None => Connection::open(file)?,
        };
        db.busy_timeout(BUSY)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        for (pragma, value) in [
            ("wal_autocheckpoint", CHECKPOINT_PAGES),
            ("journal_size_limit", LOG_BYTES_MAX),
            ("cache_size", WRITER_CACHE_KIB),
        ] {
            db.pragma_update(None, pragma, value)?;
        }
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "temp_store", "MEMORY")?;
        self.migrate(&mut db)?;
        Ok(db)
    }

    fn recognise(&self, db: &Connection, file: &Path) -> Result<(), Refusal> {
        let id: i64 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
        if id != self.application_id {
            let found = format!("another program's database (application id {id:#x})");
            let file = file.into();
            return Err(Refusal::Open(OpenError::Foreign { file, found }));
        }
        let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let known = self.version();
        if found > known {
            let file = file.into();
            return Err(Refusal::Open(OpenError::Newer { file, found, known }));
        }
        if std::fs::metadata(file).is_ok_and(|found| found.len() <= CHECKED_BYTES_MAX) {
            check(db)?;
        }
        Ok(())
    }

    /// Brings the file up to date, one transaction a step.
    pub(crate) fn migrate(&self, db: &mut Connection) -> Result<(), Fault> {
        let seen: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let seen = usize::try_from(seen).unwrap_or(0);
        for (step, sql) in self.migrations.iter().enumerate().skip(seen) {
            let change = db.transaction()?;
            change.execute_batch(sql)?;
            change.pragma_update(None, "application_id", self.application_id)?;
            change.pragma_update(None, "user_version", step as i64 + 1)?;
            change.commit()?;
        }
        Ok(())
    }

    /// Opens the file, which a writer has open already, for reading.
    pub(crate) fn open_reader(&self, folder: &Path) -> Result<Connection, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(self.file(folder), flags)?;
        db.busy_timeout(BUSY)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        db.pragma_update(None, "cache_size", READER_CACHE_KIB)?;
        db.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(db)
    }
}

/// Reads the file through and says what is wrong with it.
pub(crate) fn check(db: &Connection) -> Result<(), Fault> {
    let said: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if said == "ok" {
        Ok(())
    } else {
        Err(Fault::Row(said))
    }
}

/// A file that can be used as it is, or that is yet to be made.
pub(crate) struct Recognised<'a> {
    schema: &'a Schema,
    file: PathBuf,
    db: Option<Connection>,
}

impl Recognised<'_> {
    /// Makes it or brings it up to date, ready for writing.
    pub(crate) fn open(self) -> Result<Connection, OpenError> {
        let opened = self.schema.open_at(&self.file, self.db);
        opened.map_err(|refusal| refusal.about(&self.file))
    }
}

enum Refusal {
    Open(OpenError),
    Fault(Fault),
}

impl Refusal {
    fn about(self, file: &Path) -> OpenError {
        match self {
            Self::Open(error) => error,
            Self::Fault(fault) => fault.into_open_error(file),
        }
    }
}

impl<E: Into<Fault>> From<E> for Refusal {
    fn from(fault: E) -> Self {
        Self::Fault(fault.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// For each version of each file, what such a file may hold. A new migration needs a new entry.
    const BOOKS_FILLED: &[&str] = &[
        "
        INSERT INTO stages VALUES (1, 'build');
        INSERT INTO scenes VALUES (1, 'host/1', 'host', '1.0');
        INSERT INTO tickets VALUES
          (1, x'01000000000000000000000000000001', 1, 'ticket', 'ci', 'key', 'text/plain', 9, 1,
           NULL, NULL, 0, NULL, x'776F726B'),
          (2, x'01000000000000000000000000000002', 1, 'ticket', NULL, NULL, NULL, NULL, 2,
           NULL, NULL, 0, NULL, x'');
        INSERT INTO places (seq, state, stage, ready_seq, generation, hop, attempt, since)
          VALUES (1, 0, 1, 1, 1, 0, 1, 1);
        INSERT INTO places (seq, state, stage, ready_seq, generation, hop, attempt, since, reason,
          until, because) VALUES (2, 2, 1, 0, 1, 0, 2, 2, 1, 99, 'attempt 1 failed');
        INSERT INTO attempts VALUES (2, 0, 1, 1, 1, 1, 2, 5, 1, NULL, NULL, NULL, NULL);
        INSERT INTO counters VALUES (0, 1, 2);
        INSERT INTO control VALUES (1, 7, '{\"holds\":[],\"fences\":[]}');
    ",
        "
        INSERT INTO stages VALUES (1, 'build');
        INSERT INTO tickets VALUES
          (1, x'01000000000000000000000000000001', 1, 'ticket', 'ci', 'key', 'text/plain', 9, 1,
           NULL, NULL, 0, NULL, x'776F726B');
        INSERT INTO places (seq, state, stage, ready_seq, generation, hop, attempt, since, reason,
          because, detail, mark, signature, plan) VALUES (1, 2, 1, 0, 1, 0, 2, 2, 5, 'failed',
          'v1-0000000000000007', 1, 'v1-0000000000000007', NULL);
        INSERT INTO rosters VALUES (1, x'00');
        INSERT INTO breakers VALUES (1, 'v1-0000000000000007', x'00');
        INSERT INTO plans VALUES (x'01000000000000000000000000000001', 1, x'00');
        INSERT INTO chosen VALUES (x'01000000000000000000000000000001', 1, 1);
    ",
        "
        INSERT INTO stages VALUES (1, 'build');
        INSERT INTO tickets VALUES
          (1, x'01000000000000000000000000000001', 1, 'ticket', 'ci', 'key', 'text/plain', 9, 1,
           NULL, NULL, 0, NULL, x'776F726B');
        INSERT INTO places (seq, state, stage, ready_seq, generation, hop, attempt, since, reason,
          because, detail, mark) VALUES (1, 2, 1, 0, 1, 0, 2, 2, 7, 'died', 'host/1', 1);
        INSERT INTO alone VALUES (1, 1);
        INSERT INTO deaths VALUES (1, 19);
    ",
    ];
    const OOPSES_FILLED: &[&str] = &["
        INSERT INTO oopses VALUES (1, x'01000000000000000000000000000001',
          x'01000000000000000000000000000001', 1, 'build', NULL, 'ticket', 5, 'T', 'v', '1.0',
          'host', 'host/1', NULL, 'worker', 1, '{}');
    "];

    fn shape(db: &Connection) -> Vec<String> {
        let mut query = db
            .prepare("SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema")
            .unwrap();
        let rows = query.query_map([], |row| row.get(0)).unwrap();
        let mut shape: Vec<String> = rows.collect::<Result<_, _>>().unwrap();
        shape.sort();
        shape
    }

    #[test]
    fn a_filled_file_of_every_version_is_brought_up_to_date() {
        for (schema, filled, table) in [
            (BOOKS, BOOKS_FILLED, "tickets"),
            (OOPSES, OOPSES_FILLED, "oopses"),
        ] {
            assert_eq!(schema.migrations.len(), filled.len(), "{}", schema.name);
            let fresh = TempDir::new().unwrap();
            let fresh = schema.open(fresh.path()).unwrap();
            for (version, rows) in filled.iter().enumerate() {
                let folder = TempDir::new().unwrap();
                let old = Schema {
                    migrations: &schema.migrations[..=version],
                    ..schema
                };
                let db = old.open(folder.path()).unwrap();
                db.execute_batch(rows).unwrap();
                drop(db);
                let db = schema.open(folder.path()).unwrap();
                assert_eq!(shape(&db), shape(&fresh), "{} {version}", schema.name);
                let count = format!("SELECT count(*) FROM {table}");
                let kept: i64 = db.query_row(&count, [], |row| row.get(0)).unwrap();
                assert!(kept > 0, "{} {version}", schema.name);
            }
        }
    }

    #[test]
    fn a_migration_that_breaks_off_leaves_the_file_as_it_was() {
        let folder = TempDir::new().unwrap();
        drop(BOOKS.open(folder.path()).unwrap());
        let broken = Schema {
            migrations: &[
                BOOKS_1,
                BOOKS_2,
                BOOKS_3,
                "CREATE TABLE half (id INTEGER); CREATE TABLE stages (x);",
            ],
            ..BOOKS
        };
        assert!(broken.open(folder.path()).is_err());
        let db = BOOKS.open(folder.path()).unwrap();
        assert!(!shape(&db).iter().any(|table| table.contains("half")));
    }
}
