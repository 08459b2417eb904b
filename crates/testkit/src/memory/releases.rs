//! Release plans, as they are carried out.

use super::state::{Row, State};
use domain::books::Place;
use domain::breaker::Scope;
use domain::control::Gate;
use domain::filter::Query;
use domain::names::StageName;
use domain::plan::{
    By, Choice, Draft, Facet, Groups, Order, Plan, PlanId, Release, Selection, Source,
    State as Progress, Tally, Terms, TicketEnd,
};
use domain::ticket::TicketId;
use domain::time::Timestamp;
use domain::wait::{Condition, Reason};
use uuid::Builder;

/// Who makes the plan of a breaker.
const BREAKER: &str = "breaker";

impl State {
    fn plan_id(&mut self, now: Timestamp) -> PlanId {
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        let mut tail = [0; 10];
        tail[2..].copy_from_slice(&self.next_number().to_be_bytes());
        PlanId::new(Builder::from_unix_timestamp_millis(millis, &tail).into_uuid())
    }

    /// Makes a plan of what a breaker holds, and begins its release.
    pub(super) fn make_repairing(
        &mut self,
        stage: &StageName,
        (scope, terms): (Scope, Terms),
        now: Timestamp,
    ) -> PlanId {
        let (source, signature, count, newest) = match scope {
            Scope::Stage => (Source::Queue, None, self.queued_at(stage), None),
            Scope::Signature(signature) => {
                let held = self.held_by(stage, scope);
                let newest = held.last().and_then(|id| self.rows.get(id));
                let newest = newest.map(|row| row.entry.place.since());
                let source = Source::Waiting(Reason::Held);
                (source, Some(signature), held.len() as u64, newest)
            }
        };
        let selection = Selection {
            source,
            stage: Some(stage.clone()),
            signature,
            filter: String::new(),
            // A clock that was put back must not leave anybody out: it would never be its turn.
            cutoff: newest.map_or(now, |newest| newest.max(now)),
            count,
        };
        let id = self.plan_id(now);
        let by = By {
            who: BREAKER,
            at: now,
        };
        let mut plan = Plan::new(Draft::repairing(id, scope, selection, terms), by);
        let all = Release {
            choice: Choice::Everything,
            count,
            terms: None,
        };
        // One without tickets is done already.
        plan.release(all, by).ok();
        self.plans.insert(id, plan);
        id
    }

    /// How many are in the queue of the stage, or with its workers.
    fn queued_at(&self, stage: &StageName) -> u64 {
        let is_here = |row: &&Row| {
            let place = &row.entry.place;
            let is_queued = matches!(place, Place::Runnable { .. } | Place::Running { .. });
            is_queued && row.entry.ticket.stage == *stage
        };
        self.rows.values().filter(is_here).count() as u64
    }

    /// Freezes the tickets that match.
    pub(super) fn make_plan(
        &mut self,
        query: &Query,
        terms: Terms,
        by: By,
        plans_max: usize,
    ) -> Plan {
        let mut selection = Selection::asked(query, by.at);
        let matches = |row: &Row| match &row.entry.place {
            Place::Waiting(wait) => {
                let fits = selection.source.takes(wait.condition.reason());
                fits && query.matches(&row.entry, by.at)
            }
            _ => false,
        };
        let chosen: Vec<TicketId> = {
            let rows = self.rows.iter().filter(|(_, row)| matches(row));
            rows.map(|(id, _)| *id).collect()
        };
        let groups = self.groups(&chosen);
        selection.count = chosen.len() as u64;
        let draft = Draft {
            id: self.plan_id(by.at),
            selection,
            groups,
            terms,
            repairs: None,
        };
        let plan = Plan::new(draft, by);
        self.make_room(plans_max);
        self.chosen.insert(plan.id, chosen.into_iter().collect());
        self.plans.insert(plan.id, plan.clone());
        plan
    }

    /// The oldest plans that have nothing to do any more make room for one.
    fn make_room(&mut self, plans_max: usize) {
        let excess = (self.plans.len() + 1).saturating_sub(plans_max);
        let resting = self.plans.values().filter(|plan| !is_live(plan));
        let gone: Vec<PlanId> = resting.map(|plan| plan.id).take(excess).collect();
        for id in gone {
            self.plans.remove(&id);
            self.chosen.remove(&id);
        }
    }

    fn groups(&self, chosen: &[TicketId]) -> Groups {
        let mut tally = Tally::default();
        for row in chosen.iter().filter_map(|id| self.rows.get(id)) {
            for facet in Facet::ALL {
                if let Some(value) = row.value_of(facet) {
                    tally.add(facet, value);
                }
            }
        }
        tally.groups()
    }

    /// The tickets of a plan's choice that are left, whoever has waited longest first.
    pub(super) fn left_of(&self, plan: &Plan, choice: &Choice) -> Vec<TicketId> {
        let source = plan.selection.source;
        let cutoff = plan.selection.cutoff;
        let mut left: Vec<(Timestamp, u64, TicketId)> = Vec::new();
        for id in self.selected(plan) {
            if let Some(row) = self.rows.get(&id)
                && let Place::Waiting(wait) = &row.entry.place
                && source.takes(wait.condition.reason())
                && wait.since <= cutoff
                && row.is_in(choice)
            {
                left.push((wait.since, row.age, id));
            }
        }
        left.sort_unstable();
        left.into_iter().map(|(_, _, id)| id).collect()
    }

    fn selected(&self, plan: &Plan) -> Vec<TicketId> {
        match (&plan.selection.stage, plan.repairs) {
            (Some(stage), Some(scope)) => self.held_by(stage, scope),
            _ => {
                let chosen = self.chosen.get(&plan.id);
                chosen.map_or_else(Vec::new, |chosen| chosen.iter().copied().collect())
            }
        }
    }

    /// How many tickets of a plan are left, and how many that it has released have not ended an
    /// attempt since.
    pub(super) fn left_and_out(&self, plan: &Plan) -> (u64, u64) {
        if let (Source::Queue, Some(stage)) = (plan.selection.source, &plan.selection.stage) {
            let queued = self.queued_at(stage);
            let out = plan.counts.out().min(queued);
            return (queued - out, out);
        }
        let left = self.left_of(plan, &Choice::Everything).len() as u64;
        let rows = self.rows.values();
        let out = rows.filter(|row| row.plan == Some(plan.id)).count() as u64;
        (left, out)
    }

    /// One round: what the plans allow now, at most `room` tickets.
    pub(super) fn carry_on(&mut self, now: Timestamp, room: usize) -> usize {
        let mut released = 0;
        for id in self.plans.keys().copied().collect::<Vec<_>>() {
            released += self.carry_on_one(id, now, room - released);
        }
        released
    }

    fn carry_on_one(&mut self, id: PlanId, now: Timestamp, room: usize) -> usize {
        let Some(plan) = self.plans.get(&id).cloned() else {
            return 0;
        };
        let Some(goal) = plan.current().filter(|_| plan.state == Progress::Running) else {
            return 0;
        };
        let allowed = usize::try_from(plan.allow(now)).unwrap_or(usize::MAX);
        if allowed == 0 {
            if plan.next_at().is_some_and(|at| at <= now) {
                self.count_books(&plan, now);
            }
            return 0;
        }
        if plan.selection.source == Source::Queue {
            self.let_in(&plan, now);
            return 0;
        }
        let mut left = self.left_of(&plan, &goal.choice);
        let is_short = left.len() < allowed;
        sort(&mut left, goal.terms.order);
        left.truncate(allowed.min(room));
        for ticket in &left {
            if let Some(row) = self.rows.get_mut(ticket) {
                row.plan = Some(id);
                if let Place::Waiting(wait) = &row.entry.place {
                    let name = row.entry.ticket.name;
                    row.entry.ticket.name = wait.condition.reason().ended_early(name);
                }
            }
            self.release_held(*ticket, &format!("release plan {id}"), now);
        }
        if let Some(plan) = self.plans.get_mut(&id) {
            plan.released(left.len() as u64, now).ok();
            if is_short && left.len() < allowed.min(room) {
                plan.exhausted(now);
            }
        }
        self.tell_board(id, now);
        left.len()
    }

    /// Lets a stage take as many of its queue as the plan allows; the last step opens its gate.
    fn let_in(&mut self, plan: &Plan, now: Timestamp) {
        let Some(stage) = &plan.selection.stage else {
            return;
        };
        let (left, _) = self.left_and_out(plan);
        let count = plan.allow(now).min(left);
        if plan.is_wide_open() {
            self.open_gate(stage);
        } else {
            *self.allowed.entry(stage.clone()).or_default() += count;
        }
        let is_short = count < plan.allow(now);
        if let Some(plan) = self.plans.get_mut(&plan.id) {
            plan.released(count, now).ok();
            if is_short {
                plan.exhausted(now);
            }
        }
        self.tell_board(plan.id, now);
    }

    /// A person has paused the release of a queue, or resumed it.
    pub(super) fn move_gate(&mut self, plan: &Plan, now: Timestamp) {
        let (Source::Queue, Some(stage)) = (plan.selection.source, &plan.selection.stage) else {
            return;
        };
        match plan.state {
            Progress::Paused => self.shut_for(plan.id, stage, now),
            Progress::Running if plan.is_wide_open() && plan.allow(now) == 0 => {
                self.open_gate(stage);
            }
            Progress::Running => self.count_books(plan, now),
            Progress::Ready | Progress::Stopped(_) | Progress::Done => {}
        }
    }

    /// Nothing of the queue is let in.
    fn shut_for(&mut self, plan: PlanId, stage: &StageName, now: Timestamp) {
        self.allowed.remove(stage);
        let gate = self.snapshot.gates.entry(stage.clone());
        let gate = gate.or_insert_with(|| Gate {
            since: now,
            reason: format!("its release is paused: plan {plan}"),
            permit: None,
        });
        gate.permit = None;
        self.snapshot.revision += 1;
    }

    fn count_books(&mut self, plan: &Plan, now: Timestamp) {
        let (left, out) = self.left_and_out(plan);
        if let (Source::Queue, Some(stage)) = (plan.selection.source, &plan.selection.stage)
            && self.snapshot.gates.contains_key(stage)
        {
            // What was let in and handed back may be taken again.
            let leases = self.leases.values();
            let in_hand = leases.filter(|it| it.queued.ticket.stage == *stage).count() as u64;
            let allowed = out.saturating_sub(in_hand);
            self.allowed.insert(stage.clone(), allowed);
        }
        if let Some(plan) = self.plans.get_mut(&plan.id) {
            plan.counted(left, out, now);
        }
        self.tell_board(plan.id, now);
    }

    /// Tells the plans that had released the ticket that its next attempt has ended so; returns
    /// which they are.
    pub(super) fn ended_for(
        &mut self,
        stage: &StageName,
        id: TicketId,
        end: &TicketEnd,
        now: Timestamp,
    ) -> Vec<PlanId> {
        let mut told = Vec::new();
        told.extend(self.rows.get_mut(&id).and_then(|row| row.plan.take()));
        // A queue is released as a whole: whoever comes next is of the plan.
        let is_queue = |plan: &&Plan| {
            let selection = &plan.selection;
            let is_here = selection.stage.as_ref() == Some(stage);
            let is_under_way = matches!(plan.state, Progress::Running | Progress::Paused);
            selection.source == Source::Queue && is_here && is_under_way
        };
        told.extend(self.plans.values().filter(is_queue).map(|plan| plan.id));
        for id in &told {
            if let Some(plan) = self.plans.get_mut(id) {
                plan.ended(end, now);
                self.attention = true;
            }
        }
        told
    }

    /// Tells the breaker that waits for the plan what the plan is.
    pub(super) fn tell_board(&mut self, id: PlanId, now: Timestamp) {
        let Some(plan) = self.plans.get(&id).cloned() else {
            return;
        };
        let (Some(scope), Some(stage)) = (plan.repairs, &plan.selection.stage) else {
            return;
        };
        let left_behind = match (scope, &plan.state) {
            (Scope::Signature(_), Progress::Done) => self.held_by(stage, scope).len() as u64,
            _ => 0,
        };
        self.with_board(stage, now, |board| {
            board.plan_is(scope, (id, &plan.state), left_behind, now)
        });
    }
}

impl Row {
    fn value_of(&self, facet: Facet) -> Option<String> {
        let ticket = &self.entry.ticket;
        match facet {
            Facet::Kind => Some(ticket.kind.to_string()),
            Facet::Key => ticket.key.as_ref().map(ToString::to_string),
            Facet::Signature => match &self.entry.place {
                Place::Waiting(wait) => match wait.condition {
                    Condition::Repair { signature } => Some(signature.to_string()),
                    _ => self.signature.map(|signature| signature.to_string()),
                },
                _ => None,
            },
            Facet::Verdict => None,
        }
    }

    fn is_in(&self, choice: &Choice) -> bool {
        match choice {
            Choice::Everything => true,
            Choice::Group(name) => self.value_of(name.facet).as_ref() == Some(&name.value),
        }
    }
}

/// Whether a plan has something to do, or to hear.
fn is_live(plan: &Plan) -> bool {
    let is_under_way = matches!(plan.state, Progress::Running | Progress::Paused);
    is_under_way || plan.selection.source != Source::Queue && plan.counts.out() > 0
}

fn sort(left: &mut [TicketId], order: Order) {
    match order {
        Order::OldestFirst => {}
        Order::NewestFirst => left.reverse(),
        Order::Random { seed } => left.sort_by_key(|id| {
            let bits = u64::from_be_bytes(std::array::from_fn(|at| id.as_bytes()[at + 8]));
            (bits ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TestClock;
    use domain::flow::Flows;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    #[test]
    fn a_plan_that_is_under_way_is_not_forgotten_for_a_newer_one() {
        let flows = Flows::new(Vec::new(), BTreeMap::new()).expect("there is nothing to fit");
        let mut state = State::new(Arc::new(flows));
        let by = By {
            who: "ann",
            at: TestClock::BEGIN,
        };
        let query = Query::default();
        let make = |state: &mut State| state.make_plan(&query, Terms::default(), by, 3).id;
        let [first, second, third] = [(); 3].map(|()| make(&mut state));
        if let Some(plan) = state.plans.get_mut(&first) {
            plan.state = Progress::Paused;
        }
        let fourth = make(&mut state);
        let kept: Vec<PlanId> = state.plans.keys().copied().collect();
        assert_eq!(kept, [first, third, fourth]);
        assert!(!state.chosen.contains_key(&second));
    }
}
