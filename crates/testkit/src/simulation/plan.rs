//! What happens in a story, made from its seed.

use crate::dice::Dice;
use crate::faults::{Fault, Faults};
use crate::handler::Step;
use domain::breaker::Rules;
use domain::flow::{Flows, Stage};
use domain::names::{FlowName, StageName};
use domain::retry::RetryPolicy;
use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

const STAGES_MAX: u64 = 3;
const TICKETS_MAX: u64 = 30;
const CONCURRENCY_MAX: u64 = 3;
const ORDERS_MAX: u64 = 4;
const KILLS_MAX: u64 = 3;
const FAULTS_MAX: u64 = 40;
/// How many more attempts a stage makes at once where work comes in crowds.
const CROWD_MAX: u64 = 4;
/// How often a crowd comes.
const CROWD_EVERY: Duration = Duration::from_secs(12);
/// How many of a thousand tickets there kill, at each stage.
const KILLERS: u32 = 100;
/// How long tickets come in, things break and operators give orders.
const TROUBLE: Duration = Duration::from_secs(60);

/// One stage of a story.
#[derive(Clone, Debug, PartialEq)]
pub struct StagePlan {
    /// Its name.
    pub name: StageName,
    /// How many workers at once.
    pub concurrency: usize,
    /// How long an attempt may take.
    pub deadline: Duration,
    /// After how many failed attempts a person must decide.
    pub attempts: Option<u32>,
    /// Whether its handler cannot be started until it is repaired.
    pub is_unstartable: bool,
    /// When what keeps failing waits for repair.
    pub breaker: Option<Rules>,
}

/// One ticket of a story.
#[derive(Clone, Debug, PartialEq)]
pub struct TicketPlan {
    /// Whether it follows the flow through all stages, or is for the first one only.
    pub follows_flow: bool,
    /// What the handlers do with it, the first calls at each stage in their order.
    pub steps: Vec<Vec<Step>>,
}

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A ticket is submitted.
    Submit(usize),
    /// An operator cancels a ticket.
    Cancel(usize),
    /// An operator gives a ticket up.
    Drop(usize),
    /// An operator wants a ticket tried now.
    Retry(usize),
    /// The process is killed.
    Kill,
    /// Every handler is repaired.
    Repair,
    /// No more faults.
    Heal,
}

/// A story.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// From which it follows.
    pub seed: u64,
    /// The stages, in the order of the flow.
    pub stages: Vec<StagePlan>,
    /// The tickets.
    pub tickets: Vec<TicketPlan>,
    /// What happens, and when, in its order.
    pub deeds: Vec<(Duration, Deed)>,
    /// What else goes wrong.
    pub faults: Faults,
}

impl Plan {
    /// The name of the flow through all stages.
    pub const FLOW: &'static str = "line";

    /// The story of a seed.
    pub fn from_seed(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut stages: Vec<StagePlan> = (1..=dice.between(1, STAGES_MAX))
            .map(|n| stage(n, &mut dice))
            .collect();
        if has_breakers(seed) {
            // Their own dice: what else happens in a story is as it was without them.
            let mut dice = Dice::new(seed ^ 0xB4EA);
            for stage in &mut stages {
                stage.breaker = Some(breaker(&mut dice));
            }
        }
        let count = dice.between(1, TICKETS_MAX);
        let tickets: Vec<TicketPlan> = (0..count).map(|_| ticket(&stages, &mut dice)).collect();
        let mut plan = Self {
            seed,
            deeds: deeds(tickets.len(), &mut dice),
            faults: faults(&mut dice),
            stages,
            tickets,
        };
        if plan.has_killers() {
            plan.crowd(&mut Dice::new(seed ^ 0xD1ED));
        }
        plan
    }

    /// Whether what keeps failing is held.
    pub const fn has_breakers(&self) -> bool {
        has_breakers(self.seed)
    }

    /// Whether some of its tickets take their processes along, with others in them.
    pub const fn has_killers(&self) -> bool {
        self.seed % 5 < 2
    }

    /// Work comes in crowds, and some of it kills. What else happens is as it was without that.
    fn crowd(&mut self, dice: &mut Dice) {
        for stage in &mut self.stages {
            stage.concurrency += 1 + small(dice, CROWD_MAX);
        }
        for (at, deed) in &mut self.deeds {
            if matches!(deed, Deed::Submit(_)) {
                *at -=
                    Duration::from_micros(at.as_micros() as u64 % CROWD_EVERY.as_micros() as u64);
            }
        }
        self.deeds.sort_by_key(|(at, _)| *at);
        for ticket in &mut self.tickets {
            for steps in &mut ticket.steps {
                if dice.happens(KILLERS) {
                    steps.insert(small(dice, steps.len() as u64), killing(dice));
                }
            }
        }
    }

    /// What is configured in this story.
    pub fn flows(&self) -> Flows {
        let stops = self.stages.iter().map(|plan| plan.name.clone()).collect();
        let flow = FlowName::new(Self::FLOW).expect("it is plain");
        let stages = self.stages.iter().map(rules).collect();
        Flows::new(stages, BTreeMap::from([(flow, stops)])).expect("each stage comes once")
    }

    /// Whether an operator may have ended this ticket.
    pub fn may_be_dropped(&self, ticket: usize) -> bool {
        let ends = [Deed::Cancel(ticket), Deed::Drop(ticket)];
        self.deeds.iter().any(|(_, deed)| ends.contains(deed))
    }

    /// Whether this ticket may be left to a person.
    pub fn may_be_parked(&self, ticket: usize) -> bool {
        let steps = self.tickets.get(ticket).map(|plan| plan.steps.concat());
        let mut steps = steps.into_iter().flatten();
        steps.any(|step| *step.at_last() == Step::Reject)
            || self.stages.iter().any(|stage| stage.attempts.is_some())
    }
}

const fn has_breakers(seed: u64) -> bool {
    seed % 2 == 1
}

fn rules(plan: &StagePlan) -> Stage {
    Stage {
        concurrency: NonZeroUsize::new(plan.concurrency).unwrap_or(NonZeroUsize::MIN),
        deadline: plan.deadline,
        breaker: plan.breaker,
        grace: Duration::from_secs(1),
        retry: RetryPolicy {
            first: Duration::from_millis(100),
            max: Duration::from_secs(5),
            attempts: plan.attempts.and_then(NonZeroU32::new),
            ..RetryPolicy::default()
        },
        ..Stage::new(plan.name.clone())
    }
}

fn small(dice: &mut Dice, most: u64) -> usize {
    usize::try_from(dice.between(0, most)).unwrap_or(0)
}

fn stage(number: u64, dice: &mut Dice) -> StagePlan {
    StagePlan {
        name: StageName::new(&format!("stage-{number}")).expect("it is plain"),
        concurrency: 1 + small(dice, CONCURRENCY_MAX - 1),
        deadline: Duration::from_secs(dice.between(2, 10)),
        attempts: dice.happens(150).then_some(3),
        is_unstartable: dice.happens(100),
        breaker: None,
    }
}

/// Scripted tickets fail a few times only, so it opens early; and it is probed often, since each
/// canary may fail a few times as well.
fn breaker(dice: &mut Dice) -> Rules {
    let failures = u32::try_from(dice.between(1, 4)).unwrap_or(1);
    let probe = Duration::from_millis(dice.between(500, 10_000));
    Rules::new(failures, probe).expect("both are in their range")
}

fn ticket(stages: &[StagePlan], dice: &mut Dice) -> TicketPlan {
    let steps = stages.iter().map(|_| {
        let count = if dice.happens(500) { small(dice, 3) } else { 0 };
        (0..count).map(|_| step(dice)).collect()
    });
    TicketPlan {
        steps: steps.collect(),
        follows_flow: dice.happens(800),
    }
}

fn killing(dice: &mut Dice) -> Step {
    let step = match dice.happens(300) {
        true => Step::KillWorker,
        false => Step::KillProcess,
    };
    Step::After(
        Duration::from_millis(dice.between(1, 1_000)),
        Box::new(step),
    )
}

fn step(dice: &mut Dice) -> Step {
    let length = Duration::from_millis(dice.between(1, 1_500));
    let step = match dice.between(0, 15) {
        0..=3 => Step::Done,
        4..=6 => Step::Fail,
        7 | 8 => Step::Crash,
        9 => Step::Panic,
        10 => Step::NotNow(Some(length)),
        11 => Step::NotNow(None),
        12 => Step::Pending(length),
        13 => Step::Hang,
        14 => Step::Deaf,
        _ => Step::Reject,
    };
    match dice.happens(700) {
        true => Step::After(length, Box::new(step)),
        false => step,
    }
}

/// Each seed has its own mix of faults, some none at all: a uniform mix would hide bugs.
fn faults(dice: &mut Dice) -> Faults {
    if dice.happens(150) {
        return Faults::none();
    }
    let mut per_mille = BTreeMap::new();
    for fault in Fault::ALL {
        if dice.happens(500) {
            let most = match fault {
                Fault::CrashBefore | Fault::CrashAfter => 10,
                Fault::Delay => 200,
                Fault::Refuse | Fault::Duplicate | Fault::EndStream | Fault::RefuseReport => 100,
            };
            let chance = u32::try_from(dice.between(1, most)).unwrap_or(1);
            per_mille.insert(fault, chance);
        }
    }
    Faults {
        per_mille,
        budget: u32::try_from(dice.between(0, FAULTS_MAX)).unwrap_or(0),
        delay_max: Duration::from_millis(dice.between(1, 3_000)),
    }
}

fn deeds(tickets: usize, dice: &mut Dice) -> Vec<(Duration, Deed)> {
    let trouble = u64::try_from(TROUBLE.as_millis()).unwrap_or(u64::MAX);
    let mut deeds = Vec::new();
    let mut at = |dice: &mut Dice, deed: Deed| {
        deeds.push((Duration::from_millis(dice.between(0, trouble)), deed));
    };
    for ticket in 0..tickets {
        at(dice, Deed::Submit(ticket));
    }
    for _ in 0..dice.between(0, ORDERS_MAX) {
        let ticket = small(dice, u64::try_from(tickets).unwrap_or(1) - 1);
        let deed = match dice.between(0, 2) {
            0 => Deed::Cancel(ticket),
            1 => Deed::Drop(ticket),
            _ => Deed::Retry(ticket),
        };
        at(dice, deed);
    }
    if dice.happens(500) {
        for _ in 0..dice.between(1, KILLS_MAX) {
            at(dice, Deed::Kill);
        }
    }
    at(dice, Deed::Repair);
    // Ends are put in order of time; what comes at the same time keeps its order.
    deeds.sort_by_key(|(at, _)| *at);
    deeds.push((TROUBLE, Deed::Heal));
    deeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_story() {
        assert_eq!(Plan::from_seed(7), Plan::from_seed(7));
        assert_ne!(Plan::from_seed(7).deeds, Plan::from_seed(8).deeds);
    }

    #[test]
    fn stories_are_in_order_and_within_their_bounds() {
        for seed in 0..200 {
            let plan = Plan::from_seed(seed);
            assert!(plan.deeds.is_sorted_by_key(|(at, _)| *at), "seed {seed}");
            assert!((1..=3).contains(&plan.stages.len()), "seed {seed}");
            assert!((1..=30).contains(&plan.tickets.len()), "seed {seed}");
            assert_eq!(plan.flows().stages().len(), plan.stages.len());
        }
    }
}
