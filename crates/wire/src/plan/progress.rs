//! How far a plan is, inside its message.

use super::{must, selection, terms};
use crate::ids::{halves, whole};
use crate::{Unreadable, proto};
use domain::plan::{Counts, Goal, Sample, Step};
use domain::time::Timestamp;

pub(super) fn goal(goal: &Goal) -> proto::Goal {
    let (sample_high, sample_low) = halves(goal.sample.bits);
    proto::Goal {
        choice: Some(selection::choice(&goal.choice)),
        terms: Some(terms::write(&goal.terms)),
        count: goal.count,
        released: goal.released,
        step: Some(step(&goal.step)),
        paid_until_us: goal.paid_until.as_micros(),
        sample_high,
        sample_low,
        sample_len: goal.sample.len,
    }
}

pub(super) fn read_goal(goal: proto::Goal) -> Result<Goal, Unreadable> {
    Ok(Goal {
        choice: selection::read_choice(must(goal.choice, "choice")?)?,
        terms: terms::read(must(goal.terms, "terms")?)?,
        count: goal.count,
        released: goal.released,
        step: read_step(must(goal.step, "step")?)?,
        paid_until: Timestamp::from_micros(goal.paid_until_us),
        sample: Sample {
            bits: whole(goal.sample_high, goal.sample_low),
            len: goal.sample_len,
        },
    })
}

const fn step(step: &Step) -> proto::Step {
    proto::Step {
        number: step.number as u64,
        began_at_us: step.began_at.as_micros(),
        released: step.released,
        landed: step.landed,
        failed: step.failed,
        ended: step.ended,
    }
}

fn read_step(step: proto::Step) -> Result<Step, Unreadable> {
    Ok(Step {
        number: usize::try_from(step.number).map_err(|_| {
            let got = step.number;
            Unreadable::new(format!("step: expected the number of one, got {got}"))
        })?,
        began_at: Timestamp::from_micros(step.began_at_us),
        released: step.released,
        landed: step.landed,
        failed: step.failed,
        ended: step.ended,
    })
}

pub(super) const fn counts(counts: &Counts) -> proto::PlanCounts {
    proto::PlanCounts {
        total: counts.total,
        released: counts.released,
        landed: counts.landed,
        failed: counts.failed,
        undecided: counts.undecided,
        dropped: counts.dropped,
        gone: counts.gone,
    }
}

pub(super) const fn read_counts(counts: proto::PlanCounts) -> Counts {
    Counts {
        total: counts.total,
        released: counts.released,
        landed: counts.landed,
        failed: counts.failed,
        undecided: counts.undecided,
        dropped: counts.dropped,
        gone: counts.gone,
    }
}
