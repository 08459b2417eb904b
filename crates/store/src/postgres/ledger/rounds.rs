//! The round of the breakers and plans whose time has come. What it releases is due at once.

use super::Books;
use crate::postgres::fault::Fault;
use crate::postgres::partitions::HISTORY;
use crate::postgres::repairs::{self, Repairs};
use crate::postgres::rows;
use deadpool_postgres::Transaction;
use domain::names::StageName;
use domain::plan::PlanId;
use domain::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use uuid::Uuid;

pub(crate) const NEXT_REPAIR: &str = "SELECT least((SELECT min(next_at) FROM boards),
   (SELECT min(next_at) FROM plans WHERE next_at IS NOT NULL))";
const BOARDS: &str = "SELECT stage FROM boards WHERE next_at <= $1";
const PLANS: &str = "SELECT id FROM plans WHERE next_at <= $1 ORDER BY next_at LIMIT $2";

/// The most plans of one round; the others come with the next.
const PLANS_MAX: i64 = 64;
/// How often a round is tried that meets other transactions on its way.
const TRIES_MAX: u32 = 3;

/// When the next breaker or plan has something to do.
pub(super) async fn next_repair(tx: &Transaction<'_>) -> Result<Option<Timestamp>, Fault> {
    let query = tx.prepare_cached(NEXT_REPAIR).await?;
    rows::time(&tx.query_one(&query, &[]).await?, 0)
}

impl Books {
    /// Whether a round is to be made.
    pub(super) fn is_time(&self, next: Option<Timestamp>, now: Timestamp) -> bool {
        !self.is_swept.load(Ordering::SeqCst) || next.is_some_and(|next| next <= now)
    }

    /// Lets breakers and plans do what it is time for; at most `max` tickets of each
    /// plan are released. What goes wrong with it must not keep other tickets from being released.
    /// Returns whether something is left for the next round, which need not wait.
    pub(super) async fn repair(&self, now: Timestamp, max: usize) -> Result<bool, Fault> {
        let mut tries = 1;
        loop {
            match self.repair_once(now, max).await {
                Err(fault) if fault.is_collision() && tries < TRIES_MAX => tries += 1,
                Err(fault @ (Fault::Said(_) | Fault::Pool(_))) => return Err(fault),
                Err(fault) => {
                    tracing::error!("breakers and release plans rest for now: {fault}");
                    return Ok(false);
                }
                Ok(is_left) => return Ok(is_left),
            }
        }
    }

    async fn repair_once(&self, now: Timestamp, max: usize) -> Result<bool, Fault> {
        let mut client = self.client().await?;
        let days = &self.store.shared.days;
        days.cover(&client, HISTORY, [now].into_iter(), now).await?;
        let tx = self.begin(&mut client).await?;
        let repairs = Repairs::take(&tx, self.setting(now), BTreeSet::new()).await?;
        let mut repairs = repairs.by_rounds();
        if !self.is_swept.load(Ordering::SeqCst) {
            repairs::sweep(&tx, &mut repairs).await?;
        }
        let stages = due_stages(&tx, now).await?;
        repairs.load_more(&tx, stages).await?;
        repairs.tick();
        repairs.hold_rest(&tx).await?;
        for plan in due_plans(&tx, now).await? {
            repairs.release(plan, max);
        }
        let repaired = repairs.finish(&tx).await?;
        tx.commit().await?;
        self.is_swept.store(!repaired.is_left, Ordering::SeqCst);
        if repaired.control {
            self.wake();
        }
        Ok(repaired.is_left)
    }
}

async fn due_stages(tx: &Transaction<'_>, now: Timestamp) -> Result<BTreeSet<StageName>, Fault> {
    let rows = tx.query(BOARDS, &[&now.as_micros()]).await?;
    Ok(repairs::readable(&rows))
}

async fn due_plans(tx: &Transaction<'_>, now: Timestamp) -> Result<Vec<PlanId>, Fault> {
    let rows = tx.query(PLANS, &[&now.as_micros(), &PLANS_MAX]).await?;
    let id = |row: &tokio_postgres::Row| Ok(PlanId::new(row.try_get::<_, Uuid>(0)?));
    rows.iter().map(id).collect()
}
