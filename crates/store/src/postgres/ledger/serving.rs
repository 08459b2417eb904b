//! Who serves each stage, with which version of its handler.

use super::Books;
use crate::postgres::fault::Fault;
use crate::postgres::partitions::HISTORY;
use crate::postgres::repairs::{self, Repairs};
use crate::postgres::rows;
use crate::postgres::writing::execute;
use domain::names::{StageName, Version};
use domain::ports::{Due, Serving};
use domain::ticket::TicketId;
use domain::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The stages that somebody served when the leader last heard.
const KNOWN: &str = "SELECT stage FROM boards";
const FORGET: &str = "DELETE FROM servers";
const SERVE: &str = "INSERT INTO servers (stage, version, holder, kinds)
 SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) ON CONFLICT DO NOTHING";
const SERVED: &str = "SELECT DISTINCT stage, version FROM servers WHERE stage = ANY($1)";
/// One that somebody else has in hand is about to be moved, so it is passed over.
const UNBIND: &str = "WITH free AS (UPDATE places SET avoid = NULL
 WHERE id IN (SELECT id FROM places WHERE id = ANY($1) AND state = 2 AND avoid IS NOT NULL
   ORDER BY id FOR UPDATE SKIP LOCKED)
 RETURNING id, generation, hop, attempt, stage),
 told AS (INSERT INTO history (at, ticket, generation, hop, attempt, stage, what, why)
   SELECT $2, id, generation, hop, attempt, stage, 'unbound', $3 FROM free)
 SELECT id FROM free";
const NOBODY_ELSE: &str =
    "it was not to run on any of the versions that serve its stage; now it may run on each of them";

impl Books {
    /// Nobody else serves any stage. What breakers do about a new version is done at once: its
    /// canary is due when this returns.
    pub(super) async fn serves(&self, serving: &Serving, now: Timestamp) -> Result<(), Fault> {
        let mut client = self.client().await?;
        let days = &self.store.shared.days;
        days.cover(&client, HISTORY, [now].into_iter(), now).await?;
        let tx = self.begin(&mut client).await?;
        let mut repairs = Repairs::take(&tx, self.setting(now), BTreeSet::new()).await?;
        let mut stages: BTreeSet<StageName> = serving.keys().cloned().collect();
        stages.extend(repairs::readable(&tx.query(KNOWN, &[]).await?));
        repairs.load_more(&tx, stages).await?;
        let (mut names, mut versions) = (Vec::new(), Vec::new());
        let (mut holders, mut kinds) = (Vec::new(), Vec::new());
        for (stage, by_version) in serving {
            for (version, by) in by_version {
                for (holder, taken) in by {
                    names.push(stage.as_str());
                    versions.push(version.as_str());
                    holders.push(holder.as_str());
                    kinds.push(taken.as_ref().map(rows::kinds));
                }
            }
        }
        execute(&tx, FORGET, &[]).await?;
        execute(&tx, SERVE, &[&names, &versions, &holders, &kinds]).await?;
        repairs.serving(serving);
        let repaired = repairs.finish(&tx).await?;
        tx.commit().await?;
        if repaired.is_news {
            self.wake();
        }
        Ok(())
    }

    /// What is due goes to whoever serves its stage, if those are only versions that it was to
    /// avoid: the one that it was for is gone, and the others would hand it back without end.
    pub(super) async fn unbind(&self, due: &mut [Due], now: Timestamp) {
        if due.iter().all(|due| due.avoid.is_empty()) {
            return;
        }
        match self.unbind_in_books(due, now).await {
            Ok(unbound) => {
                let unbound = |due: &&mut Due| unbound.contains(&due.ticket.id());
                due.iter_mut()
                    .filter(unbound)
                    .for_each(|due| due.avoid.clear());
            }
            Err(fault) => {
                tracing::error!("due tickets keep the versions that they avoid for now: {fault}");
            }
        }
    }

    async fn unbind_in_books(
        &self,
        due: &[Due],
        now: Timestamp,
    ) -> Result<BTreeSet<TicketId>, Fault> {
        let mut client = self.client().await?;
        let days = &self.store.shared.days;
        days.cover(&client, HISTORY, [now].into_iter(), now).await?;
        let tx = self.begin(&mut client).await?;
        let picky = || due.iter().filter(|due| !due.avoid.is_empty());
        let stages: BTreeSet<&str> = picky().map(|due| due.ticket.stage.as_str()).collect();
        let stages: Vec<&str> = stages.into_iter().collect();
        let query = tx.prepare_cached(SERVED).await?;
        let mut served: BTreeMap<StageName, BTreeSet<Version>> = BTreeMap::new();
        for row in tx.query(&query, &[&stages]).await? {
            let stage = rows::parsed(row.try_get(0)?, StageName::new)?;
            let version = rows::parsed(row.try_get(1)?, Version::new)?;
            served.entry(stage).or_default().insert(version);
        }
        let has_nobody = |due: &&Due| {
            let here = served.get(&due.ticket.stage);
            here.is_some_and(|here| here.iter().all(|version| due.avoid.contains(version)))
        };
        let bound = picky().filter(has_nobody);
        let bound: Vec<Uuid> = bound.map(|due| due.ticket.id().uuid()).collect();
        let mut unbound = BTreeSet::new();
        if !bound.is_empty() {
            let query = tx.prepare_cached(UNBIND).await?;
            let at = now.as_micros();
            for row in tx.query(&query, &[&bound, &at, &NOBODY_ELSE]).await? {
                unbound.insert(rows::ticket_id(&row, 0)?);
            }
            tx.commit().await?;
        }
        Ok(unbound)
    }
}
