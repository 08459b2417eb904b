//! The desk, with everything that it does told to those who listen.

use super::Ears;
use async_trait::async_trait;
use domain::control::{Change, Snapshot};
use domain::event::Event;
use domain::names::StageName;
use domain::ports::{Accepted, Action, Answer, Clock, Desk, Observer, Order, StoreError};
use domain::ticket::Ticket;
use std::sync::Arc;

/// A desk that announces what it did.
pub struct Announced<D> {
    desk: D,
    clock: Arc<dyn Clock>,
    ears: Arc<Ears>,
}

impl<D: Desk> Announced<D> {
    /// Announces what `desk` does to `ears`.
    pub fn new(desk: D, clock: Arc<dyn Clock>, ears: Arc<Ears>) -> Self {
        Self { desk, clock, ears }
    }

    fn tell(&self, event: &Event) {
        self.ears.observe(self.clock.now(), event);
    }
}

#[async_trait]
impl<D: Desk> Desk for Announced<D> {
    async fn submit(&self, tickets: Vec<Ticket>) -> Result<Vec<Accepted>, StoreError> {
        let stages: Vec<StageName> = tickets.iter().map(|ticket| ticket.stage.clone()).collect();
        let accepted = self.desk.submit(tickets).await?;
        for (accepted, stage) in accepted.iter().zip(stages) {
            if let Accepted::New(ticket) = accepted {
                self.tell(&Event::TicketAccepted {
                    ticket: *ticket,
                    stage,
                });
            }
        }
        Ok(accepted)
    }

    async fn carry_out(&self, orders: Vec<Order>) -> Result<Vec<Answer>, StoreError> {
        let told: Vec<_> = orders
            .iter()
            .map(|order| (order.ticket, word(&order.action)))
            .collect();
        let answers = self.desk.carry_out(orders).await?;
        for (answer, (ticket, action)) in answers.iter().zip(told) {
            if let Answer::Done(entry) = answer {
                let ended = entry.place.state().is_terminal();
                self.tell(&Event::OrderCarriedOut {
                    ticket,
                    action,
                    ended,
                });
            }
        }
        Ok(answers)
    }

    async fn change(&self, change: Change) -> Result<Snapshot, StoreError> {
        self.desk.change(change).await
    }
}

const fn word(action: &Action) -> &'static str {
    match action {
        Action::Retry => "retry",
        Action::Cancel => "cancel",
        Action::Drop(_) => "drop",
        Action::Start(_) => "start",
        Action::Complete(..) => "complete",
    }
}
