//! A desk, books and reports in memory that fail on demand.

use async_trait::async_trait;
use domain::books::{Balance, Entry, Fact, Line, Place, StageCounts};
use domain::breaker::{Breaker, Haste, Proof, Scope, State as BreakerState};
use domain::control::{Change, Snapshot};
use domain::filter::Query;
use domain::names::{FlowName, Holder, Kind, StageName, Version};
use domain::oops::{OopsId, OopsPrefix, Report, Scene, Span};
use domain::outcome::{Failure, OutcomeKind};
use domain::plan::{
    By, Choice, Draft, Groups, Plan, PlanId, Refusal, Release, Selection, Source, Terms,
};
use domain::ports::*;
use domain::retry::Chance;
use domain::signature::SignatureId;
use domain::ticket::{Lineage, Name, Payload, Ticket, TicketId};
use domain::time::Timestamp;
use domain::wait::{Condition, Reason, Wait};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(super) const NOW: Timestamp = Timestamp::from_micros(1_795_269_802_120_000);

pub(super) fn stage(name: &str) -> StageName {
    StageName::new(name).unwrap()
}

pub(super) fn id(n: u8) -> TicketId {
    TicketId::from_bytes([n; 16])
}

/// A ticket at stage `test` that carries `hello`.
pub(super) fn ticket(n: u8) -> Ticket {
    Ticket {
        name: Name::first(id(n)),
        kind: Kind::new("build").unwrap(),
        flow: Some(FlowName::new("ci").unwrap()),
        stage: stage("test"),
        key: None,
        payload: Payload::untyped("hello"),
        deadline: None,
        created_at: NOW.minus(Duration::from_secs(60)),
        lineage: Lineage::root(id(n)),
        trace: None,
    }
}

pub(super) fn waiting(n: u8) -> Entry {
    let wait = Wait {
        condition: Condition::Backoff {
            until: NOW.plus(Duration::from_secs(5)),
        },
        since: NOW.minus(Duration::from_secs(30)),
        because: "attempt 1 failed: ExitStatus: 3".into(),
        oops: None,
    };
    Entry {
        ticket: ticket(n),
        place: Place::Waiting(wait),
        version: None,
        oopses: Vec::new(),
    }
}

pub(super) fn report(n: u8, failure: Failure) -> Report {
    let scene = Scene {
        holder: Holder::new("w1").unwrap(),
        hostname: "host".into(),
        version: Version::new("1.0").unwrap(),
    };
    let span = Span {
        started_at: NOW.minus(Duration::from_secs(2)),
        ended_at: NOW,
    };
    Report::new(&ticket(n), OutcomeKind::Failed, failure, &scene, span)
}

pub(super) fn noted(n: u8, what: &str) -> Line {
    let fact = Fact::Noted {
        what: what.into(),
        why: "by a test".into(),
        oops: None,
    };
    Line {
        at: NOW,
        name: Name::first(id(n)),
        stage: stage("test"),
        fact,
    }
}

pub(super) const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn signature() -> SignatureId {
    "v1-0f3a9c5e77b2d104".parse().unwrap()
}

/// A breaker of stage `test`.
pub(super) fn tripped(scope: Scope, state: BreakerState) -> Tripped {
    Tripped {
        stage: stage("test"),
        breaker: Breaker {
            scope,
            state,
            failed_on: vec![Version::new("1").unwrap()],
            failures: 5,
            tried: 1,
            probes: 0,
            haste: Haste::default(),
            last_failed: None,
            landed_at: None,
            row_since: None,
        },
        held: 500,
        value: "Segfault: x".into(),
        newest: Version::new("2").ok(),
    }
}

pub(super) fn plan_id(n: u8) -> PlanId {
    id(n).to_string().parse().unwrap()
}

/// A plan of stage `test` that nobody has released yet.
pub(super) fn plan(n: u8, count: u64) -> Plan {
    let selection = Selection {
        source: Source::Waiting(Reason::Held),
        stage: Some(stage("test")),
        signature: Some(signature()),
        filter: String::new(),
        cutoff: NOW,
        count,
    };
    let draft = Draft {
        id: plan_id(n),
        selection,
        groups: Groups::default(),
        terms: Terms::default(),
        repairs: None,
    };
    Plan::new(draft, by("a breaker"))
}

pub(super) fn by(who: &str) -> By<'_> {
    By { who, at: NOW }
}

/// The same plan once all of it is to be released.
pub(super) fn running(mut plan: Plan) -> Plan {
    let all = Release {
        choice: Choice::Everything,
        count: plan.counts.total,
        terms: None,
    };
    plan.release(all, by("a breaker")).unwrap();
    plan
}

/// What a breaker is whose canary has landed.
pub(super) fn releasing(plan: Option<PlanId>) -> BreakerState {
    BreakerState::Releasing {
        since: NOW,
        proof: Proof::Repaired,
        proven_at: NOW,
        plan,
        clues: Vec::new(),
    }
}

#[derive(Default)]
pub(super) struct State {
    /// How many of the tickets the books call waiting, and why.
    pub(super) waiting: BTreeMap<Reason, u64>,
    pub(super) entries: BTreeMap<TicketId, Entry>,
    pub(super) reports: Vec<Report>,
    pub(super) history: Vec<Line>,
    pub(super) snapshot: Snapshot,
    pub(super) counts: Vec<StageCounts>,
    pub(super) findings: Vec<Finding>,
    /// How closely the doctor was told to look.
    pub(super) looks: Vec<Depth>,
    pub(super) orders: Vec<Order>,
    pub(super) refuse: Option<(String, String)>,
    /// What every call answers from now on.
    pub(super) fault: Option<StoreError>,
    /// What the desk answers after so many groups.
    pub(super) full_after: Option<usize>,
    pub(super) groups: Vec<usize>,
    pub(super) panics: bool,
    pub(super) tripped: Vec<Tripped>,
    pub(super) probes: Vec<(StageName, Scope)>,
    pub(super) plans: Vec<Plan>,
    pub(super) plan_orders: Vec<(PlanOrder, String)>,
    pub(super) plan_refusal: Option<Refusal>,
}

/// A store in memory that fails on demand.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) state: Mutex<State>,
    ids: AtomicU64,
}

impl Fake {
    fn up(&self) -> Result<std::sync::MutexGuard<'_, State>, StoreError> {
        let state = self.state.lock().unwrap();
        match &state.fault {
            Some(fault) => Err(fault.clone()),
            None => Ok(state),
        }
    }
}

impl Clock for Fake {
    fn now(&self) -> Timestamp {
        NOW
    }

    fn chance(&self) -> Chance {
        Chance::new(0.5)
    }

    fn ticket_id(&self) -> TicketId {
        let n = self.ids.fetch_add(1, Ordering::SeqCst);
        TicketId::from_bytes((u128::from(n) + 1).to_be_bytes())
    }
}

#[async_trait]
impl Desk for Fake {
    async fn submit(&self, tickets: Vec<Ticket>) -> Result<Vec<Accepted>, StoreError> {
        let mut state = self.up()?;
        if state.full_after == Some(state.groups.len()) {
            return Err(StoreError::Full("no space left".into()));
        }
        state.groups.push(tickets.len());
        let accept = |ticket: Ticket| {
            let (id, place) = (ticket.id(), Place::Runnable { since: NOW });
            let entry = Entry {
                ticket,
                place,
                version: None,
                oopses: Vec::new(),
            };
            match state.entries.contains_key(&id) {
                true => Accepted::Known(id),
                false => {
                    state.entries.insert(id, entry);
                    Accepted::New(id)
                }
            }
        };
        Ok(tickets.into_iter().map(accept).collect())
    }

    async fn carry_out(&self, orders: Vec<Order>) -> Result<Vec<Answer>, StoreError> {
        let mut state = self.up()?;
        let mut answers = Vec::new();
        for order in orders {
            answers.push(match (&state.refuse, state.entries.get(&order.ticket)) {
                (_, None) => Answer::NotFound,
                (Some((why, remedy)), _) => Answer::Refused {
                    why: why.clone(),
                    remedy: remedy.clone(),
                },
                (None, Some(entry)) => Answer::Done(Box::new(entry.clone())),
            });
            state.orders.push(order);
        }
        Ok(answers)
    }

    async fn change(&self, _: Change) -> Result<Snapshot, StoreError> {
        Ok(self.up()?.snapshot.clone())
    }
}

#[async_trait]
impl Catalog for Fake {
    async fn ticket(&self, id: TicketId) -> Result<Option<Entry>, StoreError> {
        Ok(self.up()?.entries.get(&id).cloned())
    }

    async fn tickets(&self, listing: Listing) -> Result<Page<Entry>, StoreError> {
        let state = self.up()?;
        let matches = |entry: &&Entry| listing.query.matches(*entry, listing.now);
        let mut rows: Vec<Entry> = state.entries.values().filter(matches).cloned().collect();
        if listing.sort == Sort::NewestFirst {
            rows.reverse();
        }
        let more = rows.len() > listing.limit;
        rows.truncate(listing.limit);
        Ok(Page { rows, more })
    }

    async fn history(&self, _: TicketId) -> Result<Vec<Line>, StoreError> {
        Ok(self.up()?.history.clone())
    }

    async fn balance(&self, since: Option<Timestamp>) -> Result<Balance, StoreError> {
        let state = self.up()?;
        assert!(!state.panics, "a bug in the store");
        let is_meant = |entry: &&Entry| since.is_none_or(|since| entry.ticket.created_at >= since);
        let accepted = state.entries.values().filter(is_meant).count() as u64;
        let waiting = state.waiting.clone();
        Ok(Balance {
            accepted,
            runnable: accepted - waiting.values().sum::<u64>(),
            waiting,
            ..Balance::default()
        })
    }

    async fn stages(&self) -> Result<Vec<StageCounts>, StoreError> {
        Ok(self.up()?.counts.clone())
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(self.up()?.snapshot.clone())
    }

    async fn check(&self, depth: Depth) -> Result<Vec<Finding>, StoreError> {
        let mut state = self.up()?;
        state.looks.push(depth);
        Ok(state.findings.clone())
    }
}

#[async_trait]
impl Reporter for Fake {
    async fn record(&self, report: Report) -> Result<OopsId, OopsError> {
        Ok(report.id)
    }
}

#[async_trait]
impl Oopses for Fake {
    async fn find(&self, prefix: OopsPrefix) -> Result<Vec<Report>, StoreError> {
        let state = self.up()?;
        let begins = |report: &&Report| (prefix.low..=prefix.high).contains(&report.id);
        Ok(state
            .reports
            .iter()
            .filter(begins)
            .take(2)
            .cloned()
            .collect())
    }

    async fn list(&self, listing: Listing) -> Result<Page<Report>, StoreError> {
        let state = self.up()?;
        let matches = |report: &&Report| listing.query.matches(*report, listing.now);
        let rows = state.reports.iter().filter(matches).cloned().collect();
        Ok(Page { rows, more: false })
    }

    async fn retain(&self, _: Retention) -> Result<u64, StoreError> {
        Ok(0)
    }
}

#[async_trait]
impl Plans for Fake {
    async fn tripped(&self, stage: Option<StageName>) -> Result<Vec<Tripped>, StoreError> {
        let mut tripped = self.up()?.tripped.clone();
        tripped.retain(|it| stage.as_ref().is_none_or(|stage| *stage == it.stage));
        Ok(tripped)
    }

    async fn probe(&self, stage: &StageName, scope: Scope) -> Result<bool, StoreError> {
        self.up()?.probes.push((stage.clone(), scope));
        Ok(true)
    }

    async fn plans(&self) -> Result<Vec<Plan>, StoreError> {
        Ok(self.up()?.plans.clone())
    }

    async fn plan(&self, id: PlanId) -> Result<Option<Plan>, StoreError> {
        let state = self.up()?;
        Ok(state.plans.iter().find(|plan| plan.id == id).cloned())
    }

    async fn make(&self, query: Query, terms: Terms, who: &str) -> Result<Plan, StoreError> {
        let mut state = self.up()?;
        let mut made = plan(9, 1);
        made.selection.filter = query.to_string();
        made = Plan::new(
            Draft {
                id: made.id,
                selection: made.selection,
                groups: made.groups,
                terms,
                repairs: None,
            },
            by(who),
        );
        state.plans.push(made.clone());
        Ok(made)
    }

    async fn order(&self, id: PlanId, order: PlanOrder, by: &str) -> Result<Plan, PlanError> {
        let mut state = self.up()?;
        if let Some(refusal) = state.plan_refusal.clone() {
            return Err(refusal.into());
        }
        let plan = state.plans.iter().find(|plan| plan.id == id).cloned();
        let plan = plan.ok_or(PlanError::Unknown(id))?;
        state.plan_orders.push((order, by.into()));
        Ok(plan)
    }
}
