//! What must be so at the end of a story.

use super::Plan;
use crate::faults::Faulty;
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
    let balance = evidence.ports.balance().await?;
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
    wrong.extend(hushed_up(&evidence.wrongs, &reports));
    wrong.extend(unexplained(evidence.ports, evidence.flows, &entries).await?);
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

/// A failure that nobody admits is known to the handler that failed.
fn hushed_up(wrongs: &BTreeSet<Name>, reports: &[Report]) -> Vec<String> {
    let kept: BTreeSet<Name> = reports.iter().map(|report| report.name).collect();
    let hushed_up = wrongs.difference(&kept);
    hushed_up
        .map(|name| format!("the handler of {name} went wrong and there is no oops"))
        .collect()
}

async fn unexplained(
    ports: &Faulty,
    flows: &Flows,
    entries: &[Entry],
) -> Result<Vec<String>, StoreError> {
    let snapshot = ports.snapshot().await?;
    let mut wrong = Vec::new();
    for entry in entries {
        let history = ports.history(entry.ticket.id()).await?;
        let told = explain(entry, &history, flows, &snapshot);
        let texts = [&told.waits_for, &told.then, &told.who_may_change];
        let is_told = |text: &&String| !text.is_empty() && !text.contains("unknown");
        if history.is_empty() || !texts.iter().all(is_told) {
            wrong.push(format!("a ticket is not explained: {told:?}"));
        }
    }
    Ok(wrong)
}

/// How many canaries breakers have sent, as the tickets' histories tell.
pub(super) async fn canaries(ports: &Faulty) -> usize {
    let Ok(page) = ports.tickets(everything(Timestamp::EPOCH)).await else {
        return 0;
    };
    let mut count = 0;
    for entry in page.rows {
        let history = ports.history(entry.ticket.id()).await.unwrap_or_default();
        count += history.iter().filter(is_canary).count();
    }
    count
}

fn is_canary(line: &&Line) -> bool {
    match &line.fact {
        Fact::Noted { what, why, .. } => what == "released" && why.starts_with("canary"),
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
                explain(&entry, &history, flows, &snapshot)
            ));
        }
    }
    told
}
