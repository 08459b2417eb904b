use super::*;

/// What was read, one error a line: `class|message|function file, ...`.
fn told(text: &str, origin: Origin) -> Vec<String> {
    let frame = |frame: &Frame<'_>| format!("{} {}", frame.function, frame.file);
    let cause = |cause: &Cause<'_>| {
        let frames: Vec<String> = cause.frames.iter().map(frame).collect();
        format!("{}|{}|{}", cause.class, cause.message, frames.join(", "))
    };
    read(text, origin).iter().map(cause).collect()
}

fn check(text: &str, expected: &[&str]) {
    assert_eq!(told(text, Origin::Log), expected, "{text}");
}

#[test]
fn a_log_without_a_trace_has_none() {
    check("", &[]);
    check(
        "one\ntwo: three\n  at noon\n  3: a thing\n#12 0.3 a thing\n",
        &[],
    );
}

#[test]
fn a_trace_that_the_program_outlived_is_forgotten() {
    let trace = "Traceback (most recent call last):\n  File \"/a.py\", line 1, in f\nKeyError: 1\n";
    let went_on = |lines: usize| format!("{trace}{}", "it goes on\n".repeat(lines));
    assert_eq!(told(&went_on(LINES_AFTER_MAX), Origin::Log).len(), 1);
    check(&went_on(LINES_AFTER_MAX + 1), &[]);
    // Whoever hands over a trace means it.
    assert_eq!(told(&went_on(100), Origin::Trace).len(), 1);
}

#[test]
fn a_trace_that_was_cut_anywhere_is_read_as_far_as_it_goes() {
    for text in [RUST, PYTHON, JAVA, DOTNET, GO, NODE] {
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            read(&text[..end], Origin::Trace);
            read(&text[end..], Origin::Log);
        }
    }
}

const RUST: &str = "\
some log line
thread 'main' panicked at src/main.rs:3:5:
index out of bounds: the len is 3
stack backtrace:
   0: rust_begin_unwind
             at /rustc/abc/library/std/src/panicking.rs:665:5
   1: app::work::h0123456789abcdef
             at ./src/main.rs:3:5
   2:     0x55d2a1 - app::main
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.
";

#[test]
fn a_panic_of_rust_has_its_message_on_the_next_line() {
    check(
        RUST,
        &["Panic|index out of bounds: the len is 3|\
           rust_begin_unwind /rustc/abc/library/std/src/panicking.rs, \
           app::work::h0123456789abcdef ./src/main.rs, app::main "],
    );
    check(
        "thread 'w-1' panicked at src/main.rs:3:5:\nboom\nmore of it\nnote: run with \
         `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
        &["Panic|boom|panicked src/main.rs"],
    );
    check(
        "thread 'main' panicked at 'it's gone', src/lib.rs:3:5\n",
        &["Panic|it's gone|panicked src/lib.rs"],
    );
}

#[test]
fn the_causes_of_a_rust_error_are_one_message() {
    check(
        "Error: reading it\n\nCaused by:\n    0: opening x\n    1: no such file\n",
        &["Error|reading it: opening x: no such file|"],
    );
    check(
        "Error: reading it\n\nCaused by:\n    no such file\n\nStack backtrace:\n   0: app::main\n",
        &["Error|reading it: no such file|app::main "],
    );
    check(
        "thread 'main' panicked at a.rs:1:1:\nunwrap: reading it\n\nCaused by:\n    no space\n",
        &["Panic|unwrap: reading it: no space|panicked a.rs"],
    );
}

#[test]
fn the_bare_frames_of_a_rust_trace_are_read_when_they_were_handed_over() {
    let frames = "   0: std::backtrace::Backtrace\n   1: app::work\n             at src/a.rs:1:2\n";
    assert_eq!(
        told(frames, Origin::Trace),
        ["||std::backtrace::Backtrace , app::work src/a.rs"]
    );
    check(frames, &[]);
}

const PYTHON: &str = "\
Traceback (most recent call last):
  File \"/srv/a.py\", line 3, in load
    return table[key]
           ~~~~~^^^^^
KeyError: 'x'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File \"/srv/app.py\", line 30, in <module>
    main()
  File \"/srv/app.py\", line 20, in main
    raise RuntimeError('no') from error
RuntimeError: no
";

#[test]
fn a_python_trace_is_turned_so_that_the_root_and_the_innermost_are_last_and_first() {
    check(
        PYTHON,
        &[
            "RuntimeError|no|main /srv/app.py, <module> /srv/app.py",
            "KeyError|'x'|load /srv/a.py",
        ],
    );
}

#[test]
fn an_error_while_another_was_handled_is_a_new_one_unless_it_only_wraps() {
    let during = |class: &str| {
        PYTHON
            .replace(
                "The above exception was the direct cause of the following",
                "During handling of the above exception, another",
            )
            .replace("RuntimeError: no", class)
    };
    assert_eq!(told(&during("Exception: no"), Origin::Log).len(), 2);
    check(
        &during("TypeError: no"),
        &["TypeError|no|main /srv/app.py, <module> /srv/app.py"],
    );
}

const JAVA: &str = "\
12:00:01 INFO  starting
Exception in thread \"main\" java.lang.RuntimeException: job failed
\tat com.acme.Main.main(Main.java:10)
\tSuppressed: java.io.IOException: closing
\t\tat com.acme.Main.close(Main.java:99)
Caused by: java.io.UncheckedIOException: wrapped
of two lines
\tat com.acme.Job.run(Job.java:20) ~[app.jar:1.2]
\t... 1 more
Caused by: java.io.IOException: disk full
\tat java.base/java.io.FileOutputStream.write(Native Method)
\tat com.acme.Job.write(Job.java:30)
\t... 2 more
";

#[test]
fn a_java_trace_names_the_root_cause_last() {
    check(
        JAVA,
        &[
            "java.lang.RuntimeException|job failed|com.acme.Main.main Main.java",
            "java.io.UncheckedIOException|wrapped|com.acme.Job.run Job.java",
            "java.io.IOException|disk full|java.base/java.io.FileOutputStream.write , \
             com.acme.Job.write Job.java",
        ],
    );
}

const DOTNET: &str = "\
Unhandled exception. System.AggregateException: One or more errors occurred.
 ---> System.IO.IOException: disk full
   at Acme.Job.Write(String path) in /src/Job.cs:line 12
   --- End of inner exception stack trace ---
   at Acme.Main.Run() in /src/Main.cs:line 3
";

const NODE: &str = "\
/srv/app.js:3
    throw new Error('x')
    ^

TypeError [ERR_INVALID_URL]: Invalid URL
    at parse (/srv/app.js:3:11)
    at async Object.<anonymous> (/srv/app.js:9:1)
    at /srv/app.js:12:3
    at node:internal/main/run_main_module:28:49 {
  code: 'ERR_INVALID_URL'
}

Node.js v20.1.0
";

const GO: &str = "\
panic: runtime error: index out of range [5] with length 3

goroutine 1 [running]:
main.work(0xc000012345, {0x0, 0x1})
\t/srv/main.go:12 +0x1d
main.main()
\t/srv/main.go:7 +0x11

goroutine 7 [select]:
main.idle()
\t/srv/main.go:90 +0x1
exit status 2
";

#[test]
fn other_languages_are_read_too() {
    check(
        DOTNET,
        &[
            "System.AggregateException|One or more errors occurred.|",
            "System.IO.IOException|disk full|Acme.Job.Write /src/Job.cs",
        ],
    );
    check(
        NODE,
        &[
            "TypeError|Invalid URL|parse /srv/app.js, Object.<anonymous> /srv/app.js,  /srv/app.js, \
            \x20node:internal/main/run_main_module",
        ],
    );
    check(
        GO,
        &["panic|runtime error: index out of range [5] with length 3|\
           main.work /srv/main.go, main.main /srv/main.go"],
    );
    check(
        "/srv/app.rb:3:in 'work': no such file (Errno::ENOENT)\n\tfrom /srv/app.rb:9:in '<main>'\n",
        &["Errno::ENOENT|no such file|work /srv/app.rb, <main> /srv/app.rb"],
    );
    check(
        "PHP Fatal error:  Uncaught Exception: no in /srv/a.php:3\nStack trace:\n\
         #0 /srv/a.php(7): work()\n#1 {main}\n  thrown in /srv/a.php on line 3\n",
        &["Exception|no in /srv/a.php:3|work /srv/a.php"],
    );
    check(
        "==7==ERROR: AddressSanitizer: heap-use-after-free\n    #0 0x4f1 in work /srv/a.c:12:3\n    \
         #1 0x4f2 in main /srv/a.c:20\n",
        &["|==7==ERROR: AddressSanitizer: heap-use-after-free|work /srv/a.c, main /srv/a.c"],
    );
}

#[test]
fn the_last_trace_counts() {
    check(
        &[JAVA, PYTHON, RUST, GO, NODE].concat(),
        &[
            "TypeError|Invalid URL|parse /srv/app.js, Object.<anonymous> /srv/app.js,  /srv/app.js, \
            \x20node:internal/main/run_main_module",
        ],
    );
    assert_eq!(told(&[NODE, JAVA].concat(), Origin::Log).len(), 3);
    assert_eq!(told(&[JAVA, PYTHON].concat(), Origin::Log).len(), 2);
    assert_eq!(told(&[PYTHON, DOTNET].concat(), Origin::Log).len(), 2);
}
