//! How tickets are released: in which order, how fast, in which steps, and what stops it.

use crate::signature::SignatureId;
use crate::time::Timestamp;
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::str::FromStr;
use std::time::Duration;

/// In which order tickets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The one that has waited the longest first.
    OldestFirst,
    /// The one that has waited the shortest first.
    NewestFirst,
    /// In an order of chance that is the same each time it is asked for.
    Random {
        /// What was drawn.
        seed: u64,
    },
}

/// The most tickets in a time. Written `10/s`, `300/m` or `5/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    per: Duration,
}

/// Text that is not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rate: expected 1 to {max} tickets a second, minute or hour such as 10/s, got {got:?}", max = Rate::COUNT_MAX)]
pub struct BadRate {
    /// What was found.
    pub got: String,
}

impl Rate {
    /// The most that can be asked for; above that there is no use in a limit.
    pub const COUNT_MAX: u32 = 100_000;
    /// What may go at once: so much of what the rate gives. Short, because the limit is there for
    /// something behind the stage that breaks above it.
    const BURST: Duration = Duration::from_millis(100);

    /// So many a second.
    ///
    /// # Errors
    /// [`BadRate`] when it is none, or more than [`Rate::COUNT_MAX`].
    pub fn per_second(count: u32) -> Result<Self, BadRate> {
        Self::new(count, Duration::from_secs(1), &format!("{count}/s"))
    }

    fn new(count: u32, per: Duration, text: &str) -> Result<Self, BadRate> {
        let bad = || BadRate {
            got: text.chars().take(80).collect(),
        };
        let count = NonZeroU32::new(count).filter(|count| count.get() <= Self::COUNT_MAX);
        Ok(Self {
            count: count.ok_or_else(bad)?,
            per,
        })
    }

    /// How many.
    pub const fn count(&self) -> u32 {
        self.count.get()
    }

    /// In which time.
    pub const fn per(&self) -> Duration {
        self.per
    }

    /// From one ticket to the next, in microseconds; at least 1.
    fn gap_us(&self) -> i64 {
        let per = i64::try_from(self.per.as_micros()).unwrap_or(i64::MAX);
        (per / i64::from(self.count.get())).max(1)
    }

    fn burst(&self) -> i64 {
        let burst = i64::try_from(Self::BURST.as_micros()).unwrap_or(i64::MAX);
        (burst / self.gap_us()).max(1)
    }

    /// How many may go now if what has gone is paid for up to `paid`.
    pub(super) fn allows(&self, paid: Timestamp, now: Timestamp) -> u64 {
        let ahead = paid.as_micros().saturating_sub(now.as_micros()).max(0);
        let count = self.burst() - ahead.saturating_add(self.gap_us() - 1) / self.gap_us();
        u64::try_from(count).unwrap_or(0)
    }

    /// Up to when these are paid for as well.
    pub(super) fn pays(&self, paid: Timestamp, count: u64, now: Timestamp) -> Timestamp {
        paid.max(now).plus(self.takes(count))
    }

    /// How long so many take.
    pub(super) fn takes(&self, count: u64) -> Duration {
        let gap = u64::try_from(self.gap_us()).unwrap_or(1);
        Duration::from_micros(gap.saturating_mul(count))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.as_secs() {
            60 => "m",
            3_600 => "h",
            _ => "s",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

impl FromStr for Rate {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, BadRate> {
        let bad = || BadRate {
            got: text.chars().take(80).collect(),
        };
        let (count, unit) = text.trim().split_once('/').ok_or_else(bad)?;
        let per = match unit.trim() {
            "s" | "sec" | "second" => 1,
            "m" | "min" | "minute" => 60,
            "h" | "hour" => 3_600,
            _ => return Err(bad()),
        };
        let count = count.trim().parse().map_err(|_| bad())?;
        Self::new(count, Duration::from_secs(per), text)
    }
}

/// How many go in each step; the last step, which is not written, is all the rest. A step begins
/// only when every ticket of the step before has ended. Written `1,10,100`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ramp(Vec<NonZeroU64>);

/// Text that is not a ramp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ramp: expected at most {max} steps such as 1,10,100 or all, got {got:?}", max = Ramp::STEPS_MAX)]
pub struct BadRamp {
    /// What was found.
    pub got: String,
}

impl Ramp {
    /// The most steps before the rest.
    pub const STEPS_MAX: usize = 16;

    /// All at once.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// These steps, then the rest; steps of nothing are left out, and those past
    /// [`Ramp::STEPS_MAX`].
    pub fn of(steps: &[u64]) -> Self {
        let steps = steps.iter().copied().filter_map(NonZeroU64::new);
        Self(steps.take(Self::STEPS_MAX).collect())
    }

    /// The steps before the rest.
    pub fn steps(&self) -> &[NonZeroU64] {
        &self.0
    }

    /// How many go in a step, counted from 0; `None` is the rest.
    pub(super) fn step(&self, step: usize) -> Option<u64> {
        self.0.get(step).map(|count| count.get())
    }
}

impl Default for Ramp {
    /// 1, 10, 100, then the rest.
    fn default() -> Self {
        Self::of(&[1, 10, 100])
    }
}

impl fmt::Display for Ramp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.0 {
            write!(f, "{step},")?;
        }
        f.write_str("all")
    }
}

impl FromStr for Ramp {
    type Err = BadRamp;

    fn from_str(text: &str) -> Result<Self, BadRamp> {
        let bad = || BadRamp {
            got: text.chars().take(80).collect(),
        };
        let mut parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if parts.last() == Some(&"all") {
            parts.pop();
        }
        let steps = parts
            .into_iter()
            .map(|part| part.parse().map_err(|_| bad()));
        let steps: Vec<NonZeroU64> = steps.collect::<Result<_, _>>()?;
        if steps.len() > Self::STEPS_MAX {
            return Err(bad());
        }
        Ok(Self(steps))
    }
}

/// What stops a release. Beside it, a step before the last that failed and of which nothing landed
/// always does; a ramp of none has no such step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopRule {
    /// More than so many percent of the last [`StopRule::SAMPLE`] that ended have failed;
    /// 100 never stops for that.
    pub percent_max: u8,
    /// The share is not judged before so many have ended.
    pub sample_min: u32,
    /// A ticket of the plan failed in this very way again.
    pub same: Option<SignatureId>,
}

impl StopRule {
    /// How many of the last ends are looked at.
    pub const SAMPLE: u32 = 100;
}

impl Default for StopRule {
    /// More than 5 % of the last 100, once 20 have ended.
    fn default() -> Self {
        Self {
            percent_max: 5,
            sample_min: 20,
            same: None,
        }
    }
}

/// How tickets are released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// In which order.
    pub order: Order,
    /// How fast; `None` is as fast as can be.
    pub rate: Option<Rate>,
    /// In which steps.
    pub ramp: Ramp,
    /// What stops it.
    pub stop: StopRule,
}

impl Terms {
    /// What stops such a release, in words.
    pub fn stops(&self) -> String {
        let StopRule {
            percent_max,
            sample_min,
            same,
        } = &self.stop;
        let mut stops = Vec::new();
        if !self.ramp.steps().is_empty() {
            stops.push("when a step before the last fails and nothing of it lands".to_owned());
        }
        if *percent_max < 100 {
            stops.push(format!(
                "when more than {percent_max} % of the last {} failed, once {sample_min} have ended",
                StopRule::SAMPLE
            ));
        }
        if let Some(same) = same {
            stops.push(format!("when {same} comes back"));
        }
        match stops.is_empty() {
            true => "never by itself".into(),
            false => stops.join("; "),
        }
    }
}

impl fmt::Display for Terms {
    /// `in steps of 1,10,100,all at 10/s, the oldest first; stops when …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.rate.map_or("full speed".into(), |r| r.to_string());
        let order = match self.order {
            Order::OldestFirst => "the oldest first",
            Order::NewestFirst => "the newest first",
            Order::Random { .. } => "in an order of chance",
        };
        let stops = self.stops();
        write!(
            f,
            "in steps of {} at {rate}, {order}; stops {stops}",
            self.ramp
        )
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            order: Order::OldestFirst,
            rate: None,
            ramp: Ramp::default(),
            stop: StopRule::default(),
        }
    }
}
