//! Acting on several tickets: by id, or by filter with a count first.

use super::failure::{Code, Failure};
use super::list::{filter_of_tickets, query};
use super::output::{items, member};
use super::terminal::Terminal;
use super::ticket::state;
use crate::client::{Body, Client};
use clap::Args;
use domain::filter::Query;
use domain::ports::Listing;
use domain::ticket::TicketId;
use serde_json::{Value as Json, json};

/// How many failures are told one by one; the rest is counted.
const TOLD_MAX: usize = 20;

/// What is to be done with each ticket.
pub(super) enum Action {
    /// Try again now.
    Retry,
    /// Take back.
    Cancel,
    /// Give up.
    Drop {
        /// Why.
        reason: String,
    },
}

impl Action {
    const fn verb(&self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
            Self::Drop { .. } => "drop",
        }
    }

    fn body(&self) -> String {
        match self {
            Self::Retry | Self::Cancel => "{}".into(),
            Self::Drop { reason } => json!({ "reason": reason }).to_string(),
        }
    }
}

/// Which tickets.
#[derive(Args)]
pub(super) struct Selection {
    /// The tickets
    #[arg(
        value_name = "ID",
        required_unless_present = "filter",
        conflicts_with = "filter"
    )]
    ids: Vec<TicketId>,
    /// All that match and have not ended, for example 'is:parked stage:build'; asks first
    #[arg(long, value_name = "QUERY", allow_hyphen_values = true, value_parser = filter_of_tickets)]
    filter: Option<String>,
    /// Do not ask
    #[arg(long, requires = "filter")]
    yes: bool,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Told::Table, value_name = "FORM")]
    output: Told,
}

/// The forms of what was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Told {
    /// A ticket and its state a line.
    Table,
    /// One JSON document with all tickets.
    Json,
    /// A JSON document a line.
    Jsonl,
    /// Only the ids, one a line.
    Name,
}

impl Selection {
    /// What they match, if they are not named.
    pub(super) fn filter(&self) -> Option<&str> {
        self.filter.as_deref()
    }

    /// In which form it is told what was done.
    pub(super) const fn told(&self) -> Told {
        self.output
    }

    /// Acts on each ticket; one that refuses does not keep the others from their turn.
    pub(super) fn run(
        &self,
        action: &Action,
        client: &Client,
        terminal: &Terminal<'_>,
    ) -> Result<(), Failure> {
        let ids = match &self.filter {
            Some(filter) => self.matching(filter, action, client, terminal)?,
            None => self.ids.iter().map(ToString::to_string).collect(),
        };
        let (mut acted, mut failures) = (Vec::new(), Vec::new());
        for id in &ids {
            let path = format!("tickets/{id}/{}", action.verb());
            match client.post(&path, Body::Json(&action.body())) {
                Ok(ticket) => self.tell(ticket, &mut acted, terminal)?,
                Err(error) => {
                    let failure = Failure::from(error);
                    if matches!(failure.code(), Some(Code::Unreachable | Code::TimedOut)) {
                        return Err(failure);
                    }
                    failures.push((id.as_str(), failure));
                }
            }
        }
        if self.output == Told::Json {
            terminal.print(&Json::from(acted).to_string())?;
        }
        sum_up(failures)
    }

    fn tell(
        &self,
        ticket: Json,
        acted: &mut Vec<Json>,
        terminal: &Terminal<'_>,
    ) -> Result<(), Failure> {
        let id = member(&ticket, "id");
        match self.output {
            Told::Table => terminal.print(&format!("{id}  {}", state(&ticket))),
            Told::Jsonl => terminal.print(&ticket.to_string()),
            Told::Name => terminal.print(&id),
            Told::Json => {
                acted.push(ticket);
                Ok(())
            }
        }
    }

    fn matching(
        &self,
        filter: &str,
        action: &Action,
        client: &Client,
        terminal: &Terminal<'_>,
    ) -> Result<Vec<String>, Failure> {
        // What has ended can only refuse, and would keep those behind it from their turn.
        let live = narrowed("is:live", filter)?;
        let path = query("tickets", Some(&live), Listing::LIMIT_MAX as u64, "oldest");
        let answer = client.get(&path)?;
        let ids: Vec<String> = items(&answer)
            .iter()
            .map(|item| member(item, "id"))
            .collect();
        let more = match answer["more"] == Json::Bool(true) {
            true => " (the oldest of more; run it again for the rest)",
            false => "",
        };
        let verb = action.verb();
        let count = format!(
            "{verb} {} tickets that have not ended and match {filter:?}{more}",
            ids.len()
        );
        self.confirm((ids.len() as u64, &count), terminal)?;
        Ok(ids)
    }

    /// Says what is about to be done to so many, and asks, unless there is no need to.
    ///
    /// # Errors
    /// When it is not to be done, or nobody is there to ask.
    pub(super) fn confirm(
        &self,
        (count, what): (u64, &str),
        terminal: &Terminal<'_>,
    ) -> Result<(), Failure> {
        if count == 0 || self.yes {
            terminal.note(what);
            return Ok(());
        }
        let unasked = Failure::new(Code::Usage, format!("would {what}"))
            .with_remedy("nobody is there to ask; say --yes to do it");
        if terminal.is_confirmed(&format!("{what}?"), unasked)? {
            Ok(())
        } else {
            Err(Failure::new(Code::Failed, "nothing was done"))
        }
    }
}

/// The filter with one more condition, which all that match must meet too.
///
/// # Errors
/// When it is then longer than filters may be.
pub(super) fn narrowed(condition: &str, filter: &str) -> Result<String, Failure> {
    let both = format!("{condition} {filter}").trim_end().to_owned();
    match both.parse::<Query>() {
        Ok(_) => Ok(both),
        Err(bad) => {
            let message = format!("--filter: expected room for {condition} before it; {bad}");
            Err(Failure::new(Code::Usage, message))
        }
    }
}

/// One failure keeps its code and words; several become one with the code they share.
fn sum_up(failures: Vec<(&str, Failure)>) -> Result<(), Failure> {
    let mut codes: Vec<Code> = Vec::new();
    let mut told: Vec<String> = Vec::new();
    let mut advice = None;
    for (id, failure) in &failures {
        if let Failure::Told {
            code,
            message,
            remedy,
            ..
        } = failure
        {
            codes.push(*code);
            told.push(format!("{id}: {message}"));
            advice = advice.or(remedy.clone());
        }
    }
    let Some(first) = codes.first().copied() else {
        return Ok(());
    };
    let is_shared = codes.iter().all(|code| *code == first);
    let code = if is_shared { first } else { Code::Failed };
    if let Some(more) = told.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
        told.truncate(TOLD_MAX);
        told.push(format!("and {more} more tickets"));
    }
    let failure = Failure::new(code, told.join("\n"));
    Err(match advice {
        Some(advice) => failure.with_remedy(advice),
        None => failure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_narrowed_whatever_it_is_and_within_its_length() {
        for (filter, both) in [
            ("", "is:live"),
            ("stage:build", "is:live stage:build"),
            (
                "(is:held OR is:parked) -\"a b\"",
                "is:live (is:held OR is:parked) -\"a b\"",
            ),
        ] {
            assert_eq!(narrowed("is:live", filter).as_deref(), Ok(both));
        }
        let long = "x".repeat(Query::BYTES_MAX - 3);
        let failure = narrowed("is:live", &long).unwrap_err();
        assert_eq!(failure.code(), Some(Code::Usage));
        let many = "a ".repeat(Query::TERMS_MAX);
        assert!(narrowed("is:live", &many).is_err());
    }

    #[test]
    fn several_failures_share_a_code_or_have_the_plain_one() {
        let refused = || Failure::new(Code::Refused, "it is done").with_remedy("submit it again");
        let missing = || Failure::new(Code::NotFound, "no such ticket");
        let code = |failures| sum_up(failures).err().and_then(|failure| failure.code());
        assert_eq!(code(vec![]), None);
        assert_eq!(
            code(vec![("a", refused()), ("b", refused())]),
            Some(Code::Refused)
        );
        assert_eq!(
            code(vec![("a", refused()), ("b", missing())]),
            Some(Code::Failed)
        );
        assert_eq!(
            sum_up(vec![("a", refused())]),
            Err(Failure::new(Code::Refused, "a: it is done").with_remedy("submit it again"))
        );
    }
}
