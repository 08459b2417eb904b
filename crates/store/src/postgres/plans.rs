//! [`Plans`]: what people see of breakers and release plans, and what they may do about them.

mod told;

use super::Postgres;
use super::fault::Fault;
use super::partitions::HISTORY;
use super::repairs::{self, Pick, Repairs, Setting};
use super::rows;
use super::submit::{notify, shard};
use super::working::Working;
use async_trait::async_trait;
use deadpool_postgres::Transaction;
use domain::breaker::{Breaker, Scope};
use domain::filter::Query;
use domain::names::StageName;
use domain::plan::{By, Choice, Draft, Order, Plan, PlanId, Release, Selection, Terms};
use domain::ports::{PLANS_MAX, PlanError, PlanOrder, Plans, StoreError, Tripped};
use domain::ticket::TicketId;
use std::collections::BTreeSet;
use tokio_postgres::Row;
use told::Told;

const BREAKERS: &str = "SELECT stage, scope, body FROM breakers
 WHERE $1::text IS NULL OR stage = $1 ORDER BY stage, scope";
const PLANS: &str = "SELECT body FROM plans ORDER BY seq DESC LIMIT $1";
const PLAN: &str = "SELECT body FROM plans WHERE id = $1";

/// How many tickets are given up with one statement.
const DROP_SLICE: usize = 1_000;

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
        let carried_out = self.call_again(|| self.order_once(id, &order, by)).await;
        carried_out?
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

    async fn freeze(&self, query: &Query, terms: &Terms, by: &str) -> Result<Plan, Fault> {
        let setting = self.setting();
        let now = setting.now;
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        let mut repairs = Repairs::take(&tx, setting, BTreeSet::new()).await?;
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
        repairs.replaced(plan.clone(), true);
        repairs.finish(&tx).await?;
        tx.commit().await?;
        Ok(plan)
    }

    async fn order_once(&self, id: PlanId, order: &PlanOrder, by: &str) -> Answered {
        let setting = self.setting();
        let now = setting.now;
        let mut client = self.client().await?;
        let days = &self.shared.days;
        days.cover(&client, HISTORY, [now].into_iter(), now).await?;
        let tx = client.transaction().await?;
        let mut repairs = Repairs::take(&tx, setting, BTreeSet::new()).await?;
        let Some(row) = tx.query_opt(PLAN, &[&id.uuid()]).await? else {
            return Ok(Err(PlanError::Unknown(id)));
        };
        let mut plan = repairs::read_plan(&row)?;
        let who = By { who: by, at: now };
        let done = match order {
            PlanOrder::Release(choice, terms) => {
                let (left, out) = repairs::left_and_out(&tx, &plan).await?;
                plan.counted(left, out, now);
                let count = repairs::count(&tx, pick(&plan, choice)).await?;
                let wanted = Release {
                    choice: choice.clone(),
                    count,
                    terms: terms.clone(),
                };
                plan.release(wanted, who)
            }
            PlanOrder::Pause => plan.pause(who),
            PlanOrder::Resume => plan.resume(who),
            PlanOrder::Stop => plan.stop(who),
            PlanOrder::Drop(choice, reason) => match plan.drop_of(choice, reason, who) {
                Ok(()) => {
                    let why = (reason.as_str(), by);
                    let count = give_up(&tx, setting, (&plan, choice), why).await?;
                    plan.dropped(count, now);
                    Ok(())
                }
                refused => refused,
            },
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

const fn pick<'a>(plan: &'a Plan, choice: &'a Choice) -> Pick<'a> {
    Pick {
        selection: &plan.selection,
        choice,
        order: Order::OldestFirst,
    }
}

/// Gives up the tickets that are left of this choice; returns how many.
async fn give_up(
    tx: &Transaction<'_>,
    setting: Setting<'_>,
    (plan, choice): (&Plan, &Choice),
    (reason, by): (&str, &str),
) -> Result<u64, Fault> {
    let mut count = 0;
    loop {
        let ids = repairs::find(tx, pick(plan, choice), DROP_SLICE).await?;
        if ids.is_empty() {
            return Ok(count);
        }
        let mut working = Working::load(tx, ids.clone()).await?;
        for id in &ids {
            drop_one(&mut working, *id, (setting, plan.id), (reason, by));
        }
        super::keys::pass_on(tx, &mut working, setting.now).await?;
        working.write(tx, setting.shard).await?;
        count += ids.len() as u64;
    }
}

fn drop_one(
    working: &mut Working,
    id: TicketId,
    (setting, plan): (Setting<'_>, PlanId),
    (reason, by): (&str, &str),
) {
    let Some(placed) = working.get_mut(id) else {
        return;
    };
    placed.drop_for((reason.into(), by.into()), setting.now);
    let at = (placed.name, placed.stage.clone());
    let why = format!("by {by}, with plan {plan}: {reason}");
    working.tell(super::keys::note(at, setting.now, ("dropped", &why)));
}
