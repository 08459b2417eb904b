//! Bad input: each a clear error that names place, expectation and value; nothing accepted is lost.

use acceptance::{Site, show, text};
use std::fmt::Write as _;
use std::process::Output;

const CONFIG: &str = "[flow.ci]\nstages = [\"build\"]\n[stage.build]\nrun = [\"/bin/true\"]\n";

fn assert_refused(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(output.status.code(), Some(code), "{}", show(output));
    let said = text(&output.stderr);
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in\n{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_bad_line_does_not_stop_the_others() {
    let site = Site::new(CONFIG);
    let up = site.up();
    let mut lines = String::new();
    for n in 1..=20 {
        match n {
            7 => lines.push_str("{\"flow\":\"ci\",\n"),
            _ => writeln!(lines, r#"{{"flow":"ci","payload":"{n}"}}"#).unwrap(),
        }
    }
    site.write("tickets.jsonl", &lines);
    let output = site.cli(&["submit", "--jsonl", "tickets.jsonl"]);
    assert_refused(&output, 1, &["tickets.jsonl:7:"]);
    assert_eq!(
        text(&output.stdout).lines().count(),
        19,
        "{}",
        show(&output)
    );
    let books = site.books_until("all but line 7", |books| books["done"] == 19);
    assert_eq!(books["balanced"], true);
    assert!(up.stop().success());
}

#[test]
fn a_configuration_that_cannot_work_is_refused_with_every_reason_and_its_place() {
    let cases: &[(&str, &[&str])] = &[
        (
            "[stage.build]\nrun = [\"true\"]\nconcurency = 2\n",
            &["concurency", "concurrency", "3"],
        ),
        (
            "[stage.build]\nrun = [\"true\"]\nconcurrency = 0\n",
            &["stage.build.concurrency", "1..=4096", "0"],
        ),
        (
            "[stage.build]\nrun = [\"true\"]\nconcurrency = \"two\"\n",
            &["stage.build.concurrency", "two"],
        ),
        (
            "[flow.ci]\nstages = [\"build\", \"test\"]\n[stage.build]\nrun = [\"true\"]\n",
            &["flow.ci.stages", "test"],
        ),
        (
            "[flow.ci]\nstages = [\"build\", \"build\"]\n[stage.build]\nrun = [\"true\"]\n",
            &["flow.ci.stages", "twice", "cycle"],
        ),
        (
            "[stage.build]\nrun = [\"true\"]\n[stage.build]\nrun = [\"true\"]\n",
            &["build", "3"],
        ),
        (
            "[stage.build]\nrun = [\"true\"]\ndeadline = \"soon\"\n",
            &["stage.build.deadline", "soon"],
        ),
        ("[stage.build]\n", &["stage.build", "run"]),
        (
            "[http]\nlisten = \"0.0.0.0:7878\"\n[stage.build]\nrun = [\"true\"]\n",
            &["http.listen", "token"],
        ),
        (
            "[broker]\nurl = \"http://localhost\"\n[stage.build]\nrun = [\"true\"]\n",
            &["broker.url", "amqps://", "http://localhost"],
        ),
        (
            "[store]\nurl = \"postgres://localhost\"\n[stage.build]\nrun = [\"true\"]\n",
            &["broker.url", "set both or neither"],
        ),
        ("this is not toml\n", &["goaround.toml"]),
    ];
    for (config, words) in cases {
        let site = Site::new(config);
        for arguments in [&["config", "check"][..], &["up", "--data", "data"][..]] {
            let output = site.cli(arguments);
            assert_refused(&output, 2, words);
        }
    }
}

#[test]
fn a_payload_over_the_limit_is_refused_and_says_so() {
    let site = Site::new(&format!("[limits]\npayload_bytes_max = \"1KiB\"\n{CONFIG}"));
    let up = site.up();
    site.write("large", &"x".repeat(2_000));
    let output = site.cli(&["submit", "--flow", "ci", "--file", "large"]);
    assert_refused(&output, 4, &["1024", "2000"]);
    assert_eq!(site.books()["accepted"], 0);
    assert!(up.stop().success());
}

#[test]
fn a_second_process_on_the_same_folder_is_refused() {
    let site = Site::new(CONFIG);
    let up = site.up();
    let mut second = site.up_command();
    let arguments = ["--listen", "127.0.0.1:0"];
    let output = second.args(arguments).output();
    // The flag is given twice here; whichever wins, it must not run.
    let output = output.expect("the binary starts");
    assert!(!output.status.success(), "{}", show(&output));
    let mut second = std::process::Command::new(acceptance::program());
    second
        .current_dir(site.path())
        .args(["up", "--data", "data", "--listen", "127.0.0.1:0"]);
    let output = second.output().expect("the binary starts");
    assert_refused(&output, 1, &["data", "only user", "--data"]);
    assert!(up.stop().success());
}

#[test]
fn a_port_in_use_is_refused() {
    let site = Site::new(CONFIG);
    let up = site.up();
    let mut second = std::process::Command::new(acceptance::program());
    second
        .current_dir(site.path())
        .args(["up", "--data", "data2", "--listen", &site.listen()]);
    let output = second.output().expect("the binary starts");
    assert_refused(&output, 1, &[&site.listen(), "--listen"]);
    assert!(up.stop().success());
}

#[test]
fn a_damaged_or_foreign_file_is_refused_and_left_alone() {
    let site = Site::new(CONFIG);
    std::fs::create_dir(site.path().join("data")).unwrap();
    site.write(
        "data/books.db",
        "this is no database, and somebody may want it back\n",
    );
    let output = site.up_command().output().expect("the binary starts");
    assert_refused(&output, 1, &["books.db"]);
    let kept = std::fs::read_to_string(site.path().join("data/books.db")).unwrap();
    assert!(kept.starts_with("this is no database"));
}

#[test]
fn exit_codes_are_those_of_the_documentation() {
    let site = Site::new(CONFIG);
    let output = site.cli(&["ticket", "list"]);
    assert_refused(&output, 5, &["goaround up"]);
    let up = site.up();
    let missing = "01900000-0000-7000-8000-000000000000";
    let cases: &[(&[&str], i32)] = &[
        (&["ticket", "show", missing], 3),
        (&["ticket", "show", "not-an-id"], 2),
        (&["ticket", "drop", missing], 2),
        (&["ticket", "list", "--filter", "stgae:build"], 2),
        (&["submit"], 2),
        (&["frobnicate"], 2),
        (&["oops", "show", "OOPS-0000000000"], 3),
        (&["ticket", "list"], 0),
        (&["books"], 0),
        (&["books", "--since", "-1h"], 0),
        (&["books", "--since", "1h"], 2),
        (&["doctor"], 0),
        (&["doctor", "--deep"], 0),
    ];
    for (arguments, code) in cases {
        let output = site.cli(arguments);
        assert_eq!(
            output.status.code(),
            Some(*code),
            "{arguments:?}: {}",
            show(&output)
        );
    }
    let id = site.ok(&["submit", "--flow", "ci", "--wait", "--timeout", "60s"]);
    let id = id.lines().next().unwrap_or_default().to_owned();
    let output = site.cli(&["ticket", "retry", &id]);
    assert_refused(&output, 4, &["done"]);
    let output = site.cli(&[
        "submit",
        "--stage",
        "nobody",
        "--wait",
        "--timeout",
        "200ms",
    ]);
    assert_eq!(output.status.code(), Some(6), "{}", show(&output));
    assert!(up.stop().success());
}

#[test]
fn errors_in_json_mode_are_one_json_object() {
    let site = Site::new(CONFIG);
    let output = site.cli(&[
        "ticket",
        "show",
        "01900000-0000-7000-8000-000000000000",
        "-o",
        "json",
    ]);
    assert!(output.stdout.is_empty(), "{}", show(&output));
    let said: serde_json::Value = serde_json::from_slice(&output.stderr)
        .unwrap_or_else(|error| panic!("{error}: {}", show(&output)));
    assert!(said.is_object(), "{said}");
}

#[test]
fn a_ticket_submitted_twice_under_one_id_is_one_ticket() {
    let site = Site::new(CONFIG);
    let up = site.up();
    let id = "01900000-0000-7000-8000-0000000000aa";
    for _ in 0..2 {
        assert_eq!(site.ok(&["submit", "--flow", "ci", "--id", id]).trim(), id);
    }
    site.books_until("one is done", |books| {
        books["done"] == 1 && books["accepted"] == 1
    });
    assert!(up.stop().success());
}
