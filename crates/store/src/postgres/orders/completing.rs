//! A call-back that ends a wait: the end of an attempt like any other.

use super::{Desk, Ordered, Outcomes, due};
use crate::codes::Count;
use crate::permits;
use crate::postgres::fault::Fault;
use crate::postgres::keys;
use crate::postgres::repairs;
use crate::postgres::rows::{DONE, Placed};
use domain::books::Entry;
use domain::breaker::{Attempt, End};
use domain::delivery::{Decision, Disposition};
use domain::flow::Stage;
use domain::names::StageName;
use domain::oops::Span;
use domain::outcome::{Outcome, OutcomeKind};
use domain::ports::Order;
use domain::settlement;
use domain::signature::SignatureId;
use domain::ticket::{Generation, Name, Ticket};
use domain::wait::Wait;

impl Desk<'_> {
    pub(super) async fn complete(
        &mut self,
        entry: &Entry,
        ordered: &Ordered,
        (generation, outcome): (Generation, &Outcome),
    ) -> Outcomes {
        if let Err(refusal) = permits::call_back(entry, generation) {
            return Ok(Err(refusal));
        }
        let (order, oops) = (&ordered.order, ordered.oops);
        let kind = outcome.kind();
        let why = format!("by {}: {kind}", order.by);
        self.note(entry, order, ("completed", &why), oops);
        if let Some(count) = Count::of_end(kind) {
            self.working.count(entry.ticket.stage.as_str(), count, 1);
        }
        let held_by = self.tried(entry, ordered, kind);
        let (disposition, emits) = self.decide(&entry.ticket, outcome, ordered);
        self.go(order, disposition, held_by).await?;
        self.accept(emits, order).await?;
        if let Some(subject) = self.subjects.get_mut(&order.ticket) {
            subject.oopses.extend(oops);
        }
        Ok(Ok(()))
    }

    /// Breakers hear of the attempt that the call-back has ended. Returns the signature that the
    /// ticket is to wait for.
    fn tried(
        &mut self,
        entry: &Entry,
        ordered: &Ordered,
        kind: OutcomeKind,
    ) -> Option<SignatureId> {
        let attempt = Attempt {
            name: entry.ticket.name,
            version: entry.version.clone()?,
            span: Span {
                started_at: entry.place.since(),
                ended_at: ordered.order.at,
            },
            end: End::of(kind, ordered.signature),
        };
        if let Some(placed) = self.working.get_mut(ordered.order.ticket) {
            self.repairs.tell_plan(placed, (&attempt.end).into());
            match attempt.end {
                End::Landed | End::Rejected => placed.signature = None,
                End::Failed(signature) => placed.signature = signature,
                End::Nothing | End::NotRun => {}
            }
        }
        self.repairs.ended(&entry.ticket.stage, &attempt)
    }

    fn decide(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        ordered: &Ordered,
    ) -> (Disposition, Vec<Ticket>) {
        let defaults;
        let stage = match self.flows.stage(&ticket.stage) {
            Some(stage) => stage,
            None => {
                defaults = Stage::new(ticket.stage.clone());
                &defaults
            }
        };
        let decision = Decision {
            stage,
            flows: self.flows,
            now: ordered.order.at,
            chance: self.chance,
        };
        settlement::completed(ticket, outcome.clone(), ordered.oops, &decision)
    }

    /// Where the call-back's outcome leads. What goes on is published by the leader.
    async fn go(
        &mut self,
        order: &Order,
        to: Disposition,
        held_by: Option<SignatureId>,
    ) -> Result<(), Fault> {
        let id = order.ticket;
        match to {
            Disposition::Finish => {
                if let Some(placed) = self.working.get_mut(id) {
                    placed.let_go(placed.name, DONE, order.at);
                }
            }
            Disposition::Wait { name, wait } => {
                let stage = self.working.get(id).map(|placed| placed.stage.clone());
                let wait = match stage {
                    Some(stage) => {
                        let at = (name, &stage);
                        let wait = repairs::held(&mut self.working, at, (wait, held_by));
                        repairs::note_parking(&mut self.working, at, &wait);
                        wait
                    }
                    None => wait,
                };
                if let Some(placed) = self.working.get_mut(id) {
                    placed.put_waiting(name, wait);
                }
            }
            Disposition::Forward(copy) => {
                let because = format!("a call-back by {} sent it on", order.by);
                self.come(copy.name, &copy.stage, due(order.at, because));
                self.working.show(&copy);
                let tickets: &[&Ticket] = &[&copy];
                keys::admit(self.tx, &mut self.working, self.flows, (tickets, self.now)).await?;
                if let Some(subject) = self.subjects.get_mut(&id) {
                    subject.ticket = *copy;
                    subject.has_body = true;
                }
            }
        }
        Ok(())
    }

    /// The ticket comes to a stage, to be published there.
    fn come(&mut self, name: Name, stage: &StageName, wait: Wait) {
        let mut placed = Placed::waiting(name, stage.clone(), wait);
        if let Some(before) = self.working.get(name.ticket) {
            placed.version = before.version.clone();
        }
        self.working.put(placed);
    }

    /// Accepts what the call-back sends, unless it is known.
    async fn accept(&mut self, emits: Vec<Ticket>, order: &Order) -> Result<(), Fault> {
        if emits.is_empty() {
            return Ok(());
        }
        let ids = emits.iter().map(Ticket::id).collect();
        self.working.load_more(self.tx, ids).await?;
        let is_new = |ticket: &&Ticket| self.working.get(ticket.id()).is_none();
        let new: Vec<&Ticket> = emits.iter().filter(is_new).collect();
        for ticket in &new {
            let because = format!("ticket {} sent it", order.ticket);
            self.come(ticket.name, &ticket.stage, due(order.at, because));
            self.working.show(ticket);
        }
        keys::admit(self.tx, &mut self.working, self.flows, (&new, self.now)).await
    }
}
