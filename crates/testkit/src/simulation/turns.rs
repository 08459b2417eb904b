//! Whoever is on trial is tried alone, one at a time.

use super::Plan;
use crate::faults::Faulty;
use domain::event::Event;
use domain::names::StageName;
use domain::ports::Observer;
use domain::ticket::{Name, TicketId};
use domain::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Looks, whenever something happens, who is out on trial.
pub(super) struct Turns {
    ports: Faulty,
    seen: Arc<Seen>,
}

/// What was seen, by all processes of a story.
pub(super) struct Seen {
    /// Breakers try a canary, and plans release, whoever else is out.
    has_breakers: bool,
    sights: Mutex<Sights>,
}

#[derive(Default)]
struct Sights {
    /// Those that an operator wanted tried at once, beside whomever.
    retried: BTreeSet<TicketId>,
    /// The attempts that were started, and whether their tickets were on trial then.
    started: BTreeMap<Name, bool>,
    wrong: BTreeSet<String>,
}

impl Seen {
    pub(super) fn of(plan: &Plan) -> Self {
        Self {
            has_breakers: plan.has_breakers(),
            sights: Mutex::default(),
        }
    }

    pub(super) fn wrong(&self) -> Vec<String> {
        self.sights().wrong.iter().cloned().collect()
    }

    /// The attempts whose handler was not told what they are, by what it says of itself.
    pub(super) fn in_company(&self, told: &BTreeMap<Name, bool>) -> Vec<String> {
        let sights = self.sights();
        let is_wrong = |(name, alone): &(&Name, &bool)| {
            let is_on_trial = sights.started.get(name);
            is_on_trial.is_some_and(|is_on_trial| is_on_trial != *alone)
        };
        let wrong = told.iter().filter(is_wrong);
        wrong
            .map(|(name, alone)| format!("the handler of {name} was told that alone is {alone}"))
            .collect()
    }

    fn sights(&self) -> MutexGuard<'_, Sights> {
        self.sights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    pub(super) const fn new(ports: Faulty, seen: Arc<Seen>) -> Self {
        Self { ports, seen }
    }
}

impl Observer for Turns {
    fn observe(&self, _at: Timestamp, event: &Event) {
        let out = self.ports.memory().on_trial();
        let mut sights = self.seen.sights();
        match event {
            Event::OrderCarriedOut { ticket, .. } => drop(sights.retried.insert(*ticket)),
            Event::AttemptStarted { name, .. } => {
                let is_on_trial = out.iter().any(|(_, ticket)| *ticket == name.ticket);
                sights.started.insert(*name, is_on_trial);
            }
            _ => {}
        }
        if !self.seen.has_breakers {
            sights.judge(out);
        }
    }
}

impl Sights {
    fn judge(&mut self, out: Vec<(StageName, TicketId)>) {
        let mut stages: BTreeMap<StageName, Vec<TicketId>> = BTreeMap::new();
        for (stage, ticket) in out {
            if !self.retried.contains(&ticket) {
                stages.entry(stage).or_default().push(ticket);
            }
        }
        for (stage, tickets) in stages.into_iter().filter(|(_, it)| it.len() > 1) {
            let told = format!("{tickets:?} of stage {stage} are out on trial at once");
            self.wrong.insert(told);
        }
    }
}
