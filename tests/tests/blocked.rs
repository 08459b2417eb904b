//! A handler that is part of a Rust program blocks the thread that it runs on, past its deadline.

use acceptance::audit::oopses;
use acceptance::field::Field;
use acceptance::teller::Teller;
use acceptance::{Site, eventually, program};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// What the program has built in, for those who read what became of it.
const CONFIG: &str = r#"
[stage.work]
run = ["true"]
"#;
const KINDS: [&str; 4] = ["blocks", "plain", "plain", "plain"];

/// The program of a Rust team, and what it has said; killed when dropped.
struct Embedding {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Embedding {
    fn start(arguments: &[&str]) -> Self {
        let program = program().with_file_name("examples").join("embedding");
        let mut child = Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the workspace is built");
        let said = Arc::<Mutex<Vec<String>>>::default();
        let (heard, stdout) = (Arc::clone(&said), child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                heard.lock().expect("whole").push(line);
            }
        });
        Self { child, said }
    }

    /// The tickets and attempts of which it has said this.
    fn told(&self, word: &str) -> Vec<(String, u32)> {
        let said = self.said.lock().expect("whole");
        let mine = said.iter().filter_map(|line| line.strip_prefix(word));
        let told = mine.filter_map(|rest| {
            let (ticket, attempt) = rest.trim().split_once(' ')?;
            Some((ticket.to_owned(), attempt.parse().ok()?))
        });
        told.collect()
    }

    fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let came = eventually(|| is_so(self).then_some(()));
        assert!(came.is_some(), "{what}: {:?}", self.said.lock());
    }
}

impl Drop for Embedding {
    fn drop(&mut self) {
        self.child.kill().ok(); // It may have ended already.
        self.child.wait().ok();
    }
}

/// How the blocked thread is ended.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// The handler lets go.
    LetsGo,
    /// Never; the process is killed and started again.
    Killed,
}

/// One is reported while it blocks, and everybody else is done; returns which one.
fn blocks(program: &Embedding) -> String {
    program.until("a report about the one that blocks", |program| {
        !program.told("oops").is_empty()
    });
    program.until("another thread for the others", |program| {
        program.told("done").len() == KINDS.len() - 1
    });
    let told = program.told("oops");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].1, 1, "it is about the first attempt");
    let done = program.told("done");
    assert!(done.iter().all(|(_, attempt)| *attempt == 1), "{done:?}");
    told[0].0.clone()
}

/// There is one report of it, which names the cause, and none of anybody else.
fn assert_told_once(teller: &Teller, blocker: &str) {
    let reports = oopses(teller);
    assert_eq!(reports.len(), 1, "{reports:?}");
    let report = &reports[0];
    assert_eq!(report["ticket"], blocker, "{report}");
    assert_eq!(report["attempt"], 1, "{report}");
    assert_eq!(report["version"], "1", "{report}");
}

fn assert_names_the_cause(teller: &Teller) {
    let report = oopses(teller).remove(0);
    assert_eq!(report["outcome"], "timed_out", "{report}");
    assert_eq!(report["type"], "ThreadBlocked", "{report}");
}

fn assert_history(teller: &Teller, blocker: &str) {
    let entry: Value = teller.json(&["ticket", "show", blocker, "-o", "json"]);
    assert_eq!(entry["state"], "done", "{entry}");
    assert_eq!(entry["attempt"], 2, "it is charged once: {entry}");
}

fn on_one(end: End) {
    let site = Site::new(CONFIG);
    let (books, door) = (site.path().join("data"), site.path().join("door"));
    let start = |kinds: &str| {
        let [door, books] = [&door, &books].map(|path| path.to_str().expect("text"));
        Embedding::start(&["one", door, books, kinds])
    };
    let mut program = start(&KINDS.join(","));
    let blocker = blocks(&program);
    match end {
        End::LetsGo => open(&door),
        End::Killed => {
            drop(program);
            program = start("");
        }
    }
    lands(&program, &blocker);
    drop(program);
    let up = site.up();
    let teller = site.teller();
    assert_told_once(&teller, &blocker);
    if end == End::LetsGo {
        assert_names_the_cause(&teller);
    }
    assert_history(&teller, &blocker);
    up.stop();
}

fn on_servers(end: End) {
    let Some(field) = Field::shared(CONFIG) else {
        return;
    };
    let controller = field.controller("controller");
    let teller = field.ask(&controller);
    let door: PathBuf = field.path().join("door");
    let (url, at) = (field.broker.url(), door.to_str().expect("text").to_owned());
    let start = || Embedding::start(&["servers", &at, &url, field.prefix()]);
    let mut program = start();
    for kind in KINDS {
        teller.ok(&["submit", "--stage", "work", "--kind", kind]);
    }
    let blocker = blocks(&program);
    let seen = eventually(|| (oopses(&teller).len() == 1).then_some(()));
    assert!(seen.is_some(), "the report is there while it blocks");
    assert_names_the_cause(&teller);
    let running = |books: &Value| books["running"] == 1 && books["done"] == KINDS.len() - 1;
    field.books_until(&controller, "it stays where it is", running);
    match end {
        End::LetsGo => open(&door),
        End::Killed => {
            drop(program);
            program = start();
        }
    }
    lands(&program, &blocker);
    let done = |books: &Value| books["done"] == KINDS.len() && books["balanced"] == true;
    field.books_until(&controller, "all done", done);
    assert_told_once(&teller, &blocker);
    assert_history(&teller, &blocker);
}

fn open(door: &Path) {
    std::fs::write(door, "").expect("the scratch folder can be written");
}

fn lands(program: &Embedding, blocker: &str) {
    program.until("its ticket lands", |program| {
        let done = program.told("done");
        done.contains(&(blocker.to_owned(), 2))
    });
}

#[test]
fn a_rust_handler_that_blocks_its_thread_is_reported_and_goes_around_when_it_lets_go() {
    on_one(End::LetsGo);
}

#[test]
fn a_rust_handler_that_blocks_its_thread_for_ever_goes_around_with_its_process() {
    on_one(End::Killed);
}

#[test]
fn rabbitmq_a_rust_handler_that_blocks_its_thread_is_reported_and_goes_around_when_it_lets_go() {
    on_servers(End::LetsGo);
}

#[test]
fn rabbitmq_a_rust_handler_that_blocks_its_thread_for_ever_goes_around_with_its_process() {
    on_servers(End::Killed);
}
