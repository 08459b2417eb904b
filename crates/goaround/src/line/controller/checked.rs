//! The books, whose check-up also looks at the broker.

use async_trait::async_trait;
use domain::books::{Balance, Entry, Line, StageCounts};
use domain::control::Snapshot;
use domain::names::StageName;
use domain::ports::{Catalog, Depth, Finding, Listing, Page, StoreError};
use domain::ticket::TicketId;
use domain::time::Timestamp;
use store::Postgres;

/// The books in PostgreSQL beside a broker on RabbitMQ.
pub(super) struct Checked {
    books: Postgres,
    broker: amqp::Config,
    stages: Vec<StageName>,
}

impl Checked {
    pub(super) const fn new(books: Postgres, broker: amqp::Config, stages: Vec<StageName>) -> Self {
        Self {
            books,
            broker,
            stages,
        }
    }
}

#[async_trait]
impl Catalog for Checked {
    async fn ticket(&self, id: TicketId) -> Result<Option<Entry>, StoreError> {
        self.books.ticket(id).await
    }

    async fn tickets(&self, listing: Listing) -> Result<Page<Entry>, StoreError> {
        self.books.tickets(listing).await
    }

    async fn history(&self, id: TicketId) -> Result<Vec<Line>, StoreError> {
        self.books.history(id).await
    }

    async fn balance(&self, since: Option<Timestamp>) -> Result<Balance, StoreError> {
        self.books.balance(since).await
    }

    async fn stages(&self) -> Result<Vec<StageCounts>, StoreError> {
        self.books.stages().await
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.books.snapshot().await
    }

    async fn check(&self, depth: Depth) -> Result<Vec<Finding>, StoreError> {
        let broker = amqp::doctor::doctor(&self.broker, &self.stages, depth);
        let (books, broker) = tokio::join!(self.books.check(depth), broker);
        let mut findings = books?;
        findings.extend(broker);
        Ok(findings)
    }
}
