//! What can happen next: each step is one durable effect of one party.

use crate::cast::{self, SLOTS, Who};
use crate::protocol::{Notice, Protocol};
use crate::state::{Late, State};
use domain::ticket::Name;
use std::fmt;

/// One thing that happens.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A new process says that it is there.
    Announce(usize),
    /// It reads the desired state, and begins to consume.
    Join(usize),
    /// A copy is delivered; `true` for the second time.
    Take(usize, Name, bool),
    /// A copy that is still in hand is delivered again to the same process.
    Adopt(usize),
    /// The worker writes the record that is due.
    Record(usize),
    /// The same, and the record lands once more at some time.
    RecordTwice(usize),
    /// The claimed delivery is acked, and the handler runs.
    AckClaim(usize),
    /// The handler fails, and the report is made durable.
    Fail(usize),
    /// The handler is done, and the next copy is published and confirmed.
    Next(usize),
    /// The handler is done, and whether the next copy landed is not known to the worker.
    NextInDoubt(usize, Lands),
    /// The delivery is acked.
    Ack(usize),
    /// The worker keeps to the newest desired state, and beats.
    Follow(usize),
    /// The worker beats.
    Beat(usize),
    /// The process dies.
    Crash(usize),
    /// The consuming connection is cut.
    Cut(usize),
    /// Something lands late.
    Land(Late),
    /// The launcher tells that a process died.
    Tell(Who),
    /// The controller reads the next record into the books.
    Read,
    /// The controller notes that it is about to publish a ticket.
    Release(usize),
    /// It publishes it.
    Send(Name),
    /// It publishes it, and does not know whether it landed.
    SendInDoubt(Name, Lands),
    /// It notes that it is published.
    Mark(Name),
    /// It calls in doubt what the one before was publishing.
    DoubtStranded(usize),
    /// It judges a suspect.
    Judge(usize),
    /// A lapse passes, in which everybody who lives is heard.
    Pass,
    /// A lapse passes in which a worker that lives is not heard.
    Sentence(usize),
    /// The controller dies, and another one leads, which reads this many records again.
    Succeed(usize),
    /// An operator has a ticket run anew.
    Reset(usize),
    /// An operator pauses the stages.
    Pause,
    /// An operator lets them go on.
    Resume,
}

/// What becomes of a publish that nobody knows the outcome of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lands {
    /// It has landed.
    Now,
    /// It will land.
    Late,
    /// It is lost.
    Never,
}

impl Lands {
    const ALL: [Self; 3] = [Self::Now, Self::Late, Self::Never];
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let w = |slot: &usize| format!("w{}", slot + 1);
        let short = cast::short;
        match self {
            Self::Announce(slot) => write!(f, "{} announces itself", w(slot)),
            Self::Join(slot) => write!(f, "{} begins to consume", w(slot)),
            Self::Take(slot, name, false) => write!(f, "{} takes {}", w(slot), short(name)),
            Self::Take(slot, name, true) => {
                write!(f, "{} takes {}, redelivered", w(slot), short(name))
            }
            Self::Adopt(slot) => write!(f, "{} adopts what it has in hand", w(slot)),
            Self::Record(slot) => write!(f, "{} writes its record", w(slot)),
            Self::RecordTwice(slot) => write!(f, "{} writes its record, in doubt", w(slot)),
            Self::AckClaim(slot) => write!(f, "{} acks what it has claimed", w(slot)),
            Self::Fail(slot) => write!(f, "{}'s handler fails, reported", w(slot)),
            Self::Next(slot) => write!(f, "{} publishes the next copy", w(slot)),
            Self::NextInDoubt(slot, lands) => {
                write!(
                    f,
                    "{} publishes the next copy, in doubt: lands {lands:?}",
                    w(slot)
                )
            }
            Self::Ack(slot) => write!(f, "{} acks", w(slot)),
            Self::Follow(slot) => write!(f, "{} follows and beats", w(slot)),
            Self::Beat(slot) => write!(f, "{} beats", w(slot)),
            Self::Crash(slot) => write!(f, "{} DIES", w(slot)),
            Self::Cut(slot) => write!(f, "{} is CUT off", w(slot)),
            Self::Land(Late::Copy(name)) => write!(f, "{} lands late", short(name)),
            Self::Land(Late::Word(word)) => write!(f, "{word:?} lands late"),
            Self::Tell(who) => write!(f, "the launcher tells that {who:?} died"),
            Self::Read => write!(f, "the controller reads"),
            Self::Release(_) => write!(f, "the controller is about to publish"),
            Self::Send(name) => write!(f, "the controller publishes {}", short(name)),
            Self::SendInDoubt(name, lands) => {
                write!(
                    f,
                    "the controller publishes {}, in doubt: lands {lands:?}",
                    short(name)
                )
            }
            Self::Mark(name) => write!(f, "the controller marks {} published", short(name)),
            Self::DoubtStranded(_) => {
                write!(f, "the controller doubts what the one before published")
            }
            Self::Judge(_) => write!(f, "the controller judges"),
            Self::Pass => write!(f, "a lapse passes"),
            Self::Sentence(slot) => write!(f, "{} is NOT HEARD for a lapse", w(slot)),
            Self::Succeed(unacked) => {
                write!(
                    f,
                    "the controller DIES, another leads and reads {unacked} again"
                )
            }
            Self::Reset(_) => write!(f, "an operator RESETS the ticket"),
            Self::Pause => write!(f, "an operator PAUSES"),
            Self::Resume => write!(f, "an operator resumes"),
        }
    }
}

/// Everything that can happen next.
pub fn steps(protocol: &Protocol, state: &State, steps: &mut Vec<Step>) {
    // As long as both have the same story, it does not matter which of them is the first.
    let alike = if state.is_even() { 1 } else { SLOTS };
    for slot in 0..alike {
        crate::worker::steps(protocol, state, slot, steps);
        faults_of(state, slot, steps);
    }
    let mut late = state.late.clone();
    late.dedup();
    steps.extend(late.into_iter().map(Step::Land));
    if protocol.notice != Notice::Lapse {
        steps.extend(state.truth.untold.iter().copied().map(Step::Tell));
    }
    crate::leader::steps(protocol, state, steps);
    operator(state, steps);
}

fn faults_of(state: &State, slot: usize, steps: &mut Vec<Step>) {
    let worker = &state.workers[slot];
    if state.faults.crashes > 0 && worker.is_alive() {
        steps.push(Step::Crash(slot));
    }
    let has_copy = state
        .copies
        .iter()
        .any(|copy| copy.with == Some(worker.who));
    if state.faults.cuts > 0 && has_copy {
        steps.push(Step::Cut(slot));
    }
    if state.faults.doubts > 0 {
        let doubtful: Vec<Step> = steps
            .iter()
            .flat_map(|step| match step {
                Step::Next(at) if *at == slot => Lands::ALL
                    .map(|lands| Step::NextInDoubt(slot, lands))
                    .to_vec(),
                Step::Record(at) if *at == slot => vec![Step::RecordTwice(slot)],
                _ => Vec::new(),
            })
            .collect();
        steps.extend(doubtful);
    }
}

fn operator(state: &State, steps: &mut Vec<Step>) {
    if state.faults.resets > 0 {
        let rows = state.rows.iter().enumerate();
        let out = rows.filter(|(_, row)| row.is_out());
        steps.extend(out.map(|(n, _)| Step::Reset(n)));
    }
    match state.desired.is_paused {
        true => steps.push(Step::Resume),
        false if state.faults.pauses > 0 => steps.push(Step::Pause),
        false => {}
    }
}

/// What becomes of the sends of the controller.
pub(crate) fn sends(state: &State, steps: &mut Vec<Step>) {
    for (name, is_out) in &state.leader.sending {
        if *is_out {
            steps.push(Step::Mark(*name));
            continue;
        }
        steps.push(Step::Send(*name));
        if state.faults.doubts > 0 {
            steps.extend(Lands::ALL.map(|lands| Step::SendInDoubt(*name, lands)));
        }
    }
}
