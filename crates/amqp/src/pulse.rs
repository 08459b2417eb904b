//! When to do what is done every now and then.
//!
//! All of a process is done at the same moments, so that an idle one wakes up once for it and not
//! once for each.

use std::sync::LazyLock;
use std::time::Duration;
use tokio::time::Instant;

static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The last moment of those that are `every` apart. `every` is not zero.
pub(crate) fn last(every: Duration) -> Instant {
    let now = Instant::now();
    let since_origin = now.saturating_duration_since(*ORIGIN);
    let over = since_origin.as_nanos() % every.as_nanos();
    // Never before the origin, so there is always such a moment.
    now - Duration::from_nanos(u64::try_from(over).unwrap_or(u64::MAX))
}

/// The next one.
pub(crate) fn next(every: Duration) -> Instant {
    last(every) + every
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn what_begins_at_different_times_meets_at_the_next_moment() {
        let every = Duration::from_secs(2);
        let first = next(every);
        sleep(Duration::from_millis(700)).await;
        assert_eq!(next(every), first);
        sleep(Duration::from_millis(1_500)).await;
        assert_eq!((last(every), next(every)), (first, first + every));
        assert!(last(every) <= Instant::now());
    }
}
