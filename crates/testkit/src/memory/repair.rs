//! What breakers are told, and what they want done.

use super::state::State;
use domain::books::Place;
use domain::breaker::{Action, Attempt, Board, Canary, End, Probe, Scope};
use domain::control::{Gate, Permit};
use domain::flow::Flows;
use domain::names::{Holder, StageName};
use domain::plan::{By, PlanId, Source, Terms, TicketEnd, Why};
use domain::ports::Serving;
use domain::signature::SignatureId;
use domain::ticket::{Name, TicketId};
use domain::time::Timestamp;
use domain::wait::{Condition, Wait};
use std::collections::{BTreeMap, BTreeSet};

/// Who speaks when a breaker does something.
const BREAKER: &str = "breaker";

impl State {
    /// The breakers of a stage, if it is to have some.
    pub(super) fn board(&mut self, stage: &StageName) -> Option<&mut Board> {
        let rules = self.flows.stage(stage)?.breaker?;
        let board = self.boards.entry(stage.clone());
        Some(board.or_insert_with(|| Board::new(rules)))
    }

    /// Does something with the breakers of a stage, and then what they want done.
    pub(super) fn with_board(
        &mut self,
        stage: &StageName,
        now: Timestamp,
        act: impl FnOnce(&mut Board) -> Vec<Action>,
    ) {
        let actions = self.board(stage).map_or_else(Vec::new, act);
        self.carry_out(stage, actions, now);
    }

    /// The end of an attempt counts. To be told once for each, after its ticket has moved.
    pub(super) fn heard(&mut self, stage: &StageName, attempt: &Attempt, now: Timestamp) {
        let id = attempt.name.ticket;
        if let Some(row) = self.rows.get_mut(&id) {
            row.signature = match attempt.end {
                End::Failed(signature) => signature,
                End::Landed | End::Rejected | End::Nothing | End::NotRun => None,
            };
        }
        let fallout = self.board(stage).map(|board| board.ended(attempt, now));
        let fallout = fallout.unwrap_or_default();
        if let Some(signature) = fallout.held_by {
            self.hold_one(id, signature, now);
        }
        let plans = self.ended_for(stage, id, &TicketEnd::from(&attempt.end), now);
        self.carry_out(stage, fallout.actions, now);
        for plan in plans {
            self.tell_board(plan, now);
        }
    }

    /// A person or a rule has ended the ticket, or given it another name.
    pub(super) fn taken_away(&mut self, stage: &StageName, id: TicketId, now: Timestamp) {
        self.with_board(stage, now, |board| board.taken_away(id, now));
        for plan in self.ended_for(stage, id, &TicketEnd::Undecided, now) {
            self.tell_board(plan, now);
        }
    }

    /// A canary whose attempt never ran goes back in line; any other ticket is left alone.
    pub(super) fn never_ran(&mut self, stage: &StageName, was: Name, now: Timestamp) {
        let Some(board) = self.board(stage) else {
            return;
        };
        let is_it = |canary: &Canary| canary.name == Some(was);
        let scope = {
            let mut breakers = board.breakers();
            let prober = breakers.find(|it| it.canary().is_some_and(is_it));
            prober.map(|it| it.scope)
        };
        if let Some(Scope::Signature(signature)) = scope {
            self.hold_one(was.ticket, signature, now);
        }
        self.with_board(stage, now, |board| board.taken_away(was.ticket, now));
    }

    fn hold_one(&mut self, id: TicketId, signature: SignatureId, now: Timestamp) {
        let Some(row) = self.rows.get_mut(&id) else {
            return;
        };
        let Place::Waiting(wait) = &mut row.entry.place else {
            return;
        };
        if matches!(
            wait.condition,
            Condition::Backoff { .. } | Condition::NotNow { .. } | Condition::Trial { .. }
        ) {
            wait.condition = Condition::Repair { signature };
            let why = format!("its breaker is open: {signature}");
            wait.because = format!("{}; held, {why}", wait.because);
            self.note(id, now, "held", &why);
        }
    }

    /// Who serves each stage, and nobody else.
    pub(super) fn serve(&mut self, serving: Serving, now: Timestamp) {
        let known = self.boards.keys().chain(serving.keys()).cloned();
        let stages: BTreeSet<StageName> = known.collect();
        self.serving = serving;
        for stage in stages {
            let versions = self.serving.get(&stage);
            let here = versions.map(|it| it.keys().cloned().collect());
            let here = here.unwrap_or_default();
            self.with_board(&stage, now, |board| board.versions(&here, now));
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Timestamp) {
        for stage in self.boards.keys().cloned().collect::<Vec<_>>() {
            self.with_board(&stage, now, |board| board.tick(now));
        }
    }

    /// The delivery under the stage's permit was started.
    pub(super) fn canary_started(&mut self, name: Name, stage: &StageName) {
        let gate = self.snapshot.gates.get(stage);
        let Some(permit) = gate.and_then(|gate| gate.permit.as_ref()) else {
            return;
        };
        let number = permit.number;
        if let Some(board) = self.board(stage) {
            let stage = board.breaker(Scope::Stage);
            let canary = stage.and_then(|breaker| breaker.canary());
            if canary.is_some_and(|canary| canary.name.is_none()) {
                board.sent(Scope::Stage, number, name);
            }
        }
    }

    /// What is configured now: stages without breakers hold nothing.
    pub(super) fn reconfigure(&mut self, flows: &Flows, now: Timestamp) {
        let rules = |stage: &StageName| flows.stage(stage).and_then(|stage| stage.breaker);
        for (stage, board) in std::mem::take(&mut self.boards) {
            match rules(&stage) {
                Some(rules) => {
                    let breakers = board.breakers().cloned().collect();
                    let board = Board::recalled(rules, board.roster().clone(), breakers);
                    self.boards.insert(stage, board);
                }
                None => {
                    self.halt_queue(&stage, now);
                    self.open_gate(&stage);
                }
            }
        }
        for id in self.waiting(|condition| matches!(condition, Condition::Repair { .. })) {
            if self.stage_of(id).is_none_or(|stage| rules(stage).is_none()) {
                self.make_due(id, "its stage has no breakers any more", now);
            }
        }
    }

    /// Nobody waits for the release of its queue any more.
    fn halt_queue(&mut self, stage: &StageName, now: Timestamp) {
        let by = By {
            who: BREAKER,
            at: now,
        };
        let of_stage = self.plans.values_mut().filter(|plan| {
            let selection = &plan.selection;
            selection.source == Source::Queue && selection.stage.as_ref() == Some(stage)
        });
        for plan in of_stage {
            // One that has stopped already needs no word.
            plan.halt(Why::Unawaited, by).ok();
        }
    }

    /// Carries out what the breakers of a stage want done.
    pub(super) fn carry_out(&mut self, stage: &StageName, actions: Vec<Action>, now: Timestamp) {
        for action in actions {
            self.attention = true;
            match action {
                Action::Hold { scope, why } => self.hold(stage, (scope, why), now),
                Action::Probe(probe) => self.probe(stage, &probe, now),
                Action::Check { scope, canary } => self.check(stage, (scope, &canary), now),
                Action::StartPlan { scope, terms, .. } => {
                    self.start_plan(stage, (scope, terms), now);
                }
                Action::StopPlan { plan, why } => {
                    let by = By {
                        who: BREAKER,
                        at: now,
                    };
                    if let Some(plan) = self.plans.get_mut(&plan) {
                        // One that has stopped already needs no word.
                        plan.halt(why, by).ok();
                    }
                }
                Action::Close { scope } => self.close(stage, scope, now),
            }
        }
    }

    fn hold(&mut self, stage: &StageName, (scope, why): (Scope, String), now: Timestamp) {
        let Scope::Signature(signature) = scope else {
            let gate = Gate {
                since: now,
                reason: why,
                permit: None,
            };
            self.allowed.remove(stage);
            self.snapshot.gates.insert(stage.clone(), gate);
            self.snapshot.revision += 1;
            return;
        };
        let is_failing = |condition: &Condition| {
            matches!(
                condition,
                Condition::Backoff { .. } | Condition::Trial { .. }
            )
        };
        for id in self.waiting(is_failing) {
            let row = self.rows.get(&id);
            let failed_so = row.is_some_and(|row| row.signature == Some(signature));
            if failed_so && self.stage_of(id) == Some(stage) {
                self.hold_one(id, signature, now);
            }
        }
    }

    pub(super) fn open_gate(&mut self, stage: &StageName) {
        self.allowed.remove(stage);
        if self.snapshot.gates.remove(stage).is_some() {
            self.snapshot.revision += 1;
        }
    }

    /// What waits for this repair at the stage, whoever has waited longest first.
    pub(super) fn held_by(&self, stage: &StageName, scope: Scope) -> Vec<TicketId> {
        let mut held: Vec<(Timestamp, u64, TicketId)> = Vec::new();
        for (id, row) in &self.rows {
            if let Place::Waiting(wait) = &row.entry.place
                && let Condition::Repair { signature } = wait.condition
                && row.entry.ticket.stage == *stage
                && (scope == Scope::Stage || scope == Scope::Signature(signature))
            {
                held.push((wait.since, row.age, *id));
            }
        }
        held.sort_unstable();
        held.into_iter().map(|(_, _, id)| id).collect()
    }

    fn probe(&mut self, stage: &StageName, probe: &Probe, now: Timestamp) {
        let (scope, number) = (probe.scope, probe.number);
        if scope == Scope::Stage {
            let holder = self.holder_for(stage, probe);
            if let Some(gate) = self.snapshot.gates.get_mut(stage) {
                gate.permit = Some(Permit { number, holder });
                self.snapshot.revision += 1;
            }
            return self.feed(stage, now);
        }
        let Some(id) = self.held_by(stage, scope).first().copied() else {
            return self.with_board(stage, now, |board| board.nobody(scope, number, now));
        };
        let why = format!("canary for {scope}: it alone is tried");
        let name = self.release_held(id, &why, now);
        self.with_board(stage, now, |board| {
            if let Some(name) = name {
                board.sent(scope, number, name);
                return Vec::new();
            }
            board.lost(scope, number, now)
        });
    }

    /// A stage whose queue is empty probes with a ticket that is held.
    fn feed(&mut self, stage: &StageName, now: Timestamp) {
        let is_here = |row: &super::state::Row| {
            let is_runnable = matches!(row.entry.place, Place::Runnable { .. });
            is_runnable && row.entry.ticket.stage == *stage
        };
        if self.rows.values().any(is_here) {
            return;
        }
        if let Some(id) = self.held_by(stage, Scope::Stage).first().copied() {
            self.release_held(id, "canary for its whole stage: it alone is tried", now);
        }
    }

    /// Returns the name under which it is runnable now, if it is.
    pub(super) fn release_held(&mut self, id: TicketId, why: &str, now: Timestamp) -> Option<Name> {
        self.note(id, now, "released", why);
        self.make_runnable(id, now);
        let row = self.rows.get(&id)?;
        let is_runnable = matches!(row.entry.place, Place::Runnable { .. });
        is_runnable.then_some(row.entry.ticket.name)
    }

    /// One that serves the stage with the version that is wanted, else anybody who serves it. The
    /// consumers of this store do not say who they are: any of them may take it.
    fn holder_for(&self, stage: &StageName, probe: &Probe) -> Holder {
        let versions = self.serving.get(stage);
        let wanted = probe.wants.as_ref().and_then(|it| versions?.get(it));
        let mut all = versions.into_iter().flat_map(|it| it.values()).flatten();
        let first = wanted
            .and_then(BTreeMap::first_key_value)
            .or_else(|| all.next());
        let found = first.map(|(holder, _)| holder);
        let nobody = || Holder::new("memory").expect("the name is plain");
        found.cloned().unwrap_or_else(nobody)
    }

    fn check(&mut self, stage: &StageName, (scope, canary): (Scope, &Canary), now: Timestamp) {
        let is_out = match canary.name {
            None => self
                .used
                .get(stage)
                .is_none_or(|used| *used < canary.number),
            Some(name) => self.is_out(name),
        };
        let number = canary.number;
        if !is_out {
            return self.with_board(stage, now, |board| board.lost(scope, number, now));
        }
        if let Some(board) = self.board(stage) {
            board.still_out(scope, number, now);
        }
        if scope == Scope::Stage {
            self.feed(stage, now);
        }
    }

    fn is_out(&self, name: Name) -> bool {
        let Some(row) = self.rows.get(&name.ticket) else {
            return false;
        };
        let is_on_its_way = match &row.entry.place {
            Place::Runnable { .. } | Place::Running { .. } => true,
            Place::Waiting(wait) => matches!(wait.condition, Condition::Suspect { .. }),
            Place::Done { .. } | Place::Dropped { .. } => false,
        };
        row.entry.ticket.name == name && is_on_its_way
    }

    fn start_plan(&mut self, stage: &StageName, (scope, terms): (Scope, Terms), now: Timestamp) {
        let plan: PlanId = self.make_repairing(stage, (scope, terms), now);
        if let Some(board) = self.board(stage) {
            board.plan_made(scope, plan);
        }
        self.tell_board(plan, now);
    }

    fn close(&mut self, stage: &StageName, scope: Scope, now: Timestamp) {
        match scope {
            Scope::Stage => self.open_gate(stage),
            Scope::Signature(_) => {
                for id in self.held_by(stage, scope) {
                    self.make_due(id, "what it failed of is repaired", now);
                }
            }
        }
    }

    /// Its wait is over.
    fn make_due(&mut self, id: TicketId, because: &str, now: Timestamp) {
        if let Some(row) = self.rows.get_mut(&id)
            && let Place::Waiting(wait) = &mut row.entry.place
        {
            *wait = Wait {
                condition: Condition::NotNow { until: now },
                because: because.into(),
                ..wait.clone()
            };
            self.attention = true;
        }
    }
}
