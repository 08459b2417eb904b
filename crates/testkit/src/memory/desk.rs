//! The desk: where tickets come in and orders are given.

use super::Memory;
use super::state::State;
use async_trait::async_trait;
use domain::control::{Change, Snapshot};
use domain::ports::{Accepted, Action, Answer, Desk, Order, StoreError};
use domain::ticket::Ticket;
use domain::time::Timestamp;

#[async_trait]
impl Desk for Memory {
    async fn submit(&self, tickets: Vec<Ticket>) -> Result<Vec<Accepted>, StoreError> {
        let accept = |state: &mut State, now: Timestamp| {
            let one = |ticket: Ticket| {
                let id = ticket.id();
                match state.accept(ticket, now, "submitted") {
                    true => Accepted::New(id),
                    false => Accepted::Known(id),
                }
            };
            tickets.into_iter().map(one).collect()
        };
        self.write(accept)
    }

    async fn carry_out(&self, orders: Vec<Order>) -> Result<Vec<Answer>, StoreError> {
        let mut answers = Vec::with_capacity(orders.len());
        for order in orders {
            answers.push(match &order.action {
                Action::Complete(generation, outcome) => {
                    self.complete(&order, *generation, outcome.clone()).await?
                }
                Action::Start(generation) => {
                    self.write(|state, now| state.start(&order, *generation, now))?
                }
                Action::Retry => self.write(|state, now| state.retry(&order, now))?,
                Action::Cancel => {
                    self.write(|state, now| state.give_up(&order, "cancelled".into(), now))?
                }
                Action::Drop(reason) => {
                    self.write(|state, now| state.give_up(&order, reason.clone(), now))?
                }
            });
        }
        Ok(answers)
    }

    async fn change(&self, change: Change) -> Result<Snapshot, StoreError> {
        self.write(|state, _| {
            let is_new = match change {
                Change::Hold(stage, hold) => {
                    state.snapshot.holds.insert(stage, hold.clone()) != Some(hold)
                }
                Change::Unhold(stage) => state.snapshot.holds.remove(&stage).is_some(),
                Change::RollCall => true,
            };
            state.snapshot.revision += u64::from(is_new);
            state.snapshot.clone()
        })
    }
}
