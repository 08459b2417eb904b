//! The books and the reports in PostgreSQL, for as many controllers as like: one of them leads.
//!
//! Every transaction that moves tickets goes through [`working`]: it locks the tickets in the order
//! of their ids, then the desired state, then the sums, so that two never wait for each other.

mod attention;
mod bodies;
mod catalog;
mod connect;
mod control;
mod counting;
mod desk;
mod election;
mod fault;
mod health;
mod keys;
mod ledger;
mod lines;
mod listing;
mod oopses;
mod orders;
mod partitions;
mod pen;
mod plans;
#[cfg(test)]
mod query_plans;
mod repairs;
mod rows;
mod schema;
mod steering;
mod submit;
mod text;
mod tls;
mod working;
mod writing;

pub use connect::PostgresConfig;
pub use fault::PostgresError;

use attention::Attention;
use connect::Connector;
use deadpool_postgres::{Object, Pool};
use domain::flow::Flows;
use domain::names::Holder;
use domain::oops::Report;
use domain::ports::{Clock, StoreError};
use fault::Fault;
use partitions::Days;
use pen::Pen;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How long one call may take at the longest, beyond the limit of its statements.
const CALL_SLACK: Duration = Duration::from_secs(15);

/// The store in PostgreSQL. Cheap to clone; the clones share one pool.
#[derive(Clone)]
pub struct Postgres {
    shared: Arc<Shared>,
}

struct Shared {
    connector: Connector,
    pool: Pool,
    flows: Arc<Flows>,
    clock: Arc<dyn Clock>,
    holder: Holder,
    attention: Attention,
    days: Days,
    pen: Pen<Arc<Report>>,
    /// Held by whoever reads all tickets: one at a time, so that the leader has its connections.
    counting: tokio::sync::Mutex<()>,
}

impl Postgres {
    /// Connects, brings the tables up to date and is ready. Fails fast, in words for people.
    ///
    /// # Errors
    /// [`PostgresError`] says what is wrong and what to do; it never shows the password.
    pub async fn open(
        config: PostgresConfig,
        flows: Arc<Flows>,
        clock: Arc<dyn Clock>,
        holder: Holder,
    ) -> Result<Self, PostgresError> {
        let connector = Connector::new(config)?;
        schema::prepare(&connector, clock.now()).await?;
        let pool = connector.pool()?;
        let shared = Shared {
            attention: Attention::listen(connector.clone()),
            connector,
            pool,
            flows,
            clock,
            holder,
            days: Days::default(),
            pen: Pen::default(),
            counting: tokio::sync::Mutex::default(),
        };
        let shared = Arc::new(shared);
        Ok(Self { shared })
    }

    /// A connection of the pool.
    async fn client(&self) -> Result<Object, Fault> {
        Ok(self.shared.pool.get().await?)
    }

    /// Carries out one call on the store within the time that it may take.
    async fn call<T>(
        &self,
        work: impl Future<Output = Result<T, Fault>> + Send,
    ) -> Result<T, StoreError> {
        let connector = &self.shared.connector;
        let limit = connector.statement_timeout() + CALL_SLACK;
        match tokio::time::timeout(limit, work).await {
            Ok(done) => done.map_err(|fault| fault.into_store_error(connector.place())),
            Err(_) => Err(connector.silent(limit)),
        }
    }

    /// The same, tried again when it met another transaction on its way.
    async fn call_again<T, F, W>(&self, work: W) -> Result<T, StoreError>
    where
        W: Fn() -> F + Send + Sync,
        F: Future<Output = Result<T, Fault>> + Send,
        T: Send,
    {
        self.call(async {
            let mut tries = 1;
            loop {
                match work().await {
                    Err(fault) if fault.is_collision() && tries < TRIES_MAX => tries += 1,
                    done => return done,
                }
            }
        })
        .await
    }
}

/// How often a transaction is tried that meets others on its way.
const TRIES_MAX: u32 = 5;
