//! The sums. What is in hand is counted from the partial indexes, what has ended from the
//! counters: so the sums cost with the work in hand, and agree only if nothing was lost.

use crate::codes::{self, Count};
use crate::effects::Commits;
use crate::error::{Fault, UNCOUNTED};
use crate::lease::InHand;
use crate::readers::is_broken_off;
use crate::rows::parsed;
use domain::books::{Balance, StageCounts, State};
use domain::names::StageName;
use domain::time::Timestamp;
use domain::wait::Reason;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeMap, HashMap, HashSet};

/// How many runnable tickets of each stage there are.
pub(crate) const RUNNABLE: &str =
    "SELECT stage, count(*) FROM places INDEXED BY runnable WHERE state = 0 GROUP BY stage";
/// How many tickets wait, by reason and stage.
pub(crate) const WAITING: &str = "SELECT reason, stage, count(*) FROM places INDEXED BY waiting \
     WHERE state = 2 GROUP BY reason, stage";
/// The runnable tickets of a stage, the oldest first.
pub(crate) const OLDEST: &str = "SELECT seq, since FROM places WHERE state = 0 AND stage = ?1 \
     ORDER BY ready_seq LIMIT ?2";

/// The tickets that were accepted since, each with its place if it has one. No index knows that
/// time, since every ticket would pay for it and this is hardly ever asked: all tickets are read.
pub(crate) const SINCE: &str = "SELECT t.seq, p.state, p.reason FROM tickets t \
     LEFT JOIN places p ON p.seq = t.seq WHERE t.created_at >= ?1";

/// The sums of one moment, but for what is running.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    /// After which commit, if that is known for certain.
    commit: Option<u64>,
    names: BTreeMap<i64, StageName>,
    runnable: HashMap<i64, u64>,
    waiting: Vec<(Reason, i64, u64)>,
    counters: HashMap<(i64, i64), u64>,
}

/// Counts, unless nothing was committed since `known` was counted.
pub(crate) fn count(
    db: &Connection,
    commits: &Commits,
    known: Option<Counted>,
) -> Result<Counted, Fault> {
    let ended = commits.ended();
    // The first read is the moment of the transaction: what is looked at after it tells whether a
    // commit may have come in between.
    each(db, "SELECT 1 FROM counters LIMIT 1", |_| Ok(()))?;
    let begun = commits.begun();
    match known {
        Some(known) if known.commit == Some(begun) => Ok(known),
        _ => count_again(db, (ended == begun).then_some(begun)),
    }
}

fn count_again(db: &Connection, commit: Option<u64>) -> Result<Counted, Fault> {
    let mut counted = Counted {
        commit,
        names: BTreeMap::new(),
        runnable: HashMap::new(),
        waiting: Vec::new(),
        counters: HashMap::new(),
    };
    each(db, "SELECT id, name FROM stages", |row| {
        let name: String = row.get(1)?;
        let name = parsed(&name, StageName::new)?;
        counted.names.insert(row.get(0)?, name);
        Ok(())
    })?;
    each(db, RUNNABLE, |row| {
        counted.runnable.insert(row.get(0)?, number(row, 1)?);
        Ok(())
    })?;
    each(db, WAITING, |row| {
        let code: i64 = row.get(0)?;
        let reason = codes::reason(code).ok_or_else(|| Fault::row("a wait's reason", code))?;
        counted.waiting.push((reason, row.get(1)?, number(row, 2)?));
        Ok(())
    })?;
    each(db, "SELECT stage, what, n FROM counters", |row| {
        let counter = (row.get(0)?, row.get(1)?);
        counted.counters.insert(counter, number(row, 2)?);
        Ok(())
    })?;
    Ok(counted)
}

fn number(row: &rusqlite::Row, at: usize) -> Result<u64, Fault> {
    let number: i64 = row.get(at)?;
    Ok(u64::try_from(number).unwrap_or(0))
}

fn each(
    db: &Connection,
    query: &str,
    mut read: impl FnMut(&rusqlite::Row) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut query = db.prepare_cached(query)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        read(row)?;
    }
    Ok(())
}

/// Which of these are runnable in the books under the name that runs: only they count as running.
/// By stage.
pub(crate) fn running(
    db: &Connection,
    in_hand: &[InHand],
) -> Result<HashMap<i64, HashSet<i64>>, Fault> {
    let mut query = db.prepare_cached(
        "SELECT stage FROM places
         WHERE seq = ?1 AND state = 0 AND generation = ?2 AND hop = ?3 AND attempt = ?4",
    )?;
    let mut running: HashMap<i64, HashSet<i64>> = HashMap::new();
    for InHand { seq, name, .. } in in_hand {
        let values = params![seq, name.generation.0, name.hop.0, name.attempt.0];
        let stage: Option<i64> = query.query_row(values, |row| row.get(0)).optional()?;
        if let Some(stage) = stage {
            running.entry(stage).or_default().insert(*seq);
        }
    }
    Ok(running)
}

/// The sums over what was accepted since and is not forgotten, counted one by one: so a ticket that
/// is in no place is missed.
pub(crate) fn count_since(
    db: &Connection,
    since: Timestamp,
    running: &HashMap<i64, HashSet<i64>>,
) -> Result<Balance, Fault> {
    let mut balance = Balance::default();
    let mut query = db.prepare_cached(SINCE)?;
    let mut rows = query.query([since.as_micros()])?;
    while let Some(row) = rows.next().map_err(unless_too_much)? {
        let seq: i64 = row.get(0)?;
        let is_running = || running.values().any(|seqs| seqs.contains(&seq));
        balance.accepted += 1;
        let Some(code) = row.get::<_, Option<i64>>(1)? else {
            continue;
        };
        match codes::state(code) {
            Some(State::Runnable | State::Running) if is_running() => balance.running += 1,
            Some(State::Runnable | State::Running) => balance.runnable += 1,
            Some(State::Waiting) => {
                let code: Option<i64> = row.get(2)?;
                if let Some(reason) = code.and_then(codes::reason) {
                    *balance.waiting.entry(reason).or_insert(0) += 1;
                }
            }
            Some(State::Done) => balance.done += 1,
            Some(State::Dropped) => balance.dropped += 1,
            // A place that makes no sense is as good as none.
            None => {}
        }
    }
    Ok(balance)
}

fn unless_too_much(error: rusqlite::Error) -> Fault {
    match is_broken_off(&error) {
        true => Fault::TooMuch(UNCOUNTED),
        false => error.into(),
    }
}

/// Since when the oldest ticket of a stage is ready that does not run.
pub(crate) fn oldest_ready(
    db: &Connection,
    stage: i64,
    running: &HashSet<i64>,
) -> Result<Option<Timestamp>, Fault> {
    let mut query = db.prepare_cached(OLDEST)?;
    let mut rows = query.query([stage, running.len() as i64 + 1])?;
    while let Some(row) = rows.next()? {
        if !running.contains(&row.get(0)?) {
            return Ok(Some(Timestamp::from_micros(row.get(1)?)));
        }
    }
    Ok(None)
}

impl Counted {
    fn counter(&self, stage: i64, what: Count) -> u64 {
        let counter = (stage, what.code());
        self.counters.get(&counter).copied().unwrap_or(0)
    }

    pub(crate) fn balance(&self, running: &HashMap<i64, HashSet<i64>>) -> Balance {
        let running: u64 = running.values().map(|seqs| seqs.len() as u64).sum();
        let runnable: u64 = self.runnable.values().sum();
        let mut waiting = BTreeMap::new();
        for (reason, _, count) in &self.waiting {
            *waiting.entry(*reason).or_insert(0) += count;
        }
        Balance {
            accepted: self.counter(0, Count::Accepted),
            runnable: runnable.saturating_sub(running),
            running,
            waiting,
            done: self.counter(0, Count::Done),
            dropped: self.counter(0, Count::Dropped),
        }
    }

    pub(crate) fn stages(
        &self,
        db: &Connection,
        running: &HashMap<i64, HashSet<i64>>,
    ) -> Result<Vec<StageCounts>, Fault> {
        let nobody = HashSet::new();
        let mut stages = Vec::new();
        for (id, stage) in &self.names {
            let runs = running.get(id).unwrap_or(&nobody);
            let runnable = self.runnable.get(id).copied().unwrap_or(0);
            let waiting = self.waiting.iter().filter(|(_, stage, _)| stage == id);
            stages.push(StageCounts {
                stage: stage.clone(),
                ready: runnable.saturating_sub(runs.len() as u64),
                running: runs.len() as u64,
                waiting: waiting
                    .map(|(reason, _, count)| (*reason, *count))
                    .collect(),
                done: self.counter(*id, Count::AttemptsDone),
                failed: self.counter(*id, Count::AttemptsFailed),
                oldest_ready: oldest_ready(db, *id, runs)?,
                // Here, nobody serves it but this process.
                served: Vec::new(),
            });
        }
        stages.sort_by(|a, b| a.stage.cmp(&b.stage));
        Ok(stages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::BOOKS;
    use tempfile::TempDir;

    #[test]
    fn a_ticket_in_no_place_or_a_damaged_one_is_missed_by_whoever_counts_since_it_was_accepted() {
        let folder = TempDir::new().unwrap();
        let db = BOOKS.open(folder.path()).unwrap();
        db.execute_batch(
            "INSERT INTO stages VALUES (1, 'build');
             INSERT INTO tickets (seq, id, stage, kind, created_at, depth, payload) VALUES
               (1, x'01', 1, 'ticket', 10, 0, x''), (2, x'02', 1, 'ticket', 20, 0, x''),
               (3, x'03', 1, 'ticket', 30, 0, x''), (4, x'04', 1, 'ticket', 40, 0, x'');
             INSERT INTO places (seq, state, stage, ready_seq, generation, hop, attempt, since)
               VALUES (1, 3, 1, 1, 1, 0, 1, 1), (2, 0, 1, 2, 1, 0, 1, 1),
                 (4, 0, 1, 3, 1, 0, 1, 1);",
        )
        .unwrap();
        let running = HashMap::from([(1, HashSet::from([4]))]);
        let count = |since| count_since(&db, Timestamp::from_micros(since), &running).unwrap();
        let all = count(10);
        let sums = [all.accepted, all.runnable, all.running, all.done];
        assert_eq!(sums, [4, 1, 1, 1]);
        assert!(!all.is_balanced());
        let last = count(31);
        assert_eq!((last.accepted, last.running), (1, 1));
        assert!(last.is_balanced());
        assert_eq!(count(41), Balance::default());
        for damaged in ["state = 2", "reason = 99", "state = 99"] {
            db.execute(&format!("UPDATE places SET {damaged} WHERE seq = 4"), [])
                .unwrap();
            let last = count(31);
            assert_eq!(last.accepted, 1, "{damaged}");
            assert!(!last.is_balanced(), "{damaged}: {last:?}");
        }
    }
}
