//! How many a second, over the last seconds; costs one slot a second, however many there were.

/// How many whole seconds a rate looks back.
const WINDOW: usize = 10;
/// One slot a second: the window, the second under way, and room.
const SLOTS: usize = 16;

/// Counts what happens, second by second.
#[derive(Default)]
pub(crate) struct Meter {
    second: i64,
    counts: [u32; SLOTS],
}

impl Meter {
    /// One more in this second. Seconds that come late count as the latest.
    pub(crate) fn count(&mut self, second: i64) {
        self.advance(second);
        let slot = slot(self.second);
        self.counts[slot] = self.counts[slot].saturating_add(1);
    }

    /// How many a second, on average over the last whole seconds.
    pub(crate) fn rate(&mut self, second: i64) -> f64 {
        self.advance(second);
        let last = (1..=WINDOW as i64).map(|back| self.counts[slot(self.second - back)]);
        last.map(f64::from).sum::<f64>() / WINDOW as f64
    }

    fn advance(&mut self, second: i64) {
        let passed = second.saturating_sub(self.second).clamp(0, SLOTS as i64);
        let first = second.saturating_sub(passed);
        for at in 0..passed {
            self.counts[slot(first + at + 1)] = 0;
        }
        self.second = self.second.max(second);
    }
}

fn slot(second: i64) -> usize {
    usize::try_from(second.rem_euclid(SLOTS as i64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_average_of_the_last_whole_seconds() {
        let mut meter = Meter::default();
        for second in 1_000..1_010 {
            (0..20).for_each(|_| meter.count(second));
        }
        assert_eq!(meter.rate(1_010), 20.0);
        assert_eq!(meter.rate(1_015), 10.0);
        assert_eq!(meter.rate(1_020), 0.0);
        assert_eq!(meter.rate(9_000), 0.0);
    }

    #[test]
    fn a_clock_that_goes_back_loses_nothing() {
        let mut meter = Meter::default();
        meter.count(1_000);
        meter.count(990);
        assert_eq!(meter.rate(1_001), 0.2);
    }
}
