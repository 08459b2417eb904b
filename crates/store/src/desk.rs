//! [`Desk`]: where tickets come in and orders are given.

use crate::embedded::Embedded;
use crate::orders::Ordered;
use crate::permits;
use crate::requests::Request;
use async_trait::async_trait;
use domain::control::{Change, Snapshot};
use domain::oops::OopsId;
use domain::ports::{Accepted, Action, Answer, Catalog, Desk, Order, Reporter, StoreError};
use domain::signature::SignatureId;
use domain::ticket::Ticket;
use std::sync::Arc;

#[async_trait]
impl Desk for Embedded {
    async fn submit(&self, tickets: Vec<Ticket>) -> Result<Vec<Accepted>, StoreError> {
        if tickets.is_empty() {
            return Ok(Vec::new());
        }
        let tickets = tickets.into_iter().map(Arc::new).collect();
        self.shared.ask(Request::Submit, tickets).await
    }

    async fn carry_out(&self, orders: Vec<Order>) -> Result<Vec<Answer>, StoreError> {
        let mut ordered = Vec::with_capacity(orders.len());
        for order in orders {
            let told = self.report(&order).await?;
            ordered.push(Ordered { order, told });
        }
        self.shared.ask(Request::CarryOut, ordered).await
    }

    async fn change(&self, change: Change) -> Result<Snapshot, StoreError> {
        self.shared.ask(Request::Change, change).await
    }
}

impl Embedded {
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
        let id = self.shared.oopses.record(report).await;
        let id = id.map_err(|error| error.0)?;
        Ok(Some((id, signature)))
    }
}
