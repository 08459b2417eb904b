//! What must be so at the end of a story.

use super::Plan;
use crate::faults::Faulty;
use crate::memory::TURN;
use domain::books::{Entry, Fact, Line, Place};
use domain::event::Event;
use domain::explain::explain;
use domain::filter::Query;
use domain::flow::Flows;
use domain::oops::{OopsId, Report};
use domain::outcome::OutcomeKind;
use domain::ports::{Catalog, Listing, Oopses, Sort, StoreError};
use domain::ticket::{Name, Ticket, TicketId};
use domain::time::Timestamp;
use domain::wait::Condition;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that is known at the end.
pub(super) struct Evidence<'a> {
    pub(super) plan: &'a Plan,
    pub(super) tickets: &'a [Ticket],
    pub(super) ports: &'a Faulty,
    pub(super) flows: &'a Flows,
    pub(super) events: &'a [Event],
    pub(super) now: Timestamp,
    /// The attempts that went wrong by the handlers' own account.
    pub(super) wrongs: BTreeSet<Name>,
}

fn everything(now: Timestamp) -> Listing {
    Listing {
        query: Query::everything(),
        limit: Listing::LIMIT_MAX,
        sort: Sort::OldestFirst,
        now,
    }
}

/// Everything that is wrong.
pub(super) async fn the_end(evidence: &Evidence<'_>) -> Vec<String> {
    match look(evidence).await {
        Ok(wrong) => wrong,
        Err(error) => vec![format!("the books cannot be read: {error}")],
    }
}

async fn look(evidence: &Evidence<'_>) -> Result<Vec<String>, StoreError> {
    let listing = everything(Timestamp::EPOCH);
    let entries = evidence.ports.tickets(listing.clone()).await?.rows;
    let reports = evidence.ports.list(listing).await?.rows;
    let balance = evidence.ports.balance(None).await?;
    let mut wrong = Vec::new();
    if !balance.is_balanced() {
        wrong.push(format!("the books do not balance: {balance:?}"));
    }
    let by_id: BTreeMap<_, _> = entries.iter().map(|e| (e.ticket.id(), e)).collect();
    for (at, ticket) in evidence.tickets.iter().enumerate() {
        match by_id.get(&ticket.id()) {
            None => wrong.push(format!("ticket {at} was accepted and is gone")),
            Some(entry) => wrong.extend(fate(evidence.plan, at, entry)),
        }
    }
    wrong.extend(blame(&entries, &reports, evidence.events));
    wrong.extend(told(evidence.events, &reports));
    wrong.extend(charged(evidence.events, &entries, &reports));
    wrong.extend(hushed_up(&evidence.wrongs, &reports));
    wrong.extend(unexplained(evidence, &entries).await?);
    Ok(wrong)
}

/// Whether the ticket is where the plan lets it be.
fn fate(plan: &Plan, at: usize, entry: &Entry) -> Option<String> {
    let id = entry.ticket.id();
    match &entry.place {
        Place::Done { .. } => None,
        Place::Dropped { .. } if plan.may_be_dropped(at) => None,
        Place::Waiting(wait) if wait.condition == Condition::Parked && plan.may_be_parked(at) => {
            None
        }
        other => Some(format!("ticket {at} ({id}) should not be {other:?}")),
    }
}

/// The books name exactly the reports that there are. One is left over when somebody gave an order
/// about its ticket between a verdict's report and the verdict: what it tells is true, and is kept.
fn blame(entries: &[Entry], reports: &[Report], events: &[Event]) -> Option<String> {
    let named: BTreeSet<OopsId> = entries.iter().flat_map(|e| e.oopses.clone()).collect();
    let kept: BTreeSet<OopsId> = reports.iter().map(|report| report.id).collect();
    let ordered = events.iter().filter_map(|event| match event {
        Event::OrderCarriedOut { ticket, .. } => Some(*ticket),
        _ => None,
    });
    let ordered: BTreeSet<TicketId> = ordered.collect();
    let left_over = events.iter().filter_map(|event| match event {
        Event::TicketJudged { name, oops, .. } => oops.filter(|_| ordered.contains(&name.ticket)),
        _ => None,
    });
    let left_over: BTreeSet<OopsId> = left_over.collect();
    let unnamed = kept.difference(&named);
    let unnamed = unnamed.filter(|oops| !left_over.contains(oops));
    let differ: Vec<_> = named.difference(&kept).chain(unnamed).collect();
    (!differ.is_empty()).then(|| format!("named by a ticket or kept, but not both: {differ:?}"))
}

/// Each attempt that went wrong has its report, death included; the others have none.
fn told(events: &[Event], reports: &[Report]) -> Vec<String> {
    let kept: BTreeSet<Name> = reports.iter().map(|report| report.name).collect();
    let mut ended: BTreeMap<Name, OutcomeKind> = BTreeMap::new();
    let mut started: BTreeSet<Name> = BTreeSet::new();
    let mut judged: BTreeSet<Name> = BTreeSet::new();
    for event in events {
        match event {
            Event::AttemptStarted { name, .. } => {
                started.insert(*name);
            }
            Event::AttemptEnded { name, outcome, .. } => {
                ended.insert(*name, *outcome);
            }
            Event::TicketJudged { name, oops, .. } if oops.is_some() => {
                judged.insert(*name);
            }
            _ => {}
        }
    }
    let mut wrong = Vec::new();
    for name in &started {
        let needs_report = ended.get(name).is_none_or(|outcome| outcome.went_wrong());
        if needs_report && !kept.contains(name) {
            wrong.push(format!("the attempt {name} went wrong and has no oops"));
        }
    }
    for name in &kept {
        let went_well = ended.get(name).is_some_and(|outcome| !outcome.went_wrong());
        if went_well && !judged.contains(name) {
            wrong.push(format!("the attempt {name} has an oops and went well"));
        }
    }
    wrong
}

/// Whether the report says that its attempt was not charged: others were in the process that died.
fn is_bystanders(report: &Report) -> bool {
    report.failure.message.contains("so none is charged until")
}

/// An attempt number rises only for an attempt that has a report, and not a bystander's.
fn charged(events: &[Event], entries: &[Entry], reports: &[Report]) -> Vec<String> {
    let guilty = reports.iter().filter(|report| !is_bystanders(report));
    let attempt = |name: &Name| (name.ticket, name.hop, name.attempt.0);
    let guilty: BTreeSet<_> = guilty.map(|report| attempt(&report.name)).collect();
    let started = events.iter().filter_map(|event| match event {
        Event::AttemptStarted { name, .. } => Some(*name),
        _ => None,
    });
    let names = started.chain(entries.iter().map(|entry| entry.ticket.name));
    let names: BTreeSet<Name> = names.collect();
    let is_unjust = |name: &&Name| {
        let (ticket, hop, number) = attempt(name);
        (1..number).any(|number| !guilty.contains(&(ticket, hop, number)))
    };
    let unjust = names.iter().filter(is_unjust);
    unjust
        .map(|name| format!("{name} was charged for an attempt that no report lays to it"))
        .collect()
}

/// A failure that nobody admits is known to the handler that failed.
fn hushed_up(wrongs: &BTreeSet<Name>, reports: &[Report]) -> Vec<String> {
    let kept: BTreeSet<Name> = reports.iter().map(|report| report.name).collect();
    let hushed_up = wrongs.difference(&kept);
    hushed_up
        .map(|name| format!("the handler of {name} went wrong and there is no oops"))
        .collect()
}

async fn unexplained(
    evidence: &Evidence<'_>,
    entries: &[Entry],
) -> Result<Vec<String>, StoreError> {
    let Evidence {
        ports, flows, now, ..
    } = evidence;
    let snapshot = ports.snapshot().await?;
    let mut wrong = Vec::new();
    for entry in entries {
        let history = ports.history(entry.ticket.id()).await?;
        let told = explain(entry, &history, flows, &snapshot, *now);
        let texts = [&told.waits_for, &told.then, &told.who_may_change];
        let is_told = |text: &&String| !text.is_empty() && !text.contains("unknown");
        if history.is_empty() || !texts.iter().all(is_told) {
            wrong.push(format!("a ticket is not explained: {told:?}"));
        }
    }
    Ok(wrong)
}

/// What was done about what went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many canaries breakers have sent.
    pub canaries: usize,
    /// How often somebody was tried alone in its turn.
    pub trials: usize,
    /// How many attempts died in company and were not charged.
    pub bystanders: usize,
}

impl Sums {
    pub(super) const fn add(&mut self, other: Self) {
        self.canaries += other.canaries;
        self.trials += other.trials;
        self.bystanders += other.bystanders;
    }
}

/// The sums of a story, as the tickets' histories and the reports tell.
pub(super) async fn sums(ports: &Faulty) -> Sums {
    let everything = everything(Timestamp::EPOCH);
    let reports = ports.list(everything.clone()).await;
    let reports = reports.map(|page| page.rows).unwrap_or_default();
    let mut sums = Sums {
        bystanders: reports.iter().filter(|it| is_bystanders(it)).count(),
        ..Sums::default()
    };
    let tickets = ports.tickets(everything).await;
    for entry in tickets.map(|page| page.rows).unwrap_or_default() {
        let history = ports.history(entry.ticket.id()).await.unwrap_or_default();
        let released = |why: &str| history.iter().filter(|it| is_released(it, why)).count();
        sums.canaries += released("canary");
        sums.trials += released(TURN);
    }
    sums
}

fn is_released(line: &Line, because: &str) -> bool {
    match &line.fact {
        Fact::Noted { what, why, .. } => what == "released" && why.starts_with(because),
        Fact::Attempted { .. } => false,
    }
}

/// The tickets that have not come to rest, explained.
pub(super) async fn unfinished(ports: &Faulty, flows: &Flows, now: Timestamp) -> Vec<String> {
    let Ok(page) = ports.tickets(everything(now)).await else {
        return vec!["the books cannot be read".into()];
    };
    let snapshot = ports.snapshot().await.unwrap_or_default();
    let mut told = Vec::new();
    for entry in page.rows {
        if !entry.place.state().is_terminal() {
            let history = ports.history(entry.ticket.id()).await.unwrap_or_default();
            told.push(format!(
                "{:#?}",
                explain(&entry, &history, flows, &snapshot, now)
            ));
        }
    }
    told
}
