//! The bare limits: what SQLite and the kernel give to a loop that does nothing else.

use rusqlite::{Connection, params};
use std::path::Path;
use std::time::{Duration, Instant};

/// Tickets of one transaction in the bare loops.
const GROUP: usize = 64;
const BODY: [u8; 64] = [b'x'; 64];

fn open(folder: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(folder.join("bare.db"))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.execute_batch(
        "CREATE TABLE IF NOT EXISTS queue (seq INTEGER PRIMARY KEY, stage INTEGER NOT NULL, body BLOB NOT NULL);
         CREATE INDEX IF NOT EXISTS ready ON queue (stage, seq);
         CREATE TABLE IF NOT EXISTS named (seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, stage INTEGER NOT NULL, body BLOB NOT NULL);
         CREATE INDEX IF NOT EXISTS named_ready ON named (stage, seq);",
    )?;
    Ok(db)
}

fn fill(db: &mut Connection, count: usize, group: usize) -> rusqlite::Result<f64> {
    let start = Instant::now();
    let mut left = count;
    while left > 0 {
        let transaction = db.transaction()?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT INTO queue (stage, body) VALUES (0, ?1)")?;
            for _ in 0..left.min(group) {
                insert.execute(params![&BODY[..]])?;
            }
        }
        transaction.commit()?;
        left = left.saturating_sub(group);
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// Grouped inserts of rows with a unique id, since a ticket that is submitted twice is one ticket:
/// how many a second.
pub(crate) fn insert(folder: &Path, count: usize) -> anyhow::Result<f64> {
    let mut db = open(folder)?;
    let start = Instant::now();
    let mut left = count;
    while left > 0 {
        let transaction = db.transaction()?;
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO named (id, stage, body) VALUES (?1, 0, ?2)")?;
            for _ in 0..left.min(512) {
                insert.execute(params![&uuid::Uuid::now_v7().as_bytes()[..], &BODY[..]])?;
            }
        }
        transaction.commit()?;
        left = left.saturating_sub(512);
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// One owner reads ahead and deletes what it has processed, a group a transaction, through
/// `stages` stages; how many tickets a second get to the end.
pub(crate) fn drain(folder: &Path, count: usize, stages: i64) -> anyhow::Result<f64> {
    let mut db = open(folder)?;
    fill(&mut db, count, 512)?;
    let start = Instant::now();
    for stage in 0..stages {
        while step(&mut db, stage, stage + 1 == stages)? > 0 {}
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

fn step(db: &mut Connection, stage: i64, is_last: bool) -> rusqlite::Result<usize> {
    let transaction = db.transaction()?;
    let group: Vec<(i64, Vec<u8>)> = transaction
        .prepare_cached("SELECT seq, body FROM queue WHERE stage = ?1 ORDER BY seq LIMIT ?2")?
        .query_map(params![stage, GROUP as i64], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    {
        let mut delete = transaction.prepare_cached("DELETE FROM queue WHERE seq = ?1")?;
        let mut insert =
            transaction.prepare_cached("INSERT INTO queue (stage, body) VALUES (?1, ?2)")?;
        for (seq, body) in &group {
            delete.execute([seq])?;
            if !is_last {
                insert.execute(params![stage + 1, body])?;
            }
        }
    }
    transaction.commit()?;
    Ok(group.len())
}

/// Spawn and wait, over and over, on `threads` threads: how many a second.
pub(crate) fn spawn(count: usize, threads: usize) -> anyhow::Result<f64> {
    let start = Instant::now();
    let each = count / threads;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..each {
                    let child = std::process::Command::new("/bin/true").spawn();
                    child.and_then(|mut child| child.wait()).ok(); // Counted all the same.
                }
            });
        }
    });
    Ok((each * threads) as f64 / start.elapsed().as_secs_f64())
}

/// One insert a transaction at a gentle rate; how long each took to be durable, in milliseconds.
pub(crate) fn commits(folder: &Path, count: usize, every: Duration) -> anyhow::Result<Vec<f64>> {
    let db = open(folder)?;
    let mut insert = db.prepare("INSERT INTO queue (stage, body) VALUES (0, ?1)")?;
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        insert.execute(params![&BODY[..]])?;
        took.push(start.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(every.saturating_sub(start.elapsed()));
    }
    Ok(took)
}
