//! [`Teller`]: asks one server by the command line.

use crate::{show, text, within_patience};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long the books may take to say what a test waits for.
const BOOKS_MAX: Duration = Duration::from_secs(400);
/// How long they may stay as they are meanwhile; the longest handler of a test takes 60 seconds.
const CHANGE_MAX: Duration = Duration::from_secs(100);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The command line, pointed at one server.
#[derive(Clone, Debug)]
pub struct Teller {
    pub(crate) folder: PathBuf,
    pub(crate) address: String,
}

impl Teller {
    /// Runs a command.
    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(crate::program())
            .current_dir(&self.folder)
            .env("GOAROUND_URL", format!("http://{}", self.address))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stdin = child.stdin.take().expect("piped");
        let input = input.to_owned();
        let feeder = std::thread::spawn(move || stdin.write_all(input.as_bytes()).ok());
        let output = within_patience(child);
        feeder.join().expect("the feeder does not panic");
        output
    }

    /// Runs a command that must succeed; returns what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments, "");
        assert!(
            output.status.success(),
            "goaround {arguments:?}: {}",
            show(&output)
        );
        text(&output.stdout)
    }

    /// Runs a command that prints JSON and must succeed.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.ok(arguments);
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error} in {printed}"))
    }

    /// What the API answers; `None` when it cannot be asked, or refuses.
    pub fn get(&self, path: &str) -> Option<Value> {
        let url = format!("http://{}/api/v1/{path}", self.address);
        let mut answer = agent().get(&url).call().ok()?;
        serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()
    }

    /// The books, unless the server cannot be asked at the moment.
    pub fn books_if_any(&self) -> Option<Value> {
        self.get("books")
    }

    /// The books.
    pub fn books(&self) -> Value {
        let output = self.run(&["books", "-o", "json"], "");
        serde_json::from_str(&text(&output.stdout))
            .unwrap_or_else(|error| panic!("{error} in {}", show(&output)))
    }

    /// Waits until the books say so, as long as they change; returns the last that were seen and
    /// whether they do.
    pub fn watch_books(&self, is_so: impl Fn(&Value) -> bool) -> (Value, bool) {
        let (begun, mut changed) = (Instant::now(), Instant::now());
        let mut last = Value::Null;
        while begun.elapsed() < BOOKS_MAX && changed.elapsed() < CHANGE_MAX {
            if let Some(books) = self.books_if_any() {
                if is_so(&books) {
                    return (books, true);
                }
                if books != last {
                    (last, changed) = (books, Instant::now());
                }
            }
            std::thread::sleep(LOOK_EVERY);
        }
        (last, false)
    }
}

/// One for all, which keeps its connections.
fn agent() -> &'static ureq::Agent {
    static AGENT: OnceLock<ureq::Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        let patience = Some(Duration::from_secs(30));
        let config = ureq::Agent::config_builder().timeout_global(patience);
        config.build().into()
    })
}
