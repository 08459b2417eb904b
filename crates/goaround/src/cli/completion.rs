//! `goaround completion`: what a shell needs to complete our words.

use super::failure::Failure;
use super::terminal::Terminal;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use std::process::ExitCode;
use std::sync::LazyLock;

/// Kept for ever, because names of commands must be.
static COMMAND: LazyLock<Command> = LazyLock::new(super::Line::command);

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
        let mut command = shown(&COMMAND);
        clap_complete::generate(self.shell, &mut command, "goaround", &mut script);
        terminal.print(String::from_utf8_lossy(&script).trim_end())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The command with what is meant for people. Most shells would be offered hidden words too.
fn shown(command: &'static Command) -> Command {
    let arguments = command.get_arguments().filter(|it| !it.is_hide_set());
    let below = command.get_subcommands().filter(|it| !it.is_hide_set());
    let mut shown = Command::new(command.get_name())
        .args(arguments.cloned())
        .subcommands(below.map(self::shown))
        .disable_help_subcommand(true)
        .disable_version_flag(command.get_version().is_none());
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    match command.get_version() {
        Some(version) => shown.version(version),
        None => shown,
    }
}
