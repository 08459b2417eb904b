//! `goaround stage`: the stops, what waits at each and what it does.

use super::breaker::{Breakers, Probe};
use super::failure::Failure;
use super::local::{Local, Noun};
use super::output::{Column, Form, member, print_facts, texts};
use super::terminal::Terminal;
use super::terms::{self, Terms};
use crate::client::{Client, encode};
use clap::{Args, Subcommand, ValueEnum};
use domain::filter::Field;
use domain::ports::Listing;
use serde_json::{Value as Json, json};
use std::cmp::Reverse;
use std::process::ExitCode;

/// Look at stages
#[derive(Args)]
#[command(before_help = "Example:\n  goaround stage list")]
#[command(disable_help_subcommand = true)]
pub(super) struct Stages {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// All stages, in the order of the flows
    #[command(before_help = "Example:\n  goaround stage list -o json")]
    List(Local<Order>),
    /// One stage with its rules
    #[command(before_help = "Example:\n  goaround stage show build")]
    Show(Show),
    /// What keeps failing, what is held for it, and what comes next
    #[command(before_help = "Example:\n  goaround stage breakers build")]
    Breakers(Breakers),
    /// Try one of the held tickets now, without waiting for its time
    #[command(
        before_help = "Example:\n  goaround stage probe build --signature v1-0f3a9c5e77b2d104"
    )]
    Probe(Probe),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    /// In the order of the flows.
    Flow,
    /// By name.
    Name,
    /// The fullest queue first.
    Ready,
}

#[derive(Args)]
struct Show {
    /// The stage
    #[arg(value_name = "STAGE")]
    stage: String,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Table, value_name = "FORM")]
    output: Form,
}

const COLUMNS: &[Column] = &[
    Column {
        head: "STAGE",
        cell: |stage, _| member(stage, "stage"),
    },
    Column {
        head: "STATE",
        cell: |stage, _| shown_state(stage),
    },
    Column {
        head: "READY",
        cell: |stage, _| member(stage, "ready"),
    },
    Column {
        head: "RUNNING",
        cell: |stage, _| member(stage, "running"),
    },
    Column {
        head: "WAITING",
        cell: |stage, _| waiting(stage).to_string(),
    },
    Column {
        head: "DONE",
        cell: |stage, _| member(stage, "done"),
    },
    Column {
        head: "FAILED",
        cell: |stage, _| member(stage, "failed"),
    },
    Column {
        head: "OLDEST",
        cell: |stage, terminal| terminal.when(&member(stage, "oldest_ready")),
    },
    Column {
        head: "WORKERS",
        cell: |stage, _| workers(stage),
    },
    Column {
        head: "VERSION",
        cell: |stage, _| member(stage, "version"),
    },
];

fn waiting(stage: &Json) -> u64 {
    let counts = stage["waiting"].as_object().into_iter().flatten();
    counts.filter_map(|(_, count)| count.as_u64()).sum()
}

/// How many are at work, of how many.
fn workers(stage: &Json) -> String {
    match member(stage, "concurrency").as_str() {
        "" => String::new(),
        limit => format!("{}/{limit}", member(stage, "running")),
    }
}

/// The server's word if it has one, else what the sums say.
fn state(stage: &Json) -> String {
    let word = member(stage, "state");
    if !word.is_empty() {
        return word;
    }
    let is_busy = stage["ready"].as_u64().unwrap_or(0) + stage["running"].as_u64().unwrap_or(0) > 0;
    match () {
        () if stage["configured"] == Json::Bool(false) => "unclaimed".into(),
        () if !stage["hold"].is_null() || !stage["gate"].is_null() => "held".into(),
        () if is_busy => "running".into(),
        () => "idle".into(),
    }
}

/// The state, with what will hold the stage as soon as a ticket comes.
fn shown_state(stage: &Json) -> String {
    match state(stage) {
        state if state == "idle" && !stage["obstacle"].is_null() => {
            format!("{state} (cannot be started)")
        }
        state => state,
    }
}

impl Stages {
    pub(super) fn run(self, client: &Client, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        match self.verb {
            Verb::List(list) => {
                let path = format!("stages?limit={}", Listing::LIMIT_MAX);
                list.run(&path, client, terminal)?;
            }
            Verb::Show(show) => {
                let stage = client.get(&format!("stages/{}", encode(&show.stage)))?;
                match show.output {
                    Form::Json => terminal.print(&stage.to_string())?,
                    Form::Table => print(&stage, terminal)?,
                }
            }
            Verb::Breakers(breakers) => breakers.run(client, terminal)?,
            Verb::Probe(probe) => probe.run(client, terminal)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Noun for Order {
    const TERMS: Terms = Terms {
        noun: "stages",
        keys: &[
            Field::Stage,
            Field::Flow,
            Field::Kind,
            Field::Version,
            Field::Since,
        ],
        words: &["idle", "running", "held", "unclaimed"],
    };
    const EXAMPLE: &'static str = "flow:ci -is:held";
    const COLUMNS: &'static [Column] = COLUMNS;
    const FIRST: Self = Self::Flow;
    const LIMIT: u64 = 1_000;
    const NONE: &'static str = "there are no stages: the configuration has none";

    fn values(stage: &Json, field: Field) -> Vec<String> {
        match field {
            terms::STATE => vec![state(stage)],
            Field::Stage => texts(&stage["stage"]),
            Field::Flow => texts(&stage["flows"]),
            Field::Kind => texts(&stage["kinds"]),
            Field::Version => texts(&stage["version"]),
            Field::Since => texts(&stage["oldest_ready"]),
            _ => Vec::new(),
        }
    }

    fn texts(stage: &Json) -> Vec<String> {
        vec![member(stage, "stage"), member(stage, "flows")]
    }

    fn sort(self, stages: &mut [Json]) {
        match self {
            Self::Flow => {}
            Self::Name => stages.sort_by_key(|stage| member(stage, "stage")),
            Self::Ready => stages.sort_by_key(|stage| Reverse(stage["ready"].as_u64())),
        }
    }
}

fn print(stage: &Json, terminal: &Terminal<'_>) -> Result<(), Failure> {
    let text = |name| member(stage, name);
    let retry = &stage["retry"];
    let part = |name| member(retry, name);
    let retries = match retry.is_null() {
        true => String::new(),
        false => format!(
            "first {}, factor {}, max {}, jitter {}, attempts {}",
            part("first"),
            part("factor"),
            part("max"),
            part("jitter"),
            match part("attempts").as_str() {
                "0" => "for ever".to_owned(),
                number => number.to_owned(),
            }
        ),
    };
    // A hold that a stage has beside a gate is the stronger one.
    let hold = match stage["hold"].is_null() {
        true => &stage["gate"],
        false => &stage["hold"],
    };
    let reasons = stage["waiting"].as_object().into_iter().flatten();
    let reasons: Vec<String> = reasons
        .filter(|(_, count)| **count != json!(0))
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    print_facts(
        &[
            ("stage", text("stage")),
            ("flows", text("flows")),
            ("state", state(stage)),
            ("held since", terminal.when(&member(hold, "since"))),
            ("because", member(hold, "reason")),
            ("cannot be started", text("obstacle")),
            ("version", text("version")),
            ("served by", served(stage)),
            ("applied", applied(&stage["applied"])),
            ("ready", text("ready")),
            ("oldest", terminal.when(&text("oldest_ready"))),
            ("running", workers(stage)),
            ("waiting", waiting(stage).to_string()),
            ("  for", reasons.join(", ")),
            ("done", text("done")),
            ("failed", text("failed")),
            ("deadline", text("deadline")),
            ("grace", text("grace")),
            ("retry", retries),
            ("breaker", breaker(&stage["breaker"])),
            ("kinds", text("kinds")),
            ("unique", text("unique")),
            ("journal", text("journal")),
        ],
        terminal,
    )
}

fn breaker(rules: &Json) -> String {
    if rules.is_null() {
        return String::new();
    }
    format!(
        "after {} failures alike, one is tried every {}",
        member(rules, "failures"),
        member(rules, "probe")
    )
}

/// Who serves it, those that are alike together.
fn served(stage: &Json) -> String {
    let all = stage["served"].as_array().into_iter().flatten();
    let told = all.map(|served| {
        let workers = match served["workers"].as_u64() {
            Some(1) => "1 worker".to_owned(),
            _ => format!("{} workers", member(served, "workers")),
        };
        let version = member(served, "version");
        let kinds = member(served, "kinds").replace(',', ", ");
        match kinds.is_empty() {
            true => format!("{workers} with version {version}"),
            false => format!("{workers} with version {version}, only the kinds {kinds}"),
        }
    });
    told.collect::<Vec<_>>().join("; ")
}

/// By how many of its workers the newest desired state is applied, and who lags.
fn applied(applied: &Json) -> String {
    if applied.is_null() {
        return String::new();
    }
    let number = |name| applied[name].as_u64().unwrap_or(0);
    let behind = applied["behind"].as_array().into_iter().flatten();
    let mut told = match number("of") {
        0 => "no worker that serves it is heard".to_owned(),
        1 => format!("by {} of 1 worker", number("by")),
        of => format!("by {} of {of} workers", number("by")),
    };
    let newest = number("revision");
    let mut named = 0;
    for worker in behind {
        let (name, revision) = (member(worker, "worker"), member(worker, "revision"));
        told = format!("{told}; {name} still keeps to revision {revision} of {newest}");
        named += 1;
    }
    match number("of").saturating_sub(number("by") + named) {
        0 => told,
        more => format!("{told}; and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::local::tests::picked;
    use super::*;

    #[test]
    fn who_serves_a_stage_is_said_in_words() {
        let stage = json!({ "served": [
            { "version": "1", "workers": 1, "kinds": null },
            { "version": "2", "workers": 3, "kinds": ["bolt", "nut"] },
        ] });
        assert_eq!(
            served(&stage),
            "1 worker with version 1; 3 workers with version 2, only the kinds bolt, nut"
        );
        assert_eq!(served(&json!({ "served": [] })), "");
    }

    #[test]
    fn by_how_many_workers_the_desired_state_is_applied_is_said_in_words() {
        let told = |by: u64, of: u64, behind: Json| {
            applied(&json!({ "revision": 42, "by": by, "of": of, "behind": behind }))
        };
        assert_eq!(told(3, 3, json!([])), "by 3 of 3 workers");
        assert_eq!(told(1, 1, json!([])), "by 1 of 1 worker");
        assert_eq!(
            told(0, 2, json!([{ "worker": "b:1:1", "revision": 41 }])),
            "by 0 of 2 workers; b:1:1 still keeps to revision 41 of 42; and 1 more"
        );
        assert_eq!(told(0, 0, json!([])), "no worker that serves it is heard");
        assert_eq!(applied(&Json::Null), "");
    }

    #[test]
    fn a_stage_is_held_only_when_a_hold_is_in_force() {
        let stage = |hold: Json, obstacle: Json| {
            shown_state(&json!({
                "stage": "build", "configured": true, "ready": 0, "running": 0,
                "hold": hold, "obstacle": obstacle,
            }))
        };
        let missing = json!("./build.sh: no such file");
        assert_eq!(
            stage(Json::Null, missing.clone()),
            "idle (cannot be started)"
        );
        assert_eq!(stage(json!({ "reason": "x" }), missing), "held");
        assert_eq!(stage(Json::Null, Json::Null), "idle");
    }

    #[test]
    fn stages_are_filtered_by_the_one_grammar() {
        let stages = [
            json!({ "stage": "build", "flows": ["ci"], "ready": 1, "running": 0 }),
            json!({ "stage": "test", "flows": ["ci"], "ready": 5, "running": 0 }),
            json!({ "stage": "mail", "flows": [], "ready": 0, "running": 0 }),
        ];
        let names = |filter: &str, order: Order| {
            let picked = picked(&stages, filter, order);
            let names = picked.iter().map(|stage| member(stage, "stage"));
            names.collect::<Vec<_>>()
        };
        assert_eq!(names("flow:ci", Order::Ready), ["test", "build"]);
        assert_eq!(names("is:running", Order::Flow), ["build", "test"]);
        assert_eq!(names("is:idle", Order::Flow), ["mail"]);
        assert_eq!(names("mai", Order::Name), ["mail"]);
    }
}
