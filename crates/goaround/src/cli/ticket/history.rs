//! What happened to a ticket: attempts with their outcome, and notes with their reason.

use crate::cli::failure::Failure;
use crate::cli::local::{Local, Noun};
use crate::cli::output::{Column, member, texts};
use crate::cli::terminal::Terminal;
use crate::cli::terms::{self, Terms};
use crate::client::Client;
use clap::{Args, ValueEnum};
use domain::filter::Field;
use domain::ports::Listing;
use domain::ticket::TicketId;
use serde_json::Value as Json;

#[derive(Args)]
pub(super) struct History {
    /// The ticket
    #[arg(value_name = "ID")]
    id: TicketId,
    #[command(flatten)]
    list: Local<Order>,
}

/// The order of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    /// The oldest first.
    Oldest,
    /// The newest first.
    Newest,
}

/// The columns, of the events that explain a ticket as well.
pub(super) const COLUMNS: &[Column] = &[
    Column {
        head: "TIME",
        cell: |event, terminal| terminal.when(&either(event, "at", "time")),
    },
    Column {
        head: "STAGE",
        cell: |event, _| member(event, "stage"),
    },
    Column {
        head: "HOP",
        cell: |event, _| member(event, "hop"),
    },
    Column {
        head: "ATTEMPT",
        cell: |event, _| member(event, "attempt"),
    },
    Column {
        head: "WHAT",
        cell: |event, _| either(event, "outcome", "what"),
    },
    Column {
        head: "VERSION",
        cell: |event, _| member(event, "version"),
    },
    Column {
        head: "WHY",
        cell: |event, _| either(event, "why", "oops"),
    },
];

fn either(event: &Json, first: &str, second: &str) -> String {
    match member(event, first) {
        text if text.is_empty() => member(event, second),
        text => text,
    }
}

impl History {
    pub(super) fn run(&self, client: &Client, terminal: &Terminal<'_>) -> Result<(), Failure> {
        let path = format!("tickets/{}/history", self.id);
        self.list.run(&path, client, terminal)
    }
}

impl Noun for Order {
    const TERMS: Terms = Terms {
        noun: "events",
        keys: &[
            Field::Id,
            Field::Stage,
            Field::Version,
            Field::Worker,
            Field::Attempts,
            Field::Since,
            Field::Seen,
        ],
        words: &[
            "attempted",
            "noted",
            "done",
            "not_now",
            "pending",
            "rejected",
            "failed",
            "crashed",
            "timed_out",
            "unstartable",
            "abandoned",
        ],
    };
    const EXAMPLE: &'static str = "is:failed,crashed stage:build";
    const COLUMNS: &'static [Column] = COLUMNS;
    const FIRST: Self = Self::Oldest;
    // A history was never cut, and whoever reads it from a program counts on that.
    const LIMIT: u64 = Listing::LIMIT_MAX as u64;
    const NONE: &'static str = "nothing has happened to it yet";

    fn values(event: &Json, field: Field) -> Vec<String> {
        match field {
            terms::STATE => match member(event, "outcome") {
                outcome if outcome.is_empty() => vec!["noted".into()],
                outcome => vec!["attempted".into(), outcome],
            },
            Field::Id => texts(&event["oops"]),
            Field::Stage => texts(&event["stage"]),
            Field::Version => texts(&event["version"]),
            Field::Worker => texts(&event["worker"]),
            Field::Attempts => texts(&event["attempt"]),
            Field::Since | Field::Seen => texts(&event["at"]),
            _ => Vec::new(),
        }
    }

    fn texts(event: &Json) -> Vec<String> {
        let parts = ["what", "why", "outcome", "oops", "stage"];
        parts.iter().map(|part| member(event, part)).collect()
    }

    fn sort(self, events: &mut [Json]) {
        match self {
            Self::Oldest => {}
            Self::Newest => events.reverse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::local::tests::picked;
    use domain::outcome::OutcomeKind;
    use serde_json::json;

    #[test]
    fn a_history_is_filtered_by_outcome_attempt_and_time() {
        let attempted = |attempt: u32, outcome: &str, at: &str| {
            json!({ "at": at, "stage": "build", "attempt": attempt, "what": "attempted",
                "outcome": outcome, "version": "1.4.2", "why": null })
        };
        let events = [
            json!({ "at": "2026-11-21T14:01:00.000Z", "stage": "build", "attempt": 0,
                "what": "accepted", "outcome": null, "why": "from ana" }),
            attempted(0, "failed", "2026-11-21T14:02:00.000Z"),
            attempted(1, "crashed", "2026-11-21T14:14:30.000Z"),
        ];
        let whats = |filter: &str, order: Order| {
            let picked = picked(&events, filter, order);
            let whats = picked.iter().map(|it| either(it, "outcome", "what"));
            whats.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(whats("", Order::Newest), "crashed failed accepted");
        assert_eq!(whats("is:attempted", Order::Oldest), "failed crashed");
        assert_eq!(whats("is:failed,noted", Order::Oldest), "accepted failed");
        assert_eq!(whats("attempts:>=1", Order::Oldest), "crashed");
        assert_eq!(whats("since:-1m", Order::Oldest), "crashed");
        assert_eq!(
            whats("version:1.4..1.5 -is:crashed", Order::Oldest),
            "failed"
        );
        assert_eq!(whats("ana", Order::Oldest), "accepted");
        let refused = Order::TERMS.read("kind:x").unwrap_err();
        assert!(
            refused.contains("events have no kind; expected one of is, id"),
            "{refused}"
        );
    }

    #[test]
    fn every_outcome_can_be_asked_for() {
        for kind in OutcomeKind::ALL {
            assert!(Order::TERMS.words.contains(&kind.as_str()), "{kind}");
        }
    }
}
