//! What needs no server: configuration, samples, completion.

use super::cases::alone;
use super::fake::Ran;
use serde_json::{Value as Json, json};
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::Stdio;

#[test]
fn a_configuration_that_does_not_fit_the_role_is_two() {
    let folder = tempfile::tempdir().unwrap();
    let site = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, format!("{text}[stage.work]\nrun = [\"true\"]\n")).unwrap();
        file.display().to_string()
    };
    let embedded = site("embedded.toml", "");
    let port = site("port.toml", "[broker]\nurl = \"amqp://u:geheim@h:x\"\n");
    let books = "[broker]\nurl = \"amqp://h\"\n[store]\nurl = \"postgres://u:geheim@h:x/db\"\n";
    let books = site("books.toml", books);
    let half = site("half.toml", "[broker]\nurl = \"amqp://127.0.0.1:1\"\n");
    let big = "[broker]\nurl = \"amqp://127.0.0.1:1\"\n[limits]\npayload_bytes_max = \"16MiB\"\n";
    let big = site("big.toml", big);
    let data = folder.path().join("data").display().to_string();
    for (role, config, says) in [
        ("worker", &embedded, "broker.url: expected amqp://"),
        ("controller", &embedded, "broker.url: expected amqp://"),
        ("watchdog", &embedded, "broker.url: expected amqp://"),
        ("controller", &half, "store.url: expected postgres://"),
        ("up", &half, "store.url: expected postgres://"),
        (
            "worker",
            &big,
            "big.toml:4: limits.payload_bytes_max: expected at most 15MiB",
        ),
        ("controller", &big, "max_message_size"),
        ("worker", &port, "port.toml:2: broker.url: expected a port"),
        ("watchdog", &port, "behind the host, got \"x\""),
        ("controller", &books, "books.toml:4: store.url: expected"),
    ] {
        for alone_or_not in [&["--no-launcher"][..], &[]] {
            let mut line = vec![role, "--config", config, "--data", &data];
            line.extend(alone_or_not);
            let ran = alone(&line);
            assert_eq!(ran.code, 2, "{line:?}: {ran:?}");
            assert!(ran.stderr.contains(says), "{line:?}: {ran:?}");
            assert!(!ran.stderr.contains("geheim"), "{line:?}: {ran:?}");
        }
    }
}

#[test]
fn a_port_that_is_taken_comes_with_what_to_type() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("goaround.toml");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!(
        "[broker]\nurl = \"amqp://127.0.0.1:1\"\n[store]\nurl = \"postgres://127.0.0.1:1/x\"\n\
         [http]\nlisten = \"{}\"\n[stage.work]\nrun = [\"true\"]\n",
        taken.local_addr().unwrap()
    );
    fs::write(&file, text).unwrap();
    let (config, data) = (file.display().to_string(), folder.path().join("data"));
    let data = data.display().to_string();
    for role in ["worker", "watchdog"] {
        let line = [role, "--no-launcher", "--config", &config, "--data", &data];
        let ran = alone(&line);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains("--listen 127.0.0.1:0"), "{ran:?}");
        let ran = alone(&[&line[..], &["--log-format", "json"]].concat());
        for said in ran.stderr.lines() {
            assert!(serde_json::from_str::<Json>(said).is_ok(), "{ran:?}");
        }
    }
}

#[test]
fn nothing_is_told_of_a_death_when_the_launcher_is_gone_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("goaround.toml");
    let text = "[broker]\nurl = \"amqp://127.0.0.1:1\"\n[stage.work]\nrun = [\"true\"]\n";
    fs::write(&file, text).unwrap();
    let (config, data) = (file.display().to_string(), folder.path().join("data"));
    let data = data.display().to_string();
    // Its standard input is empty, as when nobody is left to give the word.
    let ran = alone(&[
        "worker",
        "--config",
        &config,
        "--data",
        &data,
        "--tell-of",
        "host:1-0123456789ab",
    ]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("is gone, and what it was"), "{ran:?}");
}

#[test]
fn a_configuration_with_which_nobody_can_call_back_is_fine_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("goaround.toml");
    let site = |more: &str| {
        let text = "[broker]\nurl = \"amqp://127.0.0.1:1\"\n[stage.work]\nrun = [\"true\"]\n";
        fs::write(&file, format!("{text}{more}")).unwrap();
        alone(&[
            "config",
            "check",
            "-o",
            "json",
            "--config",
            &file.display().to_string(),
        ])
    };
    let ran = site("");
    let note: Json = serde_json::from_str(&ran.stderr).unwrap();
    let said = note["note"].as_str().unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        said.contains("http.url") && said.contains("GOAROUND_CALLBACK_URL"),
        "{said}"
    );
    let ran = site("[http]\nurl = \"http://127.0.0.1:7878\"\n");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
}

#[test]
fn what_is_shown_of_a_configuration_has_no_secret_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("goaround.toml");
    let text = "[broker]\nurl = \"amqp://u:geheim@h\"\n\
                [http]\nurl = \"http://u:geheim@h\"\n\
                [stage.work]\nrun = [\"true\", \"--token\", \"geheim\"]\n\
                env = { API_TOKEN = \"geheim\", DB_URL = \"postgres://u:geheim@h\", \
                HOME = true }\n";
    fs::write(&file, text).unwrap();
    let config = file.display().to_string();
    for more in [
        &[][..],
        &["--sources"],
        &["-o", "json"],
        &["-o", "json", "--sources"],
    ] {
        let ran = alone(&[&["config", "show", "--config", &config][..], more].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        for shown in ["API_TOKEN", "DB_URL", "HOME", "(hidden)"] {
            assert!(ran.stdout.contains(shown), "{shown}: {ran:?}");
        }
        assert!(!ran.stdout.contains("geheim"), "{ran:?}");
    }
}

#[test]
fn init_writes_what_config_check_accepts_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("line");
    let dir = place.display().to_string();
    let ran = alone(&["init", "--dir", &dir]);
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 4), "{ran:?}");
    let config = place.join("goaround.toml").display().to_string();
    let ran = alone(&["config", "check", "--config", &config]);
    assert_eq!(
        ran.stdout,
        format!("{config}: fine, 3 stages, 1 flow\n"),
        "{ran:?}"
    );
    let ran = alone(&["config", "show", "--sources", "--config", &config]);
    assert!(ran.stdout.contains("stage.build.concurrency"), "{ran:?}");
    let ran = alone(&["config", "show", "-o", "json", "--config", &config]);
    let shown: Json = serde_json::from_str(&ran.stdout).unwrap();
    let value = |key: &str| {
        let items = shown["items"].as_array().unwrap().iter();
        let mut found = items.filter(|item| item["key"] == key);
        found.next().map(|item| item["value"].clone())
    };
    for (key, expected) in [
        ("broker.url", json!("embedded")),
        ("store.connections_max", json!(10)),
        ("store.retention", json!("30d")),
        ("limits.payload_bytes_max", json!("1MiB")),
        ("stage.build.retry.factor", json!(2.0)),
        ("flow.ci.stages", json!(["build", "test", "publish"])),
    ] {
        assert_eq!(value(key), Some(expected), "{key}");
    }
    fs::write(place.join("handlers/test.sh"), "mine").unwrap();
    let ran = alone(&["init", "--dir", &dir]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_eq!(
        fs::read_to_string(place.join("handlers/test.sh")).unwrap(),
        "mine"
    );
}

#[test]
fn the_sample_handlers_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    alone(&["init", "--dir", &folder.path().display().to_string()]);
    let handler = |name: &str, payload: &str| {
        let mut command = std::process::Command::new(folder.path().join("handlers").join(name));
        command
            .current_dir(folder.path())
            .env("GOAROUND_TICKET_ID", "t")
            .env("GOAROUND_HOP", "2");
        command
            .env("GOAROUND_ATTEMPT", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(payload.as_bytes())
            .unwrap();
        Ran::from(child.wait_with_output().unwrap())
    };
    assert_eq!(handler("build.sh", "x").stdout, "built from: x\n");
    assert_eq!(handler("test.sh", "x").code, 0);
    assert_eq!(handler("test.sh", "").code, 65);
    assert_eq!(handler("publish.sh", "x").code, 0);
    assert_eq!(
        fs::read_to_string(folder.path().join("published/t.2")).unwrap(),
        "x"
    );
}

#[test]
fn version_schema_and_completion_need_no_server() {
    let ran = alone(&["version", "-o", "json", "--url", "http://127.0.0.1:1"]);
    let version: Json = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &version["server"]), (0, &Json::Null));
    assert!(serde_json::from_str::<Json>(&alone(&["config", "schema"]).stdout).is_ok());
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = alone(&["completion", shell]).stdout;
        assert!(
            script.contains("breakers") && script.contains("jsonl"),
            "{shell}"
        );
        for hidden in ["spawner", "alone", "reference", "lean", "HOLDER"] {
            let is_hidden = |line: &&str| line.contains(hidden);
            assert_eq!(script.lines().find(is_hidden), None, "{shell}");
        }
    }
}
