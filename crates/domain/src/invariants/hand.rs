//! One ticket as the checker sees it: its newest name and how far that attempt has come.

use super::part::{Part, is_charged};
use crate::books::State;
use crate::event::SettledAs;
use crate::oops::OopsId;
use crate::outcome::OutcomeKind;
use crate::ticket::{Generation, Name};
use crate::wait::Reason;

/// Something that must not happen.
#[derive(Debug)]
pub(super) struct Breach {
    pub(super) invariant: u8,
    pub(super) why: &'static str,
}

impl Breach {
    pub(super) const fn new(invariant: u8, why: &'static str) -> Self {
        Self { invariant, why }
    }
}

const fn breach(invariant: u8, why: &'static str) -> Result<(), Breach> {
    Err(Breach::new(invariant, why))
}

/// How far the attempt under the newest name has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not started.
    Known,
    /// Its handler runs.
    Live,
    /// Its handler has let go.
    Ended(OutcomeKind),
    /// Nobody can speak for it; the controller finds out.
    Suspected,
    /// Its outcome is durable; `None` when it never ran.
    Settled(Option<OutcomeKind>),
    /// The books knew better.
    Passed,
    /// The controller has decided.
    Judged,
}

pub(super) struct Hand {
    pub(super) name: Name,
    pub(super) over: Option<State>,
    pub(super) is_accepted: bool,
    /// How often it is in the window of what was settled last.
    pub(super) retired: u32,
    phase: Phase,
    is_started: bool,
    is_reported: bool,
    is_cut: bool,
    /// Its handler blocks its thread: it has timed out, however it ends.
    is_blocked: bool,
    part: Part,
    generation_min: Generation,
    /// The hand-offs that are proved by their successors' starts, oldest first; their own words may
    /// still come.
    proved: Vec<Name>,
}

/// How many hand-offs of one ticket may be proved and not told; a word about an older one is
/// called a violation.
const PROVED_MAX: usize = 64;

impl Hand {
    pub(super) fn known(name: Name) -> Self {
        Self {
            name,
            over: None,
            is_accepted: false,
            retired: 0,
            phase: Phase::Known,
            is_started: false,
            is_reported: false,
            is_cut: false,
            is_blocked: false,
            part: Part::default(),
            generation_min: Generation::FIRST,
            proved: Vec::new(),
        }
    }

    pub(super) fn started(&mut self, name: &Name) -> Result<(), Breach> {
        let heard = self.may_start(name);
        let heard = heard.and(self.part.may_start(&self.name, name));
        if rank(name) >= rank(&self.name) {
            if self.phase == Phase::Ended(OutcomeKind::Done) && self.is_handed_on(name) {
                if self.proved.len() == PROVED_MAX {
                    self.proved.remove(0);
                }
                self.proved.push(self.name);
            }
            self.meet(name, Phase::Live);
            self.is_started = true;
        }
        heard
    }

    fn is_handed_on(&self, name: &Name) -> bool {
        name.hop > self.name.hop && name.generation == self.name.generation
    }

    fn may_start(&self, name: &Name) -> Result<(), Breach> {
        if self.over.is_some() {
            return breach(1, "starts although its ticket has ended");
        }
        if self.is_started && *name == self.name {
            return breach(4, "starts twice under one name");
        }
        if name.generation < self.generation_min || rank(name) < rank(&self.name) {
            return breach(4, "starts under a name that is over");
        }
        let is_handed_on = self.is_handed_on(name);
        match self.phase {
            Phase::Known | Phase::Settled(_) | Phase::Passed | Phase::Judged => Ok(()),
            Phase::Live | Phase::Ended(_) if self.is_cut => Ok(()),
            // The settler and the next stage tell apart; a higher hop proves the hand-off.
            Phase::Ended(OutcomeKind::Done) if is_handed_on => Ok(()),
            Phase::Live => breach(5, "starts while an earlier attempt is live"),
            Phase::Ended(_) => breach(2, "starts before the attempt before it is settled"),
            Phase::Suspected => breach(5, "starts before the attempt before it is judged"),
        }
    }

    pub(super) fn blocks(&mut self, name: &Name) -> Result<(), Breach> {
        if *name == self.name && self.phase == Phase::Live {
            self.is_blocked = true;
        }
        Ok(())
    }

    pub(super) fn ended(&mut self, name: &Name, outcome: OutcomeKind) -> Result<(), Breach> {
        if *name != self.name {
            return match self.phase {
                Phase::Live if rank(name) < rank(&self.name) => {
                    breach(5, "was still live when a later attempt had started")
                }
                _ if rank(name) < rank(&self.name) => Ok(()),
                // What cannot be read is rejected without a start.
                _ if outcome == OutcomeKind::Rejected => {
                    self.meet(name, Phase::Ended(outcome));
                    Ok(())
                }
                _ => breach(5, "ends without having been started"),
            };
        }
        match self.phase {
            Phase::Live if self.is_blocked && outcome != OutcomeKind::TimedOut => {
                self.phase = Phase::Ended(outcome);
                breach(3, "ends otherwise than was reported while it blocked")
            }
            Phase::Live => {
                self.phase = Phase::Ended(outcome);
                self.part.ended(outcome);
                Ok(())
            }
            Phase::Known if outcome == OutcomeKind::Rejected => {
                self.phase = Phase::Ended(outcome);
                Ok(())
            }
            Phase::Known => breach(5, "ends without having been started"),
            Phase::Ended(_) => breach(5, "ends twice"),
            // It was given up and lets go late: harmless as long as no other attempt is live.
            Phase::Suspected | Phase::Settled(_) | Phase::Passed | Phase::Judged => Ok(()),
        }
    }

    pub(super) fn reported(&mut self, name: &Name, oops: OopsId) -> Result<(), Breach> {
        if oops != OopsId::of(name) {
            return breach(3, "has an oops under another attempt's id");
        }
        if *name != self.name {
            return Ok(());
        }
        self.is_reported = true;
        match self.phase {
            Phase::Live if !self.is_cut && !self.is_blocked && self.over.is_none() => {
                breach(3, "has an oops although its handler still runs")
            }
            // A call-back that fails or never comes is reported about the attempt that waits.
            Phase::Settled(Some(OutcomeKind::Pending)) => Ok(()),
            Phase::Ended(outcome) | Phase::Settled(Some(outcome))
                if !outcome.went_wrong() && !self.is_cut =>
            {
                breach(3, "has an oops although nothing went wrong")
            }
            _ => Ok(()),
        }
    }

    pub(super) fn settled(&mut self, name: &Name, settled: SettledAs) -> Result<(), Breach> {
        if self.is_proof_told(name) {
            return Ok(());
        }
        if rank(name) < rank(&self.name) || name.generation < self.generation_min {
            return breach(4, "is settled although a later name is in force");
        }
        let heard = if *name == self.name {
            self.may_settle(settled)
        } else {
            may_settle_unstarted(settled)
        };
        if *name != self.name {
            self.meet(name, Phase::Known);
        }
        self.phase = match (self.phase, settled) {
            (_, SettledAs::Waiting(Reason::Suspect)) => Phase::Suspected,
            (Phase::Ended(outcome), _) => Phase::Settled(Some(outcome)),
            _ => Phase::Settled(None),
        };
        if matches!(settled, SettledAs::Waiting(Reason::Suspect | Reason::Trial)) {
            self.part.suspected();
        }
        if settled == SettledAs::Finished {
            self.over = self.over.or(Some(State::Done));
        }
        heard
    }

    fn may_settle(&self, settled: SettledAs) -> Result<(), Breach> {
        let is_suspect = settled == SettledAs::Waiting(Reason::Suspect);
        let is_waiting = matches!(settled, SettledAs::Waiting(_));
        if self.over.is_some() {
            return breach(4, "is settled although its ticket has ended");
        }
        match self.phase {
            Phase::Known => may_settle_unstarted(settled),
            Phase::Live | Phase::Ended(_) if is_suspect || self.is_cut => Ok(()),
            Phase::Live => breach(2, "is settled before its handler has let go"),
            Phase::Ended(outcome) if outcome.went_wrong() && !self.is_reported => {
                breach(2, "went wrong and is settled before its oops is durable")
            }
            Phase::Ended(outcome) if outcome.went_wrong() && !is_waiting => {
                breach(1, "went wrong and is settled as if it had not")
            }
            // Somebody who was cut off, not dead, may still say how it ended.
            Phase::Suspected if !is_suspect => Ok(()),
            Phase::Ended(_) => Ok(()),
            Phase::Suspected | Phase::Settled(_) | Phase::Passed => breach(4, "is settled twice"),
            Phase::Judged => breach(4, "is settled although it was judged"),
        }
    }

    pub(super) fn stale(&mut self, name: &Name) -> Result<(), Breach> {
        self.is_proof_told(name);
        if *name != self.name {
            return Ok(());
        }
        match self.phase {
            Phase::Ended(outcome) => {
                self.phase = Phase::Passed;
                if outcome.went_wrong() && !self.is_reported {
                    return breach(3, "went wrong and is given up without an oops");
                }
                Ok(())
            }
            Phase::Live if !self.is_cut => breach(2, "is settled before its handler has let go"),
            _ => Ok(()),
        }
    }

    /// The controller may be another process, whose verdicts are not told here: a suspect comes
    /// back under a higher generation or hop only when it was judged.
    pub(super) fn judged_elsewhere(&mut self, name: &Name) {
        let is_handed_on = self.is_handed_on(name);
        let is_raised = name.generation > self.name.generation;
        if self.phase == Phase::Suspected && (is_raised || is_handed_on) {
            self.phase = Phase::Judged;
        }
    }

    pub(super) fn judged(&mut self, name: &Name, oops: Option<OopsId>) -> Result<(), Breach> {
        if oops.is_some_and(|id| id != OopsId::of(name)) {
            return breach(3, "is judged with another attempt's oops");
        }
        self.part.suspected();
        if *name != self.name {
            return Ok(());
        }
        let was_running = match self.phase {
            Phase::Live | Phase::Ended(_) | Phase::Suspected => self.is_started,
            Phase::Known | Phase::Settled(_) | Phase::Passed | Phase::Judged => false,
        };
        let is_pending = self.phase == Phase::Settled(Some(OutcomeKind::Pending));
        if matches!(self.phase, Phase::Settled(_)) && !is_pending {
            // The verdict came too late to count; the books compare the name.
            return Ok(());
        }
        self.phase = Phase::Judged;
        self.is_reported |= oops.is_some();
        self.renewed();
        if was_running && oops.is_none() && !self.is_reported {
            return breach(3, "died without an oops");
        }
        Ok(())
    }

    /// Something raised the generation: no word of an older one counts any more.
    pub(super) fn renewed(&mut self) {
        self.generation_min = self.name.generation.next().max(self.generation_min);
    }

    /// Whether what is told of its attempts explains that it comes under this name.
    pub(super) fn tells_of(&self, name: &Name) -> bool {
        let is_pending = self.phase == Phase::Settled(Some(OutcomeKind::Pending));
        !is_charged(&self.name, name) || self.is_reported || is_pending
    }

    pub(super) fn is_at_work(&self) -> bool {
        self.phase == Phase::Live && !self.is_cut
    }

    /// The process died, with more than one at work in it or not.
    pub(super) fn cut(&mut self, is_company: bool) {
        self.part.died(is_company && self.is_at_work());
        if !self.is_at_rest() {
            self.is_cut = true;
        }
        self.proved.clear();
    }

    /// Whether this is the word that a proved hand-off still owed.
    fn is_proof_told(&mut self, name: &Name) -> bool {
        let owed = self.proved.iter().position(|proved| proved == name);
        owed.is_some_and(|at| {
            self.proved.remove(at);
            true
        })
    }

    /// Whether nothing more needs to be said about it.
    pub(super) const fn is_told(&self) -> bool {
        self.is_at_rest() && self.proved.is_empty()
    }

    const fn is_at_rest(&self) -> bool {
        match self.phase {
            Phase::Known | Phase::Settled(_) | Phase::Passed | Phase::Judged => true,
            Phase::Live | Phase::Ended(_) | Phase::Suspected => false,
        }
    }

    /// What must not be left when everything has come to rest.
    pub(super) fn unrest(&self) -> Option<Breach> {
        if !self.is_accepted {
            return Some(Breach::new(1, "was at work and never accepted"));
        }
        match self.phase {
            // Durable, and the process that would have told died before it could.
            Phase::Live | Phase::Ended(_) if self.is_cut => None,
            Phase::Live => Some(Breach::new(3, "has started and never ended")),
            Phase::Ended(_) => Some(Breach::new(2, "has ended and was never settled")),
            Phase::Suspected => Some(Breach::new(3, "was suspected and never judged")),
            Phase::Known | Phase::Settled(_) | Phase::Passed | Phase::Judged => None,
        }
    }

    fn meet(&mut self, name: &Name, phase: Phase) {
        self.name = *name;
        self.phase = phase;
        self.is_started = false;
        self.is_reported = false;
        self.is_cut = false;
        self.is_blocked = false;
        self.part.met();
    }
}

/// Only a question for the controller, and what cannot be read, move without a start.
const fn may_settle_unstarted(settled: SettledAs) -> Result<(), Breach> {
    match settled {
        SettledAs::Waiting(Reason::Suspect | Reason::Parked) => Ok(()),
        SettledAs::Waiting(_) | SettledAs::Forwarded | SettledAs::Finished => {
            breach(2, "is settled without having been started")
        }
    }
}

/// The names of one ticket in the order in which they come to be.
const fn rank(name: &Name) -> (u32, u32, u32) {
    (name.generation.0, name.hop.0, name.attempt.0)
}
