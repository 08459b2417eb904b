//! How a process died, as bytes.

use crate::proto;
use domain::obituary::Obituary;
use domain::outcome::Exit;
use domain::time::Timestamp;
use proto::obituary::Exit as ExitField;

pub(super) fn write(obituary: &Obituary) -> proto::Obituary {
    proto::Obituary {
        began_at_us: obituary.began_at.as_micros(),
        died_at_us: obituary.died_at.as_micros(),
        memory_bytes_max: obituary.memory_bytes_max,
        oom_kills: obituary.oom_kills,
        last_words: obituary.last_words.clone(),
        exit: Some(match obituary.exit {
            Exit::Status(status) => ExitField::Status(status),
            Exit::Signal(signal) => ExitField::Signal(signal),
        }),
    }
}

/// Nothing of an end that this version does not know: that a worker is gone counts all the same.
pub(super) fn read(it: proto::Obituary) -> Option<Obituary> {
    let exit = match it.exit? {
        ExitField::Status(status) => Exit::Status(status),
        ExitField::Signal(signal) => Exit::Signal(signal),
    };
    Some(Obituary {
        exit,
        began_at: Timestamp::from_micros(it.began_at_us),
        died_at: Timestamp::from_micros(it.died_at_us),
        memory_bytes_max: it.memory_bytes_max,
        oom_kills: it.oom_kills,
        last_words: it.last_words,
    })
}
