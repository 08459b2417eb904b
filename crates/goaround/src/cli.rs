//! The command line: one noun a file, data on stdout, all else on stderr, exit codes that scripts
//! can rely on ([`failure::Code`]).

mod act;
mod api;
mod books;
mod breaker;
mod completion;
mod config;
mod doctor;
mod failure;
mod feed;
mod init;
mod list;
mod local;
mod oops;
mod output;
mod plan;
mod reference;
mod stage;
mod submit;
mod table;
mod terminal;
mod terms;
mod text;
mod ticket;
mod up;
mod version;
mod wait;

use crate::client::{Client, Connection};
use crate::config::Secret;
use clap::{Args, Parser, Subcommand};
use domain::time::Timestamp;
use failure::Failure;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;
use terminal::Terminal;

/// Where the server is when nobody says.
const URL: &str = "http://127.0.0.1:7878";

/// What the program finds around it, read once by `main`.
#[derive(Clone, Debug)]
pub struct World {
    /// The arguments, the program's own name first.
    pub arguments: Vec<OsString>,
    /// The environment, as far as it is text.
    pub variables: BTreeMap<String, String>,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// Whether a person can answer.
    pub is_stdin_terminal: bool,
    /// Whether a person reads the data.
    pub is_stdout_terminal: bool,
    /// Whether a person reads the notes.
    pub is_stderr_terminal: bool,
}

#[derive(Parser)]
#[command(
    name = "goaround",
    version,
    about = "Work that must not get lost while the software around it is broken.",
    before_help = "Example:\n  goaround init && goaround up",
    after_help = "Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 not found, 4 refused, \
                  5 cannot reach the server, 6 timed out.",
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Line {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Args)]
struct Server {
    /// Where the server is [env: GOAROUND_URL; default: http://127.0.0.1:7878]
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
}

#[derive(Subcommand)]
enum Verb {
    Up(up::Up),
    Worker(up::Worker),
    Controller(up::Controller),
    Watchdog(up::Watchdog),
    Init(init::Init),
    Submit(submit::Submit),
    Ticket(ticket::Tickets),
    Oops(oops::Oopses),
    Stage(stage::Stages),
    Plan(plan::Plans),
    Books(books::Books),
    Config(config::Configs),
    Doctor(doctor::Doctor),
    Version(version::Version),
    Completion(completion::Completion),
    Api(api::Api),
    #[command(name = "__reference", hide = true)]
    Reference(reference::Reference),
}

/// Does what the arguments say.
pub fn main(world: World) -> ExitCode {
    let terminal = Terminal::new(&world);
    let line = match Line::try_parse_from(&world.arguments) {
        Ok(line) => line,
        Err(error) => return failure::usage(&error, &terminal),
    };
    match run(line, &terminal) {
        Ok(code) => code,
        Err(failure) => failure.report(&terminal),
    }
}

fn run(line: Line, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
    let server = line.server;
    let client = || server.client(terminal);
    match line.verb {
        Verb::Up(up) => up.run(terminal),
        Verb::Worker(worker) => worker.run(terminal),
        Verb::Controller(controller) => controller.run(terminal),
        Verb::Watchdog(watchdog) => watchdog.run(terminal),
        Verb::Init(init) => init.run(terminal),
        Verb::Submit(submit) => submit.run(&client()?, terminal),
        Verb::Ticket(ticket) => ticket.run(&client()?, terminal),
        Verb::Oops(oops) => oops.run(&client()?, terminal),
        Verb::Stage(stage) => stage.run(&client()?, terminal),
        Verb::Plan(plan) => plan.run(&client()?, terminal),
        Verb::Books(books) => books.run(&client()?, terminal),
        Verb::Config(config) => config.run(terminal),
        Verb::Doctor(doctor) => doctor.run(&client()?, terminal),
        Verb::Version(version) => version.run(&client()?, terminal),
        Verb::Completion(completion) => completion.run(terminal),
        Verb::Api(api) => api.run(&client()?, terminal),
        Verb::Reference(reference) => reference.run(terminal),
    }
}

impl Server {
    fn client(&self, terminal: &Terminal<'_>) -> Result<Client, Failure> {
        let variable = |name| terminal.variable(name).map(str::to_owned);
        let url = self.url.clone().or_else(|| variable("GOAROUND_URL"));
        let by = variable("USER").or_else(|| variable("LOGNAME"));
        let connection = Connection {
            url: url.unwrap_or_else(|| URL.into()),
            token: variable("GOAROUND_TOKEN").map(Secret::new),
            by: by.unwrap_or_else(|| "somebody".into()),
        };
        Ok(Client::new(connection)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, CommandFactory};

    fn commands(command: &Command, found: &mut Vec<Command>) {
        found.push(command.clone());
        for below in command
            .get_subcommands()
            .filter(|below| !below.is_hide_set())
        {
            commands(below, found);
        }
    }

    #[test]
    fn every_help_starts_with_an_example_that_can_be_typed() {
        let mut found = Vec::new();
        let mut root = Line::command();
        root.build();
        commands(&root, &mut found);
        assert!(found.len() > 20);
        for mut command in found {
            let help = command.render_long_help().to_string();
            let name = command.get_name().to_owned();
            let mut lines = help.lines();
            assert_eq!(lines.next(), Some("Example:"), "{name}");
            let examples = lines.take_while(|line| !line.is_empty());
            for example in examples.flat_map(|line| line.split("&&")) {
                let words = split(example.split(" | ").last().unwrap());
                let parsed = Line::try_parse_from(&words);
                assert!(
                    parsed.is_ok(),
                    "{name}: {words:?}: {}",
                    parsed.err().unwrap()
                );
            }
        }
    }

    /// Splits an example as a shell would, as far as examples go.
    fn split(example: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut is_quoted = false;
        for c in example.trim().chars() {
            match c {
                '\'' => is_quoted = !is_quoted,
                ' ' if !is_quoted => words.push(String::new()),
                '>' if !is_quoted => break,
                other => words.last_mut().unwrap().push(other),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn verbs_of_later_versions_do_not_exist() {
        for line in [
            "stage pause build --reason x",
            "oops groups",
            "ticket reset",
            "settle",
            "check",
        ] {
            let words = ["goaround"].into_iter().chain(line.split(' '));
            let error = Line::try_parse_from(words).err().unwrap();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
