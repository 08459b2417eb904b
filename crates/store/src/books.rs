//! What the writer of the books has in mind: the numbers it hands out, and what it will tell whom
//! once the transaction is durable. Nothing here outlives a rollback.

use crate::boards::Boards;
use crate::codes::Count;
use crate::control::Control;
use crate::effects::{Commits, Effects};
use crate::error::Fault;
use crate::freed;
use crate::lease::Loaded;
use crate::queue::Allowance;
use crate::queues::Queues;
use crate::requests::Request;
use crate::trials::{OnTrial, Trials};
use crate::writer::Work;
use domain::breaker::Rules;
use domain::flow::{Flows, Journal, Unique};
use domain::names::{Holder, Kind, StageName, Version};
use domain::oops::Scene;
use domain::ports::{Clock, StoreError};
use domain::ticket::Ticket;
use domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// How many names of stages and scenes are remembered; beyond it they are looked up again.
const NAMES_MAX: usize = 4_096;

/// A stage as the books know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    /// Its row.
    pub(crate) id: i64,
    /// Whether it is configured and takes every kind.
    takes_all: bool,
    pub(crate) is_unique: bool,
    pub(crate) journal: Journal,
    pub(crate) breaker: Option<Rules>,
}

/// The state of the writer of `books.db`.
pub(crate) struct Books {
    pub(crate) flows: Arc<Flows>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Who writes them.
    pub(crate) holder: Holder,
    pub(crate) queues: Arc<Queues>,
    pub(crate) control: Control,
    pub(crate) boards: Boards,
    pub(crate) trials: Trials,
    pub(crate) attention: Arc<Notify>,
    pub(crate) commits: Arc<Commits>,
    pub(crate) retention_slice: usize,
    next_seq: i64,
    next_ready: i64,
    stops: HashMap<StageName, Stop>,
    /// Whether every stage that was used since a sweep began is among `stops`.
    is_watched: bool,
    scenes: HashMap<(Holder, Version, String), i64>,
    last_scene: Option<(Arc<Scene>, i64)>,
    earliest: Option<Timestamp>,
    effects: Effects,
    /// What this transaction has told the books of.
    let_go: Vec<Loaded>,
}

/// What a new state of the writer is made from.
pub(crate) struct Parts {
    pub(crate) flows: Arc<Flows>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) holder: Holder,
    pub(crate) queues: Arc<Queues>,
    pub(crate) control: Control,
    pub(crate) attention: Arc<Notify>,
    pub(crate) commits: Arc<Commits>,
    pub(crate) on_trial: Arc<OnTrial>,
    pub(crate) retention_slice: usize,
}

impl Books {
    pub(crate) fn new(parts: Parts, (next_seq, next_ready): (i64, i64)) -> Self {
        Self {
            flows: parts.flows,
            clock: parts.clock,
            holder: parts.holder,
            queues: parts.queues,
            control: parts.control,
            boards: Boards::default(),
            trials: Trials::new(parts.on_trial),
            attention: parts.attention,
            commits: parts.commits,
            retention_slice: parts.retention_slice,
            next_seq,
            next_ready,
            stops: HashMap::new(),
            is_watched: false,
            scenes: HashMap::new(),
            last_scene: None,
            earliest: None,
            effects: Effects::default(),
            let_go: Vec::new(),
        }
    }

    /// A row number that no ticket has.
    pub(crate) const fn next_seq(&mut self) -> i64 {
        self.next_seq += 1;
        self.next_seq - 1
    }

    /// The stage's row and the rules that matter here; makes the row of a new one.
    pub(crate) fn stop(&mut self, db: &Connection, stage: &StageName) -> Result<Stop, Fault> {
        if let Some(stop) = self.stops.get(stage) {
            return Ok(*stop);
        }
        let rules = self.flows.stage(stage);
        let stop = Stop {
            id: stage_id(db, stage)?,
            takes_all: rules.is_some_and(|rules| rules.kinds.is_none()),
            is_unique: rules.is_some_and(|rules| rules.unique == Unique::ByKey),
            journal: rules.map_or(Journal::Full, |rules| rules.journal),
            breaker: rules.and_then(|rules| rules.breaker),
        };
        if self.stops.len() >= NAMES_MAX {
            self.forget_stops();
        }
        self.stops.insert(stage.clone(), stop);
        Ok(stop)
    }

    fn forget_stops(&mut self) {
        self.stops.clear();
        self.is_watched = false;
    }

    /// From now on the stages that are used are remembered.
    pub(crate) fn watch_stops(&mut self) {
        self.stops.clear();
        self.is_watched = true;
    }

    /// Whether this stage was certainly not used since [`Books::watch_stops`].
    pub(crate) fn is_unused(&self, stage: i64) -> bool {
        self.is_watched && self.stops.values().all(|stop| stop.id != stage)
    }

    /// Whether somebody is configured who takes such a ticket.
    pub(crate) fn claims(&self, stop: Stop, stage: &StageName, kind: &Kind) -> bool {
        stop.takes_all || self.flows.claims(stage, kind)
    }

    /// The row of whoever ran an attempt.
    pub(crate) fn scene(&mut self, db: &Connection, scene: &Arc<Scene>) -> Result<i64, Fault> {
        if let Some((last, id)) = &self.last_scene
            && Arc::ptr_eq(last, scene)
        {
            return Ok(*id);
        }
        let key = (
            scene.holder.clone(),
            scene.version.clone(),
            scene.hostname.clone(),
        );
        let id = match self.scenes.get(&key) {
            Some(id) => *id,
            None => scene_id(db, scene)?,
        };
        if self.scenes.len() >= NAMES_MAX {
            self.scenes.clear();
        }
        self.scenes.insert(key, id);
        self.last_scene = Some((Arc::clone(scene), id));
        Ok(id)
    }

    pub(crate) fn count(&mut self, stage: i64, what: Count, by: i64) {
        self.effects.count(stage, what, by);
    }

    /// A ticket becomes runnable: the position that it gets. `ticket` is asked for a copy only if
    /// the stage's queue takes it directly.
    pub(crate) fn rise(
        &mut self,
        (stage, name): (i64, &StageName),
        seq: i64,
        ticket: impl FnOnce() -> Option<Arc<Ticket>>,
    ) -> i64 {
        let ready_seq = self.next_ready;
        self.next_ready += 1;
        self.trials.rises(seq);
        let rise = self.effects.rise(&self.queues, stage, name);
        rise.push((seq, ready_seq), ticket);
        ready_seq
    }

    /// There is something new for the controller: to judge, or to release.
    pub(crate) const fn has_case(&mut self) {
        self.effects.has_case = true;
    }

    /// A wait begins that the controller must know of.
    pub(crate) fn waits(&mut self, condition: &domain::wait::Condition) {
        if matches!(condition, domain::wait::Condition::Suspect { .. }) {
            self.has_case();
        }
        if let Some(until) = condition.until() {
            self.wakes_at(until);
        }
    }

    /// The controller has something to do then.
    fn wakes_at(&mut self, at: Timestamp) {
        let min = self.effects.until_min.map_or(at, |min| min.min(at));
        self.effects.until_min = Some(min);
    }

    /// A release plan lets so much past the gate of a stage.
    pub(crate) fn allow(&mut self, stage: StageName, allowance: Allowance) {
        self.effects.allowances.push((stage, allowance));
    }

    /// Writes what breakers and plans have come to.
    fn save_boards(&mut self, db: &Connection) -> Result<(), Fault> {
        if !self.boards.is_touched() {
            return Ok(());
        }
        self.boards.save(db)?;
        if let Some(at) = self.boards.next_at() {
            self.wakes_at(at);
        }
        Ok(())
    }

    /// A round of releases found that this is the next wait to end.
    pub(crate) const fn found_next(&mut self, next: Option<Timestamp>) {
        self.effects.next_until = Some(next);
    }

    /// The ticket does not become runnable after all.
    pub(crate) fn fall(&mut self, seq: i64) {
        self.effects.fall(seq);
    }

    /// Takes a runnable ticket out of its queue; false when somebody has it.
    pub(crate) fn withdraw(&mut self, stage: &StageName, seq: i64) -> bool {
        self.fall(seq);
        let Some(queue) = self.queues.find(stage) else {
            return true;
        };
        match queue.withdraw(seq) {
            crate::queue::Withdrawal::InHand => false,
            crate::queue::Withdrawal::Out => {
                self.effects.withdrawn.push((queue, seq));
                true
            }
        }
    }

    /// Takes a runnable ticket out of its queue because it is ended; false when somebody has it:
    /// then it does not come back from them.
    pub(crate) fn end(&mut self, stage: &StageName, seq: i64) -> bool {
        self.fall(seq);
        let Some(queue) = self.queues.find(stage) else {
            return true;
        };
        match queue.end(seq) {
            crate::queue::Withdrawal::InHand => {
                self.effects.voided.push((queue, seq));
                false
            }
            crate::queue::Withdrawal::Out => {
                self.effects.withdrawn.push((queue, seq));
                true
            }
        }
    }

    fn tell(&mut self) {
        let effects = std::mem::take(&mut self.effects);
        let (until, next_until) = (effects.until_min, effects.next_until);
        let has_case = effects.has_case;
        effects.tell(&self.queues, self.next_ready - 1);
        self.control.tell(&self.queues);
        if let Some(next) = next_until {
            self.earliest = next;
        }
        let is_earlier = match (until, self.earliest) {
            (Some(until), Some(earliest)) => until < earliest,
            (until, None) => until.is_some(),
            (None, Some(_)) => false,
        };
        if is_earlier {
            self.earliest = until;
        }
        if is_earlier || has_case {
            self.attention.notify_one();
        }
    }
}

impl Work for Books {
    type Request = Request;

    fn weight(request: &Request) -> usize {
        request.weight()
    }

    fn apply(&mut self, db: &Connection, request: &mut Request) -> Result<(), Fault> {
        request.apply(self, db)
    }

    fn has_more(&self) -> bool {
        !self.queues.freed.is_empty()
    }

    fn finish(&mut self, db: &Connection) -> Result<(), Fault> {
        let freed = self.queues.freed.take();
        let told = freed::let_go(self, db, &freed);
        self.let_go = freed;
        told?;
        self.save_boards(db)?;
        let mut add = db.prepare_cached(
            "INSERT INTO counters (stage, what, n) VALUES (?1, ?2, ?3)
             ON CONFLICT (stage, what) DO UPDATE SET n = n + excluded.n",
        )?;
        for (stage, what, by) in &self.effects.counts {
            add.execute(params![stage, what.code(), by])?;
        }
        self.control.save(db)?;
        self.commits.begin();
        Ok(())
    }

    fn committed(&mut self, group: Vec<Request>) {
        self.commits.end();
        self.trials.committed();
        self.let_go.clear();
        for request in &group {
            request.give_up_leases(&self.queues);
        }
        self.tell();
        for request in group {
            request.answer(&self.control);
        }
    }

    fn undone(&mut self) {
        self.commits.end();
        // First: what the queues get back goes out as it was.
        self.trials.undone();
        std::mem::take(&mut self.effects).undo();
        self.queues.freed.put_back(std::mem::take(&mut self.let_go));
        // Their rows may have been made in the transaction that is no more.
        self.forget_stops();
        self.scenes.clear();
        self.last_scene = None;
        self.boards.forget();
        self.control.undo();
    }

    fn refuse(request: Request, error: StoreError) {
        request.refuse(error);
    }
}

/// The row of a stage; makes it if there is none.
pub(crate) fn stage_id(db: &Connection, stage: &StageName) -> Result<i64, Fault> {
    let found = db
        .prepare_cached("SELECT id FROM stages WHERE name = ?1")?
        .query_row([stage.as_str()], |row| row.get(0))
        .optional()?;
    if let Some(id) = found {
        return Ok(id);
    }
    db.prepare_cached("INSERT INTO stages (name) VALUES (?1)")?
        .execute([stage.as_str()])?;
    Ok(db.last_insert_rowid())
}

fn scene_id(db: &Connection, scene: &Scene) -> Result<i64, Fault> {
    let values = (
        scene.holder.as_str(),
        &scene.hostname,
        scene.version.as_str(),
    );
    db.prepare_cached(
        "INSERT OR IGNORE INTO scenes (holder, hostname, version) VALUES (?1, ?2, ?3)",
    )?
    .execute(values)?;
    let id = db
        .prepare_cached(
            "SELECT id FROM scenes WHERE holder = ?1 AND hostname = ?2 AND version = ?3",
        )?
        .query_row(values, |row| row.get(0))?;
    Ok(id)
}
