//! Waiting for a ticket's end: looks often at first, then less and less. One that is parked has
//! no end that time would bring, so the wait is over there too.

use super::failure::{Code, Failure};
use super::output::member;
use super::ticket::state;
use crate::client::Client;
use serde_json::Value as Json;
use std::time::{Duration, Instant};

/// The first pause; most tickets of a small pipeline end within it.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Waits for these tickets to end.
pub(super) struct Wait<'a> {
    client: &'a Client,
    timeout: Duration,
    until: Instant,
    /// The first that ended, but not well.
    failure: Option<Failure>,
}

impl<'a> Wait<'a> {
    /// Starts the clock.
    pub(super) fn new(client: &'a Client, timeout: Duration) -> Self {
        Self {
            client,
            timeout,
            until: Instant::now() + timeout,
            failure: None,
        }
    }

    /// Waits until this ticket has ended, or waits for a person.
    ///
    /// # Errors
    /// When the time is over, or nobody answers. A ticket that was dropped or parked is no error
    /// yet.
    pub(super) fn until_ended(&mut self, id: &str) -> Result<(), Failure> {
        let mut pause = PAUSE_FIRST;
        loop {
            let ticket = self.client.get(&format!("tickets/{id}"))?;
            let (word, reason) = (member(&ticket, "state"), member(&ticket, "reason"));
            let failure = match (word.as_str(), reason.as_str()) {
                ("done", _) => return Ok(()),
                ("dropped", why) => Some(dropped(id, why)),
                ("waiting", "parked") => Some(parked(id, &ticket)),
                _ => None,
            };
            if let Some(failure) = failure {
                self.failure.get_or_insert(failure);
                return Ok(());
            }
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.timed_out(id, &state(&ticket)));
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 3 / 2).min(PAUSE_MAX);
        }
    }

    /// What came of all that were waited for.
    ///
    /// # Errors
    /// When one of them was dropped or parked.
    pub(super) fn verdict(self) -> Result<(), Failure> {
        self.failure.map_or(Ok(()), Err)
    }

    fn timed_out(&self, id: &str, state: &str) -> Failure {
        let timeout = domain::time::show_duration(self.timeout);
        let message = format!("ticket {id} did not end within {timeout}; it is {state}");
        Failure::new(Code::TimedOut, message).with_remedy(format!(
            "it goes on all the same; why: goaround ticket explain {id}"
        ))
    }
}

fn dropped(id: &str, why: &str) -> Failure {
    Failure::new(Code::Failed, format!("ticket {id} was dropped: {why}"))
}

fn parked(id: &str, ticket: &Json) -> Failure {
    let because = member(ticket, "because");
    let message = format!("ticket {id} is parked, which only a person ends: {because}");
    Failure::new(Code::Failed, message).with_remedy(format!(
        "what went wrong: goaround oops list --filter ticket:{id}; who may do what about it: \
         goaround ticket explain {id}"
    ))
}
