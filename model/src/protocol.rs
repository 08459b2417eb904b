//! The protocol as the checker sees it.

use crate::faults::Faults;
use crate::laws::laws;
use crate::mutant::Mutant;
use crate::state::State;
use crate::step::{Step, steps};
use stateright::{Model, Property};

/// What is checked.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// How many tickets there are.
    pub tickets: u8,
    /// What may go wrong.
    pub faults: Faults,
    /// Whether work is claimed: acked before it runs.
    pub claims: bool,
    /// Whether beats and markers are read as soon as nothing else is before them, which leaves
    /// fewer states.
    pub is_prompt: bool,
    /// How a death becomes known.
    pub notice: Notice,
    /// Whether another process takes the place of one that died.
    pub returns: bool,
    /// The rule that is left out.
    pub mutant: Option<Mutant>,
}

/// How a death becomes known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The launcher tells of it.
    Launcher,
    /// It is noticed by its silence.
    Lapse,
    /// The one or the other.
    Either,
}

impl Protocol {
    /// The protocol as it is, with one ticket.
    pub const fn sound(faults: Faults) -> Self {
        Self {
            tickets: 1,
            faults,
            claims: false,
            is_prompt: true,
            notice: Notice::Launcher,
            returns: true,
            mutant: None,
        }
    }

    /// The same, with claims.
    #[must_use]
    pub const fn claiming(self) -> Self {
        Self {
            claims: true,
            ..self
        }
    }

    /// The same, where the dead are known only by their silence.
    #[must_use]
    pub const fn lapsing(self) -> Self {
        Self {
            notice: Notice::Lapse,
            ..self
        }
    }

    /// The same, where nobody takes the place of the dead.
    #[must_use]
    pub const fn dwindling(self) -> Self {
        Self {
            returns: false,
            ..self
        }
    }

    /// The same, with this many tickets.
    #[must_use]
    pub const fn with(self, tickets: u8) -> Self {
        Self { tickets, ..self }
    }

    /// Whether this rule is the one that is left out.
    pub fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn play(&self, state: &mut State, step: Step) {
        match step {
            Step::Announce(slot) => state.announce(self, slot),
            Step::Join(slot) | Step::Follow(slot) => state.follow(self, slot),
            Step::Take(slot, name, is_flagged) => state.take(self, slot, name, is_flagged),
            Step::Adopt(slot) => state.adopt(slot),
            Step::Record(slot) => {
                state.record(self, slot);
            }
            Step::RecordTwice(slot) => state.record_twice(self, slot),
            Step::AckClaim(slot) => state.ack_claim(slot),
            Step::Fail(slot) => state.fail(slot),
            Step::Next(slot) => state.next(slot),
            Step::NextInDoubt(slot, lands) => state.next_in_doubt(self, slot, lands),
            Step::Ack(slot) => state.settle(slot),
            Step::Beat(slot) => state.beat(self, slot),
            Step::Crash(slot) => state.crash(self, slot),
            Step::Cut(slot) => state.cut(slot),
            _ => self.play_beside(state, step),
        }
    }

    /// Whatever is not a worker's.
    fn play_beside(&self, state: &mut State, step: Step) {
        match step {
            Step::Land(late) => state.land(late),
            Step::Tell(who) => {
                state.truth.untold.remove(&who);
                state.journal.push(crate::word::Word::Gone(who));
            }
            Step::Read => state.read(self),
            Step::Release(n) => state.release(n),
            Step::Send(name) => state.send(name),
            Step::SendInDoubt(name, lands) => state.send_in_doubt(self, name, lands),
            Step::Mark(name) => state.mark(name),
            Step::DoubtStranded(n) => state.doubt_stranded(self, n),
            Step::Judge(n) => {
                state.judge(self, n);
                state.think(self, crate::cast::NOW);
            }
            Step::Pass => state.pass(self, None),
            Step::Sentence(slot) => state.sentence(self, slot),
            Step::Succeed(unacked) => state.succeed(self, unacked),
            _ => self.order(state, step),
        }
    }

    /// Whatever an operator does.
    fn order(&self, state: &mut State, step: Step) {
        match step {
            Step::Reset(n) => {
                state.faults.resets -= 1;
                let name = state.rows[n].at.name;
                state.renew(&name);
            }
            Step::Pause => {
                state.faults.pauses -= 1;
                state.desired.is_paused = true;
                state.spread();
            }
            _ => {
                state.desired.is_paused = false;
                state.spread();
            }
        }
        state.think(self, crate::cast::NOW);
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.tickets, self.faults)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        steps(self, state, actions);
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut after = state.clone();
        self.play(&mut after, step);
        if self.is_prompt {
            after.read_ahead(self);
        }
        after.compact();
        (after != *state).then_some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        laws()
    }
}
