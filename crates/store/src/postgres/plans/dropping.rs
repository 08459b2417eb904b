//! The tickets of a plan given up, a slice in each transaction: the lock of breakers and plans is
//! never held for long, however many there are.
//!
//! Whatever breaks it off in between leaves a plan that says how many were given up so far; the
//! others wait on, and can be dropped again.

use super::{Answered, pick, read};
use crate::postgres::Postgres;
use crate::postgres::fault::Fault;
use crate::postgres::keys;
use crate::postgres::partitions::HISTORY;
use crate::postgres::repairs::{self, Repairs, Setting};
use crate::postgres::submit::notify;
use crate::postgres::working::Working;
use deadpool_postgres::Transaction;
use domain::plan::{By, Choice, Plan, PlanId, Refusal};
use domain::ports::PlanError;
use domain::ticket::TicketId;
use std::collections::BTreeSet;

/// How many tickets are given up in one transaction.
const SLICE: usize = 1_000;

/// Which are to be given up, and why.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    plan: PlanId,
    choice: &'a Choice,
    reason: &'a str,
    by: &'a str,
    /// The plan's trail says so already.
    is_noted: bool,
}

impl Postgres {
    /// Gives up what is left of the choice; returns the plan as it is then.
    ///
    /// # Errors
    /// [`PlanError`]. Nothing has changed, unless it came after the first slice: from the store, or
    /// because somebody has begun to release the others meanwhile.
    pub(super) async fn give_up(
        &self,
        plan: PlanId,
        (choice, reason): (&Choice, &str),
        by: &str,
    ) -> Result<Plan, PlanError> {
        let mut wanted = Wanted {
            plan,
            choice,
            reason,
            by,
            is_noted: false,
        };
        let mut before = self.call_again(|| self.give_up_some(wanted)).await??;
        wanted.is_noted = true;
        loop {
            let next = self.call_again(|| self.give_up_some(wanted)).await?;
            let now = match next {
                // The slice before was the last.
                Err(PlanError::Refused(Refusal::Done)) => return Ok(before),
                next => next?,
            };
            if now.counts.dropped == before.counts.dropped {
                return Ok(now);
            }
            before = now;
        }
    }

    async fn give_up_some(&self, wanted: Wanted<'_>) -> Answered {
        let setting = self.setting();
        let now = setting.now;
        let mut client = self.client().await?;
        let days = &self.shared.days;
        days.cover(&client, HISTORY, [now].into_iter(), now).await?;
        let tx = client.transaction().await?;
        let is_unique = |stage| keys::is_unique(setting.flows, stage);
        let mut stages = setting.flows.stages().into_iter();
        if stages.any(|stage| is_unique(&stage.name)) {
            keys::lock(&tx).await?;
        }
        let mut repairs = Repairs::take(&tx, setting, BTreeSet::new()).await?;
        let Some(mut plan) = read(&tx, wanted.plan).await? else {
            return Ok(Err(PlanError::Unknown(wanted.plan)));
        };
        if let Err(refusal) = allow(&mut plan, wanted, setting) {
            return Ok(Err(PlanError::Refused(refusal)));
        }
        let count = give_up(&tx, setting, (&plan, wanted)).await?;
        if count == 0 && wanted.is_noted {
            return Ok(Ok(plan));
        }
        plan.dropped(count, now);
        repairs.replaced(plan.clone(), false);
        repairs.finish(&tx).await?;
        notify(&tx).await?;
        tx.commit().await?;
        Ok(Ok(plan))
    }
}

/// Whether the plan allows it still; the first to ask notes it in the trail.
fn allow(plan: &mut Plan, wanted: Wanted<'_>, setting: Setting<'_>) -> Result<(), Refusal> {
    let (who, at) = (wanted.by, setting.now);
    let by = By { who, at };
    match wanted.is_noted {
        true => plan.clone().drop_of(wanted.choice, wanted.reason, by),
        false => plan.drop_of(wanted.choice, wanted.reason, by),
    }
}

/// Gives up the next of these; returns how many.
async fn give_up(
    tx: &Transaction<'_>,
    setting: Setting<'_>,
    (plan, wanted): (&Plan, Wanted<'_>),
) -> Result<u64, Fault> {
    let ids = repairs::find(tx, pick(plan, wanted.choice), SLICE).await?;
    let mut working = Working::load(tx, ids.clone()).await?;
    for id in &ids {
        drop_one(&mut working, *id, (setting, wanted));
    }
    keys::pass_on(tx, &mut working, setting.now).await?;
    working.write(tx, setting.shard).await?;
    Ok(ids.len() as u64)
}

fn drop_one(working: &mut Working, id: TicketId, (setting, wanted): (Setting<'_>, Wanted<'_>)) {
    let Some(placed) = working.get_mut(id) else {
        return;
    };
    let Wanted {
        plan, reason, by, ..
    } = wanted;
    placed.drop_for((reason.into(), by.into()), setting.now);
    let at = (placed.name, placed.stage.clone());
    let why = format!("by {by}, with plan {plan}: {reason}");
    working.tell(keys::note(at, setting.now, ("dropped", &why)));
}
