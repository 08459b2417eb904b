//! `goaround version`: ours, and the server's if one answers.

use super::failure::Failure;
use super::output::{Form, member};
use super::terminal::Terminal;
use crate::client::Client;
use clap::Args;
use serde_json::json;
use std::process::ExitCode;

/// Which version this is, and which one the server is
#[derive(Args)]
#[command(before_help = "Example:\n  goaround version -o json")]
pub(super) struct Version {
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Table, value_name = "FORM")]
    output: Form,
}

impl Version {
    pub(super) fn run(self, client: &Client, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        let ours = env!("CARGO_PKG_VERSION");
        // No server is no failure here.
        let answer = client.get("version").ok();
        let theirs = answer.map(|answer| member(&answer, "version"));
        match self.output {
            Form::Json => {
                let server =
                    theirs.map(|version| json!({ "url": client.url(), "version": version }));
                terminal.print(&json!({ "version": ours, "server": server }).to_string())?;
            }
            Form::Table => {
                terminal.print(&format!("goaround {ours}"))?;
                let server = match &theirs {
                    Some(version) => format!("server   {version} at {}", client.url()),
                    None => format!("server   none answers at {}", client.url()),
                };
                terminal.print(&server)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
