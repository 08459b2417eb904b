//! [`Ledger`]: the books in the hands of the one that leads. Each call is one transaction, which
//! proves first that the term is not over.

mod applying;
mod burial;
mod deaths;
mod dues;
mod forgetting;
mod hearing;
mod judging;
mod rounds;
mod sending;
mod serving;

#[cfg(test)]
pub(crate) use dues::{DUE, NEXT, OVERDUE, SUSPECTS, TRIALS};
#[cfg(test)]
pub(crate) use forgetting::{FORGET_PLACES, FORGET_TICKETS, OLDEST};

use super::Postgres;
use super::election::Seat;
use super::fault::Fault;
use super::repairs::{self, Alert, Setting};
use super::submit::LEDGER_SHARD;
use async_trait::async_trait;
use deadpool_postgres::{Object, Transaction};
use domain::names::Holder;
use domain::oops::Report;
use domain::ports::{Applied, Dues, Ledger, Registry, Retention, Sent, Serving, StoreError};
use domain::record::Record;
use domain::ticket::Name;
use domain::time::Timestamp;
use domain::verdict::{Case, Verdict};
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

/// The row is shared by every transaction of a term, so that the next term waits for them.
const TERM: &str = "SELECT term, holder FROM leader FOR SHARE";

/// The books of one term.
pub(crate) struct Books {
    store: Postgres,
    term: i64,
    seat: Seat,
    /// Whether this term has looked for tickets that are held by nobody.
    is_swept: AtomicBool,
}

impl Books {
    pub(crate) const fn new(store: Postgres, term: i64, seat: Seat) -> Self {
        Self {
            store,
            term,
            seat,
            is_swept: AtomicBool::new(false),
        }
    }

    fn now(&self) -> Timestamp {
        self.store.shared.clock.now()
    }

    /// A connection, unless the lead is lost already.
    async fn client(&self) -> Result<Object, Fault> {
        if self.seat.is_lost() {
            return Err(over("the connection that holds the lead is lost".into()));
        }
        self.store.client().await
    }

    /// A transaction of this term.
    async fn begin<'c>(&self, client: &'c mut Object) -> Result<Transaction<'c>, Fault> {
        let tx = client.transaction().await?;
        self.prove(&tx).await?;
        Ok(tx)
    }

    /// Proves that the term is not over.
    async fn prove(&self, tx: &Transaction<'_>) -> Result<(), Fault> {
        let query = tx.prepare_cached(TERM).await?;
        let row = tx.query_one(&query, &[]).await?;
        let term: i64 = row.try_get(0)?;
        if term != self.term {
            let holder: String = row.try_get(1)?;
            return Err(over(format!("{holder} leads now, in term {term}")));
        }
        Ok(())
    }

    /// The same, and what is not quiet: both are asked at once.
    async fn begin_alert<'c>(
        &self,
        client: &'c mut Object,
    ) -> Result<(Transaction<'c>, Alert), Fault> {
        let tx = client.transaction().await?;
        let (_, alert) = tokio::try_join!(self.prove(&tx), repairs::alert(&tx))?;
        Ok((tx, alert))
    }

    /// What breakers and plans need to know.
    fn setting(&self, now: Timestamp) -> Setting<'_> {
        Setting {
            flows: &self.store.shared.flows,
            clock: &*self.store.shared.clock,
            shard: LEDGER_SHARD,
            now,
        }
    }

    /// There is something for the leader itself to do.
    fn wake(&self) {
        self.store.shared.attention.wake();
    }
}

fn over(why: String) -> Fault {
    Fault::Said(StoreError::Unavailable(format!(
        "{why}: this controller's term is over, nothing was changed; it stands again by itself"
    )))
}

#[async_trait]
impl Registry for Books {
    async fn serving(&self, serving: Serving, now: Timestamp) -> Result<(), StoreError> {
        self.store.call_again(|| self.serves(&serving, now)).await
    }
}

#[async_trait]
impl Ledger for Books {
    async fn apply(&self, records: Vec<Record>) -> Result<Applied, StoreError> {
        if records.is_empty() {
            return Ok(Applied::default());
        }
        let store = &self.store;
        store.call_again(|| self.apply_once(&records)).await
    }

    async fn due(&self, now: Timestamp, max: NonZeroUsize) -> Result<Dues, StoreError> {
        self.store.call(self.find_due(now, max.get())).await
    }

    async fn sent(&self, tickets: Vec<(Name, Sent)>) -> Result<(), StoreError> {
        if tickets.is_empty() {
            return Ok(());
        }
        self.store.call_again(|| self.note_sent(&tickets)).await
    }

    async fn cases(&self, now: Timestamp, max: NonZeroUsize) -> Result<Vec<Case>, StoreError> {
        self.store.call(self.find_cases(now, max.get())).await
    }

    async fn judge(&self, verdicts: Vec<Verdict>) -> Result<u64, StoreError> {
        if verdicts.is_empty() {
            return Ok(0);
        }
        self.store.call_again(|| self.judge_once(&verdicts)).await
    }

    async fn bury(&self, holder: &Holder, now: Timestamp) -> Result<Vec<Report>, StoreError> {
        self.store.call_again(|| self.bury_once(holder, now)).await
    }

    async fn retain(&self, retention: Retention) -> Result<u64, StoreError> {
        self.store.call_again(|| self.forget(retention)).await
    }
}
