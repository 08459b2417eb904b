//! How far the broker may send ahead. What is prefetched and not worked on is kept from other
//! workers, and is in doubt when this one dies; but a window that is too small leaves slots idle
//! while the last outcomes are made durable. So it begins small, and grows as it is used up.

use std::num::NonZeroUsize;

/// What is fetched beyond the slots at first, and at least.
const AHEAD_MIN: usize = 32;
/// The broker takes no larger window.
const WINDOW_MAX: usize = u16::MAX as usize;

/// The window of one subscription.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefetch {
    now: usize,
    min: usize,
    max: usize,
    /// How many had been handed out when it was last changed.
    since: u64,
}

/// What was seen of a subscription when deliveries came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// How many are out, these included.
    pub(crate) out: usize,
    /// How many were waiting for a slot before these came.
    pub(crate) waiting: usize,
    /// How many have been handed out so far.
    pub(crate) handed_out: u64,
}

impl Prefetch {
    /// At most `max`; `slots` tickets are worked on at once.
    pub(crate) fn new(max: NonZeroUsize, slots: NonZeroUsize) -> Self {
        let max = max.get().min(WINDOW_MAX);
        let min = slots.get().saturating_add(AHEAD_MIN).min(max);
        Self {
            now: min,
            min,
            max,
            since: 0,
        }
    }

    pub(crate) fn count(&self) -> u16 {
        u16::try_from(self.now).unwrap_or(u16::MAX)
    }

    /// Whether the window is to be another one from now on.
    ///
    /// It grows when all of it was used up at least once, nothing was left to hand out, and the
    /// broker could send no more. It shrinks when most of it only lies here.
    pub(crate) fn adapts(&mut self, seen: Seen) -> bool {
        let turned = seen.handed_out.saturating_sub(self.since) >= self.now as u64;
        let wanted = match seen {
            _ if !turned => self.now,
            Seen {
                out, waiting: 0, ..
            } if out >= self.now => (self.now * 2).min(self.max),
            Seen { waiting, .. } if waiting > self.min && waiting * 4 > self.now * 3 => {
                (self.now / 2).max(self.min)
            }
            _ => self.now,
        };
        let changes = wanted != self.now;
        if changes {
            self.now = wanted;
            self.since = seen.handed_out;
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefetch(max: usize, slots: usize) -> Prefetch {
        Prefetch::new(
            NonZeroUsize::new(max).unwrap(),
            NonZeroUsize::new(slots).unwrap(),
        )
    }

    #[test]
    fn slow_work_is_not_hoarded() {
        let mut window = prefetch(1_025, 1);
        assert_eq!(window.count(), 33);
        for handed_out in 1..1_000 {
            assert!(!window.adapts(Seen {
                out: 33,
                waiting: 31,
                handed_out
            }));
        }
    }

    #[test]
    fn a_window_that_is_used_up_grows_to_its_bound_and_shrinks_again() {
        let mut window = prefetch(300, 8);
        let mut handed_out = 0;
        let mut counts = Vec::new();
        for _ in 0..5 {
            handed_out += u64::from(window.count());
            let out = window.count().into();
            window.adapts(Seen {
                out,
                waiting: 0,
                handed_out,
            });
            counts.push(window.count());
        }
        assert_eq!(counts, [80, 160, 300, 300, 300]);
        for count in [150, 75, 40, 40] {
            handed_out += u64::from(window.count());
            let waiting = window.count() as usize - 8;
            window.adapts(Seen {
                out: 300,
                waiting,
                handed_out,
            });
            assert_eq!(window.count(), count);
        }
    }

    #[test]
    fn the_first_full_window_proves_nothing() {
        let mut window = prefetch(300, 8);
        assert!(!window.adapts(Seen {
            out: 40,
            waiting: 0,
            handed_out: 0
        }));
    }

    #[test]
    fn a_bound_below_the_slots_is_kept() {
        assert_eq!(prefetch(1, 8).count(), 1);
        assert_eq!(prefetch(usize::MAX, 100_000).count(), u16::MAX);
    }
}
