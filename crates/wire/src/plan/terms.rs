//! How tickets are released, inside a plan's message.

use crate::breaker::unknown;
use crate::{Unreadable, proto};
use domain::plan::{Order, Ramp, StopRule, Terms};
use proto::terms::Order as OrderField;
use std::num::NonZeroU64;

pub(super) fn write(terms: &Terms) -> proto::Terms {
    let order = match terms.order {
        Order::OldestFirst => OrderField::OldestFirst(proto::Nothing {}),
        Order::NewestFirst => OrderField::NewestFirst(proto::Nothing {}),
        Order::Random { seed } => OrderField::RandomSeed(seed),
    };
    let steps = terms.ramp.steps().iter();
    proto::Terms {
        order: Some(order),
        // A rate knows only seconds, minutes and hours, all of which its text can say.
        rate: terms.rate.map(|rate| rate.to_string()),
        ramp: steps.copied().map(NonZeroU64::get).collect(),
        stop_percent_max: terms.stop.percent_max.into(),
        stop_sample_min: terms.stop.sample_min,
        stop_same: terms.stop.same.map(Into::into),
    }
}

pub(super) fn read(terms: proto::Terms) -> Result<Terms, Unreadable> {
    let order = match terms.order.ok_or_else(|| unknown("order"))? {
        OrderField::OldestFirst(proto::Nothing {}) => Order::OldestFirst,
        OrderField::NewestFirst(proto::Nothing {}) => Order::NewestFirst,
        OrderField::RandomSeed(seed) => Order::Random { seed },
    };
    let rate = terms.rate.map(|text| text.parse()).transpose();
    Ok(Terms {
        order,
        rate: rate.map_err(Unreadable::new)?,
        ramp: ramp(&terms.ramp)?,
        stop: StopRule {
            percent_max: percent(terms.stop_percent_max)?,
            sample_min: terms.stop_sample_min,
            same: terms.stop_same.map(Into::into),
        },
    })
}

/// A step that is left out would let more go at once than somebody wanted.
fn ramp(steps: &[u64]) -> Result<Ramp, Unreadable> {
    let ramp = Ramp::of(steps);
    if ramp.steps().len() == steps.len() {
        return Ok(ramp);
    }
    let (max, got) = (Ramp::STEPS_MAX, steps.len());
    let zeros = steps.iter().filter(|step| **step == 0).count();
    Err(Unreadable::new(format!(
        "ramp: expected at most {max} steps over 0, got {got} with {zeros} of 0"
    )))
}

fn percent(number: u32) -> Result<u8, Unreadable> {
    u8::try_from(number).map_err(|_| {
        Unreadable::new(format!(
            "stop: expected a share of at most 255 percent, got {number}"
        ))
    })
}
