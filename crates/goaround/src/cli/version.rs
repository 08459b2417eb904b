//! `goaround version`: ours, and the server's if one answers.

use super::failure::Failure;
use super::output::{Form, member};
use super::terminal::Terminal;
use super::text::visible;
use crate::client::{CallError, Client};
use clap::Args;
use serde_json::{Value as Json, json};
use std::process::ExitCode;

/// Which version this is, and which one the server is
#[derive(Args)]
#[command(before_help = "Example:\n  goaround version -o json")]
pub(super) struct Version {
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Table, value_name = "FORM")]
    output: Form,
}

/// What the server says of itself.
enum Theirs {
    /// Its version.
    Known(String),
    /// Nobody is there.
    Nobody,
    /// It answers, but does not say; why.
    Untold(String),
}

impl Theirs {
    fn of(answer: Result<Json, CallError>) -> Self {
        match answer {
            Ok(answer) => match member(&answer, "version") {
                version if version.is_empty() => Self::Untold("it names none".into()),
                version => Self::Known(version),
            },
            Err(CallError::Problem(problem)) if problem.status == 401 => Self::Untold(
                "it wants a token, or another one; set GOAROUND_TOKEN to the server's".into(),
            ),
            Err(error @ (CallError::Problem(_) | CallError::Foreign { .. })) => {
                Self::Untold(error.to_string())
            }
            Err(
                CallError::BadUrl { .. }
                | CallError::Unreachable { .. }
                | CallError::Unanswered { .. }
                | CallError::TimedOut { .. },
            ) => Self::Nobody,
        }
    }

    fn json(&self, url: &str) -> Json {
        match self {
            Self::Known(version) => json!({ "url": url, "version": version }),
            Self::Nobody => Json::Null,
            Self::Untold(why) => json!({ "url": url, "version": null, "why": why }),
        }
    }

    fn line(&self, url: &str) -> String {
        match self {
            Self::Known(version) => format!("{} at {url}", visible(version)),
            Self::Nobody => format!("none answers at {url}"),
            Self::Untold(why) => {
                format!("one answers at {url} without its version: {}", visible(why))
            }
        }
    }
}

impl Version {
    pub(super) fn run(self, client: &Client, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        let ours = env!("CARGO_PKG_VERSION");
        // No server is no failure here.
        let theirs = Theirs::of(client.get("version"));
        match self.output {
            Form::Json => {
                let server = theirs.json(client.url());
                terminal.print(&json!({ "version": ours, "server": server }).to_string())?;
            }
            Form::Table => {
                terminal.print(&format!("goaround {ours}"))?;
                terminal.print(&format!("server   {}", theirs.line(client.url())))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
