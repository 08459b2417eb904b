//! The protocol with one rule left out or changed. Each of them breaks a law, which shows that the
//! rule is needed and that the model would notice.

use crate::faults::Faults;

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

/// A mutant, and where it is caught first.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Which one.
    pub mutant: Mutant,
    /// The faults that it takes.
    pub faults: Faults,
    /// Whether work is claimed.
    pub claims: bool,
}

const fn case(mutant: Mutant, faults: Faults) -> Case {
    Case {
        mutant,
        faults,
        claims: false,
    }
}

const fn claim(mutant: Mutant, faults: Faults) -> Case {
    Case {
        mutant,
        faults,
        claims: true,
    }
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

/// Every mutant, with the fewest faults that catch it.
pub const CASES: [Case; 23] = [
    case(Mutant::StartsRedelivered, CUT),
    case(Mutant::RecordsBeforeNext, CRASH),
    case(Mutant::AcksBeforeRecord, CRASH),
    claim(Mutant::AcksBeforeClaim, CRASH),
    case(Mutant::HearsEveryGeneration, DOUBT),
    case(Mutant::HearsEveryHop, Faults { failures: 1, ..DOUBT }),
    case(
        Mutant::HearsFailureAgain,
        Faults {
            failures: 1,
            ..DOUBT
        },
    ),
    case(Mutant::ReopensDone, CRASH),
    claim(Mutant::DeniesHigherHop, CRASH),
    case(Mutant::KeepsGenerationOfTheDead, CRASH),
    case(Mutant::KeepsGenerationInDoubt, DOUBT),
    case(Mutant::LiftsBarrier, RESET),
    case(Mutant::PublishesAgain, DOUBT),
    case(Mutant::ReleasesAgain, SUCCESSION),
    case(Mutant::SentencesUnread, CRASH),
    case(Mutant::RunsUnrecorded, CRASH),
    case(Mutant::BuriesInSilence, CRASH),
    case(Mutant::BuriesOnlyTheLeft, CRASH),
    case(Mutant::JudgesUnheard, CUT),
    claim(
        Mutant::ExpectsNobody,
        Faults {
            successions: 1,
            ..CRASH
        },
    ),
    case(Mutant::HidesCutOff, Faults { resets: 1, ..CUT }),
    case(Mutant::ConsumesUnannounced, Faults { resets: 1, ..CRASH }),
    case(
        Mutant::BelievesItHears,
        Faults {
            successions: 1,
            ..CUT
        },
    ),
];
