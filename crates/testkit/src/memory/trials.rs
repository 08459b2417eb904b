//! Who is tried alone, and whose turn that is.

use super::Memory;
use super::state::{Row, State};
use domain::books::Place;
use domain::names::{Holder, StageName};
use domain::outcome::OutcomeKind;
use domain::ticket::TicketId;
use domain::time::Timestamp;
use domain::trial::{Company, ends_trial};
use domain::wait::Condition;
use std::collections::BTreeMap;

/// Why a ticket is released whose turn it is.
pub(crate) const TURN: &str = "its turn has come: it is tried alone";

impl Memory {
    /// Who is out on trial now, and where.
    pub fn on_trial(&self) -> Vec<(StageName, TicketId)> {
        let is_out = |row: &&Row| {
            let place = &row.entry.place;
            row.is_on_trial && matches!(place, Place::Runnable { .. } | Place::Running { .. })
        };
        let out = self.read(|state| {
            let out = state.rows.values().filter(is_out);
            out.map(|row| (row.entry.ticket.stage.clone(), row.entry.ticket.id()))
                .collect()
        });
        // A dead process sees nothing.
        out.unwrap_or_default()
    }
}

impl Row {
    /// In what company it was when its process died.
    pub(super) const fn company(&self, beside: u32) -> Company {
        Company {
            beside,
            alone: self.is_on_trial,
        }
    }

    /// Whether somebody has it, or may have it before anybody else is tried.
    fn is_out(&self, now: Timestamp) -> bool {
        match &self.entry.place {
            Place::Runnable { .. } | Place::Running { .. } => true,
            // It was handed back, or its trial broken off: it goes first.
            Place::Waiting(wait) => match wait.condition {
                Condition::NotNow { until } => until <= now,
                _ => false,
            },
            Place::Done { .. } | Place::Dropped { .. } => false,
        }
    }

    fn waits_for_trial(&self) -> Option<Timestamp> {
        match &self.entry.place {
            Place::Waiting(wait) => match wait.condition {
                Condition::Trial { until } => Some(until),
                _ => None,
            },
            _ => None,
        }
    }
}

impl State {
    /// An attempt has ended: in order, unless its process died or it was broken off.
    pub(super) fn tried(
        &mut self,
        id: TicketId,
        (outcome, waits_for): (OutcomeKind, Option<&Condition>),
    ) {
        if let Some(row) = self.rows.get_mut(&id)
            && row.is_on_trial
        {
            row.is_on_trial = !ends_trial(outcome, waits_for);
            self.attention = true;
        }
    }

    /// How many attempts of each process have been started and not ended.
    pub(super) fn at_work(&self) -> BTreeMap<Holder, u32> {
        let mut counts = BTreeMap::new();
        for (holder, _) in self.leases.values().filter_map(|it| it.start.as_ref()) {
            *counts.entry(holder.clone()).or_default() += 1;
        }
        counts
    }

    /// Of each stage where nobody is out on trial, the one that is to be tried next, when its time
    /// comes.
    pub(super) fn turns(&self, now: Timestamp) -> Vec<(Timestamp, TicketId)> {
        let mut next: BTreeMap<&StageName, Option<(Timestamp, TicketId)>> = BTreeMap::new();
        for (id, row) in self.rows.iter().filter(|(_, row)| row.is_on_trial) {
            let stage = &row.entry.ticket.stage;
            if row.is_out(now) {
                next.insert(stage, None);
            } else if let Some(until) = row.waits_for_trial() {
                let first = next.entry(stage).or_insert(Some((until, *id)));
                *first = first.map(|first| first.min((until, *id)));
            }
        }
        next.into_values().flatten().collect()
    }
}
