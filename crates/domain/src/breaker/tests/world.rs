//! A stage with its queue, its workers and its store, as small as can be: it does what a board
//! asks for, and checks while it does so that the board asks for nothing that it may not.

use super::*;
use crate::plan::{By, Draft, Plan, Release, Selection, Source};
use crate::wait::Reason;
use std::collections::BTreeSet;

/// The workers of the stage.
const SLOTS: usize = 8;
const RULE: &str = "breaker";

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    Queue,
    Running { since: i64, until: i64, on: Version },
    Backoff { until: i64 },
    Held { by: SignatureId, since: i64 },
    Done,
    Cancelled,
}

#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) name: Name,
    /// What sort it is: a version fails on some sorts.
    pub(super) sort: u64,
    pub(super) place: Place,
    last: Option<SignatureId>,
    /// The plan that released it from its hold, and the one that let its stage take it.
    plans: [Option<PlanId>; 2],
    avoid: Vec<Version>,
}

/// An attempt that was started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Started {
    pub(super) at: i64,
    pub(super) sort: u64,
}

pub(super) struct World {
    pub(super) board: Board,
    pub(super) now: i64,
    pub(super) jobs: Vec<Job>,
    pub(super) plans: BTreeMap<PlanId, Plan>,
    pub(super) here: Vec<Version>,
    /// On which sorts a version fails, and which signature it fails with.
    pub(super) ills: BTreeMap<(Version, u64), u64>,
    /// Of a sort that comes and goes, how many percent fail, whatever the version.
    pub(super) flaky: BTreeMap<u64, u64>,
    pub(super) started: Vec<Started>,
    /// How long an attempt takes, in seconds.
    pub(super) takes: i64,
    permit: Option<u64>,
    /// Whether the stage takes what it likes.
    is_open: bool,
    /// The canaries that are out, as the world knows it.
    out: BTreeMap<Scope, Option<Name>>,
    probed: BTreeMap<Scope, (i64, u64)>,
    turn: usize,
}

impl World {
    pub(super) fn new(sorts: impl IntoIterator<Item = u64>) -> Self {
        let jobs = sorts.into_iter().zip(1..).map(|(sort, n)| Job {
            name: Name::first(ticket(n)),
            sort,
            place: Place::Queue,
            last: None,
            plans: [None; 2],
            avoid: Vec::new(),
        });
        Self {
            board: Board::new(rules()),
            now: 0,
            jobs: jobs.collect(),
            plans: BTreeMap::new(),
            here: Vec::new(),
            ills: BTreeMap::new(),
            flaky: BTreeMap::new(),
            started: Vec::new(),
            takes: 1,
            permit: None,
            is_open: true,
            out: BTreeMap::new(),
            probed: BTreeMap::new(),
            turn: 0,
        }
    }

    /// This version fails on this sort, in this way.
    pub(super) fn fails(&mut self, on: &str, sort: u64, signature: u64) {
        self.ills.insert((version(on), sort), signature);
    }

    pub(super) fn deploy(&mut self, here: &[&str]) {
        self.here = here.iter().map(|it| version(it)).collect();
        let here: BTreeSet<Version> = self.here.iter().cloned().collect();
        let actions = self.board.versions(&here, at(self.now));
        self.carry_out(actions);
    }

    pub(super) fn count(&self, is: impl Fn(&Place) -> bool) -> usize {
        self.jobs.iter().filter(|job| is(&job.place)).count()
    }

    pub(super) fn done(&self) -> usize {
        self.count(|place| *place == Place::Done)
    }

    pub(super) fn held(&self) -> usize {
        self.count(|place| matches!(place, Place::Held { .. }))
    }

    /// Attempts at this sort that were started from then on.
    pub(super) fn attempts(&self, sort: u64, since: i64) -> usize {
        let counts = |it: &&Started| it.sort == sort && it.at >= since;
        self.started.iter().filter(counts).count()
    }

    pub(super) fn run(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.second();
        }
    }

    fn second(&mut self) {
        self.now += 1;
        let actions = self.board.tick(at(self.now));
        self.carry_out(actions);
        let ended: Vec<usize> = (0..self.jobs.len())
            .filter(|n| {
                matches!(self.jobs[*n].place, Place::Running { until, .. } if until <= self.now)
            })
            .collect();
        for n in ended {
            self.end(n);
        }
        for job in &mut self.jobs {
            if matches!(job.place, Place::Backoff { until } if until <= self.now) {
                job.place = Place::Queue;
            }
        }
        self.carry_on_plans();
        self.start();
        self.keep();
    }

    /// The store has the same board as the process, at any moment.
    fn keep(&mut self) {
        self.board.changes();
        let roster = self.board.roster().clone();
        let breakers = self.board.breakers().cloned().collect();
        let stage = self.board.breaker(Scope::Stage).cloned();
        let mut recalled = Board::recalled(rules(), roster, breakers);
        // A quiet breaker is not among them, but for the number of its probes.
        if let Some(stage) = stage.filter(Breaker::is_quiet) {
            recalled = Board::recalled(
                rules(),
                self.board.roster().clone(),
                self.board.breakers().cloned().chain([stage]).collect(),
            );
        }
        assert_eq!(recalled.next_at(), self.board.next_at());
        self.board = recalled;
    }

    fn start(&mut self) {
        let mut free = SLOTS - self.count(|place| matches!(place, Place::Running { .. }));
        for n in 0..self.jobs.len() {
            if free == 0 || self.here.is_empty() {
                return;
            }
            if self.jobs[n].place != Place::Queue || !self.may_start(n) {
                continue;
            }
            let avoid = &self.jobs[n].avoid;
            let mut fit = self.here.iter().filter(|it| !avoid.contains(it));
            let fits = fit.clone().count();
            if fits == 0 {
                continue;
            }
            self.turn += 1;
            let on = fit.nth(self.turn % fits).unwrap().clone();
            let (since, sort) = (self.now, self.jobs[n].sort);
            let until = self.now + self.takes;
            self.jobs[n].place = Place::Running { since, until, on };
            self.started.push(Started { at: since, sort });
            free -= 1;
        }
    }

    /// A held stage takes a ticket only under its permit, or as its plan lets it.
    fn may_start(&mut self, n: usize) -> bool {
        if self.is_open {
            return true;
        }
        let name = self.jobs[n].name;
        if let Some(number) = self.permit.take() {
            self.board.sent(Scope::Stage, number, name);
            self.out.insert(Scope::Stage, Some(name));
            return true;
        }
        let now = at(self.now);
        let is_queue = |plan: &&mut Plan| plan.selection.source == Source::Queue;
        let Some(plan) = self.plans.values_mut().filter(is_queue).last() else {
            return false;
        };
        if plan.allow(now) == 0 {
            return false;
        }
        plan.released(1, now).unwrap();
        self.jobs[n].plans[1] = Some(plan.id);
        true
    }

    fn end(&mut self, n: usize) {
        let job = &self.jobs[n];
        let Place::Running { since, on, .. } = job.place.clone() else {
            return;
        };
        let failed = self.verdict(&on, job).map(sig);
        let end = failed.map_or(End::Landed, |it| End::Failed(Some(it)));
        let attempt = Attempt {
            name: job.name,
            version: on,
            span: Span {
                started_at: at(since),
                ended_at: at(self.now),
            },
            end: end.clone(),
        };
        self.out.retain(|_, name| *name != Some(attempt.name));
        let fallout = self.board.ended(&attempt, at(self.now));
        let released_by = std::mem::take(&mut self.jobs[n].plans);
        let now = self.now;
        let job = &mut self.jobs[n];
        job.avoid.clear();
        job.last = failed;
        job.name = job.name.charged();
        job.place = match (failed, fallout.held_by) {
            (None, _) => Place::Done,
            (Some(_), Some(by)) => Place::Held { by, since: now },
            (Some(_), None) => Place::Backoff { until: now + 2 },
        };
        self.ended_for(released_by, &(&end).into());
        self.carry_out(fallout.actions);
        for plan in released_by.into_iter().flatten() {
            self.tell_plan(plan);
        }
    }

    /// The signature with which an attempt fails.
    fn verdict(&self, on: &Version, job: &Job) -> Option<u64> {
        let steady = self.ills.get(&(on.clone(), job.sort)).copied();
        let percent = self.flaky.get(&job.sort).copied().unwrap_or(0);
        let mut mixed = job.name.ticket.uuid().as_u128() as u64;
        mixed = mixed
            .wrapping_mul(31)
            .wrapping_add(u64::from(job.name.attempt.0));
        mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        steady.or_else(|| (mixed % 100 < percent).then_some(job.sort))
    }

    fn ended_for(&mut self, released_by: [Option<PlanId>; 2], end: &plan::TicketEnd) {
        for plan in released_by.into_iter().flatten() {
            let plan = self.plans.get_mut(&plan).unwrap();
            plan.ended(end, at(self.now));
        }
    }

    fn tell_plan(&mut self, id: PlanId) {
        let plan = self.plans[&id].clone();
        let Some(scope) = plan.repairs else { return };
        let left_behind = match scope {
            Scope::Stage => 0,
            Scope::Signature(signature) => self.held_by(signature).len() as u64,
        };
        let now = at(self.now);
        let actions = self
            .board
            .plan_is(scope, (id, &plan.state), left_behind, now);
        self.carry_out(actions);
    }

    /// The tickets that wait for this signature, whoever has waited longest first.
    fn held_by(&self, signature: SignatureId) -> Vec<usize> {
        let mut held: Vec<(i64, usize)> = Vec::new();
        for (n, job) in self.jobs.iter().enumerate() {
            if let Place::Held { by, since } = job.place
                && by == signature
            {
                held.push((since, n));
            }
        }
        held.sort_unstable();
        held.into_iter().map(|(_, n)| n).collect()
    }

    fn carry_on_plans(&mut self) {
        let ids: Vec<PlanId> = self.plans.keys().copied().collect();
        for id in ids {
            let plan = &self.plans[&id];
            let Some(Scope::Signature(signature)) = plan.repairs else {
                if plan.is_wide_open() {
                    self.is_open = true;
                    let now = at(self.now);
                    let plan = self.plans.get_mut(&id).unwrap();
                    let rest = plan.allow(now);
                    plan.released(rest, now).unwrap();
                    let waits: Vec<usize> = (0..self.jobs.len())
                        .filter(|n| self.jobs[*n].place == Place::Queue)
                        .take(usize::try_from(rest).unwrap())
                        .collect();
                    for n in &waits {
                        self.jobs[*n].plans[1] = Some(id);
                    }
                }
                continue;
            };
            let avoid = self.board.breaker(Scope::Signature(signature));
            let avoid = avoid.map_or(Vec::new(), |it| it.failed_on.clone());
            let allowed = usize::try_from(plan.allow(at(self.now))).unwrap();
            let mut held = self.held_by(signature);
            let is_short = held.len() < allowed;
            held.truncate(allowed);
            for n in &held {
                let job = &mut self.jobs[*n];
                (job.place, job.plans[0]) = (Place::Queue, Some(id));
                job.avoid.clone_from(&avoid);
            }
            let plan = self.plans.get_mut(&id).unwrap();
            plan.released(held.len() as u64, at(self.now)).unwrap();
            if is_short {
                plan.exhausted(at(self.now));
            }
            self.tell_plan(id);
        }
    }

    /// Cancels a ticket by hand, whatever it is doing.
    pub(super) fn cancel(&mut self, n: usize) {
        let job = &mut self.jobs[n];
        if job.place == Place::Done {
            return;
        }
        job.place = Place::Cancelled;
        let (id, plans) = (job.name.ticket, std::mem::take(&mut job.plans));
        self.out
            .retain(|_, name| name.map(|name| name.ticket) != Some(id));
        let actions = self.board.taken_away(id, at(self.now));
        self.carry_out(actions);
        self.ended_for(plans, &plan::TicketEnd::Undecided);
        for plan in plans.into_iter().flatten() {
            self.tell_plan(plan);
        }
    }

    /// The worker of a ticket dies without a word: it is found, and goes back as it was.
    pub(super) fn vanish(&mut self, n: usize) {
        let job = &mut self.jobs[n];
        if matches!(job.place, Place::Running { .. }) {
            job.name = job.name.renewed();
            job.place = Place::Queue;
        }
    }

    pub(super) fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Hold {
                    scope: Scope::Stage,
                    ..
                } => (self.is_open, self.permit) = (false, None),
                Action::Hold {
                    scope: Scope::Signature(by),
                    ..
                } => self.hold(by),
                Action::Probe(probe) => self.probe(&probe),
                Action::Check { scope, canary } => self.check(scope, &canary),
                Action::StartPlan { scope, terms, .. } => self.start_plan(scope, terms),
                Action::StopPlan { plan, why } => {
                    let (who, at) = (RULE, at(self.now));
                    let plan = self.plans.get_mut(&plan).unwrap();
                    plan.halt(why, By { who, at }).ok();
                }
                Action::Close { scope } => {
                    // What is opened again begins anew.
                    self.probed.remove(&scope);
                    match scope {
                        Scope::Stage => self.is_open = true,
                        Scope::Signature(signature) => {
                            for n in self.held_by(signature) {
                                self.jobs[n].place = Place::Queue;
                            }
                        }
                    }
                }
            }
        }
    }

    fn hold(&mut self, by: SignatureId) {
        let since = self.now;
        for job in &mut self.jobs {
            if matches!(job.place, Place::Backoff { .. }) && job.last == Some(by) {
                job.place = Place::Held { by, since };
            }
        }
    }

    fn probe(&mut self, probe: &Probe) {
        let scope = probe.scope;
        let wanted = self.board.roster().wanted().map_or(0, |it| it.number);
        assert!(!self.out.contains_key(&scope), "two canaries of {scope}");
        let is_other = scope != Scope::Stage;
        assert!(
            !(is_other && self.board.holds_stage()),
            "{scope} of a held stage"
        );
        let (last, tried) = self.probed.remove(&scope).unwrap_or((-60, 0));
        let is_early = self.now - last < 60;
        assert!(!is_early || wanted > tried, "{scope} twice in an interval");
        self.probed.insert(scope, (self.now, wanted.max(tried)));
        match scope {
            Scope::Stage => {
                self.permit = Some(probe.number);
                self.out.insert(scope, None);
                self.feed();
            }
            Scope::Signature(signature) => {
                let Some(n) = self.held_by(signature).first().copied() else {
                    let actions = self.board.nobody(scope, probe.number, at(self.now));
                    return self.carry_out(actions);
                };
                let job = &mut self.jobs[n];
                job.place = Place::Queue;
                job.avoid.clone_from(&probe.avoid);
                self.out.insert(scope, Some(job.name));
                self.board.sent(scope, probe.number, job.name);
            }
        }
    }

    /// A held stage whose queue is empty probes with one that is held.
    fn feed(&mut self) {
        if self.jobs.iter().all(|job| job.place != Place::Queue) {
            let is_held = |job: &&mut Job| matches!(job.place, Place::Held { .. });
            if let Some(job) = self.jobs.iter_mut().find(is_held) {
                job.place = Place::Queue;
            }
        }
    }

    fn check(&mut self, scope: Scope, canary: &Canary) {
        let now = at(self.now);
        let is_out = match canary.name {
            None => self.permit == Some(canary.number),
            Some(name) => self.jobs.iter().any(|job| {
                let is_on_its_way = matches!(job.place, Place::Queue | Place::Running { .. });
                job.name == name && is_on_its_way
            }),
        };
        if is_out {
            self.board.still_out(scope, canary.number, now);
            if scope == Scope::Stage {
                self.feed();
            }
            return;
        }
        self.out.remove(&scope);
        let actions = self.board.lost(scope, canary.number, now);
        self.carry_out(actions);
    }

    fn start_plan(&mut self, scope: Scope, terms: plan::Terms) {
        let (source, count) = match scope {
            Scope::Stage => {
                let count = self.count(|place| *place == Place::Queue);
                (Source::Queue, count)
            }
            Scope::Signature(signature) => {
                (Source::Waiting(Reason::Held), self.held_by(signature).len())
            }
        };
        let selection = Selection {
            source,
            stage: None,
            signature: None,
            filter: String::new(),
            cutoff: at(self.now),
            count: count as u64,
        };
        let id = plan_id(self.plans.len() as u128 + 1);
        let by = By {
            who: RULE,
            at: at(self.now),
        };
        let mut plan = Plan::new(Draft::repairing(id, scope, selection, terms), by);
        let release = Release {
            choice: plan::Choice::Everything,
            count: count as u64,
            terms: None,
        };
        plan.release(release, by).ok();
        self.plans.insert(id, plan);
        self.board.plan_made(scope, id);
        self.out.remove(&scope);
        self.tell_plan(id);
    }
}
