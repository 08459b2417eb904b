//! Tests in the user's words.
//!
//! ```text
//! stage build concurrency 2
//! stage test
//! flow ci: build, test
//! the handler of test crashes on attempt 1
//!
//! submit 3 to ci
//! advance 5s
//! expect 3 done
//! expect 3 oopses
//! ```
//!
//! The lines up to the first that does something describe the world; a [`Theatre`] sets the stage
//! with them, and the other lines are played on the [`Line`] that it gives. A line that cannot be
//! read, or that does not hold, is named by its number.

mod script;
mod setting;

use async_trait::async_trait;
use domain::books::{Balance, Entry};
use domain::explain::Explanation;
use domain::ports::{Action, Answer};
use domain::ticket::TicketId;
use std::time::Duration;

pub use script::BadScenario;
pub use setting::Setting;

use script::{Count, Verb};

/// A line of work, as a user sees it: something that tickets go into and come out of.
#[async_trait(?Send)]
pub trait Line {
    /// Submits one ticket to a flow, or to a stage if there is no such flow.
    async fn submit(&mut self, to: &str) -> TicketId;
    /// Lets time pass.
    async fn advance(&mut self, length: Duration);
    /// Gives an order.
    async fn order(&mut self, ticket: TicketId, action: Action) -> Answer;
    /// The sums.
    async fn balance(&self) -> Balance;
    /// One ticket.
    async fn ticket(&self, id: TicketId) -> Entry;
    /// Why it is where it is.
    async fn explain(&self, id: TicketId) -> Explanation;
    /// How many reports there are.
    async fn oopses(&self) -> u64;
    /// Kills the process and starts the next one.
    async fn kill(&mut self);
    /// Deploys handlers that work.
    async fn repair(&mut self, stage: &str);
}

/// Sets a line up.
#[async_trait(?Send)]
pub trait Theatre {
    /// Starts everything that the setting describes.
    async fn open(&self, setting: Setting) -> Box<dyn Line>;
}

/// Plays a scenario.
///
/// # Errors
/// [`BadScenario`] names the line that cannot be read or does not hold.
pub async fn perform(text: &str, theatre: &dyn Theatre) -> Result<(), BadScenario> {
    let scenario = script::parse(text)?;
    let line = theatre.open(scenario.setting).await;
    let mut play = Play {
        line,
        tickets: Vec::new(),
    };
    for (number, verb) in scenario.verbs {
        let done = play.act(&verb).await;
        done.map_err(|why| BadScenario { number, why })?;
    }
    Ok(())
}

struct Play {
    line: Box<dyn Line>,
    tickets: Vec<TicketId>,
}

impl Play {
    async fn act(&mut self, verb: &Verb) -> Result<(), String> {
        match verb {
            Verb::Submit { count, to } => {
                for _ in 0..*count {
                    let id = self.line.submit(to).await;
                    self.tickets.push(id);
                }
                Ok(())
            }
            Verb::Advance(length) => {
                self.line.advance(*length).await;
                Ok(())
            }
            Verb::Expect { count, what } => self.expect(*count, what).await,
            Verb::ExpectTicket { ticket, state } => self.expect_ticket(*ticket, state).await,
            Verb::Order { ticket, action } => self.order(*ticket, action.clone()).await,
            Verb::Kill => {
                self.line.kill().await;
                Ok(())
            }
            Verb::Repair(stage) => {
                self.line.repair(stage).await;
                Ok(())
            }
            Verb::ExplainAll => self.explain_all().await,
        }
    }

    async fn expect(&self, expected: u64, what: &Count) -> Result<(), String> {
        let balance = self.line.balance().await;
        let found = match what {
            Count::Oopses => self.line.oopses().await,
            Count::Done => balance.done,
            Count::Dropped => balance.dropped,
            Count::Runnable => balance.runnable,
            Count::Running => balance.running,
            Count::Waiting => balance.waiting_total(),
            Count::WaitingFor(reason) => balance.waiting.get(reason).copied().unwrap_or(0),
        };
        if !balance.is_balanced() {
            return Err(format!("the books do not balance: {balance:?}"));
        }
        (found == expected)
            .then_some(())
            .ok_or_else(|| format!("expected {expected}, found {found}: {balance:?}"))
    }

    fn ticket(&self, number: usize) -> Result<TicketId, String> {
        let id = number.checked_sub(1).and_then(|at| self.tickets.get(at));
        id.copied().ok_or_else(|| {
            format!(
                "expected one of {} tickets, got {number}",
                self.tickets.len()
            )
        })
    }

    async fn expect_ticket(&self, number: usize, state: &str) -> Result<(), String> {
        let id = self.ticket(number)?;
        let told = self.line.explain(id).await;
        let reason = told.reason.map(|reason| reason.as_str());
        let is_so = told.state.as_str() == state || reason == Some(state);
        is_so
            .then_some(())
            .ok_or_else(|| format!("expected ticket {number} to be {state}, it is {told:#?}"))
    }

    async fn order(&mut self, number: usize, action: Action) -> Result<(), String> {
        let id = self.ticket(number)?;
        match self.line.order(id, action).await {
            Answer::Done(_) => Ok(()),
            other => Err(format!(
                "expected the order to be carried out, got {other:?}"
            )),
        }
    }

    async fn explain_all(&self) -> Result<(), String> {
        for id in &self.tickets {
            let told = self.line.explain(*id).await;
            let texts = [&told.waits_for, &told.then, &told.who_may_change];
            if texts
                .iter()
                .any(|text| text.is_empty() || text.contains("unknown"))
            {
                let entry = self.line.ticket(*id).await;
                return Err(format!("not explained: {entry:?}: {told:#?}"));
            }
        }
        Ok(())
    }
}
