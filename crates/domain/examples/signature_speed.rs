//! How long it takes to find the signature of a failure: `cargo run --release --example
//! signature_speed`. Prints times; decides nothing.

use domain::names::{Kind, StageName};
use domain::outcome::{Exit, Failure, OutcomeKind};
use domain::signature::Signature;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

const BATCHES: u32 = 50;
const ROUNDS: u32 = 100;
const FRAMES: u32 = 100;

/// A Rust backtrace with this share of frames that are the handler's own: one in `own`.
fn rust(own: u32) -> String {
    let mut trace = String::from("thread 'main' panicked at src/main.rs:3:5:\nno room for 17\n");
    trace.push_str("stack backtrace:\n");
    for n in 0..FRAMES {
        let (path, file) = match n % own == own - 1 {
            true => ("app::jobs::step", "./src/jobs.rs"),
            false => (
                "<tokio::runtime::task::core::Core<T,S> as core::future::Future>::poll",
                "/builds/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/tokio-1.54.0/src/a.rs",
            ),
        };
        let line = format!("{n:>4}: {path}_{n}::h0123456789abcdef\n             at {file}:{n}:5\n");
        trace.push_str(&line);
    }
    trace
}

fn python() -> String {
    let mut trace = String::from("Traceback (most recent call last):\n");
    for n in 0..FRAMES {
        // Writing to a string does not fail.
        write!(
            trace,
            "  File \"/srv/app/jobs/step{n}.py\", line {n}, in step_{n}\n    step()\n"
        )
        .ok();
    }
    trace + "ValueError: invalid literal for int() with base 10: '17'\n"
}

fn java() -> String {
    let mut trace = String::from("java.lang.RuntimeException: job 17 failed\n");
    for n in 0..FRAMES {
        let module = if n % 2 == 0 {
            "com.acme"
        } else {
            "java.base/java.util"
        };
        writeln!(trace, "\tat {module}.Job{n}.run(Job{n}.java:{n})").ok();
    }
    trace
}

fn main() {
    let cases = [
        ("Rust, half its own", rust(2)),
        ("Rust, none its own", rust(FRAMES + 1)),
        ("Python", python()),
        ("Java", java()),
        (
            "a log without a trace, 64 KiB",
            "2026-03-04 05:06:07 step 17 of 20: ok\n".repeat(1_700),
        ),
        (
            "one line of 64 KiB",
            "all 17 work and no 'play' ".repeat(2_500),
        ),
        ("nothing", String::new()),
    ];
    let stage = StageName::new("build").expect("a stage");
    let kind = Kind::new("package").expect("a kind");
    for (what, log_tail) in cases {
        let last = log_tail
            .lines()
            .last()
            .unwrap_or("exit status 1")
            .to_owned();
        let failure = Failure {
            exit: Some(Exit::Status(1)),
            log_tail,
            ..Failure::new("ExitStatus", last)
        };
        let find = || Signature::of(&stage, &kind, OutcomeKind::Failed, black_box(&failure));
        // The quickest batch: what else the machine does only ever adds.
        let batch = |_| {
            let began = Instant::now();
            for _ in 0..ROUNDS {
                black_box(find());
            }
            began.elapsed() / ROUNDS
        };
        let each = (0..BATCHES).map(batch).min().unwrap_or_default();
        let bytes = failure.log_tail.len() + failure.message.len();
        println!("{what}: {bytes} bytes in {each:?}, {:?}", find().culprit());
    }
}
