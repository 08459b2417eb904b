//! Books of one leader after another, in memory: an election, a ledger, a desk and a catalog.

use crate::trials;
use async_trait::async_trait;
use domain::books::{Balance, Entry, Line, StageCounts};
use domain::control::{Change, Gate, Snapshot};
use domain::hearing::{Heard, Position, Spot, hear};
use domain::names::Holder;
use domain::oops::{Report, Scene, Span};
use domain::outcome::{Failure, OutcomeKind};
use domain::ports::{
    Accepted, Answer, Applied, Catalog, Clock, Depth, Desk, Due, Dues, Election, Finding, Ledger,
    Listing, Order, Page, Registry, Retention, Sent, Serving, StoreError,
};
use domain::record::{Fate, Record, Said};
use domain::ticket::{Name, Ticket, TicketId};
use domain::time::Timestamp;
use domain::verdict::{Case, Verdict};
use domain::wait::{Condition, Reason, Wait};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// What all leaders of a story share.
pub(crate) struct Books {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    attention: Notify,
    free: Notify,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) rows: BTreeMap<TicketId, Row>,
    /// Attempts that were started and have not ended.
    pub(crate) open: BTreeMap<Name, (Holder, Timestamp, Ticket)>,
    pub(crate) snapshot: Snapshot,
    pub(crate) terms: u64,
    /// Somebody else leads.
    pub(crate) rival: bool,
    pub(crate) applied: u64,
    pub(crate) stale: u64,
    /// How many of the next calls of this name fail, having done nothing.
    pub(crate) fails: BTreeMap<&'static str, u32>,
    pub(crate) buried: Vec<Holder>,
    /// What was told of those who serve the stages.
    pub(crate) serving: Vec<Serving>,
    /// The next look at what is due opens a gate with a permit: a canary of a whole stage.
    pub(crate) is_to_permit: bool,
    /// How many others died with these, once somebody has asked.
    pub(crate) beside: BTreeMap<Name, u32>,
}

pub(crate) struct Row {
    pub(crate) ticket: Ticket,
    pub(crate) spot: Spot,
    pub(crate) wait: Option<Wait>,
    pub(crate) barrier: Option<u64>,
    pub(crate) is_on_trial: bool,
}

impl Books {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            clock,
            attention: Notify::new(),
            free: Notify::new(),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Another controller leads from now on.
    pub(crate) fn depose(&self) {
        let mut state = self.state();
        state.rival = true;
        state.terms += 1;
    }

    /// The other controller is gone.
    pub(crate) fn vacate(&self) {
        self.state().rival = false;
        self.free.notify_one();
    }

    pub(crate) fn fail(&self, call: &'static str, times: u32) {
        self.state().fails.insert(call, times);
    }

    pub(crate) fn spot(&self, ticket: TicketId) -> Option<Spot> {
        Some(self.state().rows.get(&ticket)?.spot)
    }

    pub(crate) fn name(&self, ticket: TicketId) -> Name {
        self.state().rows[&ticket].ticket.name
    }
}

fn not_now(now: Timestamp) -> Wait {
    Wait {
        condition: Condition::NotNow { until: now },
        since: now,
        because: "it is due".into(),
        oops: None,
    }
}

impl State {
    fn check(&mut self, call: &'static str) -> Result<(), StoreError> {
        let left = self.fails.entry(call).or_default();
        if *left == 0 {
            return Ok(());
        }
        *left -= 1;
        Err(StoreError::Unavailable(format!("{call} failed by script")))
    }

    /// A generation that was born in doubt: fenced, and behind a barrier.
    fn fence(&mut self, ticket: TicketId) {
        self.snapshot.revision += 1;
        let revision = self.snapshot.revision;
        if let Some(row) = self.rows.get_mut(&ticket) {
            let generation = row.ticket.name.generation;
            self.snapshot.fences.insert(ticket, generation);
            row.barrier = Some(revision);
        }
    }

    fn doubt(&mut self, ticket: TicketId, now: Timestamp) {
        if let Some(row) = self.rows.get_mut(&ticket) {
            row.ticket = row.ticket.named(row.ticket.name.renewed());
            row.spot = Spot::Waiting(Reason::NotNow);
            row.wait = Some(not_now(now));
        }
        self.fence(ticket);
    }

    fn apply(&mut self, record: &Record, applied: &mut Applied) {
        match &record.said {
            Said::Started(started) => {
                let row = self.rows.get(&started.name.ticket);
                let ticket = started.ticket.as_deref();
                if let Some(ticket) = ticket.or(row.map(|row| &row.ticket)) {
                    let open = (record.by.clone(), record.at, ticket.clone());
                    self.open.insert(started.name, open);
                }
            }
            Said::Ended(parted) => drop(self.open.remove(&parted.name)),
            Said::Hold(stage, hold) => {
                self.snapshot.holds.insert(stage.clone(), (**hold).clone());
                self.snapshot.revision += 1;
                applied.control = true;
            }
            Said::Unhold(stage) => {
                self.snapshot.holds.remove(stage);
                self.snapshot.revision += 1;
                applied.control = true;
            }
            _ => {}
        }
        let Some(name) = record.said.name() else {
            return;
        };
        let position = self.rows.get(&name.ticket).map(|row| Position {
            name: row.ticket.name,
            spot: row.spot,
        });
        match hear(position.as_ref(), &record.said) {
            Heard::Stale(_) => applied.stale += 1,
            Heard::Noted => {}
            Heard::Moves(to) => {
                applied.applied += 1;
                if to.spot == Spot::Waiting(Reason::Suspect) {
                    applied.suspects.push(to.name);
                }
                self.put(record, to);
            }
        }
    }

    fn permit(&mut self, now: Timestamp) {
        let gate = Gate {
            since: now,
            reason: "20 tickets in a row failed".into(),
            permit: None,
        };
        self.snapshot.gates.insert(crate::world::build(), gate);
        self.snapshot.revision += 1;
    }

    fn put(&mut self, record: &Record, to: Position) {
        let (ticket, wait) = match &record.said {
            Said::Arrived(arrived) => (Some(&arrived.ticket), Some(arrived.wait.clone())),
            Said::Suspect(ticket) => (Some(&**ticket), Some(suspect(record.at))),
            Said::Started(started) => (started.ticket.as_deref(), None),
            Said::Ended(parted) => match &parted.to {
                Fate::Waits(arrived) => (Some(&arrived.ticket), Some(arrived.wait.clone())),
                Fate::Doubted(copies) => (copies.first(), Some(not_now(record.at))),
                Fate::Forwarded(_) | Fate::Finished => (None, None),
            },
            _ => (None, None),
        };
        let row = self.rows.get(&to.name.ticket);
        let is_on_trial = trials::stays(row, &record.said);
        let ticket = ticket.or(row.map(|row| &row.ticket));
        let row = Row {
            ticket: ticket.expect("the books know the ticket").named(to.name),
            spot: to.spot,
            wait,
            barrier: None,
            is_on_trial,
        };
        self.rows.insert(to.name.ticket, row);
        let is_doubted =
            matches!(&record.said, Said::Ended(parted) if matches!(parted.to, Fate::Doubted(_)));
        if is_doubted {
            self.fence(to.name.ticket);
        }
    }

    fn sent(&mut self, name: Name, sent: Sent, now: Timestamp) {
        let Some(row) = self.rows.get_mut(&name.ticket) else {
            return;
        };
        if row.ticket.name != name {
            return;
        }
        match (sent, row.spot) {
            (Sent::Begun, Spot::Waiting(_)) => row.spot = Spot::Publishing,
            (Sent::Confirmed, Spot::Publishing) => {
                row.spot = Spot::Runnable;
                row.barrier = None;
            }
            (Sent::Unsent, Spot::Publishing) => {
                row.spot = Spot::Waiting(Reason::NotNow);
            }
            (Sent::Doubtful, Spot::Publishing) => self.doubt(name.ticket, now),
            _ => {}
        }
    }

    fn judge(&mut self, verdict: &Verdict) -> bool {
        let Some(row) = self.rows.get_mut(&verdict.of.ticket) else {
            return false;
        };
        let is_suspect = row.spot == Spot::Waiting(Reason::Suspect);
        if row.ticket.name != verdict.of || !is_suspect {
            return false;
        }
        self.open.remove(&verdict.of);
        row.ticket = row.ticket.named(verdict.name);
        row.spot = Spot::Waiting(verdict.wait.condition.reason());
        row.is_on_trial |= row.spot == Spot::Waiting(Reason::Trial);
        row.wait = Some(verdict.wait.clone());
        self.fence(verdict.of.ticket);
        true
    }
}

fn suspect(since: Timestamp) -> Wait {
    Wait {
        condition: Condition::Suspect {
            holder: Holder::unknown(),
            started_at: None,
        },
        since,
        because: "it was delivered again".into(),
        oops: None,
    }
}

/// A candidate's way into the books.
pub(crate) struct Ballot(pub(crate) Arc<Books>);

#[async_trait]
impl Election for Ballot {
    async fn lead(&self) -> Result<Arc<dyn Ledger>, StoreError> {
        while self.0.state().rival {
            self.0.free.notified().await;
        }
        let mut state = self.0.state();
        state.check("lead")?;
        state.terms += 1;
        Ok(Arc::new(Hand {
            books: Arc::clone(&self.0),
            term: state.terms,
        }))
    }

    async fn holders(&self) -> Result<Vec<Holder>, StoreError> {
        let state = self.0.state();
        let open = state.open.values();
        Ok(open.map(|(holder, ..)| holder.clone()).collect())
    }

    async fn stranded(&self) -> Result<Vec<Name>, StoreError> {
        let state = self.0.state();
        let rows = state.rows.values();
        let stranded = rows.filter(|row| row.spot == Spot::Publishing);
        Ok(stranded.map(|row| row.ticket.name).collect())
    }

    async fn attention(&self) {
        self.0.attention.notified().await;
    }
}

/// The books in the hands of one term.
struct Hand {
    books: Arc<Books>,
    term: u64,
}

impl Hand {
    fn state(&self, call: &'static str) -> Result<MutexGuard<'_, State>, StoreError> {
        let mut state = self.books.state();
        if state.terms != self.term {
            return Err(StoreError::Unavailable("this term is over".into()));
        }
        state.check(call)?;
        Ok(state)
    }
}

#[async_trait]
impl Registry for Hand {
    async fn serving(&self, serving: Serving, _: Timestamp) -> Result<(), StoreError> {
        let mut state = self.state("serving")?;
        state.serving.push(serving);
        Ok(())
    }
}

#[async_trait]
impl Ledger for Hand {
    async fn apply(&self, records: Vec<Record>) -> Result<Applied, StoreError> {
        let mut state = self.state("apply")?;
        let mut applied = Applied::default();
        let was_out = state.is_trial_out();
        for record in &records {
            state.apply(record, &mut applied);
        }
        if was_out && !state.is_trial_out() {
            self.books.attention.notify_one();
        }
        state.applied += applied.applied;
        state.stale += applied.stale;
        Ok(applied)
    }

    async fn due(&self, now: Timestamp, max: NonZeroUsize) -> Result<Dues, StoreError> {
        let mut state = self.state("due")?;
        if std::mem::take(&mut state.is_to_permit) {
            state.permit(now);
        }
        let turn = state.turn();
        let waits = state.rows.values().filter_map(|row| {
            let is_waiting = matches!(row.spot, Spot::Waiting(Reason::Backoff | Reason::NotNow))
                || turn == Some(row.ticket.id());
            let until = row.wait.as_ref()?.condition.until()?;
            is_waiting.then_some((until, row))
        });
        let (due, later): (Vec<_>, Vec<_>) = waits.partition(|(until, _)| *until <= now);
        let due = due.into_iter().take(max.get()).map(|(_, row)| Due {
            ticket: row.ticket.clone(),
            barrier: row.barrier,
            avoid: Vec::new(),
            alone: row.is_on_trial,
        });
        Ok(Dues {
            due: due.collect(),
            next: later.into_iter().map(|(until, _)| until).min(),
        })
    }

    async fn sent(&self, tickets: Vec<(Name, Sent)>) -> Result<(), StoreError> {
        let is_begun = tickets.iter().any(|(_, sent)| *sent == Sent::Begun);
        let mut state = self.state(if is_begun { "begin" } else { "sent" })?;
        for (name, sent) in tickets {
            state.sent(name, sent, self.books.clock.now());
        }
        Ok(())
    }

    async fn cases(&self, _: Timestamp, max: NonZeroUsize) -> Result<Vec<Case>, StoreError> {
        let mut state = self.state("cases")?;
        state.note_company();
        let suspects = state.rows.values().filter_map(|row| {
            let is_suspect = row.spot == Spot::Waiting(Reason::Suspect);
            let mut wait = row.wait.clone().filter(|_| is_suspect)?;
            if let Some((holder, at, _)) = state.open.get(&row.ticket.name) {
                wait.condition = Condition::Suspect {
                    holder: holder.clone(),
                    started_at: Some(*at),
                };
            }
            let ticket = row.ticket.clone();
            let scene = None;
            Some(Case {
                ticket,
                wait,
                scene,
                version: None,
                company: state.company(row),
            })
        });
        Ok(suspects.take(max.get()).collect())
    }

    async fn judge(&self, verdicts: Vec<Verdict>) -> Result<u64, StoreError> {
        let mut state = self.state("judge")?;
        let judged = verdicts.iter().filter(|verdict| state.judge(verdict));
        Ok(judged.count() as u64)
    }

    async fn bury(&self, holder: &Holder, now: Timestamp) -> Result<Vec<Report>, StoreError> {
        let mut state = self.state("bury")?;
        state.buried.push(holder.clone());
        let gone_on = |name: &Name| {
            let row = &state.rows[&name.ticket];
            row.ticket.name != *name || row.spot == Spot::Done
        };
        let owed = state
            .open
            .iter()
            .filter(|(name, (by, ..))| by == holder && gone_on(name));
        let report = |(name, (by, at, ticket)): (&Name, &(Holder, Timestamp, Ticket))| {
            let scene = Scene {
                holder: by.clone(),
                hostname: "there".into(),
                version: "1".parse().unwrap(),
            };
            let span = Span {
                started_at: *at,
                ended_at: now,
            };
            let failure = Failure::new("ProcessDied", "it died");
            Report::new(
                &ticket.named(*name),
                OutcomeKind::Crashed,
                failure,
                &scene,
                span,
            )
        };
        Ok(owed.map(report).collect())
    }

    async fn retain(&self, _: Retention) -> Result<u64, StoreError> {
        Ok(0)
    }
}

#[async_trait]
impl Desk for Books {
    async fn submit(&self, tickets: Vec<Ticket>) -> Result<Vec<Accepted>, StoreError> {
        let now = self.clock.now();
        let mut state = self.state();
        let accept = |ticket: Ticket| {
            let id = ticket.id();
            let row = Row {
                ticket,
                spot: Spot::Waiting(Reason::NotNow),
                wait: Some(not_now(now)),
                barrier: None,
                is_on_trial: false,
            };
            state.rows.insert(id, row);
            Accepted::New(id)
        };
        let accepted = tickets.into_iter().map(accept).collect();
        self.attention.notify_one();
        Ok(accepted)
    }

    async fn carry_out(&self, _: Vec<Order>) -> Result<Vec<Answer>, StoreError> {
        Ok(Vec::new())
    }

    async fn change(&self, change: Change) -> Result<Snapshot, StoreError> {
        let mut state = self.state();
        match change {
            Change::Hold(stage, hold) => drop(state.snapshot.holds.insert(stage, hold)),
            Change::Unhold(stage) => drop(state.snapshot.holds.remove(&stage)),
            Change::RollCall => {}
        }
        state.snapshot.revision += 1;
        self.attention.notify_one();
        Ok(state.snapshot.clone())
    }
}

fn not_played<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("this is not played".into()))
}

#[async_trait]
impl Catalog for Books {
    async fn ticket(&self, _: TicketId) -> Result<Option<Entry>, StoreError> {
        not_played()
    }
    async fn tickets(&self, _: Listing) -> Result<Page<Entry>, StoreError> {
        not_played()
    }
    async fn history(&self, _: TicketId) -> Result<Vec<Line>, StoreError> {
        not_played()
    }
    async fn balance(&self, _: Option<Timestamp>) -> Result<Balance, StoreError> {
        not_played()
    }
    async fn stages(&self) -> Result<Vec<StageCounts>, StoreError> {
        not_played()
    }
    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(self.state().snapshot.clone())
    }
    async fn check(&self, _: Depth) -> Result<Vec<Finding>, StoreError> {
        not_played()
    }
}
