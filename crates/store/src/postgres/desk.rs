//! [`Desk`]: where tickets come in and orders are given.

use super::orders::Ordered;
use super::submit::{notify, shard};
use super::working::{Steer, Working};
use super::{Postgres, control};
use crate::permits;
use async_trait::async_trait;
use domain::control::{Change, Snapshot};
use domain::oops::OopsId;
use domain::ports::{Accepted, Action, Answer, Catalog, Desk, Order, Reporter, StoreError};
use domain::signature::SignatureId;
use domain::ticket::Ticket;

/// The most orders that one transaction carries out: it keeps the rows of their tickets locked.
const ORDERS_MAX: usize = 256;

#[async_trait]
impl Desk for Postgres {
    async fn submit(&self, tickets: Vec<Ticket>) -> Result<Vec<Accepted>, StoreError> {
        self.accept(tickets).await
    }

    async fn carry_out(&self, orders: Vec<Order>) -> Result<Vec<Answer>, StoreError> {
        let mut ordered = Vec::with_capacity(orders.len());
        for order in orders {
            let (oops, signature) = self.report(&order).await?.unzip();
            ordered.push(Ordered {
                order,
                oops,
                signature,
            });
        }
        let mut answers = Vec::with_capacity(ordered.len());
        for group in ordered.chunks(ORDERS_MAX) {
            answers.extend(self.carry_out_group(group).await?);
        }
        Ok(answers)
    }

    async fn change(&self, change: Change) -> Result<Snapshot, StoreError> {
        self.call_again(|| async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            let mut working = Working::default();
            match change.clone() {
                Change::Hold(stage, hold) => working.steer(Steer::Hold(stage, hold)),
                Change::Unhold(stage) => working.steer(Steer::Unhold(stage)),
                Change::RollCall => control::bump(&*tx).await?,
            }
            working.write(&tx, shard(&self.shared.holder)).await?;
            let snapshot = control::read(&*tx).await?;
            notify(&tx).await?;
            tx.commit().await?;
            Ok(snapshot)
        })
        .await
    }
}

impl Postgres {
    /// A call-back that brings a failure is an attempt that went wrong: its report is durable
    /// before the ticket moves.
    async fn report(&self, order: &Order) -> Result<Option<(OopsId, SignatureId)>, StoreError> {
        let Action::Complete(generation, outcome) = &order.action else {
            return Ok(None);
        };
        if !outcome.kind().went_wrong() {
            return Ok(None);
        }
        let Some(entry) = self.ticket(order.ticket).await? else {
            return Ok(None);
        };
        let holder = &self.shared.holder;
        let Some(report) = permits::report(&entry, (*generation, outcome), order, holder) else {
            return Ok(None);
        };
        let signature = report.signature().id;
        let id = self.record(report).await;
        id.map(|id| Some((id, signature))).map_err(|error| error.0)
    }
}
