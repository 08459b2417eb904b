//! A handler that leaves a trace at the far side: who began, who ended, and who ran while somebody
//! else still ran the same ticket.
//!
//! `effect FOLDER [--crash END] [--sleep SECONDS]`: writes to `FOLDER/effects.log` and passes its
//! payload on. It shares nothing with the product: what a ticket is called, it is told by its
//! environment. A lock that the kernel lets go of when the process is gone tells whether two ran
//! at once, however they died.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // From here on whoever asks us to stop is heard, and it is told.
    let mut asked = signal(SignalKind::terminate()).expect("signals can be heard");
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("a folder"));
    let options: Vec<String> = arguments.collect();
    let option = |name: &str| {
        let pair = options.chunks(2).find(|pair| pair[0] == name);
        pair.and_then(|pair| pair.get(1)).cloned()
    };
    let me = Me::new(&folder);
    let mut payload = String::new();
    std::io::stdin()
        .read_to_string(&mut payload)
        .expect("the payload is text");
    let lock = folder.join("locks").join(&me.ticket);
    let lock = File::options()
        .create(true)
        .append(true)
        .open(lock)
        .expect("the folder has locks");
    let is_alone = rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    if is_alone.is_err() {
        me.tell("double", &payload);
    }
    me.tell("start", &payload);
    if let Some(seconds) = option("--sleep") {
        let length = Duration::from_secs_f64(seconds.parse().expect("seconds"));
        if tokio::time::timeout(length, asked.recv()).await.is_ok() {
            me.tell("stopped", &payload);
            std::process::exit(143);
        }
    }
    if me.attempt == "1" && option("--crash").is_some_and(|end| payload.trim().ends_with(&end)) {
        me.tell("crash", &payload);
        std::process::abort();
    }
    std::io::stdout()
        .write_all(payload.as_bytes())
        .expect("somebody reads it");
    me.tell("end", &payload);
}

/// Which attempt this is, in the words of the log.
struct Me {
    log: File,
    ticket: String,
    attempt: String,
    line: String,
}

impl Me {
    fn new(folder: &Path) -> Self {
        let facts: BTreeMap<String, String> = std::env::vars().collect();
        let fact = |name: &str| {
            let value = facts.get(&format!("GOAROUND_{name}"));
            value.cloned().unwrap_or_else(|| "-".to_owned())
        };
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("effects.log"))
            .expect("the far side takes it");
        let names = ["TICKET_ID", "STAGE", "HOP", "GENERATION", "ATTEMPT"];
        let line = format!("{} {}", names.map(fact).join(" "), std::process::id());
        Self {
            log,
            ticket: fact("TICKET_ID"),
            attempt: fact("ATTEMPT"),
            line,
        }
    }

    /// One write: lines of several handlers do not mix.
    fn tell(&self, what: &str, payload: &str) {
        let (line, payload) = (&self.line, payload.trim());
        let line = format!("{what} {line} {payload}\n");
        (&self.log)
            .write_all(line.as_bytes())
            .expect("the far side takes it");
    }
}
