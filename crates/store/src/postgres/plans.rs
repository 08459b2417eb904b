//! [`Plans`]: what people see of breakers and release plans, and what they may do about them.

mod dropping;
mod told;

use super::Postgres;
use super::fault::Fault;
use super::partitions::HISTORY;
use super::repairs::{self, Pick, Repairs, Setting};
use super::rows;
use super::submit::{notify, shard};
use async_trait::async_trait;
use deadpool_postgres::Transaction;
use domain::breaker::{Breaker, Scope};
use domain::filter::Query;
use domain::names::StageName;
use domain::plan::{By, Choice, Draft, Order, Plan, PlanId, Release, Selection, Terms};
use domain::ports::{PLANS_MAX, PlanError, PlanOrder, Plans, StoreError, Tripped};
use std::collections::BTreeSet;
use tokio_postgres::Row;
use told::Told;

const BREAKERS: &str = "SELECT stage, scope, body FROM breakers
 WHERE $1::text IS NULL OR stage = $1 ORDER BY stage, scope";
const PLANS: &str = "SELECT body FROM plans ORDER BY seq DESC LIMIT $1";
const PLAN: &str = "SELECT body FROM plans WHERE id = $1";

/// What a transaction answers, when it may refuse.
type Answered = Result<Result<Plan, PlanError>, Fault>;

#[async_trait]
impl Plans for Postgres {
    async fn tripped(&self, stage: Option<StageName>) -> Result<Vec<Tripped>, StoreError> {
        self.call(self.read_tripped(stage.as_ref())).await
    }

    async fn probe(&self, stage: &StageName, scope: Scope) -> Result<bool, StoreError> {
        self.call_again(|| self.probe_now(stage, scope)).await
    }

    async fn plans(&self) -> Result<Vec<Plan>, StoreError> {
        self.call(async {
            let client = self.client().await?;
            let most = i64::try_from(PLANS_MAX).unwrap_or(i64::MAX);
            let rows = client.query(PLANS, &[&most]).await?;
            Ok(rows.iter().filter_map(readable).collect())
        })
        .await
    }

    async fn plan(&self, id: PlanId) -> Result<Option<Plan>, StoreError> {
        self.call(async {
            let client = self.client().await?;
            let row = client.query_opt(PLAN, &[&id.uuid()]).await?;
            row.as_ref().map(repairs::read_plan).transpose()
        })
        .await
    }

    async fn make(&self, query: Query, terms: Terms, by: &str) -> Result<Plan, StoreError> {
        self.call_again(|| self.freeze(&query, &terms, by)).await
    }

    async fn order(&self, id: PlanId, order: PlanOrder, by: &str) -> Result<Plan, PlanError> {
        let deed = match &order {
            PlanOrder::Release(choice, terms) => Deed::Release(choice, terms.as_ref()),
            PlanOrder::Pause => Deed::Pause,
            PlanOrder::Resume => Deed::Resume,
            PlanOrder::Stop => Deed::Stop,
            PlanOrder::Drop(choice, reason) => {
                return self.give_up(id, (choice, reason), by).await;
            }
        };
        self.call_again(|| self.order_once(id, deed, by)).await?
    }
}

/// A plan that cannot be read must not hide the others.
fn readable(row: &Row) -> Option<Plan> {
    match repairs::read_plan(row) {
        Ok(plan) => Some(plan),
        Err(fault) => {
            tracing::error!("a release plan is not shown: {fault}");
            None
        }
    }
}

impl Postgres {
    pub(super) fn setting(&self) -> Setting<'_> {
        let shared = &self.shared;
        Setting {
            flows: &shared.flows,
            clock: &*shared.clock,
            shard: shard(&shared.holder),
            now: shared.clock.now(),
        }
    }

    async fn read_tripped(&self, stage: Option<&StageName>) -> Result<Vec<Tripped>, Fault> {
        let mut client = self.client().await?;
        let moment = client.build_transaction().read_only(true);
        let tx = moment.start().await?;
        let wanted = stage.map(StageName::as_str);
        let mut breakers: Vec<(StageName, Breaker)> = Vec::new();
        for row in tx.query(BREAKERS, &[&wanted]).await? {
            let stage = rows::parsed(row.try_get(0)?, StageName::new)?;
            match repairs::breaker(&row)? {
                Ok(breaker) if !breaker.is_quiet() => breakers.push((stage, breaker)),
                Ok(_) => {}
                Err(why) => tracing::error!("a breaker of stage {stage} is not shown: {why}"),
            }
        }
        let told = Told::read(&tx, &breakers).await?;
        let tripped = breakers.into_iter().map(|it| told.tripped(it));
        Ok(tripped.collect())
    }

    async fn probe_now(&self, stage: &StageName, scope: Scope) -> Result<bool, Fault> {
        let setting = self.setting();
        let mut client = self.client().await?;
        let days = &self.shared.days;
        days.cover(&client, HISTORY, [setting.now].into_iter(), setting.now)
            .await?;
        let tx = client.transaction().await?;
        let mut repairs = Repairs::take(&tx, setting, [stage.clone()].into()).await?;
        if !repairs.ask(stage, scope) {
            return Ok(false);
        }
        repairs.finish(&tx).await?;
        notify(&tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The tickets are told apart before the lock is taken, on which the leader waits for breakers
    /// and plans: what moves meanwhile is like what moves right after.
    async fn freeze(&self, query: &Query, terms: &Terms, by: &str) -> Result<Plan, Fault> {
        let setting = self.setting();
        let now = setting.now;
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        let mut selection = Selection::asked(query, now);
        let (count, groups) = repairs::groups(&tx, &selection).await?;
        selection.count = count;
        let draft = Draft {
            id: PlanId::new(setting.clock.ticket_id().uuid()),
            selection,
            groups,
            terms: terms.clone(),
            repairs: None,
        };
        let plan = Plan::new(draft, By { who: by, at: now });
        let mut repairs = Repairs::take(&tx, setting, BTreeSet::new()).await?;
        repairs.replaced(plan.clone(), true);
        repairs.finish(&tx).await?;
        tx.commit().await?;
        Ok(plan)
    }

    async fn order_once(&self, id: PlanId, order: Deed<'_>, by: &str) -> Answered {
        let setting = self.setting();
        let now = setting.now;
        let mut client = self.client().await?;
        let days = &self.shared.days;
        days.cover(&client, HISTORY, [now].into_iter(), now).await?;
        let tx = client.transaction().await?;
        let left = match &order {
            Deed::Release(choice, _) => left(&tx, id, choice).await?,
            Deed::Pause | Deed::Resume | Deed::Stop => Left::default(),
        };
        let mut repairs = Repairs::take(&tx, setting, BTreeSet::new()).await?;
        let Some(mut plan) = read(&tx, id).await? else {
            return Ok(Err(PlanError::Unknown(id)));
        };
        let who = By { who: by, at: now };
        let done = match order {
            Deed::Release(choice, terms) => {
                let out = repairs::out(&tx, &plan).await?;
                plan.counted(left.all, out, now);
                let wanted = Release {
                    choice: choice.clone(),
                    count: left.chosen,
                    terms: terms.cloned(),
                };
                plan.release(wanted, who)
            }
            Deed::Pause => plan.pause(who),
            Deed::Resume => plan.resume(who),
            Deed::Stop => plan.stop(who),
        };
        if let Err(refusal) = done {
            return Ok(Err(PlanError::Refused(refusal)));
        }
        repairs.replaced(plan.clone(), false);
        repairs.finish(&tx).await?;
        notify(&tx).await?;
        tx.commit().await?;
        Ok(Ok(plan))
    }
}

/// What is done to a plan with one transaction.
#[derive(Clone, Copy)]
enum Deed<'a> {
    Release(&'a Choice, Option<&'a Terms>),
    Pause,
    Resume,
    Stop,
}

/// How many of a plan's tickets are left, and of those that were chosen.
#[derive(Clone, Copy, Default)]
struct Left {
    all: u64,
    chosen: u64,
}

/// Counts what is left of a plan, before the lock is taken: what waits since before a plan was made
/// only becomes less, and a plan puts up with having been told too many.
async fn left(tx: &Transaction<'_>, id: PlanId, choice: &Choice) -> Result<Left, Fault> {
    let Some(plan) = read(tx, id).await? else {
        return Ok(Left::default());
    };
    let all = repairs::count(tx, Pick::all(&plan.selection)).await?;
    let chosen = match choice {
        Choice::Everything => all,
        Choice::Group(_) => repairs::count(tx, pick(&plan, choice)).await?,
    };
    Ok(Left { all, chosen })
}

async fn read(tx: &Transaction<'_>, id: PlanId) -> Result<Option<Plan>, Fault> {
    let row = tx.query_opt(PLAN, &[&id.uuid()]).await?;
    row.as_ref().map(repairs::read_plan).transpose()
}

const fn pick<'a>(plan: &'a Plan, choice: &'a Choice) -> Pick<'a> {
    Pick {
        selection: &plan.selection,
        choice,
        order: Order::OldestFirst,
    }
}
