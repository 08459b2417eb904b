//! `goaround doctor`: what was looked at, what was seen, what to do about it.

use super::failure::{Code, Failure};
use super::output::{Form, member};
use super::terminal::Terminal;
use super::text::visible;
use crate::client::Client;
use clap::Args;
use serde_json::Value as Json;
use std::process::ExitCode;

/// Look whether everything is as it should be; each finding comes with a remedy
#[derive(Args)]
#[command(before_help = "Example:\n  goaround doctor\n  goaround doctor --deep")]
pub(super) struct Doctor {
    /// Read every page of the files as well, which takes a while for large ones; on servers, count
    /// every ticket and send a message through the broker
    #[arg(long)]
    deep: bool,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Table, value_name = "FORM")]
    output: Form,
}

impl Doctor {
    pub(super) fn run(self, client: &Client, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        let path = if self.deep {
            "doctor?deep=true"
        } else {
            "doctor"
        };
        let answer = client.get(path)?;
        let findings = answer["findings"].as_array().map_or(&[][..], Vec::as_slice);
        match self.output {
            Form::Json => terminal.print(&answer.to_string())?,
            Form::Table => print(findings, terminal)?,
        }
        match findings.iter().filter(|finding| !is_fine(finding)).count() {
            0 => Ok(ExitCode::SUCCESS),
            bad => {
                let message = format!("{bad} of {} findings are not fine", findings.len());
                Err(Failure::new(Code::Failed, message))
            }
        }
    }
}

fn is_fine(finding: &Json) -> bool {
    finding["fine"] == Json::Bool(true) || finding["is_fine"] == Json::Bool(true)
}

fn print(findings: &[Json], terminal: &Terminal<'_>) -> Result<(), Failure> {
    for finding in findings {
        let sign = if is_fine(finding) { "ok " } else { "BAD" };
        let (about, seen) = (member(finding, "about"), member(finding, "seen"));
        terminal.print(&format!("{sign}  {}: {}", visible(&about), visible(&seen)))?;
        let remedy = member(finding, "remedy");
        if !remedy.is_empty() && !is_fine(finding) {
            terminal.print(&format!("     {}", visible(&remedy)))?;
        }
    }
    Ok(())
}
