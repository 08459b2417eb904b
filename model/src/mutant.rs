//! The protocol with one rule left out or changed. Each of them breaks a law, which shows that the
//! rule is needed and that the model would notice.

use crate::faults::Faults;
use crate::protocol::Protocol;

/// What is left out or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// A delivery that was redelivered is started like a new one.
    StartsRedelivered,
    /// The record of the end is written before the next copy is published.
    RecordsBeforeNext,
    /// The delivery is acked before the record of the end is written.
    AcksBeforeRecord,
    /// A claim's delivery is acked before its record is written.
    AcksBeforeClaim,
    /// Words of other generations are heard like those of the one in force.
    HearsEveryGeneration,
    /// Words of lower hops and attempts are heard.
    HearsEveryHop,
    /// A failure that is read again is applied again.
    HearsFailureAgain,
    /// Done is not for ever.
    ReopensDone,
    /// A higher hop is not taken as proof of the hand-offs before it.
    DeniesHigherHop,
    /// A dead holder's ticket goes on under its old generation.
    KeepsGenerationOfTheDead,
    /// A doubtful next copy is released again under the same name.
    KeepsGenerationInDoubt,
    /// What is born in doubt is released without a barrier.
    LiftsBarrier,
    /// A worker publishes again what may have landed.
    PublishesAgain,
    /// A new controller releases again what the one before may have published.
    ReleasesAgain,
    /// Somebody is dead without the journal being read to a marker.
    SentencesUnread,
    /// Attempts run without a record of their start.
    RunsUnrecorded,
    /// The dead are told of only when their ticket is judged.
    BuriesInSilence,
    /// At a burial only those attempts are told of whose ticket has gone on by then.
    BuriesOnlyTheLeft,
    /// A suspect is judged before everybody was heard.
    JudgesUnheard,
    /// A new controller does not expect those whom the books know.
    ExpectsNobody,
    /// A beat leaves out what cannot be acked any more.
    HidesCutOff,
    /// A worker begins to consume under a snapshot that it read before its first beat.
    ConsumesUnannounced,
    /// A new controller believes that it knows everybody at once.
    BelievesItHears,
}

/// One ticket, and this rule left out.
const fn case(mutant: Mutant, faults: Faults) -> Protocol {
    let mut protocol = Protocol::sound(faults);
    protocol.mutant = Some(mutant);
    protocol
}

const NONE: Faults = Faults::NONE;
const CRASH: Faults = Faults { crashes: 1, ..NONE };
const CUT: Faults = Faults { cuts: 1, ..NONE };
const DOUBT: Faults = Faults { doubts: 1, ..NONE };
const SUCCESSION: Faults = Faults {
    successions: 1,
    ..NONE
};
const RESET: Faults = Faults { resets: 1, ..NONE };
const FAILURE_AND_DOUBT: Faults = Faults {
    failures: 1,
    ..DOUBT
};
const CRASH_AND_SUCCESSION: Faults = Faults {
    crashes: 1,
    ..SUCCESSION
};
const CRASH_AND_RESET: Faults = Faults {
    crashes: 1,
    ..RESET
};
const CUT_AND_RESET: Faults = Faults { cuts: 1, ..RESET };
const CUT_AND_SUCCESSION: Faults = Faults {
    cuts: 1,
    ..SUCCESSION
};

/// Every mutant, with the fewest faults that catch it.
pub const CASES: [Protocol; 23] = [
    case(Mutant::StartsRedelivered, CUT),
    case(Mutant::RecordsBeforeNext, CRASH).dwindling(),
    case(Mutant::AcksBeforeRecord, CRASH).dwindling(),
    case(Mutant::AcksBeforeClaim, CRASH).claiming().dwindling(),
    case(Mutant::HearsEveryGeneration, DOUBT),
    case(Mutant::HearsEveryHop, FAILURE_AND_DOUBT),
    case(Mutant::HearsFailureAgain, FAILURE_AND_DOUBT),
    case(Mutant::ReopensDone, CRASH),
    case(Mutant::DeniesHigherHop, CRASH).claiming().dwindling(),
    case(Mutant::KeepsGenerationOfTheDead, CRASH),
    case(Mutant::KeepsGenerationInDoubt, DOUBT),
    case(Mutant::LiftsBarrier, RESET),
    case(Mutant::PublishesAgain, DOUBT),
    case(Mutant::ReleasesAgain, SUCCESSION),
    case(Mutant::SentencesUnread, CRASH).lapsing().dwindling(),
    case(Mutant::RunsUnrecorded, CRASH).dwindling(),
    case(Mutant::BuriesInSilence, CRASH).dwindling(),
    case(Mutant::BuriesOnlyTheLeft, CRASH).dwindling(),
    case(Mutant::JudgesUnheard, CUT),
    case(Mutant::ExpectsNobody, CRASH_AND_SUCCESSION)
        .claiming()
        .dwindling(),
    case(Mutant::HidesCutOff, CUT_AND_RESET),
    case(Mutant::ConsumesUnannounced, CRASH_AND_RESET),
    case(Mutant::BelievesItHears, CUT_AND_SUCCESSION),
];
