use super::*;
use proptest::prelude::*;

mod last_error;
mod settled;

/// How a handler's command ended, with what it had printed.
fn command(exit: Exit, log_tail: &str) -> Failure {
    let last = log_tail.lines().rev().map(str::trim);
    let last = last.clone().find(|line| !line.is_empty()).unwrap_or("");
    let (error_type, message) = match exit {
        Exit::Status(_) if last.is_empty() => ("ExitStatus", exit.to_string()),
        Exit::Status(_) => ("ExitStatus", last.to_owned()),
        Exit::Signal(_) => ("Signal", format!("{exit}, peak memory 3.1 MiB: {last}")),
    };
    Failure {
        exit: Some(exit),
        log_tail: log_tail.to_owned(),
        ..Failure::new(error_type, message)
    }
}

fn status(log_tail: &str) -> Failure {
    command(Exit::Status(1), log_tail)
}

fn traced(error_type: &str, message: &str, trace: &str) -> Failure {
    Failure {
        trace: trace.to_owned(),
        ..Failure::new(error_type, message)
    }
}

fn signature(failure: &Failure) -> Signature {
    signature_at("build", "package", failure)
}

fn signature_at(stage: &str, kind: &str, failure: &Failure) -> Signature {
    let stage = StageName::new(stage).unwrap();
    let kind = Kind::new(kind).unwrap();
    let outcome = match failure.error_type.as_str() {
        "DeadlineExceeded" | "PendingOverdue" => OutcomeKind::TimedOut,
        "MemoryLimit" | "ProcessDied" | "Signal" | "Panic" => OutcomeKind::Crashed,
        _ => OutcomeKind::Failed,
    };
    Signature::of(&stage, &kind, outcome, failure)
}

/// What a person sees of it.
fn shown(signature: &Signature) -> [String; 3] {
    let exit = exit_word(signature.exit);
    let class = format!("{} {exit}", signature.class).trim().to_owned();
    [class, signature.value.clone(), signature.frames.join(", ")]
}

/// A Rust program's panic with a backtrace, as it is built and deployed now and then.
fn rust_panic(line: u32, hash: &str, home: &str, len: u32) -> String {
    format!(
        "INFO job {len} begins\n\
         thread 'main' ({line}) panicked at {home}/src/work.rs:{line}:9:\n\
         index out of bounds: the len is {len} but the index is {line}\n\
         stack backtrace:\n\
         \x20  0: __rustc::rust_begin_unwind\n\
         \x20            at /rustc/{hash}/library/std/src/panicking.rs:689:5\n\
         \x20  1: core::panicking::panic_bounds_check\n\
         \x20            at /rustc/{hash}/library/core/src/panicking.rs:80:14\n\
         \x20  2: app::work::step::h{hash}\n\
         \x20            at {home}/src/work.rs:{line}:9\n\
         \x20  3: app::work::run::{{{{closure}}}}::h{hash}\n\
         \x20            at {home}/src/work.rs:7{line}:5\n\
         \x20  4: tokio::runtime::task::core::Core<T,S>::poll::h{hash}\n\
         \x20            at /builds/.cargo/registry/src/index-{hash}/tokio-1.54.0/src/core.rs:{line}:1\n\
         note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.\n"
    )
}

fn python(path: &str, line: u32, key: &str) -> String {
    format!(
        "2026-03-0{line} 05:06:07 job begins\n\
         Traceback (most recent call last):\n\
         \x20 File \"{path}/app.py\", line {line}, in <module>\n\
         \x20   main()\n\
         \x20 File \"{path}/jobs/load.py\", line 1{line}, in load\n\
         \x20   return json.loads(table['{key}'])\n\
         \x20 File \"/usr/lib/python3.1{line}/json/__init__.py\", line 3{line}, in loads\n\
         \x20   return decoder.decode(s)\n\
         json.decoder.JSONDecodeError: Expecting value: line {line} column 1 (char {line})\n"
    )
}

fn java(line: u32, id: &str) -> String {
    format!(
        "Exception in thread \"pool-{line}-thread-1\" java.lang.RuntimeException: job {id}\n\
         \tat com.acme.Main.lambda$main${line}(Main.java:{line})\n\
         \tat java.base/java.util.concurrent.ThreadPoolExecutor.run(ThreadPoolExecutor.java:{line})\n\
         Caused by: com.acme.StoreException: row {id} of /data/{id}/x is gone\n\
         \tat com.acme.Store.read(Store.java:1{line})\n\
         \tat com.acme.Job$$Lambda${line}/0x00000008010{line}.call(Unknown Source)\n\
         \t... {line} more\n"
    )
}

/// Of each command two logs, with the same end but for what varies.
fn logs() -> Vec<(Failure, Failure)> {
    let hashes = ["0123456789abcdef", "fedcba9876543210"];
    vec![
        (
            command(Exit::Status(101), &rust_panic(3, hashes[0], "/build/a", 4)),
            command(Exit::Status(101), &rust_panic(8, hashes[1], "/src", 99)),
        ),
        (
            status(&python("/srv/app-1.2", 3, "a")),
            status(&python("/opt/venv/x", 4, "it")),
        ),
        (status(&java(3, "17")), status(&java(8, "9123"))),
        (
            status("./build.sh: line 12: /tmp/tmp.x9k2/run: No such file or directory\n"),
            status("/srv/build.sh: line 7: /tmp/tmp.q1/run: No such file or directory\n"),
        ),
        (
            status("ERROR 1062 (23000): Duplicate entry '17-a' for key 'PRIMARY'"),
            status("ERROR 1062 (23000): Duplicate entry '9' for key 'PRIMARY'"),
        ),
        (command(Exit::Status(3), ""), command(Exit::Status(3), "\n")),
        (
            command(Exit::Signal(9), "copied 10.3 MiB of 3 GB in 5s\n"),
            command(Exit::Signal(9), "copied 512 KiB of 20 MB in 1m3s\n"),
        ),
    ]
}

/// The class of each error with two of its messages.
const MESSAGES: [(&str, [&str; 2]); 3] = [
    (
        "Lost",
        [
            "ticket 0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f at 0x7f3a, 2026-03-04T05:06:07Z",
            "ticket 0192F0C1-7A1B-7C3D-8E4F-5A6B7C8D9E00 at 0x9, 2027-01-04 05:06:07",
        ],
    ),
    (
        "SqlError",
        [
            "in SELECT a FROM t WHERE id IN (1, 2) AND n = 'x': locked",
            "in SELECT a FROM t WHERE id IN (3) AND n = 'it''s': locked",
        ],
    ),
    (
        "io::Error",
        [
            "connect 10.0.0.7:5432: timed out after 30s, ann@acme.io",
            "connect 10.0.1.8:5433: timed out after 5 s, bo@acme.io",
        ],
    ),
];

#[test]
fn failures_that_differ_only_in_what_varies_are_the_same_problem() {
    let mut pairs = logs();
    for (class, messages) in MESSAGES {
        let [one, other] = messages.map(|message| Failure::new(class, message));
        pairs.push((one, other));
    }
    let panic = |line: u32| {
        let frames = format!("   0: app::work\n             at src/a.rs:{line}:5\n");
        traced(
            "Panic",
            &format!("boom {line} (at src/a.rs:{line}:5)"),
            &frames,
        )
    };
    pairs.push((panic(3), panic(400)));
    for (one, other) in pairs {
        assert_eq!(signature(&one), signature(&other));
    }
}

#[test]
fn failures_that_differ_in_what_matters_are_different_problems() {
    let base = status("ValueError: no such id: 7\n");
    let others = [
        signature_at("test", "package", &base),
        signature_at("build", "report", &base),
        signature(&status("KeyError: no such id: 7\n")),
        signature(&status("ValueError: no such key: 7\n")),
        signature(&command(Exit::Status(3), "ValueError: no such id: 7\n")),
        signature(&command(Exit::Signal(9), "ValueError: no such id: 7\n")),
        signature(&command(Exit::Signal(11), "ValueError: no such id: 7\n")),
        signature(&Failure::new("ValueError", "no such id: 7")),
        signature(&traced(
            "ValueError",
            "no such id: 7",
            "Traceback (most recent call last):\n  File \"/a.py\", line 3, in f\nValueError: no such \
             id: 7\n",
        )),
        signature(&traced(
            "ValueError",
            "no such id: 7",
            "Traceback (most recent call last):\n  File \"/a.py\", line 3, in g\nValueError: no such \
             id: 7\n",
        )),
        signature(&status("HTTP status 502\n")),
        signature(&status("HTTP status 404\n")),
    ];
    let mut ids = vec![signature(&base).id];
    ids.extend(others.iter().map(|signature| signature.id));
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "{others:#?}");
}

#[test]
fn parts_do_not_run_into_each_other() {
    let one = Failure::new("A", "b\nc");
    let other = Failure::new("A\nb", "c");
    assert_ne!(signature(&one).id, signature(&other).id);
    assert_ne!(
        signature_at("a", "b c", &one).id,
        signature_at("a", "b", &Failure::new("c\nA", "b\nc")).id
    );
}

#[test]
fn a_wrapper_gives_way_to_what_is_inside() {
    let full = ("java.io.IOException", "disk N is full");
    let trace = "java.lang.RuntimeException: no\n\tat a.B.c(B.java:3)\n\
                 Caused by: java.io.IOException: disk 7 is full\n\tat a.D.e(D.java:3)\n";
    for (failure, (class, value)) in [
        (
            Failure::new(
                "RuntimeError",
                "caused by java.io.IOException: disk 7 is full",
            ),
            full,
        ),
        (
            Failure::new("Box<dyn Error>", "java.io.IOException: disk 8 is full"),
            full,
        ),
        (
            Failure::new(
                "anyhow::Error",
                "RuntimeError: Caused by: java.io.IOException: disk 9 is full",
            ),
            full,
        ),
        (traced("ExecutionException", "no", trace), full),
        (status(trace), full),
        (status("KeyboardInterrupt\n"), ("KeyboardInterrupt", "")),
        // What wraps nothing is all there is.
        (Failure::new("RuntimeError", "no"), ("RuntimeError", "no")),
        (status("RuntimeError: no\n"), ("RuntimeError", "no")),
        (status("no\n"), ("ExitStatus", "no")),
        // What says something itself stays, and its cause comes after it.
        (
            traced("BuildFailed", "no", trace),
            ("BuildFailed from java.io.IOException", "disk N is full"),
        ),
        (
            Failure::new("BuildFailed", "IOError: no"),
            ("BuildFailed", "IOError: no"),
        ),
    ] {
        let signature = signature(&failure);
        assert_eq!(
            (signature.class.as_str(), signature.value.as_str()),
            (class, value)
        );
    }
}

#[test]
fn the_handlers_own_frames_come_before_those_of_its_runtime() {
    assert_eq!(
        shown(&signature(&command(
            Exit::Signal(6),
            &rust_panic(3, "0123456789abcdef", ".", 4)
        ))),
        [
            "Panic signal 6",
            "index out of bounds: the len is N but the index is N",
            "app::work::step (work.rs), app::work::run (work.rs)",
        ]
    );
    assert_eq!(
        shown(&signature(&status(&python("/srv", 3, "a")))),
        [
            "json.decoder.JSONDecodeError status 1",
            "Expecting value: line N column N (char N)",
            "load (load.py), <module> (app.py)",
        ]
    );
    assert_eq!(
        shown(&signature(&status(&java(3, "a-17")))),
        [
            "com.acme.StoreException status 1",
            "row a-N of <path> is gone",
            "com.acme.Store.read (Store.java), com.acme.Job",
        ]
    );
    let hooked = "   0: actors::panics::remember\n   1: core::ops::function::Fn::call\n   2: \
                  std::panicking::panic_with_hook\n   3: __rustc::rust_begin_unwind\n   4: \
                  core::panicking::panic_fmt\n   5: app::work\n   6: std::panicking::catch_unwind\n";
    let hooked = signature(&traced("Panic", "no", hooked));
    assert_eq!(hooked.frames, ["app::work"]);
    let all_foreign = "   0: std::thread::park\n   1: core::ops::call\n";
    let foreign = signature(&traced("Panic", "no", all_foreign));
    assert_eq!(foreign.frames, ["std::thread::park", "core::ops::call"]);
    assert_eq!(foreign.culprit(), Some("std::thread::park"));
}

#[test]
fn a_recursion_counts_once() {
    let trace = |depth: usize| {
        let frames = "  File \"/a.py\", line 3, in deeper\n    deeper()\n".repeat(depth);
        format!(
            "Traceback (most recent call last):\n  File \"/a.py\", line 9, in main\n{frames}\
             RecursionError: maximum recursion depth exceeded\n"
        )
    };
    let of = |depth| signature(&status(&trace(depth)));
    assert_eq!(of(3), of(90));
    assert_eq!(of(3).frames, ["deeper (a.py)", "main (a.py)"]);
}

#[test]
fn what_a_stopped_handler_was_just_doing_is_not_the_problem() {
    let deadline = |exit, last: &str| Failure {
        exit: Some(exit),
        log_tail: python("/srv", 3, "a"),
        ..Failure::new(
            "DeadlineExceeded",
            format!("the deadline passed and the command was stopped: {last}"),
        )
    };
    let one = signature(&deadline(Exit::Signal(15), "compiling a"));
    assert_eq!(one, signature(&deadline(Exit::Signal(9), "linking b")));
    assert_eq!(
        shown(&one),
        [
            "DeadlineExceeded",
            "the deadline passed and the command was stopped",
            ""
        ]
    );
    let memory = |exit: Exit, last: &str| Failure {
        exit: Some(exit),
        log_tail: rust_panic(3, "0123456789abcdef", ".", 4),
        ..Failure::new(
            "MemoryLimit",
            format!("{exit} at its memory limit of 64.0 MiB, peak memory 63.2 MiB: {last}"),
        )
    };
    let one = signature(&memory(
        Exit::Signal(6),
        "memory allocation of 7 bytes failed",
    ));
    assert_eq!(one, signature(&memory(Exit::Status(1), "MemoryError")));
    assert_eq!(
        shown(&one),
        ["MemoryLimit", "at its memory limit of <size>", ""]
    );
    // By any other name it is the handler's own word.
    let own = traced("MemoryLimitOfMine", "x", "");
    assert_eq!(signature(&own).class, "MemoryLimitOfMine");
}

#[test]
fn a_process_that_died_is_known_by_what_it_died_of() {
    let died = |attempt: u32, holder: &str, how: &str| {
        let ticket = uuid::Uuid::from_u128(attempt.into());
        format!(
            "the process died while ticket {ticket} was at stage build (attempt {attempt}, held by \
             {holder}){how}"
        )
    };
    let mute = |attempt, holder| Failure::new("ProcessDied", died(attempt, holder, ""));
    assert_eq!(
        signature(&mute(1, "web-7d4b/1")),
        signature(&mute(7, "host-b/42-3"))
    );
    let told = |attempt, holder, signal, log: &str| {
        let exit = Exit::Signal(signal);
        Failure {
            exit: Some(exit),
            trace: format!("the process died of {exit}\nit had run for {attempt}s"),
            log_tail: log.into(),
            ..Failure::new("ProcessDied", died(attempt, holder, &format!(": {exit}")))
        }
    };
    let killed = signature(&told(1, "w/1", 9, "bye\n"));
    assert_eq!(killed, signature(&told(2, "v/9", 9, "something else\n")));
    assert_ne!(killed.id, signature(&told(2, "v/9", 11, "bye\n")).id);
    assert_eq!(
        shown(&killed)[..2],
        [
            "ProcessDied signal 9",
            "the process died while ticket <uuid> was at stage build: signal 9 (SIGKILL)",
        ]
    );
    let panicked = rust_panic(3, "0123456789abcdef", ".", 4);
    let aborted = signature(&told(1, "w/1", 6, &panicked));
    assert_eq!(aborted.culprit(), Some("app::work::step (work.rs)"));
}

#[test]
fn a_failure_that_says_nothing_has_a_signature_too() {
    let none = signature(&Failure::default());
    assert_eq!(shown(&none), ["", "", ""]);
    assert_eq!(none.culprit(), None);
}

#[test]
fn a_failure_of_any_size_is_looked_at_in_bounds() {
    let failure = Failure {
        error_type: "É".repeat(10_000),
        message: "é 7 ".repeat(100_000),
        trace: "é\n   0: app::é\n".repeat(100_000),
        ..Failure::default()
    };
    let signature = signature(&failure);
    assert!(signature.class.len() <= CLASS_BYTES_MAX);
    assert!(signature.value.len() <= shape::BYTES_MAX);
    assert_eq!(signature.frames, ["app::é"]);
}

/// An id that changes makes one problem two in every store. With a new algorithm, raise
/// [`SignatureId::VERSION`] and write the new ids here.
#[test]
fn the_ids_of_this_version_are_pinned() {
    let cases = [
        (Failure::default(), "v1-7cab81b25240ad91"),
        (
            Failure::new("ValueError", "no such id: 7"),
            "v1-6024e4d2193ac815",
        ),
        (command(Exit::Status(3), ""), "v1-1059aa45f16bd0d7"),
        (
            command(Exit::Signal(9), "copied 512 KiB\n"),
            "v1-a139dddb8ff0984c",
        ),
        (
            status(&rust_panic(3, "0123456789abcdef", ".", 4)),
            "v1-9012b6109d8c70d0",
        ),
        (status(&python("/srv", 3, "a")), "v1-7440eacbf300975b"),
        (status(&java(3, "a-17")), "v1-97fa6d45d508589d"),
        (
            Failure::new("SqlError", "SELECT 1 FROM t WHERE n = 'x'"),
            "v1-c3a4c15c81289a5b",
        ),
    ];
    let ids = cases
        .each_ref()
        .map(|(failure, _)| signature(failure).id.to_string());
    assert_eq!(ids, cases.map(|(_, id)| id.to_owned()));
}

fn any_failure() -> impl Strategy<Value = Failure> {
    let line = prop_oneof![
        Just("Traceback (most recent call last):".to_owned()),
        Just("The above exception was the direct cause of".to_owned()),
        Just("Caused by:".to_owned()),
        Just("stack backtrace:".to_owned()),
        Just("goroutine 1 [running]:".to_owned()),
        "(panic|fatal error|Caused by|Suppressed|[A-Z][a-z]{0,4}Error): .{0,9}",
        "thread '.{0,3}' panicked at ('.{0,3}', )?.{0,9}:?",
        " {1,4}at .{0,9}(\\(.{0,9}\\))?",
        " {1,4}[0-9]{1,2}: (0x[0-9a-f]{1,3} - )?[<{a-z:}>]{0,12}",
        "  File \".{0,9}\", line 3, in .{0,9}",
        "#[0-9] (0x[0-9a-f]{1,3} in )?.{0,12}",
        ".{0,20}",
    ];
    let text = || proptest::collection::vec(line.clone(), 0..20).prop_map(|lines| lines.join("\n"));
    let exit = prop_oneof![
        Just(None),
        any::<i32>().prop_map(|status| Some(Exit::Status(status))),
        any::<i32>().prop_map(|signal| Some(Exit::Signal(signal))),
    ];
    let class = prop_oneof![
        Just("ExitStatus".to_owned()),
        Just("ProcessDied".to_owned()),
        ".{0,9}"
    ];
    (class, ".{0,40}", text(), exit, text()).prop_map(
        |(error_type, message, trace, exit, log_tail)| Failure {
            error_type,
            message,
            trace,
            exit,
            log_tail,
        },
    )
}

proptest! {
    #[test]
    fn every_failure_has_one_signature_of_bounded_length(failure in any_failure()) {
        let one = signature(&failure);
        prop_assert_eq!(&one, &signature(&failure.clone()));
        prop_assert!(one.class.len() <= CLASS_BYTES_MAX);
        prop_assert!(one.frames.len() <= FRAMES_MAX);
        let parts = one.frames.iter().chain([&one.class, &one.value]);
        prop_assert!(parts.flat_map(|part| part.chars()).all(|c| !c.is_control()), "{:?}", one);
    }
}
