//! `goaround completion`: what a shell needs to complete our words.

use super::failure::Failure;
use super::terminal::Terminal;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::process::ExitCode;

/// Print the completion script for a shell
#[derive(Args)]
#[command(before_help = "Example:\n  goaround completion bash > /etc/bash_completion.d/goaround")]
pub(super) struct Completion {
    /// Which shell
    shell: Shell,
}

impl Completion {
    pub(super) fn run(self, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        let mut script = Vec::new();
        let mut command = super::Line::command();
        clap_complete::generate(self.shell, &mut command, "goaround", &mut script);
        terminal.print(String::from_utf8_lossy(&script).trim_end())?;
        Ok(ExitCode::SUCCESS)
    }
}
