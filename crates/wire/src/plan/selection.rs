//! Which tickets a plan is about, inside its message.

use super::must;
use crate::breaker::unknown;
use crate::{Unreadable, proto};
use domain::names::StageName;
use domain::plan::{Choice, Facet, Group, GroupName, Groups, Selection, Source};
use domain::time::Timestamp;
use domain::wait::Reason;
use proto::choice::Of;
use proto::selection::Source as SourceField;

pub(super) fn write(selection: &Selection) -> proto::Selection {
    let source = match selection.source {
        Source::Waiting(reason) => SourceField::Waiting(reason_of(reason).into()),
        Source::AnyWait => SourceField::AnyWait(proto::Nothing {}),
        Source::Queue => SourceField::Queue(proto::Nothing {}),
    };
    proto::Selection {
        source: Some(source),
        stage: selection.stage.as_ref().map(ToString::to_string),
        signature: selection.signature.map(Into::into),
        filter: selection.filter.clone(),
        cutoff_us: selection.cutoff.as_micros(),
        count: selection.count,
    }
}

pub(super) fn read(selection: proto::Selection) -> Result<Selection, Unreadable> {
    let source = match selection.source.ok_or_else(|| unknown("source"))? {
        SourceField::Waiting(number) => Source::Waiting(read_reason(number)?),
        SourceField::AnyWait(proto::Nothing {}) => Source::AnyWait,
        SourceField::Queue(proto::Nothing {}) => Source::Queue,
    };
    let stage = selection.stage.as_deref().map(StageName::new).transpose();
    Ok(Selection {
        source,
        stage: stage.map_err(Unreadable::new)?,
        signature: selection.signature.map(Into::into),
        filter: selection.filter,
        cutoff: Timestamp::from_micros(selection.cutoff_us),
        count: selection.count,
    })
}

pub(super) fn group(group: &Group) -> proto::PlanGroup {
    proto::PlanGroup {
        name: Some(name_of(&group.name)),
        count: group.count,
    }
}

pub(super) fn read_groups(
    groups: Vec<proto::PlanGroup>,
    left_out: u64,
) -> Result<Groups, Unreadable> {
    let read = |group: proto::PlanGroup| {
        Ok(Group {
            name: read_name(must(group.name, "group")?)?,
            count: group.count,
        })
    };
    let shown: Result<_, Unreadable> = groups.into_iter().map(read).collect();
    Ok(Groups {
        shown: shown?,
        left_out,
    })
}

pub(super) fn choice(choice: &Choice) -> proto::Choice {
    let of = match choice {
        Choice::Everything => Of::Everything(proto::Nothing {}),
        Choice::Group(name) => Of::Group(name_of(name)),
    };
    proto::Choice { of: Some(of) }
}

pub(super) fn read_choice(choice: proto::Choice) -> Result<Choice, Unreadable> {
    match choice.of.ok_or_else(|| unknown("choice"))? {
        Of::Everything(proto::Nothing {}) => Ok(Choice::Everything),
        Of::Group(name) => read_name(name).map(Choice::Group),
    }
}

fn name_of(name: &GroupName) -> proto::GroupName {
    let facet = match name.facet {
        Facet::Kind => proto::Facet::Kind,
        Facet::Key => proto::Facet::Key,
        Facet::Signature => proto::Facet::Signature,
        Facet::Verdict => proto::Facet::Verdict,
    };
    proto::GroupName {
        facet: facet.into(),
        value: name.value.clone(),
    }
}

fn read_name(name: proto::GroupName) -> Result<GroupName, Unreadable> {
    let facet = match proto::Facet::try_from(name.facet) {
        Ok(proto::Facet::Kind) => Facet::Kind,
        Ok(proto::Facet::Key) => Facet::Key,
        Ok(proto::Facet::Signature) => Facet::Signature,
        Ok(proto::Facet::Verdict) => Facet::Verdict,
        Ok(proto::Facet::Unspecified) => return Err(Unreadable::missing("facet")),
        Err(_) => return Err(unknown("facet")),
    };
    let value = name.value;
    Ok(GroupName { facet, value })
}

const fn reason_of(reason: Reason) -> proto::WaitReason {
    match reason {
        Reason::Backoff => proto::WaitReason::Backoff,
        Reason::NotNow => proto::WaitReason::NotNow,
        Reason::Pending => proto::WaitReason::Pending,
        Reason::Parked => proto::WaitReason::Parked,
        Reason::Held => proto::WaitReason::Held,
        Reason::Unclaimed => proto::WaitReason::Unclaimed,
        Reason::Suspect => proto::WaitReason::Suspect,
        Reason::Trial => proto::WaitReason::Trial,
        Reason::Unique => proto::WaitReason::Unique,
    }
}

fn read_reason(number: i32) -> Result<Reason, Unreadable> {
    let known = proto::WaitReason::try_from(number).map_err(|_| unknown("reason"))?;
    Ok(match known {
        proto::WaitReason::Unspecified => return Err(Unreadable::missing("reason")),
        proto::WaitReason::Backoff => Reason::Backoff,
        proto::WaitReason::NotNow => Reason::NotNow,
        proto::WaitReason::Pending => Reason::Pending,
        proto::WaitReason::Parked => Reason::Parked,
        proto::WaitReason::Held => Reason::Held,
        proto::WaitReason::Unclaimed => Reason::Unclaimed,
        proto::WaitReason::Suspect => Reason::Suspect,
        proto::WaitReason::Trial => Reason::Trial,
        proto::WaitReason::Unique => Reason::Unique,
    })
}
