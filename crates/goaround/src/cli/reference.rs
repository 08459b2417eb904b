//! The hidden verb that writes the page and the example about all keys.

use super::failure::Failure;
use super::terminal::Terminal;
use crate::config;
use clap::Args;
use std::process::ExitCode;

/// Print docs/configuration.md
#[derive(Args)]
pub(super) struct Reference {
    /// Print config/example.toml instead
    #[arg(long)]
    example: bool,
}

impl Reference {
    pub(super) fn run(self, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        let text = match self.example {
            true => config::example(),
            false => config::reference(),
        };
        terminal.print(text.trim_end())?;
        Ok(ExitCode::SUCCESS)
    }
}
