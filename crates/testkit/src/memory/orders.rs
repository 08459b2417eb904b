//! What an operator's order does, and why it is refused.

use super::Memory;
use super::state::State;
use domain::books::{Entry, Place};
use domain::control::Snapshot;
use domain::deadline;
use domain::delivery::{Delivery, Lender, Receipt, Settlement, Start, Unreported};
use domain::flow::Stage;
use domain::names::{Holder, Version};
use domain::oops::Scene;
use domain::outcome::Outcome;
use domain::ports::{Answer, Order, StoreError};
use domain::settlement::Decision;
use domain::ticket::{Generation, TicketId};
use domain::time::Timestamp;
use domain::wait::{Condition, Wait};
use std::sync::Arc;

impl State {
    pub(super) fn retry(&mut self, order: &Order, now: Timestamp) -> Answer {
        let Some(row) = self.rows.get_mut(&order.ticket) else {
            return Answer::NotFound;
        };
        if let Some(refusal) = why_not_retry(&row.entry, now) {
            return refusal;
        }
        let name = row.entry.ticket.name.renewed();
        row.entry.ticket.name = name;
        let stage = row.entry.ticket.stage.clone();
        self.taken_away(&stage, order.ticket, now);
        self.note(order.ticket, now, "retried", &format!("by {}", order.by));
        self.make_runnable(order.ticket, now);
        self.done(order.ticket)
    }

    pub(super) fn give_up(&mut self, order: &Order, reason: String, now: Timestamp) -> Answer {
        let Some(row) = self.rows.get(&order.ticket) else {
            return Answer::NotFound;
        };
        let state = row.entry.place.state();
        if state.is_terminal() {
            return refused(&format!("it is {state}, and that is for ever"), "nothing");
        }
        let was = row.entry.ticket.clone();
        let is_in_hand = self.is_lent(order.ticket);
        // First the end under the old name, whose attempt may still have to be reported.
        self.end_dropped(order.ticket, reason, &order.by, now);
        if let Some(row) = self.rows.get_mut(&order.ticket) {
            row.entry.ticket.name = was.name.renewed();
        }
        if is_in_hand {
            self.fence(order.ticket, was.name.renewed().generation);
        }
        self.free_key(&was, now);
        self.done(order.ticket)
    }

    fn fence(&mut self, ticket: TicketId, lowest: Generation) {
        self.snapshot.revision += 1;
        self.snapshot.fences.insert(ticket, lowest);
        self.fence_order.push_back(ticket);
        while self.fence_order.len() > Snapshot::FENCES_MAX {
            if let Some(oldest) = self.fence_order.pop_front() {
                self.snapshot.fences.remove(&oldest);
            }
        }
    }

    fn done(&self, id: TicketId) -> Answer {
        match self.rows.get(&id) {
            Some(row) => Answer::Done(Box::new(row.entry.clone())),
            None => Answer::NotFound,
        }
    }

    pub(super) fn start(
        &mut self,
        order: &Order,
        generation: Generation,
        now: Timestamp,
    ) -> Answer {
        let wait = match self.pending(order.ticket, generation) {
            Ok((_, wait))
                if wait.once_started().is_some() && wait.condition.until() <= Some(order.at) =>
            {
                return refused("it is overdue", "nothing: the call-back came too late");
            }
            Ok((_, wait)) => wait.once_started(),
            Err(answer) => return answer,
        };
        if let (Some(wait), Some(row)) = (wait, self.rows.get_mut(&order.ticket)) {
            row.entry.place = Place::Waiting(wait);
            self.note(order.ticket, now, "started", &format!("by {}", order.by));
        }
        self.done(order.ticket)
    }

    /// The ticket and its wait, if a call-back of this generation is about it.
    fn pending(&self, id: TicketId, generation: Generation) -> Result<(Entry, Wait), Answer> {
        let row = self.rows.get(&id).ok_or(Answer::NotFound)?;
        let Place::Waiting(wait) = &row.entry.place else {
            let state = row.entry.place.state();
            return Err(refused(
                &format!("it is {state}, not pending"),
                "nothing: the call-back came too late",
            ));
        };
        let reason = wait.condition.reason();
        if !matches!(wait.condition, Condition::Pending { .. }) {
            let why = format!("it is waiting ({reason}), not pending");
            return Err(refused(&why, "nothing: the call-back came too late"));
        }
        let in_force = row.entry.ticket.name.generation;
        if generation != in_force {
            let why = format!("generation {in_force} is in force, not {generation}");
            return Err(refused(&why, "answer to the latest call-back address"));
        }
        Ok((row.entry.clone(), wait.clone()))
    }
}

fn why_not_retry(entry: &Entry, now: Timestamp) -> Option<Answer> {
    let wait = match &entry.place {
        Place::Waiting(wait) => wait,
        Place::Runnable { .. } => {
            return Some(refused(
                "it is runnable already",
                "nothing: a worker takes it",
            ));
        }
        Place::Running { .. } => {
            return Some(refused(
                "it is running",
                "wait until the attempt ends, or cancel it",
            ));
        }
        Place::Done { .. } | Place::Dropped { .. } => {
            let why = format!("it is {}, and that is for ever", entry.place.state());
            return Some(refused(&why, "submit it again as a new ticket"));
        }
    };
    match &wait.condition {
        Condition::Unclaimed => Some(refused(
            "no stage is configured that takes it",
            "configure its stage for its kind; it is then released by itself",
        )),
        Condition::Suspect { holder, .. } => Some(refused(
            &format!("{holder} may still have it"),
            "wait for the controller's verdict, which comes within seconds",
        )),
        Condition::Unique { other } => Some(refused(
            &format!("ticket {other} with the same key is at work"),
            "wait for the other ticket, or cancel it",
        )),
        Condition::Backoff { .. }
        | Condition::NotNow { .. }
        | Condition::Pending { .. }
        | Condition::Parked
        | Condition::Held { .. }
        | Condition::Repair { .. }
        | Condition::Trial { .. } => deadline::has_passed(&entry.ticket, now).then(|| {
            refused(
                "its own deadline has passed, so it would not be run",
                "submit it again with a later deadline",
            )
        }),
    }
}

fn refused(why: &str, remedy: &str) -> Answer {
    Answer::Refused {
        why: why.into(),
        remedy: remedy.into(),
    }
}

/// Nobody wants a call-back's delivery back.
struct Nobody;

impl Lender for Nobody {
    fn take_back(&self, _tag: u64) {}
}

impl Memory {
    /// A call-back ends a pending wait: the same road as an attempt's end, its report included.
    pub(super) async fn complete(
        &self,
        order: &Order,
        generation: Generation,
        outcome: Outcome,
    ) -> Result<Answer, StoreError> {
        let found = self.read(|state| state.pending(order.ticket, generation))?;
        let (entry, wait) = match found {
            Ok(found) => found,
            Err(answer) => return Ok(answer),
        };
        let settlement = self.ended(&entry, &wait, order, outcome).await?;
        let answer = self.write(|state, now| {
            // It may have moved while its report was made durable.
            match state.pending(order.ticket, generation) {
                Err(answer) => answer,
                Ok(_) => {
                    state.note(order.ticket, now, "completed", &format!("by {}", order.by));
                    state.apply(&settlement, now);
                    state.done(order.ticket)
                }
            }
        })?;
        settlement.settled();
        Ok(answer)
    }

    async fn ended(
        &self,
        entry: &Entry,
        wait: &Wait,
        order: &Order,
        outcome: Outcome,
    ) -> Result<Settlement, StoreError> {
        let ticket = &entry.ticket;
        let scene = Scene {
            holder: Holder::new(&order.by)
                .or_else(|_| Holder::new("desk"))
                .expect("the word is plain"),
            hostname: "memory".into(),
            version: entry
                .version
                .clone()
                .unwrap_or_else(|| Version::new("unknown").expect("the word is plain")),
        };
        let start = Start {
            scene: Arc::new(scene),
            at: wait.since,
        };
        let receipt = Receipt::new(0, Arc::new(Nobody));
        let performed = Delivery::new(Arc::new(ticket.clone()), receipt)
            .started(start)
            .performed(outcome.into(), order.at);
        let reported = performed.report(self).await;
        let reported = reported.map_err(|Unreported { error, .. }| error.0)?;
        let flows = self.read(|state| Arc::clone(&state.flows))?;
        let fallback = Stage::new(ticket.stage.clone());
        Ok(reported.decide(&Decision {
            stage: flows.stage(&ticket.stage).unwrap_or(&fallback),
            flows: &flows,
            now: order.at,
            chance: self.shared.clock.chance(),
        }))
    }
}
