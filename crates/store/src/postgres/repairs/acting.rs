//! What breakers want, carried out.

use super::moving::{Freed, held, is_queued, lock_readable, queued};
use super::releasing::refused;
use super::{BY, Carried, Repairs, Todo};
use crate::postgres::fault::Fault;
use deadpool_postgres::Transaction;
use domain::breaker::{Action, Canary, Probe, Scope, State};
use domain::names::{StageName, Version};
use domain::plan::{
    By, Choice, Draft, Plan, PlanId, Ramp, Release, Selection, Source, State as PlanState, Terms,
    Why,
};
use domain::signature::SignatureId;
use domain::wait::Reason;

impl Repairs<'_> {
    pub(super) async fn act(
        &mut self,
        tx: &Transaction<'_>,
        stage: &StageName,
        action: Action,
    ) -> Result<(), Fault> {
        match action {
            Action::Hold { scope, why } => self.hold_all(tx, stage, (scope, why)).await,
            Action::Probe(probe) => self.probe(tx, stage, probe).await,
            Action::Check { scope, canary } => self.check(tx, stage, (scope, canary)).await,
            Action::StartPlan { scope, terms, .. } => {
                self.start_plan(tx, stage, (scope, terms)).await
            }
            Action::StopPlan { plan, why } => self.stop_plan(tx, plan, why).await,
            Action::Close { scope } => self.close_all(tx, stage, scope).await,
        }
    }

    fn holds(&self, stage: &StageName, scope: Scope) -> bool {
        let post = self.posts.get(stage);
        let breaker = post.and_then(|post| post.board.breaker(scope));
        breaker.is_some_and(|breaker| breaker.holds())
    }

    /// The canary of this number that nobody has sent yet.
    fn is_wanted(&self, stage: &StageName, probe: &Probe) -> bool {
        let post = self.posts.get(stage);
        let breaker = post.and_then(|post| post.board.breaker(probe.scope));
        let canary = breaker.and_then(|breaker| breaker.canary());
        canary.is_some_and(|canary| canary.number == probe.number && canary.name.is_none())
    }

    async fn hold_all(
        &mut self,
        tx: &Transaction<'_>,
        stage: &StageName,
        (scope, why): (Scope, String),
    ) -> Result<(), Fault> {
        if !self.holds(stage, scope) {
            return Ok(());
        }
        tracing::warn!(stage = %stage, "stage {stage}: {scope} is held: {why}");
        match scope {
            Scope::Stage => {
                self.shut(stage, why);
                Ok(())
            }
            Scope::Signature(signature) => self.hold(tx, (stage, signature), &why).await,
        }
    }

    async fn probe(
        &mut self,
        tx: &Transaction<'_>,
        stage: &StageName,
        probe: Probe,
    ) -> Result<(), Fault> {
        if !self.is_wanted(stage, &probe) {
            return Ok(());
        }
        match probe.scope {
            Scope::Stage => self.probe_stage(tx, stage, &probe).await,
            Scope::Signature(signature) => self.probe_held(tx, stage, (signature, &probe)).await,
        }
    }

    async fn probe_held(
        &mut self,
        tx: &Transaction<'_>,
        stage: &StageName,
        (signature, probe): (SignatureId, &Probe),
    ) -> Result<(), Fault> {
        let now = self.setting.now;
        let found = self.oldest_held(tx, stage, Some(signature)).await?;
        let mut sent = Vec::new();
        if let Some(id) = found {
            let on = probe.wants.as_ref().map(|it| format!(" on {it}"));
            let why = format!("canary for {signature}{}", on.unwrap_or_default());
            let freed = (Freed::Canary, why.as_str(), probe.avoid.as_slice());
            let working = lock_readable(tx, &[id]).await?;
            sent = self.let_go(tx, (working, &[id]), freed).await?;
        }
        let Some(post) = self.posts.get_mut(stage) else {
            return Ok(());
        };
        match sent.first() {
            Some(name) => post.board.sent(probe.scope, probe.number, *name),
            None => {
                let actions = post.board.nobody(probe.scope, probe.number, now);
                self.want(stage, actions);
            }
        }
        Ok(())
    }

    /// A permit, and a held ticket for it if nothing else is there.
    async fn probe_stage(
        &mut self,
        tx: &Transaction<'_>,
        stage: &StageName,
        probe: &Probe,
    ) -> Result<(), Fault> {
        self.permit(tx, stage, probe.wants.as_ref()).await?;
        self.feed(tx, stage, &probe.avoid).await
    }

    /// Whether a stage's permit is out that nobody has come for yet. Its holder may have used it on
    /// a copy that was cancelled on its way, or was handed back: no start is heard of then. So if
    /// there was something to take for a whole interval, it counts as lost, and the next one comes
    /// with a higher number, and with a held ticket if the queue is empty.
    async fn is_awaited(&self, tx: &Transaction<'_>, stage: &StageName) -> Result<bool, Fault> {
        let is_left = self.is_permitted(tx, stage).await?
            && !is_queued(tx, stage).await?
            && self.oldest_held(tx, stage, None).await?.is_none();
        Ok(is_left)
    }

    /// A stage whose queue is empty probes with a ticket that is held.
    async fn feed(
        &mut self,
        tx: &Transaction<'_>,
        stage: &StageName,
        avoid: &[Version],
    ) -> Result<(), Fault> {
        if is_queued(tx, stage).await? {
            return Ok(());
        }
        if let Some(id) = self.oldest_held(tx, stage, None).await? {
            let why = format!("canary for stage {stage}, whose queue is empty");
            let working = lock_readable(tx, &[id]).await?;
            let freed = (Freed::Canary, why.as_str(), avoid);
            self.let_go(tx, (working, &[id]), freed).await?;
        }
        Ok(())
    }

    async fn check(
        &mut self,
        tx: &Transaction<'_>,
        stage: &StageName,
        (scope, canary): (Scope, Canary),
    ) -> Result<(), Fault> {
        let is_out = match (&canary.name, scope) {
            (Some(name), _) => Self::is_out(tx, scope, name).await?,
            (None, Scope::Stage) => self.is_awaited(tx, stage).await?,
            (None, Scope::Signature(_)) => false,
        };
        let now = self.setting.now;
        let Some(post) = self.posts.get_mut(stage) else {
            return Ok(());
        };
        if is_out {
            post.board.still_out(scope, canary.number, now);
            return Ok(());
        }
        let actions = post.board.lost(scope, canary.number, now);
        self.want(stage, actions);
        Ok(())
    }

    async fn start_plan(
        &mut self,
        tx: &Transaction<'_>,
        stage: &StageName,
        (scope, mut terms): (Scope, Terms),
    ) -> Result<(), Fault> {
        let now = self.setting.now;
        let post = self.posts.get(stage);
        let state = post
            .and_then(|post| post.board.breaker(scope))
            .map(|it| &it.state);
        if !matches!(state, Some(State::Releasing { plan: None, .. })) {
            return Ok(());
        }
        let selection = self.selected(tx, stage, scope).await?;
        let (source, count) = (selection.source, selection.count);
        if source == Source::Queue {
            // It is released as a whole: its breaker sees when it fails again.
            terms.ramp = Ramp::none();
            self.open(stage);
        }
        let by = By { who: BY, at: now };
        let id = self.new_plan_id();
        let mut plan = Plan::new(Draft::repairing(id, scope, selection, terms), by);
        if count > 0 {
            let everything = Release {
                choice: Choice::Everything,
                count,
                terms: None,
            };
            plan.release(everything, by)
                .map_err(|refusal| refused(&refusal))?;
        }
        if source == Source::Queue {
            let all = plan.released(plan.allow(now), now);
            all.map_err(|refusal| refused(&refusal))?;
        }
        tracing::info!(stage = %stage, "stage {stage}: {scope} is repaired, plan {id} releases {count}");
        if let Some(post) = self.posts.get_mut(stage) {
            post.board.plan_made(scope, id);
        }
        self.replaced(plan, true);
        Ok(())
    }

    /// What a plan of this breaker releases: what it holds, or the queue of its stage.
    async fn selected(
        &self,
        tx: &Transaction<'_>,
        stage: &StageName,
        scope: Scope,
    ) -> Result<Selection, Fault> {
        let now = self.setting.now;
        let (source, signature, count, cutoff) = match scope {
            Scope::Signature(signature) => {
                let (count, newest) = held(tx, stage, signature).await?;
                // By its worker's clock the newest may wait since a time that has yet to come.
                let cutoff = newest.map_or(now, |newest| newest.max(now));
                let source = Source::Waiting(Reason::Held);
                (source, Some(signature), count, cutoff)
            }
            Scope::Stage => (Source::Queue, None, queued(tx, stage).await?, now),
        };
        Ok(Selection {
            source,
            stage: Some(stage.clone()),
            signature,
            filter: String::new(),
            cutoff,
            count,
        })
    }

    async fn stop_plan(&mut self, tx: &Transaction<'_>, id: PlanId, why: Why) -> Result<(), Fault> {
        let at = self.setting.now;
        if let Some(carried) = self.plan(tx, id).await? {
            // One that has ended meanwhile needs no stopping.
            carried.plan.halt(why, By { who: BY, at }).ok();
            carried.is_touched = true;
        }
        Ok(())
    }

    async fn close_all(
        &mut self,
        tx: &Transaction<'_>,
        stage: &StageName,
        scope: Scope,
    ) -> Result<(), Fault> {
        if self.holds(stage, scope) {
            return Ok(());
        }
        match scope {
            Scope::Stage => {
                self.open(stage);
                Ok(())
            }
            Scope::Signature(signature) => self.close(tx, (stage, &signature.to_string())).await,
        }
    }

    /// The breaker that waits for the plan hears what it is doing.
    pub(super) async fn plan_is(&mut self, tx: &Transaction<'_>, id: PlanId) -> Result<(), Fault> {
        let now = self.setting.now;
        let Some(Carried { plan, .. }) = self.plan(tx, id).await? else {
            return Ok(());
        };
        let (Some(scope), Some(stage)) = (plan.repairs, plan.selection.stage.clone()) else {
            return Ok(());
        };
        let state = plan.state.clone();
        if !matches!(state, PlanState::Done | PlanState::Stopped(_)) {
            return Ok(());
        }
        let left_behind = match scope {
            Scope::Signature(signature) => self.left_behind(tx, &stage, signature).await?,
            Scope::Stage => 0,
        };
        self.load_more(tx, [stage.clone()].into()).await?;
        if let Some(post) = self.posts.get_mut(&stage) {
            let actions = post.board.plan_is(scope, (id, &state), left_behind, now);
            self.want(&stage, actions);
        }
        Ok(())
    }

    /// How many are held that a plan can release. Where all that are left are damaged, there is
    /// nothing to make one of.
    async fn left_behind(
        &self,
        tx: &Transaction<'_>,
        stage: &StageName,
        signature: SignatureId,
    ) -> Result<u64, Fault> {
        let (count, _) = held(tx, stage, signature).await?;
        let is_any = count > 0
            && self
                .oldest_held(tx, stage, Some(signature))
                .await?
                .is_some();
        Ok(if is_any { count } else { 0 })
    }

    /// A ticket that the plan had released has ended an attempt, or never will.
    pub(super) async fn tell_end(
        &mut self,
        tx: &Transaction<'_>,
        id: PlanId,
        end: &domain::plan::TicketEnd,
    ) -> Result<(), Fault> {
        let now = self.setting.now;
        let Some(carried) = self.plan(tx, id).await? else {
            return Ok(());
        };
        let before = carried.plan.state.clone();
        carried.plan.ended(end, now);
        carried.is_touched = true;
        if carried.plan.state != before {
            self.todo.push_back(Todo::PlanIs(id));
        }
        Ok(())
    }
}
