//! Hears everything, and lets a test wait for what it expects.

use domain::event::Event;
use domain::ports::Observer;
use domain::time::Timestamp;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Keeps what happened, the latest [`Recorder::EVENTS_MAX`] of it.
#[derive(Default)]
pub struct Recorder {
    heard: Mutex<Heard>,
    news: Notify,
}

#[derive(Default)]
struct Heard {
    events: VecDeque<(Timestamp, Event)>,
    /// How many of them `expect` has passed.
    passed: usize,
}

impl Recorder {
    /// The most events that are kept; the oldest go first.
    pub const EVENTS_MAX: usize = 100_000;
    /// How long [`Recorder::expect`] waits, by tokio's time.
    pub const EXPECT_MAX: Duration = Duration::from_secs(600);
    /// How many events a test that waits in vain is shown.
    const SHOWN_MAX: usize = 20;

    /// Everything that happened so far.
    pub fn events(&self) -> Vec<Event> {
        let heard = self.heard();
        heard
            .events
            .iter()
            .map(|(_, event)| event.clone())
            .collect()
    }

    /// How many events are so.
    pub fn count(&self, is: impl Fn(&Event) -> bool) -> usize {
        let heard = self.heard();
        heard.events.iter().filter(|(_, event)| is(event)).count()
    }

    /// Waits for the next event that is so, and returns it; each event is found once.
    ///
    /// # Panics
    /// When it does not come within [`Recorder::EXPECT_MAX`]; shows what came instead.
    pub async fn expect(&self, is: impl Fn(&Event) -> bool) -> Event {
        match timeout(Self::EXPECT_MAX, self.find(&is)).await {
            Ok(event) => event,
            Err(_) => panic!(
                "the expected event did not come; the last were:\n{}",
                self.tail()
            ),
        }
    }

    async fn find(&self, is: &impl Fn(&Event) -> bool) -> Event {
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some(event) = self.pass(is) {
                return event;
            }
            news.await;
        }
    }

    fn pass(&self, is: &impl Fn(&Event) -> bool) -> Option<Event> {
        let mut heard = self.heard();
        let rest = heard.events.iter().skip(heard.passed);
        let at = rest.map(|(_, event)| event).position(is)?;
        heard.passed += at + 1;
        let (_, event) = heard.events.get(heard.passed - 1)?;
        Some(event.clone())
    }

    /// The last events as lines, for a test that failed.
    pub fn tail(&self) -> String {
        let heard = self.heard();
        let from = heard.events.len().saturating_sub(Self::SHOWN_MAX);
        let lines = heard.events.iter().skip(from);
        lines
            .map(|(at, event)| format!("{at} {event:?}\n"))
            .collect()
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Recorder {
    fn observe(&self, at: Timestamp, event: &Event) {
        let mut heard = self.heard();
        if heard.events.len() == Self::EVENTS_MAX {
            heard.events.pop_front();
            heard.passed = heard.passed.saturating_sub(1);
        }
        heard.events.push_back((at, event.clone()));
        drop(heard);
        self.news.notify_waiters();
    }
}

/// Tells several observers, in their order.
pub struct Chorus(pub Vec<Arc<dyn Observer>>);

impl Observer for Chorus {
    fn observe(&self, at: Timestamp, event: &Event) {
        for observer in &self.0 {
            observer.observe(at, event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn released(count: u64) -> Event {
        Event::TicketsReleased { count }
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_is_awaited_and_found_once() {
        let recorder = Recorder::default();
        let later = async {
            tokio::task::yield_now().await;
            recorder.observe(Timestamp::EPOCH, &released(1));
            recorder.observe(Timestamp::EPOCH, &released(2));
        };
        let is_release = |event: &Event| matches!(event, Event::TicketsReleased { .. });
        let (first, ()) = tokio::join!(recorder.expect(is_release), later);
        assert_eq!(first, released(1));
        assert_eq!(recorder.expect(is_release).await, released(2));
        assert_eq!(recorder.count(is_release), 2);
    }
}
