//! `goaround stage breakers` and `probe`: what keeps failing, and trying one of it now.

use super::failure::Failure;
use super::local::{Local, Noun};
use super::output::{Column, Form, member, texts};
use super::terminal::Terminal;
use super::terms::{self, Terms};
use super::text::visible;
use crate::client::{Body, Client, encode};
use clap::{Args, ValueEnum};
use domain::filter::Field;
use domain::signature::SignatureId;
use serde_json::{Value as Json, json};
use std::cmp::Reverse;

#[derive(Args)]
pub(super) struct Breakers {
    /// The stage; without it all
    #[arg(value_name = "STAGE")]
    stage: Option<String>,
    #[command(flatten)]
    list: Local<Order>,
}

/// The order of breakers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    /// By stage.
    Stage,
    /// What holds the most first.
    Held,
    /// What began last first.
    Newest,
    /// What began first first.
    Oldest,
}

#[derive(Args)]
pub(super) struct Probe {
    /// The stage
    #[arg(value_name = "STAGE")]
    stage: String,
    /// Which of its breakers, for example v1-0f3a9c5e77b2d104; without it that of the whole stage
    #[arg(long, value_name = "ID")]
    signature: Option<SignatureId>,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Table, value_name = "FORM")]
    output: Form,
}

const COLUMNS: &[Column] = &[
    Column {
        head: "BREAKER",
        cell: |breaker, _| name(breaker),
    },
    Column {
        head: "STAGE",
        cell: |breaker, _| member(breaker, "stage"),
    },
    Column {
        head: "STATE",
        cell: |breaker, _| member(breaker, "state"),
    },
    Column {
        head: "HELD",
        cell: |breaker, _| member(breaker, "held"),
    },
    Column {
        head: "FAILURES",
        cell: |breaker, _| member(breaker, "failures"),
    },
    Column {
        head: "SINCE",
        cell: |breaker, terminal| terminal.when(&member(breaker, "since")),
    },
    Column {
        head: "NEXT",
        cell: next,
    },
    Column {
        head: "FAILS ON",
        cell: |breaker, _| member(breaker, "failed_versions"),
    },
    Column {
        head: "NEWEST",
        cell: |breaker, _| member(breaker, "newest_version"),
    },
    Column {
        head: "VALUE",
        cell: |breaker, _| member(breaker, "value"),
    },
];

/// The signature, or that it is about the stage.
fn name(breaker: &Json) -> String {
    match member(breaker, "signature") {
        signature if signature.is_empty() => "stage".into(),
        signature => signature,
    }
}

/// What comes next: a time, the ticket that is being tried, a plan, or what it waits for.
fn next(breaker: &Json, terminal: &Terminal<'_>) -> String {
    let canary = &breaker["canary"];
    match (member(breaker, "next_probe"), member(breaker, "plan")) {
        (at, _) if !at.is_empty() => terminal.when(&at),
        (_, plan) if !plan.is_empty() => format!("plan {plan}"),
        _ if !canary.is_null() => match member(canary, "ticket").as_str() {
            "" => "one ticket is tried".into(),
            ticket => format!("ticket {ticket}"),
        },
        _ if breaker["rests"] == true => "after its stage".into(),
        _ if breaker["state"] == "open" => "a new version, or stage probe".into(),
        _ => String::new(),
    }
}

impl Breakers {
    pub(super) fn run(&self, client: &Client, terminal: &Terminal<'_>) -> Result<(), Failure> {
        let path = match &self.stage {
            Some(stage) => format!("breakers?stage={}", encode(stage)),
            None => "breakers".into(),
        };
        self.list.run(&path, client, terminal)
    }
}

impl Noun for Order {
    const TERMS: Terms = Terms {
        noun: "breakers",
        keys: &[
            Field::Stage,
            Field::Ticket,
            Field::Value,
            Field::Version,
            Field::Since,
        ],
        words: &["closed", "open", "probing", "releasing"],
    };
    const EXAMPLE: &'static str = "is:open since:-1h";
    const COLUMNS: &'static [Column] = COLUMNS;
    const FIRST: Self = Self::Stage;
    const LIMIT: u64 = 1_000;
    const NONE: &'static str = "nothing has failed lately";

    fn values(breaker: &Json, field: Field) -> Vec<String> {
        match field {
            terms::STATE => texts(&breaker["state"]),
            Field::Stage => texts(&breaker["stage"]),
            Field::Ticket => texts(&breaker["canary"]["ticket"]),
            Field::Value => texts(&breaker["value"]),
            Field::Version => texts(&breaker["failed_versions"]),
            Field::Since => texts(&breaker["since"]),
            _ => Vec::new(),
        }
    }

    fn texts(breaker: &Json) -> Vec<String> {
        let parts = ["signature", "stage", "value", "plan", "failed_versions"];
        parts.iter().map(|part| member(breaker, part)).collect()
    }

    fn sort(self, breakers: &mut [Json]) {
        // What has not begun, or never, is last.
        let since = |breaker: &Json| member(breaker, "since");
        match self {
            Self::Stage => {}
            Self::Held => breakers.sort_by_key(|it| Reverse(it["held"].as_u64())),
            Self::Newest => breakers.sort_by_key(|it| Reverse(since(it))),
            Self::Oldest => breakers.sort_by_key(|it| (since(it).is_empty(), since(it))),
        }
    }

    /// So many columns would leave a person columns of syllables.
    fn show(breakers: &[Json], terminal: &Terminal<'_>) -> Result<(), Failure> {
        print(breakers, terminal)
    }
}

/// A paragraph for each breaker.
fn print(breakers: &[Json], terminal: &Terminal<'_>) -> Result<(), Failure> {
    for (at, breaker) in breakers.iter().enumerate() {
        if at > 0 {
            terminal.print("")?;
        }
        for line in paragraph(breaker, terminal) {
            terminal.print(&visible(&line))?;
        }
    }
    Ok(())
}

fn paragraph(breaker: &Json, terminal: &Terminal<'_>) -> Vec<String> {
    let text = |name: &str| member(breaker, name);
    let what = match text("signature") {
        signature if signature.is_empty() => "as a whole".into(),
        signature => format!("fails as {signature}"),
    };
    let since = match text("since") {
        since if since.is_empty() => String::new(),
        since => format!(", {} held, since {}", text("held"), terminal.when(&since)),
    };
    let mut lines = vec![format!(
        "{}  {what}: {}{since}",
        text("stage"),
        text("state")
    )];
    let mut say = |what: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {what:<9} {value}"));
        }
    };
    say("fails of", text("value"));
    let failures = text("failures");
    say(
        "fails on",
        format!("{} ({failures} failures)", text("failed_versions")),
    );
    say("newest", text("newest_version"));
    say("next", next(breaker, terminal));
    lines
}

impl Probe {
    pub(super) fn run(&self, client: &Client, terminal: &Terminal<'_>) -> Result<(), Failure> {
        let signature = self.signature.map(|it| it.to_string());
        let body = json!({ "stage": self.stage, "signature": signature }).to_string();
        let breaker = client.post("breakers/probe", Body::Json(&body))?;
        match self.output {
            Form::Json => terminal.print(&breaker.to_string()),
            Form::Table => {
                let text = |name| member(&breaker, name);
                let line = format!(
                    "{}  {}  {}: {}",
                    text("stage"),
                    name(&breaker),
                    text("state"),
                    text("then")
                );
                terminal.print(&visible(&line))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::terminal::tests::world;
    use super::*;

    #[test]
    fn what_comes_next_is_a_time_a_ticket_or_a_plan() {
        let world = world("goaround", false);
        let terminal = Terminal::new(&world);
        for (breaker, expected) in [
            (
                json!({ "next_probe": "2026-11-21T14:16:00Z" }),
                "2026-11-21T14:16:00Z",
            ),
            (json!({ "plan": "p" }), "plan p"),
            (json!({ "canary": { "ticket": "t" } }), "ticket t"),
            (
                json!({ "canary": { "ticket": null } }),
                "one ticket is tried",
            ),
            (json!({ "state": "open", "rests": true }), "after its stage"),
            (
                json!({ "state": "open", "rests": false }),
                "a new version, or stage probe",
            ),
            (json!({ "state": "closed" }), ""),
        ] {
            assert_eq!(next(&breaker, &terminal), expected, "{breaker}");
        }
        assert_eq!(name(&json!({ "signature": null })), "stage");
    }

    #[test]
    fn a_person_gets_a_paragraph_for_each_breaker() {
        let world = world("goaround", true);
        let terminal = Terminal::new(&world);
        let open = json!({
            "stage": "build", "signature": "v1-0f3a9c5e77b2d104", "state": "open", "held": 12,
            "since": "2026-11-21T14:03:00Z", "value": "Segfault: x", "failures": 14,
            "failed_versions": ["1", "2"], "newest_version": "3",
            "next_probe": "2026-11-21T14:16:00Z",
        });
        assert_eq!(
            paragraph(&open, &terminal).join("\n"),
            "build  fails as v1-0f3a9c5e77b2d104: open, 12 held, since 12m ago\n  \
             fails of  Segfault: x\n  fails on  1,2 (14 failures)\n  newest    3\n  \
             next      in 1m"
        );
        let closed = json!({
            "stage": "build", "signature": null, "state": "closed", "failures": 2,
            "failed_versions": ["1"],
        });
        assert_eq!(
            paragraph(&closed, &terminal).join("\n"),
            "build  as a whole: closed\n  fails on  1 (2 failures)"
        );
    }
}
