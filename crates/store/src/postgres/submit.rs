//! New tickets from publishers: durable in the store, and published by the leader at once.

use super::Postgres;
use super::attention::CHANNEL;
use super::fault::Fault;
use super::keys;
use super::partitions::HISTORY;
use super::rows::Placed;
use super::working::Working;
use deadpool_postgres::Transaction;
use domain::names::Holder;
use domain::ports::{Accepted, StoreError};
use domain::ticket::Ticket;
use domain::wait::{Condition, Wait};

/// Why a ticket waits that nobody has published yet.
pub(crate) const SUBMITTED: &str = "it was submitted";
/// The shard of the sums that the leader adds to.
pub(crate) const LEDGER_SHARD: i16 = 0;
/// How many shards all the others share.
const SHARDS: i16 = 15;

/// The shard of the sums that this process adds to when it does not lead.
pub(crate) fn shard(holder: &Holder) -> i16 {
    let sum: i64 = holder.as_str().bytes().map(i64::from).sum();
    1 + i16::try_from(sum % i64::from(SHARDS)).unwrap_or(0)
}

/// Tells the leader, once this transaction is durable, that there is something new.
pub(crate) async fn notify(tx: &Transaction<'_>) -> Result<(), Fault> {
    let statement = tx.prepare_cached("SELECT pg_notify($1, '')").await?;
    tx.execute(&statement, &[&CHANNEL]).await?;
    Ok(())
}

impl Postgres {
    /// Accepts a group of tickets in one transaction. Answers in the order of the group.
    pub(crate) async fn accept(&self, tickets: Vec<Ticket>) -> Result<Vec<Accepted>, StoreError> {
        if tickets.is_empty() {
            return Ok(Vec::new());
        }
        self.call_again(|| self.accept_once(&tickets)).await
    }

    async fn accept_once(&self, tickets: &[Ticket]) -> Result<Vec<Accepted>, Fault> {
        let shared = &self.shared;
        let now = shared.clock.now();
        let mut client = self.client().await?;
        let days = &shared.days;
        days.cover(&client, HISTORY, [now].into_iter(), now).await?;
        let tx = client.transaction().await?;
        let is_unique = |ticket: &Ticket| keys::is_unique(&shared.flows, &ticket.stage);
        if tickets.iter().any(is_unique) {
            keys::lock(&tx).await?;
        }
        let ids = tickets.iter().map(Ticket::id).collect();
        let mut working = Working::load(&tx, ids).await?;
        let mut answers = Vec::with_capacity(tickets.len());
        let mut new = Vec::new();
        for ticket in tickets {
            let id = ticket.id();
            if working.get(id).is_some() {
                answers.push(Accepted::Known(id));
                continue;
            }
            let wait = Wait {
                condition: Condition::NotNow { until: now },
                since: now,
                because: SUBMITTED.into(),
                oops: None,
            };
            working.put(Placed::waiting(ticket.name, ticket.stage.clone(), wait));
            working.show(ticket);
            answers.push(Accepted::New(id));
            new.push(ticket);
        }
        if !new.is_empty() {
            keys::admit(&tx, &mut working, &shared.flows, (&new, now)).await?;
            working.write(&tx, shard(&shared.holder)).await?;
            notify(&tx).await?;
            tx.commit().await?;
        }
        Ok(answers)
    }
}
