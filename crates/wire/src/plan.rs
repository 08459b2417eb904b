//! Release plans as bytes: protobuf `goaround.v1.Plan`, a row of the books each.

mod progress;
mod selection;
mod terms;

use crate::breaker::unknown;
use crate::unreadable::bounded;
use crate::{Unreadable, proto};
use bytes::Bytes;
use domain::plan::{Deed, Plan, State, Trail, Why};
use domain::time::Timestamp;
use prost::Message;
use proto::plan::State as StateField;
use proto::stopped::Why as WhyField;

/// The longest plan that is read: several times what the rules let grow.
pub const BYTES_MAX: usize = 2 * 1024 * 1024;

/// Writes a plan.
pub fn encode(plan: &Plan) -> Bytes {
    let row = proto::Plan {
        id: Some(plan.id.into()),
        selection: Some(selection::write(&plan.selection)),
        groups: plan.groups.shown.iter().map(selection::group).collect(),
        groups_left_out: plan.groups.left_out,
        terms: Some(terms::write(&plan.terms)),
        repairs: plan.repairs.map(Into::into),
        state: Some(state_of(&plan.state)),
        goals: plan.goals.iter().map(progress::goal).collect(),
        counts: Some(progress::counts(&plan.counts)),
        deeds: plan.trail.deeds.iter().map(deed_of).collect(),
        deeds_left_out: plan.trail.left_out,
        moved_at_us: plan.moved_at.as_micros(),
        is_whole: true,
    };
    row.encode_to_vec().into()
}

/// Reads a plan.
///
/// # Errors
/// [`Unreadable`] when it is not one, was cut, is over [`BYTES_MAX`], has a value that is not
/// valid, or a choice that this version does not know. Other fields that it does not know are
/// passed over.
pub fn decode(bytes: &[u8]) -> Result<Plan, Unreadable> {
    read(bytes).map_err(|error| error.within("plan"))
}

fn read(bytes: &[u8]) -> Result<Plan, Unreadable> {
    bounded(bytes, BYTES_MAX)?;
    let row = proto::Plan::decode(bytes).map_err(Unreadable::new)?;
    if !row.is_whole {
        return Err(Unreadable::cut());
    }
    let goals = row.goals.into_iter().map(progress::read_goal);
    Ok(Plan {
        id: must(row.id, "id")?.into(),
        selection: selection::read(must(row.selection, "selection")?)?,
        groups: selection::read_groups(row.groups, row.groups_left_out)?,
        terms: terms::read(must(row.terms, "terms")?)?,
        repairs: row.repairs.map(TryInto::try_into).transpose()?,
        state: read_state(row.state.ok_or_else(|| unknown("state"))?)?,
        goals: goals.collect::<Result<_, _>>()?,
        counts: progress::read_counts(must(row.counts, "counts")?),
        trail: Trail {
            deeds: row.deeds.into_iter().map(read_deed).collect(),
            left_out: row.deeds_left_out,
        },
        moved_at: Timestamp::from_micros(row.moved_at_us),
    })
}

/// What every message of its kind has.
fn must<T>(field: Option<T>, what: &str) -> Result<T, Unreadable> {
    field.ok_or_else(|| Unreadable::missing(what))
}

fn state_of(state: &State) -> StateField {
    match state {
        State::Ready => StateField::Ready(proto::Nothing {}),
        State::Running => StateField::Running(proto::Nothing {}),
        State::Paused => StateField::Paused(proto::Nothing {}),
        State::Stopped(why) => StateField::Stopped(proto::Stopped {
            why: Some(why_of(why)),
        }),
        State::Done => StateField::Done(proto::Nothing {}),
    }
}

fn read_state(state: StateField) -> Result<State, Unreadable> {
    Ok(match state {
        StateField::Ready(proto::Nothing {}) => State::Ready,
        StateField::Running(proto::Nothing {}) => State::Running,
        StateField::Paused(proto::Nothing {}) => State::Paused,
        StateField::Stopped(stopped) => {
            State::Stopped(read_why(stopped.why.ok_or_else(|| unknown("why"))?))
        }
        StateField::Done(proto::Nothing {}) => State::Done,
    })
}

fn why_of(why: &Why) -> WhyField {
    match why {
        Why::Person(who) => WhyField::Person(who.clone()),
        Why::Share { failed, of } => WhyField::Share(proto::FailedShare {
            failed: *failed,
            of: *of,
        }),
        Why::Returned(signature) => WhyField::Returned((*signature).into()),
        Why::Barren { released } => WhyField::BarrenReleased(*released),
        Why::StageFails => WhyField::StageFails(proto::Nothing {}),
        Why::Superseded(plan) => WhyField::Superseded((*plan).into()),
        Why::Unawaited => WhyField::Unawaited(proto::Nothing {}),
    }
}

fn read_why(why: WhyField) -> Why {
    match why {
        WhyField::Person(who) => Why::Person(who),
        WhyField::Share(proto::FailedShare { failed, of }) => Why::Share { failed, of },
        WhyField::Returned(signature) => Why::Returned(signature.into()),
        WhyField::BarrenReleased(released) => Why::Barren { released },
        WhyField::StageFails(proto::Nothing {}) => Why::StageFails,
        WhyField::Superseded(plan) => Why::Superseded(plan.into()),
        WhyField::Unawaited(proto::Nothing {}) => Why::Unawaited,
    }
}

fn deed_of(deed: &Deed) -> proto::Deed {
    proto::Deed {
        at_us: deed.at.as_micros(),
        by: deed.by.clone(),
        what: deed.what.clone(),
    }
}

fn read_deed(deed: proto::Deed) -> Deed {
    Deed {
        at: Timestamp::from_micros(deed.at_us),
        by: deed.by,
        what: deed.what,
    }
}

#[cfg(test)]
mod tests;
