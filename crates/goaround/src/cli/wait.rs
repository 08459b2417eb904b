//! Waiting for a ticket's end: looks often at first, then less and less.

use super::failure::{Code, Failure};
use super::output::member;
use super::ticket::state;
use crate::client::Client;
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

    /// Waits until this ticket has ended.
    ///
    /// # Errors
    /// When the time is over, or nobody answers. A ticket that was dropped is no error yet.
    pub(super) fn until_ended(&mut self, id: &str) -> Result<(), Failure> {
        let mut pause = PAUSE_FIRST;
        loop {
            let ticket = self.client.get(&format!("tickets/{id}"))?;
            match member(&ticket, "state").as_str() {
                "done" => return Ok(()),
                "dropped" => {
                    let reason = member(&ticket, "reason");
                    let message = format!("ticket {id} was dropped: {reason}");
                    self.failure
                        .get_or_insert(Failure::new(Code::Failed, message));
                    return Ok(());
                }
                _ => {}
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
    /// When one of them was dropped.
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
