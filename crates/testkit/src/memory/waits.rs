//! The waiting tickets, for the controller.

use super::Memory;
use super::state::{Row, State};
use super::trials::TURN;
use async_trait::async_trait;
use domain::books::{Fact, Place};
use domain::names::StageName;
use domain::oops::Scene;
use domain::ports::{Retention, Round, Serving, StoreError, Waits};
use domain::ticket::TicketId;
use domain::time::Timestamp;
use domain::verdict::{Case, Verdict};
use domain::wait::{Condition, Wait};
use std::collections::BTreeSet;
use std::num::NonZeroUsize;

/// How many ended tickets one call forgets at most.
const RETAIN_SLICE: usize = 1_000;

#[async_trait]
impl Waits for Memory {
    async fn release(&self, now: Timestamp, max: NonZeroUsize) -> Result<Round, StoreError> {
        self.write(|state, _| state.release(now, max.get()))
    }

    async fn unhold(&self, stage: &StageName, now: Timestamp) -> Result<u64, StoreError> {
        self.write(|state, _| {
            let held = state.waiting(|condition| matches!(condition, Condition::Held { .. }));
            let mut count = 0;
            for id in held {
                if state.stage_of(id) == Some(stage) {
                    state.note(id, now, "released", "the handler of its stage changed");
                    state.make_runnable(id, now);
                    count += 1;
                }
            }
            count
        })
    }

    async fn cases(&self, now: Timestamp, max: NonZeroUsize) -> Result<Vec<Case>, StoreError> {
        self.read(|state| {
            let waiting = state
                .rows
                .values()
                .filter_map(|row| match &row.entry.place {
                    Place::Waiting(wait) if is_case(&wait.condition, now) => Some(Case {
                        ticket: row.entry.ticket.clone(),
                        wait: wait.clone(),
                        scene: row.scene_of(wait),
                        version: row.entry.version.clone(),
                        company: row.company(row.beside),
                    }),
                    _ => None,
                });
            let mut cases: Vec<Case> = state.orphans.values().cloned().chain(waiting).collect();
            cases.sort_by_key(|case| (case.wait.since, case.ticket.id()));
            cases.truncate(max.get());
            cases
        })
    }

    async fn judge(&self, verdicts: Vec<Verdict>) -> Result<u64, StoreError> {
        self.write(|state, now| {
            let judged = verdicts.into_iter().filter(|v| state.judge(v, now));
            u64::try_from(judged.count()).unwrap_or(u64::MAX)
        })
    }

    async fn serving(&self, serving: Serving, now: Timestamp) -> Result<(), StoreError> {
        self.write(|state, _| state.serve(serving, now))
    }

    async fn attention(&self) {
        self.shared.attention.notified().await;
    }

    async fn retain(&self, retention: Retention) -> Result<u64, StoreError> {
        self.write(|state, _| state.retain(retention))
    }
}

impl Row {
    /// Who ran the attempt of a suspect.
    fn scene_of(&self, wait: &Wait) -> Option<Scene> {
        let Condition::Suspect { holder, .. } = &wait.condition else {
            return None;
        };
        Some(Scene {
            holder: holder.clone(),
            hostname: String::new(),
            version: self.entry.version.clone()?,
        })
    }
}

fn is_case(condition: &Condition, now: Timestamp) -> bool {
    match condition {
        Condition::Suspect { .. } => true,
        Condition::Pending { until, .. } => *until <= now,
        _ => false,
    }
}

/// When a wait ends by itself.
fn release_at(condition: &Condition) -> Option<Timestamp> {
    match condition {
        Condition::Backoff { until } | Condition::NotNow { until } => Some(*until),
        _ => None,
    }
}

impl State {
    fn release(&mut self, now: Timestamp, max: usize) -> Round {
        self.tick(now);
        let by_plans = self.carry_on(now, max);
        let mut due: Vec<(Timestamp, TicketId)> = Vec::new();
        for (id, row) in &self.rows {
            if let Place::Waiting(Wait { condition, .. }) = &row.entry.place
                && let Some(until) = release_at(condition)
                && until <= now
            {
                due.push((until, *id));
            }
        }
        let turns = self.turns(now).into_iter();
        let turns: BTreeSet<_> = turns.filter(|(until, _)| *until <= now).collect();
        due.extend(&turns);
        due.sort_unstable();
        due.truncate(max - by_plans);
        for one in &due {
            let why = match turns.contains(one) {
                true => TURN,
                false => "its wait is over",
            };
            self.note(one.1, now, "released", why);
            self.make_runnable(one.1, now);
        }
        Round {
            released: u64::try_from(due.len() + by_plans).unwrap_or(u64::MAX),
            next: self
                .next_end(now)
                .into_iter()
                .chain(self.turns(now).into_iter().map(|(until, _)| until))
                .chain(self.next_repair())
                .min(),
        }
    }

    /// When the next wait ends by time. An overdue call-back is a case, not a wait to come.
    fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        let waits = self.rows.values().filter_map(|row| match &row.entry.place {
            Place::Waiting(wait) => Some(&wait.condition),
            _ => None,
        });
        waits
            .filter_map(|condition| match condition {
                Condition::Pending { until, .. } => (*until > now).then_some(*until),
                other => release_at(other),
            })
            .min()
    }

    fn judge(&mut self, verdict: &Verdict, now: Timestamp) -> bool {
        let id = verdict.of.ticket;
        if self.orphans.remove(&verdict.of).is_some() {
            if let Some(row) = self.rows.get_mut(&id) {
                row.blame(verdict.wait.oops);
            }
            return false;
        }
        let Some(row) = self.rows.get(&id) else {
            return false;
        };
        let is_judged = match &row.entry.place {
            Place::Waiting(Wait { condition, .. }) => match condition {
                Condition::Suspect { .. } => true,
                Condition::Pending { until, .. } => verdict.is_due(Some(*until)),
                _ => false,
            },
            _ => false,
        };
        if row.entry.ticket.name != verdict.of || !is_judged {
            return false;
        }
        let was = row.entry.ticket.clone();
        if verdict.wait.oops.is_some() {
            self.tallies.entry(was.stage.clone()).or_default().failed += 1;
        }
        if let Some(row) = self.rows.get_mut(&id) {
            let fact = Fact::Noted {
                what: "judged".into(),
                why: verdict.wait.because.clone(),
                oops: verdict.wait.oops,
            };
            row.write(now, verdict.of, fact);
        }
        self.wait(verdict.name, verdict.wait.clone());
        self.free_key(&was, now);
        match &verdict.died {
            Some(died) => self.heard(&was.stage, died, now),
            None => self.never_ran(&was.stage, verdict.of, now),
        }
        true
    }

    fn retain(&mut self, retention: Retention) -> u64 {
        let mut ended: Vec<(Timestamp, TicketId)> = self
            .rows
            .iter()
            .filter(|(_, row)| row.entry.place.state().is_terminal())
            .map(|(id, row)| (row.entry.place.since(), *id))
            .collect();
        ended.sort_unstable();
        let keep = usize::try_from(retention.tickets_max).unwrap_or(usize::MAX);
        let excess = ended.len().saturating_sub(keep);
        let forgotten: Vec<TicketId> = ended
            .iter()
            .enumerate()
            .filter(|(at, (since, _))| *at < excess || *since < retention.before)
            .map(|(_, (_, id))| *id)
            .take(RETAIN_SLICE)
            .collect();
        for id in &forgotten {
            self.forget(*id);
        }
        u64::try_from(forgotten.len()).unwrap_or(u64::MAX)
    }

    /// Forgets an ended ticket; the sums do not.
    fn forget(&mut self, id: TicketId) {
        match self.rows.remove(&id).map(|row| row.entry.place) {
            Some(Place::Done { .. }) => self.done_forgotten += 1,
            Some(_) => self.dropped_forgotten += 1,
            None => {}
        }
    }

    pub(super) fn stage_of(&self, id: TicketId) -> Option<&StageName> {
        self.rows.get(&id).map(|row| &row.entry.ticket.stage)
    }
}
