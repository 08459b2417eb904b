//! When a failed ticket is tried again: exponential, jittered, capped, by default for ever.

use crate::ticket::Attempt;
use std::num::NonZeroU32;
use std::time::Duration;

/// How long to wait between the attempts of one ticket at one stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// The wait after the first failed attempt.
    pub first: Duration,
    /// What each further wait is multiplied by; at least 1.
    pub factor: f64,
    /// The longest wait.
    pub max: Duration,
    /// The share of the wait that is left to chance, 0 to 1, so that tickets that failed together
    /// do not come back together.
    pub jitter: f64,
    /// After how many failed attempts a person must decide; `None` tries for ever.
    pub attempts: Option<NonZeroU32>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_secs(300),
            jitter: 0.2,
            attempts: None,
        }
    }
}

/// A number from 0 up to but without 1, drawn by whoever may draw numbers.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Chance(f64);

impl Chance {
    /// The number, brought into its range.
    pub fn new(number: f64) -> Self {
        if number.is_finite() {
            Self(number.clamp(0.0, 1.0 - f64::EPSILON))
        } else {
            Self(0.0)
        }
    }
}

impl RetryPolicy {
    /// How long to wait after `attempt` failed.
    pub fn backoff(&self, attempt: Attempt, chance: Chance) -> Duration {
        let exponent = i32::try_from(attempt.0.saturating_sub(1)).unwrap_or(i32::MAX);
        let factor = self.factor.max(1.0).powi(exponent);
        let exact = (self.first.as_secs_f64() * factor).min(self.max.as_secs_f64());
        let jitter = self.jitter.clamp(0.0, 1.0);
        // Chance spreads the wait evenly around the exact value; the cap is hard.
        let spread = exact * (1.0 - jitter + 2.0 * jitter * chance.0);
        Duration::from_secs_f64(spread.min(self.max.as_secs_f64()))
    }

    /// Whether `attempt` was the last that is made without a person's word.
    pub fn is_exhausted(&self, attempt: Attempt) -> bool {
        self.attempts
            .is_some_and(|attempts| attempt.0 >= attempts.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIDDLE: Chance = Chance(0.5);

    #[test]
    fn waits_double_up_to_the_cap() {
        let policy = RetryPolicy::default();
        let waits: Vec<u64> = (1..=10)
            .map(|n| policy.backoff(Attempt(n), MIDDLE).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(policy.backoff(Attempt(u32::MAX), MIDDLE).as_secs(), 300);
    }

    #[test]
    fn zero_attempts_means_for_ever_and_three_means_three() {
        assert!(!RetryPolicy::default().is_exhausted(Attempt(u32::MAX)));
        let three = RetryPolicy {
            attempts: NonZeroU32::new(3),
            ..RetryPolicy::default()
        };
        assert!(!three.is_exhausted(Attempt(2)));
        assert!(three.is_exhausted(Attempt(3)));
    }

    proptest! {
        #[test]
        fn a_wait_never_leaves_its_bounds(attempt in 1u32.., chance in 0.0f64..1.0) {
            let policy = RetryPolicy::default();
            let wait = policy.backoff(Attempt(attempt), Chance::new(chance));
            prop_assert!(wait >= policy.first.mul_f64(0.8));
            prop_assert!(wait <= policy.max);
        }
    }
}
