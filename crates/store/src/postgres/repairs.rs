//! Breakers and release plans, as one transaction has them in hand: told what happens while its
//! tickets are moved in memory, and carried out when those are written.
//!
//! What a breaker wants is done at the end of the transaction, in the order in which it was wanted,
//! and only if the breaker still wants it: what happened after it in the same group may have
//! changed its mind.

mod acting;
mod gates;
mod moving;
mod picking;
mod releasing;
mod stored;
mod sweeping;

pub(super) use gates::Gated;
#[cfg(test)]
pub(super) use moving::{CLOSE, HELD, HOLD, HOLD_TRIALS, OLDEST_HELD};
pub(super) use moving::{is_told, lock_readable};
#[cfg(test)]
pub(super) use picking::asked;
pub(super) use picking::{Pick, count, find, groups};
pub(super) use releasing::out;
pub(super) use stored::{Alert, alert, breaker, read_plan, roster};
pub(super) use sweeping::{readable, sweep};

use super::fault::Fault;
use super::keys::note;
use super::rows::Placed;
use super::working::Working;
use deadpool_postgres::Transaction;
use domain::breaker::{Action, Attempt, Board, Scope, State};
use domain::flow::Flows;
use domain::names::{Holder, StageName, Version};
use domain::plan::{Plan, PlanId, TicketEnd};
use domain::ports::{Clock, Serving};
use domain::settlement::Ended;
use domain::signature::SignatureId;
use domain::ticket::{Name, TicketId};
use domain::time::Timestamp;
use domain::wait::{Condition, Reason, Wait};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use uuid::Uuid;

/// Who speaks in the trail of a plan that a breaker has made.
const BY: &str = "breaker";
/// Whoever changes a breaker, a plan or a gate holds it. The number is "goaround" in letters, but
/// for the last.
const REPAIR_LOCK: i64 = 0x676F_6172_6F75_6E67;
/// More than a group of records can lead to; a breaker that never comes to rest is a bug, which
/// must not stop the line.
const TODO_MAX: usize = 10_000;

/// What everything here needs to know.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) flows: &'a Flows,
    pub(super) clock: &'a dyn Clock,
    /// Which row of the sums is added to.
    pub(super) shard: i16,
    pub(super) now: Timestamp,
}

/// A stage whose breakers are in hand.
struct Post {
    board: Board,
    gate: Option<Gated>,
    /// The gate as the table has it.
    stored_gate: Option<Gated>,
    /// How many permits its gate has ever given.
    permits: u64,
    /// Something is to be written, whether the board says so or not.
    is_touched: bool,
    /// There were more tickets to be held than one transaction holds.
    is_half_held: bool,
}

/// A plan, and whether the table knows it as it is.
struct Carried {
    plan: Plan,
    is_new: bool,
    is_touched: bool,
}

/// What is still to be done.
enum Todo {
    /// A breaker of the stage wants it.
    Act(StageName, Action),
    /// A ticket that the plan had released has come to such an end.
    Ended(PlanId, TicketEnd),
    /// The breaker that waits for it is to hear what the plan is doing.
    PlanIs(PlanId),
    /// It is the plan's time; at most so many go.
    Release(PlanId, u64),
}

/// What became of everything beside the tickets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Repaired {
    /// Whether the desired state has changed.
    pub(super) control: bool,
    /// Whether something was done that the leader must look at.
    pub(super) is_news: bool,
    /// Whether tickets that nothing holds any more are left to the next round.
    pub(super) is_left: bool,
}

/// The breakers and plans that a transaction has in hand. The lock is held if there are any.
pub(super) struct Repairs<'a> {
    setting: Setting<'a>,
    posts: BTreeMap<StageName, Post>,
    plans: BTreeMap<PlanId, Carried>,
    todo: VecDeque<Todo>,
    /// Gates of stages that have no breakers any more.
    ungated: Vec<StageName>,
    /// How many slices of tickets it may still let go.
    slices: u32,
    done: Repaired,
}

/// From here to the end of the transaction nobody else changes breakers, plans and gates.
async fn lock(tx: &Transaction<'_>) -> Result<(), Fault> {
    let lock = "SELECT pg_advisory_xact_lock($1)";
    tx.execute(lock, &[&REPAIR_LOCK]).await?;
    Ok(())
}

impl<'a> Repairs<'a> {
    /// None in hand: nothing that happens is heard of.
    pub(super) const fn none(setting: Setting<'a>) -> Self {
        Self {
            setting,
            posts: BTreeMap::new(),
            plans: BTreeMap::new(),
            todo: VecDeque::new(),
            ungated: Vec::new(),
            slices: u32::MAX,
            done: Repaired {
                control: false,
                is_news: false,
                is_left: false,
            },
        }
    }

    /// Takes the breakers of these stages in hand, as far as they have any. Before any ticket is
    /// locked, and after the lock of keys.
    pub(super) async fn take(
        tx: &Transaction<'_>,
        setting: Setting<'a>,
        stages: BTreeSet<StageName>,
    ) -> Result<Self, Fault> {
        lock(tx).await?;
        let mut repairs = Self::none(setting);
        repairs.load_more(tx, stages).await?;
        Ok(repairs)
    }

    /// The same of every stage where something has failed; nothing is locked if there is none.
    pub(super) async fn take_tripped(
        tx: &Transaction<'_>,
        setting: Setting<'a>,
    ) -> Result<Self, Fault> {
        let stages = alert(tx).await?.stages;
        match stages.is_empty() {
            true => Ok(Self::none(setting)),
            false => Self::take(tx, setting, stages).await,
        }
    }

    /// Leaves tickets that nothing holds any more to the next round, if there are very many.
    pub(super) const fn by_rounds(mut self) -> Self {
        self.slices = moving::SLICES_MAX;
        self
    }

    fn want(&mut self, stage: &StageName, actions: Vec<Action>) {
        let acts = actions
            .into_iter()
            .map(|action| Todo::Act(stage.clone(), action));
        self.todo.extend(acts);
    }

    /// An attempt at a ticket of the stage has ended, which is news. Returns the signature that
    /// its ticket is to wait for, should it wait.
    pub(super) fn ended(&mut self, stage: &StageName, attempt: &Attempt) -> Option<SignatureId> {
        let now = self.setting.now;
        let post = self.posts.get_mut(stage)?;
        let of_stage = post.board.breaker(Scope::Stage).map(|it| &it.state);
        if let Some(State::Releasing { plan: Some(id), .. }) = of_stage {
            // A queue is released as a whole: whoever comes next is of the plan.
            let end = TicketEnd::from(&attempt.end);
            self.todo.push_back(Todo::Ended(*id, end));
        }
        let fallout = post.board.ended(attempt, now);
        self.want(stage, fallout.actions);
        fallout.held_by
    }

    /// The plan that had released the ticket, if one did, hears of the end of its next attempt.
    pub(super) fn tell_plan(&mut self, placed: &mut Placed, end: TicketEnd) {
        if let Some(plan) = placed.plan.take() {
            self.todo.push_back(Todo::Ended(plan, end));
        }
    }

    /// An attempt begins: with the permit of a stage that is held, it is the canary's.
    pub(super) fn started(&mut self, stage: &StageName, holder: &Holder, name: Name) {
        let Some(post) = self.posts.get_mut(stage) else {
            return;
        };
        let permitted = |gate: &&mut Gated| !gate.is_used && gate.holder.as_ref() == Some(holder);
        let Some(gate) = post.gate.as_mut().filter(permitted) else {
            return;
        };
        gate.is_used = true;
        let breaker = post.board.breaker(Scope::Stage);
        let canary = breaker.and_then(|breaker| breaker.canary());
        if let Some(canary) = canary.filter(|canary| canary.name.is_none()) {
            let number = canary.number;
            post.board.sent(Scope::Stage, number, name);
        }
    }

    /// A copy goes on under another name without having run: if it was a canary, it is one still.
    pub(super) fn renamed(&mut self, stage: &StageName, (old, new): (Name, Name)) {
        let Some(post) = self.posts.get_mut(stage) else {
            return;
        };
        let canaries = post
            .board
            .breakers()
            .filter_map(|breaker| Some((breaker.scope, breaker.canary()?)));
        let found = canaries
            .filter(|(_, canary)| canary.name == Some(old))
            .map(|(scope, canary)| (scope, canary.number))
            .next();
        if let Some((scope, number)) = found {
            post.board.sent(scope, number, new);
        }
    }

    /// A ticket was cancelled, dropped or given another name by hand.
    pub(super) fn taken_away(&mut self, stage: &StageName, ticket: TicketId) {
        let now = self.setting.now;
        if let Some(post) = self.posts.get_mut(stage) {
            let actions = post.board.taken_away(ticket, now);
            self.want(stage, actions);
        }
    }

    /// A person wants the canary now; false if there is no such breaker.
    pub(super) fn ask(&mut self, stage: &StageName, scope: Scope) -> bool {
        let now = self.setting.now;
        let Some(post) = self.posts.get_mut(stage) else {
            return false;
        };
        let breaker = post.board.breaker(scope);
        if breaker.is_none_or(|breaker| breaker.is_quiet()) {
            return false;
        }
        let actions = post.board.ask(scope, now);
        self.want(stage, actions);
        true
    }

    /// Time has passed for these stages.
    pub(super) fn tick(&mut self) {
        let now = self.setting.now;
        let stages: Vec<StageName> = self.posts.keys().cloned().collect();
        for stage in stages {
            if let Some(post) = self.posts.get_mut(&stage) {
                post.is_touched = true;
                let actions = post.board.tick(now);
                self.want(&stage, actions);
            }
        }
    }

    /// These versions serve the stages, and no others.
    pub(super) fn serving(&mut self, serving: &Serving) {
        let now = self.setting.now;
        let stages: Vec<StageName> = self.posts.keys().cloned().collect();
        for stage in stages {
            let here = serving.get(&stage).into_iter().flat_map(BTreeMap::keys);
            let here: BTreeSet<Version> = here.cloned().collect();
            if let Some(post) = self.posts.get_mut(&stage) {
                let actions = post.board.versions(&here, now);
                self.want(&stage, actions);
            }
        }
    }

    /// It is the plan's time.
    pub(super) fn release(&mut self, plan: PlanId, room: usize) {
        let room = u64::try_from(room).unwrap_or(u64::MAX);
        self.todo.push_back(Todo::Release(plan, room));
    }

    /// The plan has been changed by hand; its breaker hears of it.
    pub(super) fn replaced(&mut self, plan: Plan, is_new: bool) {
        let id = plan.id;
        let carried = Carried {
            plan,
            is_new,
            is_touched: true,
        };
        self.plans.insert(id, carried);
        self.todo.push_back(Todo::PlanIs(id));
    }

    /// Carries out what is wanted and writes down what has changed; the caller commits.
    pub(super) async fn finish(mut self, tx: &Transaction<'_>) -> Result<Repaired, Fault> {
        let mut done = 0;
        while let Some(todo) = self.todo.pop_front() {
            done += 1;
            self.done.is_news = true;
            if done > TODO_MAX {
                tracing::error!("breakers do not come to rest; the rest of it waits for the next");
                break;
            }
            match todo {
                Todo::Act(stage, action) => self.act(tx, &stage, action).await?,
                Todo::Ended(plan, end) => self.tell_end(tx, plan, &end).await?,
                Todo::PlanIs(plan) => self.plan_is(tx, plan).await?,
                Todo::Release(plan, room) => self.release_some(tx, plan, room).await?,
            }
        }
        self.save(tx).await?;
        Ok(self.done)
    }

    fn new_plan_id(&self) -> PlanId {
        let uuid: Uuid = self.setting.clock.ticket_id().uuid();
        PlanId::new(uuid)
    }
}

/// The attempt, as breakers hear of it.
pub(super) fn attempt(name: Name, ended: &Ended) -> Attempt {
    Attempt {
        name,
        version: ended.scene.version.clone(),
        span: ended.span,
        end: domain::breaker::End::of(ended.outcome, ended.signature),
    }
}

/// How the attempt of a ticket ended does not say that a person has to decide, nor why.
pub(super) fn note_parking(working: &mut Working, (name, stage): (Name, &StageName), wait: &Wait) {
    if let Some(why) = wait.parked_because() {
        let told = (Reason::Parked.as_str(), why);
        working.tell(note((name, stage.clone()), wait.since, told));
    }
}

/// The wait of a ticket, which is this breaker's if the ticket would be tried again by itself. The
/// history says so.
pub(super) fn held(
    working: &mut Working,
    (name, stage): (Name, &StageName),
    (wait, held_by): (Wait, Option<SignatureId>),
) -> Wait {
    let would_go_on = matches!(
        wait.condition,
        Condition::Backoff { .. } | Condition::NotNow { .. } | Condition::Trial { .. }
    );
    let Some(signature) = held_by.filter(|_| would_go_on) else {
        return wait;
    };
    let why = format!("its breaker is open: {signature}");
    working.tell(note((name, stage.clone()), wait.since, ("held", &why)));
    Wait {
        because: format!("{}; it is held until {signature} is repaired", wait.because),
        condition: Condition::Repair { signature },
        ..wait
    }
}
