//! Keeps a task at work: whichever way it ends, that is told and it begins again.

use crate::panics::Panic;
use domain::event::Event;
use domain::ports::{Clock, Observer};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The pause after the first end; it doubles with each end that follows soon.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// A task that ran for so long begins again after the first pause.
const RAN_WELL: Duration = Duration::from_secs(60);

/// Those who hear what happens, and the time to tell them.
#[derive(Clone)]
pub(crate) struct Ears {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Arc<dyn Observer>,
}

impl Ears {
    pub(crate) fn tell(&self, event: &Event) {
        self.observer.observe(self.clock.now(), event);
    }

    /// Something could not be done; it is tried again.
    pub(crate) fn tell_failed(&self, what: &'static str, why: impl ToString) {
        let why = why.to_string();
        self.tell(&Event::StoreFailed { what, why });
    }
}

/// Runs `task` for ever. It returns why it ended, which is a fault in every case; so is a panic,
/// which ends neither its neighbours nor the task for good.
pub(crate) async fn keep(what: &'static str, ears: Ears, mut task: impl AsyncFnMut() -> String) {
    let mut pause = PAUSE_FIRST;
    loop {
        let began = Instant::now();
        let why = match AssertUnwindSafe(task()).catch_unwind().await {
            Ok(why) => why,
            Err(panic) => format!("a bug in goaround: {}", Panic::caught(&*panic).message),
        };
        ears.tell_failed(what, why);
        if began.elapsed() >= RAN_WELL {
            pause = PAUSE_FIRST;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use testkit::clock::TestClock;
    use testkit::recorder::Recorder;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_or_ends_is_told_of_and_begins_again() {
        let recorder = Arc::new(Recorder::default());
        let ears = Ears {
            clock: Arc::new(TestClock::new(1)),
            observer: Arc::clone(&recorder) as Arc<dyn Observer>,
        };
        let runs = Cell::new(0);
        let task = async || {
            runs.set(runs.get() + 1);
            match runs.get() {
                1 => panic!("the first time"),
                2 => "the second time".to_owned(),
                _ => std::future::pending().await,
            }
        };
        tokio::time::timeout(Duration::from_secs(60), keep("lead", ears, task))
            .await
            .unwrap_err();
        let told = recorder.events();
        assert!(
            matches!(&told[0], Event::StoreFailed { why, .. } if why.contains("the first time"))
        );
        assert!(matches!(&told[1], Event::StoreFailed { why, .. } if why == "the second time"));
        assert_eq!((told.len(), runs.get()), (2, 3));
    }
}
