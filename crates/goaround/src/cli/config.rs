//! `goaround config`: what is wrong with a configuration, and which value holds.

use super::failure::Failure;
use super::output::Form;
use super::table::Table;
use super::terminal::Terminal;
use super::text::counted;
use crate::app::Role;
use crate::config::{Backend, BadConfig, Loaded, Settings, Surroundings, schema};
use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// Check and show the configuration; needs no server
#[derive(Args)]
#[command(before_help = "Example:\n  goaround config check")]
#[command(disable_help_subcommand = true)]
pub(super) struct Configs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Report everything that is wrong, at once
    #[command(before_help = "Example:\n  goaround config check --config goaround.toml")]
    Check(Which),
    /// Print every value that holds
    #[command(before_help = "Example:\n  goaround config show --sources")]
    Show(Show),
    /// Print a JSON Schema of the file
    #[command(before_help = "Example:\n  goaround config schema > goaround.schema.json")]
    Schema,
}

#[derive(Args)]
struct Which {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "goaround.toml")]
    config: PathBuf,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Table, value_name = "FORM")]
    output: Form,
}

#[derive(Args)]
struct Show {
    #[command(flatten)]
    which: Which,
    /// Say where each value was set
    #[arg(long)]
    sources: bool,
}

impl Which {
    fn load(&self, terminal: &Terminal<'_>) -> Result<Loaded, BadConfig> {
        Loaded::read(&Surroundings {
            file: Some(&self.config),
            variables: &terminal.world().variables,
            flags: &[],
        })
    }
}

impl Configs {
    pub(super) fn run(self, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        match self.verb {
            Verb::Check(which) => check(&which, terminal)?,
            Verb::Show(show) => {
                let loaded = show.which.load(terminal)?;
                terminal.print(&show.text(&loaded.settings, terminal))?;
            }
            Verb::Schema => terminal.print(&format!("{:#}", schema()))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn check(which: &Which, terminal: &Terminal<'_>) -> Result<(), Failure> {
    let loaded = which.load(terminal)?;
    let flows = &loaded.config.flows;
    let (stages, flows) = (flows.stages().len(), flows.flows().len());
    let file = which.config.display().to_string();
    // With servers there are workers apart; which role is meant, the file does not say.
    if let (Backend::Server(_), Some(lack)) =
        (&loaded.config.broker.at, Role::Worker.lacks(&loaded.config))
    {
        terminal.note(&format!("{file}: as a worker: {lack}"));
    }
    terminal.print(&match which.output {
        Form::Table => format!(
            "{file}: fine, {}, {}",
            counted(stages, "stage"),
            counted(flows, "flow")
        ),
        Form::Json => {
            json!({ "file": file, "fine": true, "stages": stages, "flows": flows }).to_string()
        }
    })
}

impl Show {
    fn text(&self, settings: &Settings, terminal: &Terminal<'_>) -> String {
        let all = settings.all();
        if self.which.output == Form::Json {
            let items: Vec<Json> = all
                .iter()
                .map(|(path, setting)| {
                    json!({
                        "key": path.to_string(),
                        "value": setting.value.json(),
                        "source": setting.source.to_string(),
                    })
                })
                .collect();
            return json!({ "items": items }).to_string();
        }
        if !self.sources {
            let lines = all
                .iter()
                .map(|(path, setting)| format!("{path} = {}", setting.value));
            return lines.collect::<Vec<_>>().join("\n");
        }
        let mut table = Table::new(["KEY", "VALUE", "SOURCE"]);
        for (path, setting) in &all {
            table.row([
                path.to_string(),
                setting.value.to_string(),
                setting.source.to_string(),
            ]);
        }
        table.render(terminal)
    }
}
