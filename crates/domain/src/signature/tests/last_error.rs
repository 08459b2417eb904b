//! What a program says that it dies of, whatever its language prints last.

use super::*;

fn check(log: &str, expected: Option<&str>) {
    assert_eq!(last_error(log).as_deref(), expected, "{log}");
}

#[test]
fn a_log_that_does_not_end_with_a_trace_has_no_last_error() {
    for log in ["", "\n\n", "one\ntwo\n", "cannot push\nnote: try again\n"] {
        check(log, None);
    }
    check(
        "Traceback (most recent call last):\n  File \"/a.py\", line 1, in f\nKeyError: 1\n\
         gave up after 3 tries\n",
        None,
    );
}

#[test]
fn a_panic_of_rust_is_not_its_note() {
    let note = "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
    let panic = "\nthread 'main' (42) panicked at src/main.rs:3:5:\nno recipe for gcc\n";
    check(
        &format!("begun\n{panic}{note}"),
        Some("Panic: no recipe for gcc"),
    );
    let compared = "thread 'main' panicked at src/main.rs:3:5:\nassertion `left == right` failed: sizes\n  \
         left: 1\n right: 2\n";
    check(
        &format!("{compared}{note}"),
        Some("Panic: assertion `left == right` failed: sizes"),
    );
    let frames = "stack backtrace:\n   0: app::main\n             at ./src/main.rs:3:5\n";
    check(
        &format!("{panic}{frames}"),
        Some("Panic: no recipe for gcc"),
    );
}

#[test]
fn an_error_is_told_with_what_caused_it() {
    check(
        "Traceback (most recent call last):\n  File \"/a.py\", line 1, in f\nOSError: disk full\n\n\
         The above exception was the direct cause of the following exception:\n\n\
         Traceback (most recent call last):\n  File \"/a.py\", line 3, in g\nBuildFailed: gcc\n",
        Some("BuildFailed: gcc, caused by OSError: disk full"),
    );
    check(
        "Exception in thread \"main\" app.BuildFailed: gcc\n\tat app.Main.main(Main.java:3)\n\
         Caused by: java.io.IOException: disk full\n\tat app.Main.main(Main.java:2)\n\t... 1 more\n",
        Some("app.BuildFailed: gcc, caused by java.io.IOException: disk full"),
    );
}

#[test]
fn frames_and_what_a_runtime_says_of_itself_are_no_errors() {
    check(
        "/srv/app.js:3\n    throw new TypeError('no recipe');\n    ^\n\nTypeError: no recipe\n    \
         at work (/srv/app.js:3:9)\n    at Object.<anonymous> (/srv/app.js:6:1)\n\nNode.js v20.1.0\n",
        Some("TypeError: no recipe"),
    );
    check(
        "panic: no recipe\n\ngoroutine 1 [running]:\nmain.main()\n\t/srv/main.go:4 +0x1d\n",
        Some("panic: no recipe"),
    );
}
