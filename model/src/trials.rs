//! Who is charged when a process dies with several attempts in it. Beside the protocol, which has
//! one slot a worker: here one process has all tickets in hand that it can get, and one of them,
//! the killer, takes it along whenever it runs. Who is guilty, and what that means, is asked of
//! `domain::verdict`; which ticket may go out, and in what company somebody died, is what the
//! stores do.

use crate::cast;
use domain::delivery::Decision;
use domain::flow::{Flows, Stage};
use domain::names::{Holder, StageName};
use domain::retry::Chance;
use domain::ticket::{Attempt, Name};
use domain::trial::Company;
use domain::verdict::{Case, judge};
use domain::wait::{Condition, Wait};
use stateright::{Model, Property};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::LazyLock;

/// After so many deaths that are laid to it a person decides about a ticket.
const ATTEMPTS: u32 = 3;

/// What is checked.
#[derive(Clone, Copy, Debug)]
pub struct Trials {
    /// How many tickets there are at a stage. The first one of the first stage is the killer.
    pub tickets: u8,
    /// How many stages the process serves.
    pub stages: u8,
    /// Whether it starts no second one that is on trial beside another, whatever their stages.
    pub is_serial: bool,
    /// The rule that is left out.
    pub mutant: Option<Mutant>,
}

/// What is left out or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Each of the dead is charged.
    ChargesBystanders,
    /// Company is counted when somebody is judged, not when the process dies.
    CountsTheLeft,
    /// Of a stage any number goes out to be tried alone.
    TriesManyOfAStage,
    /// It is forgotten that a ticket is on trial when it goes out.
    GoesOutUnmarked,
}

impl Mutant {
    /// Every one of them.
    pub const ALL: [Self; 4] = [
        Self::ChargesBystanders,
        Self::CountsTheLeft,
        Self::TriesManyOfAStage,
        Self::GoesOutUnmarked,
    ];
}

/// Where the tickets are, and what was told of the dead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    rows: Vec<Row>,
    /// Attempts that died with their process.
    dead: BTreeSet<Name>,
    /// Those that are reported.
    told: BTreeSet<Name>,
}

/// One ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Row {
    name: Name,
    spot: Spot,
    /// Whether it is on trial.
    is_marked: bool,
    /// Whether it went out as one that is.
    is_alone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Spot {
    /// It may go out.
    Waits,
    Out,
    Running,
    /// Its process died, with so many others in it.
    Suspect(u32),
    Parked,
    Done,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A ticket goes out.
    Release(usize),
    /// The process starts it.
    Start(usize),
    /// It ends well.
    Land(usize),
    /// The killer takes the process along, and another process takes its place.
    Kill,
    /// The controller judges one of the dead.
    Judge(usize),
}

struct Rules {
    stage: Stage,
    flows: Flows,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let mut stage = Stage::new(StageName::new("work").expect("a valid name"));
    stage.retry.attempts = NonZeroU32::new(ATTEMPTS);
    Rules {
        stage,
        flows: Flows::default(),
    }
});

/// The one who does it.
const KILLER: usize = 0;

impl Trials {
    /// The rules as they are, with one stage.
    pub const fn sound(tickets: u8) -> Self {
        Self {
            tickets,
            stages: 1,
            is_serial: false,
            mutant: None,
        }
    }

    /// The same, where the process serves two stages.
    #[must_use]
    pub const fn of_two_stages(self) -> Self {
        Self { stages: 2, ..self }
    }

    /// The same, where the process tries one at a time.
    #[must_use]
    pub const fn serial(self) -> Self {
        Self {
            is_serial: true,
            ..self
        }
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn stage(&self, n: usize) -> usize {
        n / usize::from(self.tickets)
    }

    /// Of a stage one at a time is tried.
    fn may_go(&self, state: &State, n: usize) -> bool {
        let is_other = |(other, row): (usize, &Row)| {
            let is_out = matches!(row.spot, Spot::Out | Spot::Running);
            is_out && row.is_marked && self.stage(other) == self.stage(n)
        };
        let free = self.is(Mutant::TriesManyOfAStage) || !state.rows[n].is_marked;
        free || !state.rows.iter().enumerate().any(is_other)
    }

    fn may_start(&self, state: &State, n: usize) -> bool {
        let is_tried = |row: &Row| row.is_alone && row.spot == Spot::Running;
        let is_free = !self.is_serial || !state.rows[n].is_alone;
        is_free || !state.rows.iter().any(is_tried)
    }

    /// What the judge is told of one of the dead.
    fn company(&self, state: &State, n: usize, beside: u32) -> Company {
        let row = &state.rows[n];
        let suspects = state.rows.iter();
        let suspects = suspects.filter(|row| matches!(row.spot, Spot::Suspect(_)));
        let left = u32::try_from(suspects.count()).unwrap_or(u32::MAX) - 1;
        let beside = match self.mutant {
            Some(Mutant::CountsTheLeft) => left,
            Some(Mutant::ChargesBystanders) => 0,
            _ => beside,
        };
        Company {
            beside,
            alone: row.is_alone,
        }
    }

    fn judge(&self, state: &mut State, n: usize, beside: u32) {
        let name = state.rows[n].name;
        let case = Case {
            ticket: cast::ticket(name),
            wait: Wait {
                condition: Condition::Suspect {
                    holder: Holder::unknown(),
                    started_at: Some(cast::NOW),
                },
                since: cast::NOW,
                because: String::new(),
                oops: None,
            },
            scene: None,
            version: None,
            company: self.company(state, n, beside),
        };
        let decision = Decision {
            stage: &RULES.stage,
            flows: &RULES.flows,
            now: cast::NOW,
            chance: Chance::new(0.0),
        };
        let Some(judgement) = judge(&case, &cast::scene(), &decision) else {
            return;
        };
        state
            .told
            .extend(judgement.report.map(|report| report.name));
        let verdict = judgement.verdict;
        let is_trial = matches!(verdict.wait.condition, Condition::Trial { .. });
        let row = &mut state.rows[n];
        row.name = verdict.name;
        row.spot = match is_trial {
            true => Spot::Waits,
            false => Spot::Parked,
        };
        row.is_marked |= is_trial;
    }
}

impl State {
    fn kill(&mut self) {
        let is_running = |row: &&mut Row| row.spot == Spot::Running;
        let running: Vec<&mut Row> = self.rows.iter_mut().filter(is_running).collect();
        let beside = u32::try_from(running.len()).unwrap_or(u32::MAX) - 1;
        for row in running {
            row.spot = Spot::Suspect(beside);
            self.dead.insert(row.name);
        }
    }

    /// How many of its deaths are not laid to a ticket, of those that are judged.
    fn uncharged(&self, n: usize) -> u32 {
        let row = &self.rows[n];
        let told = self.told.iter();
        let deaths = told.filter(|name| name.ticket == row.name.ticket).count();
        let deaths = u32::try_from(deaths).unwrap_or(u32::MAX);
        deaths.saturating_sub(row.name.attempt.0 - 1)
    }
}

impl Model for Trials {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let row = |n| Row {
            name: cast::first(n),
            spot: Spot::Waits,
            is_marked: false,
            is_alone: false,
        };
        vec![State {
            rows: (0..self.tickets * self.stages).map(row).collect(),
            dead: BTreeSet::new(),
            told: BTreeSet::new(),
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        for (n, row) in state.rows.iter().enumerate() {
            match row.spot {
                Spot::Waits if self.may_go(state, n) => steps.push(Step::Release(n)),
                Spot::Out if self.may_start(state, n) => steps.push(Step::Start(n)),
                Spot::Running if n == KILLER => steps.push(Step::Kill),
                Spot::Running => steps.push(Step::Land(n)),
                Spot::Suspect(_) => steps.push(Step::Judge(n)),
                Spot::Waits | Spot::Out | Spot::Parked | Spot::Done => {}
            }
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut after = state.clone();
        match step {
            Step::Release(n) => {
                let row = &mut after.rows[n];
                row.spot = Spot::Out;
                row.is_alone = row.is_marked && !self.is(Mutant::GoesOutUnmarked);
            }
            Step::Start(n) => after.rows[n].spot = Spot::Running,
            Step::Land(n) => {
                let row = &mut after.rows[n];
                row.spot = Spot::Done;
                row.is_marked = false;
            }
            Step::Kill => after.kill(),
            Step::Judge(n) => match state.rows[n].spot {
                Spot::Suspect(beside) => self.judge(&mut after, n, beside),
                _ => return None,
            },
        }
        Some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("T1 no bystander is charged", |_, state: &State| {
                let mut others = state.rows.iter().skip(KILLER + 1);
                others.all(|row| row.name.attempt == Attempt::FIRST)
            }),
            Property::always("T2 only the first death is free", |_, state: &State| {
                (0..state.rows.len()).all(|n| state.uncharged(n) <= 1)
            }),
            Property::always("T3 the killer is found", |model: &Self, state: &State| {
                let mut steps = Vec::new();
                model.actions(state, &mut steps);
                !steps.is_empty() || has_ended_well(state)
            }),
        ]
    }
}

/// The killer waits for a person, all others have landed, and every death was told.
fn has_ended_well(state: &State) -> bool {
    let (killer, others) = (&state.rows[KILLER], &state.rows[KILLER + 1..]);
    let is_found = killer.spot == Spot::Parked && killer.name.attempt.0 == ATTEMPTS + 1;
    is_found && others.iter().all(|row| row.spot == Spot::Done) && state.dead == state.told
}
