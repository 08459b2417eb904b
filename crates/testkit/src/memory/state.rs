//! Everything that is kept, and how a ticket comes to its place.

use super::queue::{Lease, Queued};
use domain::books::{Entry, Fact, Line, Place, Standing};
use domain::breaker::Board;
use domain::control::Snapshot;
use domain::flow::{Flows, Unique};
use domain::names::{Holder, Key, StageName};
use domain::oops::{OopsId, Report};
use domain::plan::{Plan, PlanId};
use domain::ports::Serving;
use domain::signature::SignatureId;
use domain::ticket::{Name, Ticket, TicketId};
use domain::time::Timestamp;
use domain::trial::Company;
use domain::verdict::Case;
use domain::wait::{Condition, Wait};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// How many lines of history one ticket keeps, the newest.
const HISTORY_MAX: usize = 256;

/// One ticket.
pub(super) struct Row {
    pub(super) entry: Entry,
    /// How many had been accepted with it; a newer one has more.
    pub(super) age: u64,
    pub(super) history: VecDeque<Line>,
    /// How its last attempt failed, if it did and that is known.
    pub(super) signature: Option<SignatureId>,
    /// The plan that released it, until its next attempt has ended.
    pub(super) plan: Option<PlanId>,
    /// A process died at it, and since then no attempt of it has ended in order.
    pub(super) is_on_trial: bool,
    /// Of a suspect: how many other attempts died with it.
    pub(super) beside: u32,
    /// Why it cannot be read, if a test wants that.
    pub(super) garbled: Option<String>,
}

/// What was counted and is not kept otherwise.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) done: u64,
    pub(super) failed: u64,
}

/// Everything that is kept.
pub(super) struct State {
    pub(super) flows: Arc<Flows>,
    pub(super) incarnation: u64,
    pub(super) rows: BTreeMap<TicketId, Row>,
    pub(super) queues: BTreeMap<StageName, BTreeMap<u64, Queued>>,
    pub(super) leases: BTreeMap<u64, Lease>,
    pub(super) snapshot: Snapshot,
    pub(super) fence_order: VecDeque<TicketId>,
    pub(super) oopses: BTreeMap<OopsId, Report>,
    /// Attempts that died while their tickets had gone elsewhere: only the report is missing.
    pub(super) orphans: BTreeMap<Name, Case>,
    pub(super) accepted: u64,
    pub(super) done_forgotten: u64,
    pub(super) dropped_forgotten: u64,
    pub(super) tallies: BTreeMap<StageName, Tally>,
    /// What holds tickets.
    pub(super) boards: BTreeMap<StageName, Board>,
    /// What releases them.
    pub(super) plans: BTreeMap<PlanId, Plan>,
    /// The tickets of the plans that people made.
    pub(super) chosen: BTreeMap<PlanId, BTreeSet<TicketId>>,
    pub(super) serving: Serving,
    /// How many more a stage may take past its gate, by its release plan.
    pub(super) allowed: BTreeMap<StageName, u64>,
    /// The last permit of each stage that was used.
    pub(super) used: BTreeMap<StageName, u64>,
    /// Whether there is something new for the controller.
    pub(super) attention: bool,
    counter: u64,
}

impl State {
    pub(super) fn new(flows: Arc<Flows>) -> Self {
        Self {
            flows,
            incarnation: 0,
            rows: BTreeMap::new(),
            queues: BTreeMap::new(),
            leases: BTreeMap::new(),
            snapshot: Snapshot::default(),
            fence_order: VecDeque::new(),
            oopses: BTreeMap::new(),
            orphans: BTreeMap::new(),
            accepted: 0,
            done_forgotten: 0,
            dropped_forgotten: 0,
            tallies: BTreeMap::new(),
            boards: BTreeMap::new(),
            plans: BTreeMap::new(),
            chosen: BTreeMap::new(),
            serving: Serving::new(),
            allowed: BTreeMap::new(),
            used: BTreeMap::new(),
            attention: false,
            counter: 0,
        }
    }

    /// A number that was never given before: tags, places in queues, consumers.
    pub(super) const fn next_number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Adds a new ticket; `false` when its id is known.
    pub(super) fn accept(&mut self, ticket: Ticket, now: Timestamp, by: &str) -> bool {
        let id = ticket.id();
        if self.rows.contains_key(&id) {
            return false;
        }
        self.accepted += 1;
        let entry = Entry {
            ticket,
            place: Place::Runnable { since: now },
            version: None,
            oopses: Vec::new(),
        };
        let row = Row {
            entry,
            age: self.accepted,
            history: VecDeque::new(),
            signature: None,
            plan: None,
            is_on_trial: false,
            beside: 0,
            garbled: None,
        };
        self.rows.insert(id, row);
        self.note(id, now, "accepted", by);
        self.arrive(id, now);
        true
    }

    /// The ticket comes to its stage for the first time.
    pub(super) fn arrive(&mut self, id: TicketId, now: Timestamp) {
        let Some(row) = self.rows.get(&id) else {
            return;
        };
        let stage = row.entry.ticket.stage.clone();
        self.tallies.entry(stage).or_default();
        match self.unique_key(id) {
            Some(key) if self.is_claimed(id) => self.arrive_with_key(id, &key, now),
            _ => self.make_runnable(id, now),
        }
    }

    /// Puts the ticket into its stage's queue, or into a wait when nobody takes it there.
    pub(super) fn make_runnable(&mut self, id: TicketId, now: Timestamp) {
        if !self.is_claimed(id) {
            let because = "no stage is configured that takes it".into();
            return self.make_wait(id, Condition::Unclaimed, because, now);
        }
        let Some(row) = self.rows.get_mut(&id) else {
            return;
        };
        row.entry.place = Place::Runnable { since: now };
        let queued = Queued::fresh(Arc::new(row.entry.ticket.clone()));
        self.push(queued);
    }

    pub(super) fn make_wait(
        &mut self,
        id: TicketId,
        condition: Condition,
        because: String,
        now: Timestamp,
    ) {
        let wait = Wait {
            condition,
            since: now,
            because,
            oops: None,
        };
        if let Some(row) = self.rows.get_mut(&id) {
            row.entry.place = Place::Waiting(wait);
            self.attention = true;
        }
    }

    /// An attempt was started and nobody will speak for it any more, but its ticket has gone on.
    pub(super) fn orphan(
        &mut self,
        ticket: &Ticket,
        (holder, started_at): (Holder, Timestamp),
        beside: u32,
        now: Timestamp,
    ) {
        if self.oopses.contains_key(&OopsId::of(&ticket.name)) {
            return;
        }
        let wait = Wait {
            because: format!("{holder} had it and did not settle it"),
            condition: Condition::Suspect {
                holder,
                started_at: Some(started_at),
            },
            since: now,
            oops: None,
        };
        let row = self.rows.get(&ticket.id());
        let case = Case {
            ticket: ticket.clone(),
            wait,
            scene: None,
            version: None,
            company: row.map_or_else(Company::default, |row| row.company(beside)),
        };
        self.orphans.insert(ticket.name, case);
        self.attention = true;
    }

    /// The ticket ends without being done.
    pub(super) fn end_dropped(&mut self, id: TicketId, reason: String, by: &str, now: Timestamp) {
        let Some(row) = self.rows.get_mut(&id) else {
            return;
        };
        let dropped = Place::Dropped {
            at: now,
            reason: reason.clone(),
            by: by.into(),
        };
        let (ticket, beside) = (row.entry.ticket.clone(), row.beside);
        self.attention |= row.is_on_trial;
        let place = std::mem::replace(&mut row.entry.place, dropped);
        self.note(id, now, "dropped", &format!("{reason} (by {by})"));
        self.taken_away(&ticket.stage, id, now);
        if let Place::Waiting(wait) = place
            && let Condition::Suspect {
                holder,
                started_at: Some(started_at),
            } = wait.condition
        {
            self.orphan(&ticket, (holder, started_at), beside, now);
        }
    }

    pub(super) fn note(&mut self, id: TicketId, at: Timestamp, what: &str, why: &str) {
        let fact = Fact::Noted {
            what: what.into(),
            why: why.into(),
            oops: None,
        };
        if let Some(row) = self.rows.get_mut(&id) {
            let name = row.entry.ticket.name;
            row.write(at, name, fact);
        }
    }

    pub(super) fn standing(&self, id: TicketId) -> Option<Standing> {
        let entry = &self.rows.get(&id)?.entry;
        Some(Standing {
            name: entry.ticket.name,
            state: entry.place.state(),
        })
    }

    /// What is configured now; what was unclaimed and is taken now becomes runnable.
    pub(super) fn configure(&mut self, flows: Arc<Flows>, now: Timestamp) {
        self.reconfigure(&flows, now);
        self.flows = flows;
        for id in self.waiting(|condition| matches!(condition, Condition::Unclaimed)) {
            if self.is_claimed(id) {
                self.note(id, now, "claimed", "a stage takes it now");
                self.arrive(id, now);
            }
        }
    }

    /// The waiting tickets with such a condition, in the order of their ids.
    pub(super) fn waiting(&self, is: impl Fn(&Condition) -> bool) -> Vec<TicketId> {
        let waits = self.rows.iter().filter(|(_, row)| match &row.entry.place {
            Place::Waiting(wait) => is(&wait.condition),
            _ => false,
        });
        waits.map(|(id, _)| *id).collect()
    }

    /// Whether a delivery of the ticket is out.
    pub(super) fn is_lent(&self, id: TicketId) -> bool {
        let mut leases = self.leases.values();
        leases.any(|lease| !lease.queued.is_ghost && lease.queued.ticket.id() == id)
    }

    fn is_claimed(&self, id: TicketId) -> bool {
        self.rows.get(&id).is_some_and(|row| {
            let ticket = &row.entry.ticket;
            self.flows.claims(&ticket.stage, &ticket.kind)
        })
    }

    /// The key of which the ticket's stage wants only one ticket at a time.
    pub(super) fn unique_key(&self, id: TicketId) -> Option<Key> {
        let ticket = &self.rows.get(&id)?.entry.ticket;
        let rules = self.flows.stage(&ticket.stage)?;
        match rules.unique {
            Unique::ByKey => ticket.key.clone(),
            Unique::No => None,
        }
    }
}

impl Row {
    pub(super) fn write(&mut self, at: Timestamp, name: Name, fact: Fact) {
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        let stage = self.entry.ticket.stage.clone();
        self.history.push_back(Line {
            at,
            name,
            stage,
            fact,
        });
    }

    pub(super) fn blame(&mut self, oops: Option<OopsId>) {
        if let Some(oops) = oops
            && !self.entry.oopses.contains(&oops)
        {
            self.entry.oopses.push(oops);
        }
    }
}
