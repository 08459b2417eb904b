//! [`Line`]: the same story in one process, or on servers.

use crate::field::{Broker, Field};
use crate::process::Process;
use crate::teller::Teller;
use crate::{Site, Up, text};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;

/// Everything that tickets need, wherever it runs.
pub struct Line {
    parts: Parts,
}

// What runs is named before the folder that it runs in: it ends first.
enum Parts {
    One {
        up: Up,
        site: Site,
    },
    Servers {
        workers: Vec<Process>,
        controller: Process,
        field: Box<Field>,
    },
}

impl Line {
    /// One `goaround up` with its own broker and store, and these scripts beside its configuration.
    pub fn of_one(config: &str, scripts: &[(&str, &str)]) -> Self {
        let site = Site::new(config);
        for (name, text) in scripts {
            site.script(name, text);
        }
        let up = site.up();
        Self {
            parts: Parts::One { up, site },
        }
    }

    /// A controller and so many workers, with these scripts beside their configuration.
    pub fn of_servers(field: Field, scripts: &[(&str, &str)], workers: usize) -> Self {
        for (name, text) in scripts {
            field.script(name, text);
        }
        let controller = field.controller("controller");
        let names = (1..=workers).map(|number| format!("worker-{number}"));
        let mut workers: Vec<Process> = names.map(|name| field.worker(&name)).collect();
        workers.iter_mut().for_each(Process::await_ready);
        let field = Box::new(field);
        Self {
            parts: Parts::Servers {
                workers,
                controller,
                field,
            },
        }
    }

    /// Where configuration and handlers are.
    pub fn path(&self) -> &Path {
        match &self.parts {
            Parts::One { site, .. } => site.path(),
            Parts::Servers { field, .. } => field.path(),
        }
    }

    /// Writes an executable script; it appears whole.
    pub fn script(&self, name: &str, text: &str) {
        match &self.parts {
            Parts::One { site, .. } => site.script(name, text),
            Parts::Servers { field, .. } => field.script(name, text),
        }
    }

    /// The command line, pointed at it.
    pub fn teller(&self) -> Teller {
        match &self.parts {
            Parts::One { site, .. } => site.teller(),
            Parts::Servers {
                controller, field, ..
            } => field.ask(controller),
        }
    }

    /// The ends of all logs.
    pub fn logs(&self) -> String {
        match &self.parts {
            Parts::One { site, .. } => site.log_tail(),
            Parts::Servers { field, .. } => field.logs(),
        }
    }

    /// Submits tickets, each a flow and a payload; returns the ids that were confirmed.
    pub fn submit(&self, tickets: &[(&str, String)]) -> Vec<String> {
        let mut lines = String::new();
        for (flow, payload) in tickets {
            let ticket = json!({ "flow": flow, "payload": format!("{payload}\n") });
            writeln!(lines, "{ticket}").expect("a string");
        }
        let submit = ["submit", "--jsonl", "-"];
        let output = self.teller().run(&submit, &lines);
        assert!(output.status.success(), "{}", crate::show(&output));
        let ids: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
        assert_eq!(ids.len(), tickets.len(), "each ticket is confirmed");
        ids
    }

    /// Waits until the books say so; returns them.
    ///
    /// # Panics
    /// When they do not; shows the ends of all logs.
    pub fn books_until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let (books, is_so) = self.teller().watch_books(is_so);
        assert!(is_so, "{what} did not come about: {books}\n{}", self.logs());
        books
    }

    /// Waits until a file here says so; returns what it says.
    ///
    /// # Panics
    /// When it does not; shows the ends of all logs.
    pub fn file_until(&self, name: &str, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let found = crate::eventually(|| Some(self.file(name)).filter(|text| is_so(text)));
        found.unwrap_or_else(|| {
            let books = self.teller().books_if_any();
            let said = self.file(name);
            panic!(
                "{what} did not come about: {said}\n{books:?}\n{}",
                self.logs()
            )
        })
    }

    /// What a file here says; nothing when it is not there.
    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }

    /// The breaker of what fails at this stage.
    ///
    /// # Panics
    /// When there is none.
    pub fn breaker(&self, stage: &str) -> Value {
        let breakers = ["stage", "breakers", stage, "-o", "json"];
        let told = self.teller().json(&breakers);
        let all = told.as_array().into_iter().flatten();
        let mut found = all.filter(|breaker| breaker["scope"] == "signature");
        let first = found.next().cloned();
        first.unwrap_or_else(|| panic!("no breaker of a signature in {told}"))
    }

    /// A ticket's history, the oldest line first.
    pub fn history(&self, ticket: &str) -> Vec<Value> {
        let history = ["ticket", "history", ticket, "-o", "json"];
        let told = self.teller().json(&history);
        told.as_array().cloned().unwrap_or_default()
    }

    /// Kills what does the work, and not its launcher, which starts it again.
    pub fn kill_role(&self) {
        match &self.parts {
            Parts::One { up, .. } => up.kill_role(),
            Parts::Servers { workers, .. } => workers.iter().for_each(Process::kill_child),
        }
    }

    /// Stops one of the workers as an upgrade does, and starts it again with this configuration.
    ///
    /// # Panics
    /// When there is no such worker, or it does not stop well.
    pub fn upgrade_worker(&mut self, number: usize, config: &str) {
        let Parts::Servers { workers, field, .. } = &mut self.parts else {
            panic!("there are no workers to upgrade one by one");
        };
        field.reconfigure(config);
        let worker = &mut workers[number];
        assert!(worker.stop().success(), "{}", worker.log_tail());
        worker.restart();
        worker.await_ready();
    }

    /// Restarts the broker, if there is one that is ours alone.
    pub fn restart_broker(&mut self) {
        if let Parts::Servers { field, .. } = &mut self.parts
            && let Broker::Own(broker) = &mut field.broker
        {
            broker.stop();
            broker.restart();
        }
    }

    /// Asks everything to stop, and waits until it has.
    ///
    /// # Panics
    /// When something does not stop, or not well.
    pub fn stop(self) {
        match self.parts {
            Parts::One { up, .. } => assert!(up.stop().success()),
            Parts::Servers { workers, .. } => {
                for mut worker in workers {
                    assert!(worker.stop().success(), "{}", worker.log_tail());
                }
            }
        }
    }
}

/// The lines of a history that say that this happened, for reasons that begin so.
pub fn lines<'a>(history: &'a [Value], what: &str, why: &str) -> Vec<&'a Value> {
    let says = |line: &Value, field: &str, word: &str| {
        let said = line[field].as_str().unwrap_or_default();
        said.starts_with(word)
    };
    let found = history.iter().filter(|line| says(line, "what", what));
    found.filter(|line| says(line, "why", why)).collect()
}
