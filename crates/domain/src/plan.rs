//! Release plans: how waiting tickets become runnable again.
//!
//! One object for every release of many: tickets that a breaker held, parked ones, a backlog, a
//! retry in bulk. It says which tickets (a frozen [`Selection`]), in what order, how fast, in which
//! steps, and what stops it; and it counts what became of them.
//!
//! Pure: it is told what happened and what time it is. Whoever carries it out asks
//! [`Plan::allow`] how many may go now, releases at most so many of [`Plan::current`], and says so
//! with [`Plan::released`] in the same transaction. So a plan that is stopped has stopped: what is
//! asked after that answers 0. Of every ticket that it released the next end of an attempt is told
//! to [`Plan::ended`], whatever the end is.
//!
//! The fields are public so that stores keep a plan as one row and pages show it; only the methods
//! here change one.

mod carrying;
mod counts;
mod goal;
mod id;
mod refusal;
mod sample;
mod selection;
mod terms;
mod trail;

pub use counts::Counts;
pub use goal::{Goal, Step};
pub use id::{BadPlanId, PlanId};
pub use refusal::Refusal;
pub use sample::Sample;
pub use selection::{BadGroup, Choice, Facet, Group, GroupName, Groups, Selection, Source, Tally};
pub use terms::{BadRamp, BadRate, Order, Ramp, Rate, StopRule, Terms};
pub use trail::{By, Deed, Trail};

use crate::breaker::Scope;
use crate::signature::SignatureId;
use crate::time::Timestamp;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// While a plan waits for tickets to end, the books are counted so often: the end of one may have
/// been told to nobody.
pub const COUNT_EVERY: Duration = Duration::from_secs(60);

/// Who speaks when a rule of the plan itself stops it.
const RULE: &str = "the plan's stop rule";
/// What a plan without tickets says, such as that of a stage that works again with an empty queue.
const NOTHING: &str = "no ticket waited for it, so there is nothing to release";

/// What a plan is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is being released; somebody decides.
    Ready,
    /// Tickets are being released.
    Running,
    /// The release rests until it is resumed.
    Paused,
    /// The release has ended early. What is left waits on, and can be released again.
    Stopped(Why),
    /// No ticket is left, and all that were released have ended.
    Done,
}

impl State {
    /// The word that users see.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped(_) => "stopped",
            Self::Done => "done",
        }
    }
}

/// Why a release has ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// This person wanted it.
    Person(String),
    /// Too many failed.
    Share {
        /// How many.
        failed: u32,
        /// Of the last so many.
        of: u32,
    },
    /// What the release was to show as repaired has happened again.
    Returned(SignatureId),
    /// A whole step of the ramp ended, and none of it landed.
    Barren {
        /// How many were released in the step.
        released: u64,
    },
    /// The stage that it released fails as a whole again.
    StageFails,
    /// Another plan has taken the tickets over.
    Superseded(PlanId),
    /// Its breaker is off or lost: nobody would go on when it is done.
    Unawaited,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(who) => write!(f, "{who} stopped it"),
            Self::Share { failed, of } => write!(f, "{failed} of the last {of} failed"),
            Self::Returned(signature) => write!(f, "{signature} happened again"),
            Self::Barren { released: 1 } => f.write_str("the only one of its step did not land"),
            Self::Barren { released } => write!(f, "none of the {released} of its step landed"),
            Self::StageFails => f.write_str("the stage fails as a whole again"),
            Self::Superseded(plan) => write!(f, "plan {plan} has taken its tickets over"),
            Self::Unawaited => f.write_str("no breaker waits for it any more"),
        }
    }
}

/// How the next attempt at a ticket ended that the plan had released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TicketEnd {
    /// Well.
    Landed,
    /// Its handler refused it: a person must look at it.
    Rejected,
    /// Wrong, in this way if that is known.
    Failed(Option<SignatureId>),
    /// Neither: it was put off or abandoned, or the ticket was cancelled, dropped or lost.
    Undecided,
}

/// What a plan is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Which plan; drawn by the caller.
    pub id: PlanId,
    /// Which tickets.
    pub selection: Selection,
    /// Their groups.
    pub groups: Groups,
    /// How they are released unless a release says otherwise.
    pub terms: Terms,
    /// The breaker whose tickets these are, if one asked for the plan.
    pub repairs: Option<Scope>,
}

impl Draft {
    /// What a breaker asks for: everything that it held, on its terms.
    pub fn repairing(id: PlanId, scope: Scope, selection: Selection, terms: Terms) -> Self {
        Self {
            id,
            selection,
            groups: Groups::default(),
            terms,
            repairs: Some(scope),
        }
    }
}

/// What is to be released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Which of the plan's tickets.
    pub choice: Choice,
    /// How many of them the books find now.
    pub count: u64,
    /// How; `None` is how the plan says.
    pub terms: Option<Terms>,
}

/// A release plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which one.
    pub id: PlanId,
    /// Which tickets.
    pub selection: Selection,
    /// Their groups.
    pub groups: Groups,
    /// How they are released unless a release says otherwise.
    pub terms: Terms,
    /// The breaker that waits for its end, if one does.
    pub repairs: Option<Scope>,
    /// What it is doing.
    pub state: State,
    /// The releases: the first is under way, the others are in line.
    pub goals: VecDeque<Goal>,
    /// What became of the tickets.
    pub counts: Counts,
    /// Who did what.
    pub trail: Trail,
    /// When something last moved; the books were counted then, or need not be.
    pub moved_at: Timestamp,
}

impl Plan {
    /// The most releases in line.
    pub const GOALS_MAX: usize = 32;

    /// A plan that waits for somebody's decision; one without tickets is done.
    pub fn new(draft: Draft, by: By) -> Self {
        let total = draft.selection.count;
        let mut plan = Self {
            id: draft.id,
            selection: draft.selection,
            groups: draft.groups,
            terms: draft.terms,
            repairs: draft.repairs,
            state: if total == 0 {
                State::Done
            } else {
                State::Ready
            },
            goals: VecDeque::new(),
            counts: Counts {
                total,
                ..Counts::default()
            },
            trail: Trail::default(),
            moved_at: by.at,
        };
        let deed = match total {
            0 => format!("made it: {NOTHING}"),
            total => format!("made it, of {total} tickets"),
        };
        plan.trail.note(by, &deed);
        plan
    }

    /// Why nothing goes any more, if that needs a word.
    pub fn why(&self) -> Option<String> {
        match &self.state {
            State::Stopped(why) => Some(why.to_string()),
            State::Done if self.counts.total == 0 => Some(NOTHING.into()),
            State::Ready | State::Running | State::Paused | State::Done => None,
        }
    }

    /// Begins a release, or puts it in line behind those that are under way.
    ///
    /// # Errors
    /// [`Refusal`] when there is nothing to release, or not now.
    pub fn release(&mut self, wanted: Release, by: By) -> Result<(), Refusal> {
        self.may_release(&wanted)?;
        let Release {
            choice,
            count,
            terms,
        } = wanted;
        let terms = terms.unwrap_or_else(|| self.terms.clone());
        // When the release is over, this is all that tells of its terms.
        let deed = format!("released {choice}, {count} tickets, {terms}");
        self.trail.note(by, &deed);
        let mut goal = Goal::new(choice, terms, count.min(self.counts.left()));
        goal.begin_step(0, by.at);
        self.goals.push_back(goal);
        self.state = State::Running;
        self.moved_at = by.at;
        Ok(())
    }

    fn may_release(&self, wanted: &Release) -> Result<(), Refusal> {
        match &self.state {
            State::Done => return Err(Refusal::Done),
            State::Paused => return Err(Refusal::Paused),
            State::Stopped(Why::Superseded(by)) => return Err(Refusal::Superseded(*by)),
            State::Stopped(_) => self.is_of_books()?,
            State::Ready | State::Running => {}
        }
        let choice = &wanted.choice;
        if wanted.count == 0 || self.counts.left() == 0 {
            return Err(Refusal::Empty(choice.clone()));
        }
        let covers = |goal: &Goal| goal.choice == Choice::Everything || goal.choice == *choice;
        if self.goals.iter().any(covers) {
            return Err(Refusal::Already(choice.clone()));
        }
        if self.goals.len() >= Self::GOALS_MAX {
            return Err(Refusal::Full(Self::GOALS_MAX));
        }
        Ok(())
    }

    /// Whether the books can name its tickets, which those in a queue are not.
    fn is_of_books(&self) -> Result<(), Refusal> {
        match (self.selection.source, &self.selection.stage) {
            (Source::Queue, Some(stage)) => Err(Refusal::Queued(stage.to_string())),
            _ => Ok(()),
        }
    }

    /// Nothing goes until it is resumed.
    ///
    /// # Errors
    /// [`Refusal::Idle`] when nothing is being released.
    pub fn pause(&mut self, by: By) -> Result<(), Refusal> {
        self.is(&State::Running, "pause")?;
        self.turn(State::Paused, by, "paused it");
        Ok(())
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    /// [`Refusal::Idle`] when it is not paused.
    pub fn resume(&mut self, by: By) -> Result<(), Refusal> {
        self.is(&State::Paused, "resume")?;
        self.turn(State::Running, by, "resumed it");
        Ok(())
    }

    /// Nothing goes any more. What was released stays released.
    ///
    /// # Errors
    /// [`Refusal::Idle`] when it is stopped or done already.
    pub fn stop(&mut self, by: By) -> Result<(), Refusal> {
        self.halt(Why::Person(by.who.into()), by)
    }

    /// Stops it for a reason that the plan itself cannot see.
    ///
    /// # Errors
    /// [`Refusal::Idle`] when it is stopped or done already; a plan that another takes over may be
    /// stopped.
    pub fn halt(&mut self, why: Why, by: By) -> Result<(), Refusal> {
        let takes_over = matches!(why, Why::Superseded(_));
        match &self.state {
            State::Ready | State::Running | State::Paused => {}
            State::Stopped(_) if takes_over => {}
            state @ (State::Stopped(_) | State::Done) => {
                let state = state.as_str();
                return Err(Refusal::Idle {
                    state,
                    verb: "stop",
                });
            }
        }
        self.goals.clear();
        let deed = format!("stopped: {why}");
        self.turn(State::Stopped(why), by, &deed);
        Ok(())
    }

    fn is(&self, state: &State, verb: &'static str) -> Result<(), Refusal> {
        if self.state == *state {
            return Ok(());
        }
        let state = self.state.as_str();
        Err(Refusal::Idle { state, verb })
    }

    fn turn(&mut self, state: State, by: By, deed: &str) {
        self.trail.note(by, deed);
        self.state = state;
        self.moved_at = by.at;
    }
}

#[cfg(test)]
mod tests;
