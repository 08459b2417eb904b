//! Who leads: whoever has the lock of its own connection, for as long as that connection lives.

use super::Postgres;
use super::connect::Connector;
use super::fault::Fault;
use super::ledger::Books;
use super::rows::{self, PUBLISHING};
use async_trait::async_trait;
use domain::names::Holder;
use domain::ports::{Election, Ledger, StoreError};
use domain::ticket::Name;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_postgres::Client;

/// Whoever holds it leads. The number is "goaround" in letters, but for the last.
const LEAD_LOCK: i64 = 0x676F_6172_6F75_6E66;
/// How often a candidate asks whether it may lead.
const STAND_EVERY: Duration = Duration::from_millis(500);
/// How often the leader asks whether its connection lives.
const PROVE_EVERY: Duration = Duration::from_secs(2);
/// How long that answer may take.
const PROOF_MAX: Duration = Duration::from_secs(5);

/// The server gives the lock of a dead or unreachable leader free after about ten seconds.
const SESSION: &str = "SET tcp_keepalives_idle = 4; SET tcp_keepalives_interval = 2;
     SET tcp_keepalives_count = 3; SET tcp_user_timeout = 10000;
     SET idle_session_timeout = 0; SET statement_timeout = '5s'";

/// The seat of the leader: dropped, its connection is closed and the lock is free.
pub(crate) struct Seat {
    is_lost: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Seat {
    /// Whether the connection is gone, and the lead with it.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::SeqCst)
    }

    /// Waits until nobody else leads.
    async fn take(connector: &Connector) -> Result<Self, Fault> {
        let (client, wire) = connector.connect().await?;
        let is_lost = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let lost = Arc::clone(&is_lost);
        tasks.spawn(async move {
            if let Err(error) = wire.await {
                tracing::warn!("the connection that holds the lead ended: {error}");
            }
            lost.store(true, Ordering::SeqCst);
        });
        client.batch_execute(SESSION).await?;
        let ask = "SELECT pg_try_advisory_lock($1)";
        while !client
            .query_one(ask, &[&LEAD_LOCK])
            .await?
            .try_get::<_, bool>(0)?
        {
            tokio::time::sleep(STAND_EVERY).await;
        }
        tasks.spawn(prove(client, Arc::clone(&is_lost)));
        Ok(Self {
            is_lost,
            _tasks: tasks,
        })
    }
}

/// Asks again and again whether the connection lives; a cut network says nothing by itself.
async fn prove(client: Client, is_lost: Arc<AtomicBool>) {
    loop {
        tokio::time::sleep(PROVE_EVERY).await;
        let proof = tokio::time::timeout(PROOF_MAX, client.simple_query("SELECT 1")).await;
        if !matches!(proof, Ok(Ok(_))) {
            is_lost.store(true, Ordering::SeqCst);
            return;
        }
    }
}

#[async_trait]
impl Election for Postgres {
    async fn lead(&self) -> Result<Arc<dyn Ledger>, StoreError> {
        let connector = &self.shared.connector;
        let seat = Seat::take(connector).await;
        let seat = seat.map_err(|fault| fault.into_store_error(connector.place()))?;
        let term = self.call_again(|| self.begin_term()).await?;
        Ok(Arc::new(Books::new(self.clone(), term, seat)))
    }

    async fn holders(&self) -> Result<Vec<Holder>, StoreError> {
        self.call(async {
            let client = self.client().await?;
            let query = "SELECT DISTINCT holder FROM attempts ORDER BY holder";
            let found = client.query(query, &[]).await?;
            let holder = |row: &tokio_postgres::Row| rows::parsed(row.try_get(0)?, Holder::new);
            found.iter().map(holder).collect()
        })
        .await
    }

    async fn stranded(&self) -> Result<Vec<Name>, StoreError> {
        self.call(async {
            let client = self.client().await?;
            let query = "SELECT id, generation, hop, attempt FROM places \
                         WHERE state IN (1, 5) AND state = $1";
            let found = client.query(query, &[&PUBLISHING]).await?;
            let named = |row: &tokio_postgres::Row| {
                let name = rows::ticket_id(row, 0).and_then(|id| rows::name(row, id, 1));
                let told = |fault: &Fault| {
                    tracing::error!("a damaged row stays where it is: {fault}");
                };
                name.inspect_err(told).ok()
            };
            Ok(found.iter().filter_map(named).collect())
        })
        .await
    }

    async fn attention(&self) {
        self.shared.attention.wait().await;
    }
}

impl Postgres {
    /// Raises the term, so that nobody else's transactions count any more.
    async fn begin_term(&self) -> Result<i64, Fault> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        let raise = "UPDATE leader SET term = term + 1, holder = $1 RETURNING term";
        let holder = self.shared.holder.as_str();
        let term = tx.query_one(raise, &[&holder]).await?.try_get(0)?;
        tx.commit().await?;
        Ok(term)
    }
}
