//! How the last tickets of a release ended.

use super::terms::StopRule;

/// Whether each of the last [`StopRule::SAMPLE`] failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// A bit each, the latest lowest; set when it failed.
    pub bits: u128,
    /// How many there are.
    pub len: u32,
}

impl Sample {
    const MASK: u128 = (1 << StopRule::SAMPLE) - 1;

    pub(super) const fn landed(&mut self) {
        self.push(0);
    }

    pub(super) const fn failed(&mut self) {
        self.push(1);
    }

    const fn push(&mut self, bit: u128) {
        self.bits = ((self.bits << 1) | bit) & Self::MASK;
        if self.len < StopRule::SAMPLE {
            self.len += 1;
        }
    }

    /// How many of them failed.
    pub const fn failures(&self) -> u32 {
        self.bits.count_ones()
    }

    pub(super) fn breaks(&self, rule: &StopRule) -> bool {
        let share = u64::from(self.failures()) * 100;
        let allowed = u64::from(self.len) * u64::from(rule.percent_max);
        self.len >= rule.sample_min.clamp(1, StopRule::SAMPLE) && share > allowed
    }
}
