//! How far the broker may send ahead. What is prefetched and not worked on is kept from other
//! workers, and is in doubt when this one dies; but a window that is too small leaves slots idle
//! while the last outcomes are made durable. So it begins small, and grows as it is used up.

use std::num::NonZeroUsize;

/// What is fetched beyond the slots at first.
const AHEAD_MIN: usize = 32;
/// The broker takes no larger window.
const WINDOW_MAX: usize = u16::MAX as usize;

/// The window of one subscription.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefetch {
    now: usize,
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
        let now = slots.get().saturating_add(AHEAD_MIN).min(max);
        Self { now, max, since: 0 }
    }

    /// How many may be out.
    pub(crate) fn count(&self) -> u16 {
        u16::try_from(self.now).unwrap_or(u16::MAX)
    }

    /// How many more may be out from now on, if the window grows.
    ///
    /// It does when all of it was used up at least once, nothing was left to hand out, and the
    /// broker could send no more. It never shrinks: to take a subscription back makes the broker
    /// return what is on its way, as delivered before.
    pub(crate) fn grows(&mut self, seen: Seen) -> Option<u16> {
        let is_turned = seen.handed_out.saturating_sub(self.since) >= self.now as u64;
        let is_used_up = seen.waiting == 0 && seen.out >= self.now;
        if !is_turned || !is_used_up {
            return None;
        }
        let more = self.now.min(self.max - self.now);
        self.now += more;
        self.since = seen.handed_out;
        u16::try_from(more).ok().filter(|more| *more > 0)
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
            let seen = Seen {
                out: 33,
                waiting: 31,
                handed_out,
            };
            assert_eq!(window.grows(seen), None);
        }
    }

    #[test]
    fn a_window_that_is_used_up_grows_to_its_bound() {
        let mut window = prefetch(300, 8);
        let mut handed_out = 0;
        let mut counts = Vec::new();
        for _ in 0..5 {
            handed_out += u64::from(window.count());
            let out = window.count().into();
            let more = window.grows(Seen {
                out,
                waiting: 0,
                handed_out,
            });
            counts.push((more, window.count()));
        }
        let full = (None, 300);
        assert_eq!(
            counts,
            [
                (Some(40), 80),
                (Some(80), 160),
                (Some(140), 300),
                full,
                full
            ]
        );
    }

    #[test]
    fn the_first_full_window_proves_nothing() {
        let mut window = prefetch(300, 8);
        assert_eq!(
            window.grows(Seen {
                out: 40,
                waiting: 0,
                handed_out: 0
            }),
            None
        );
    }

    #[test]
    fn a_bound_below_the_slots_is_kept() {
        assert_eq!(prefetch(1, 8).count(), 1);
        assert_eq!(prefetch(usize::MAX, 100_000).count(), u16::MAX);
    }
}
