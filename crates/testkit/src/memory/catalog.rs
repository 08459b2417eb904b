//! The books, for reading.

use super::Memory;
use super::broker::ready_since;
use super::state::State;
use async_trait::async_trait;
use domain::books::{Balance, Entry, Line, Place, StageCounts};
use domain::control::Snapshot;
use domain::names::StageName;
use domain::ports::{Catalog, Depth, Finding, Listing, Page, Sort, StoreError};
use domain::ticket::TicketId;
use domain::time::Timestamp;
use std::collections::BTreeMap;

#[async_trait]
impl Catalog for Memory {
    async fn ticket(&self, id: TicketId) -> Result<Option<Entry>, StoreError> {
        self.read(|state| state.rows.get(&id).map(|row| row.entry.clone()))
    }

    async fn tickets(&self, listing: Listing) -> Result<Page<Entry>, StoreError> {
        self.read(|state| {
            let entries = state.rows.values().map(|row| &row.entry);
            let mut found: Vec<Entry> = entries
                .filter(|entry| listing.query.matches(*entry, listing.now))
                .cloned()
                .collect();
            found.sort_by_key(|entry| (entry.ticket.created_at, entry.ticket.id()));
            page(found, &listing)
        })
    }

    async fn history(&self, id: TicketId) -> Result<Vec<Line>, StoreError> {
        self.read(|state| {
            let row = state.rows.get(&id);
            row.map_or_else(Vec::new, |row| row.history.iter().cloned().collect())
        })
    }

    async fn balance(&self, since: Option<Timestamp>) -> Result<Balance, StoreError> {
        self.read(|state| match since {
            None => state.balance(),
            Some(since) => state.balance_since(since),
        })
    }

    async fn stages(&self) -> Result<Vec<StageCounts>, StoreError> {
        self.read(State::stage_counts)
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.read(|state| state.snapshot.clone())
    }

    // Whatever is here is looked at in no time.
    async fn check(&self, _: Depth) -> Result<Vec<Finding>, StoreError> {
        self.read(|state| {
            let balance = state.balance();
            let is_fine = balance.is_balanced();
            let seen = format!("{} tickets accepted", balance.accepted);
            vec![Finding {
                about: "books".into(),
                is_fine,
                seen,
                remedy: (!is_fine).then(|| "this is a bug of the memory store".into()),
            }]
        })
    }
}

/// Cuts what was found, oldest first, to what was asked for.
pub(super) fn page<T>(mut found: Vec<T>, listing: &Listing) -> Page<T> {
    if listing.sort == Sort::NewestFirst {
        found.reverse();
    }
    let limit = listing.limit.clamp(1, Listing::LIMIT_MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    Page { rows: found, more }
}

impl State {
    fn balance(&self) -> Balance {
        let mut balance = Balance {
            accepted: self.accepted,
            done: self.done_forgotten,
            dropped: self.dropped_forgotten,
            ..Balance::default()
        };
        for row in self.rows.values() {
            add(&mut balance, &row.entry.place);
        }
        balance
    }

    fn balance_since(&self, since: Timestamp) -> Balance {
        let mut balance = Balance::default();
        let entries = self.rows.values().map(|row| &row.entry);
        for entry in entries.filter(|entry| entry.ticket.created_at >= since) {
            balance.accepted += 1;
            add(&mut balance, &entry.place);
        }
        balance
    }

    fn stage_counts(&self) -> Vec<StageCounts> {
        let mut stages: BTreeMap<&StageName, StageCounts> = BTreeMap::new();
        for (stage, tally) in &self.tallies {
            let counts = StageCounts {
                stage: stage.clone(),
                ready: 0,
                running: 0,
                waiting: BTreeMap::new(),
                done: tally.done,
                failed: tally.failed,
                oldest_ready: None,
                served: Vec::new(),
            };
            stages.insert(stage, counts);
        }
        for row in self.rows.values() {
            if let Some(counts) = stages.get_mut(&row.entry.ticket.stage) {
                count(counts, &row.entry.place);
            }
        }
        stages.into_values().collect()
    }
}

fn add(balance: &mut Balance, place: &Place) {
    match place {
        Place::Runnable { .. } => balance.runnable += 1,
        Place::Running { .. } => balance.running += 1,
        Place::Waiting(wait) => {
            *balance.waiting.entry(wait.condition.reason()).or_default() += 1;
        }
        Place::Done { .. } => balance.done += 1,
        Place::Dropped { .. } => balance.dropped += 1,
    }
}

fn count(counts: &mut StageCounts, place: &Place) {
    match place {
        Place::Runnable { .. } => counts.ready += 1,
        Place::Running { .. } => counts.running += 1,
        Place::Waiting(wait) => *counts.waiting.entry(wait.condition.reason()).or_default() += 1,
        Place::Done { .. } | Place::Dropped { .. } => {}
    }
    if let Some(since) = ready_since(place) {
        let oldest = counts
            .oldest_ready
            .map_or(since, |oldest| oldest.min(since));
        counts.oldest_ready = Some(oldest);
    }
}
