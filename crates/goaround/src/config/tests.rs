//! Whole configurations, as users write them and get them wrong.

use super::*;
use domain::breaker::Rules;
use domain::flow::{Journal, Stage, Unique};
use domain::retry::RetryPolicy;
use std::fs;
use tempfile::TempDir;

const GOOD: &str = r#"
[flow.ci]
stages = ["build", "test"]

[stage.build]
run = ["./build.sh"]
concurrency = 2
retry = { first = "2s" }
env = { CI = "1", HOME = true, NOT_SET = true }

[stage.test]
run = ["./test.sh", "--all"]
unique = "key"
journal = "exceptions"
kinds = ["rust"]
"#;

struct Around {
    folder: TempDir,
    variables: BTreeMap<String, String>,
    flags: Vec<(&'static str, &'static str, String)>,
}

impl Around {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("goaround.toml"), text).unwrap();
        Self {
            folder,
            variables: BTreeMap::from([("HOME".into(), "/home/ana".into())]),
            flags: Vec::new(),
        }
    }

    fn with(mut self, name: &str, text: &str) -> Self {
        self.variables.insert(name.into(), text.into());
        self
    }

    fn read(&self) -> Result<Loaded, BadConfig> {
        Loaded::read(&Surroundings {
            file: Some(&self.folder.path().join("goaround.toml")),
            variables: &self.variables,
            flags: &self.flags,
        })
    }

    /// All problems, without the folder that is another each time.
    fn problems(&self) -> String {
        let said = self.read().unwrap_err().to_string();
        folded(&said.replace(&format!("{}/", self.folder.path().display()), ""))
    }
}

/// The text with its long lines folded between words.
fn folded(text: &str) -> String {
    const WIDTH: usize = 90;
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        lines.push(String::new());
        for word in line.split(' ') {
            let last = lines.last_mut().unwrap();
            match last.len() + 1 + word.len() {
                _ if last.is_empty() => last.push_str(word),
                ..=WIDTH => *last += &format!(" {word}"),
                _ => lines.push(format!("    {word}")),
            }
        }
    }
    lines.join("\n")
}

fn stage(name: &str) -> StageName {
    StageName::new(name).unwrap()
}

#[test]
fn every_mistake_of_a_file_is_told_at_once() {
    let text = r#"
[http]
listen = "0.0.0.0:80"
lisen = 1

[flow.ci]
stages = ["build", "tset", "build"]

[flow.empty]
stages = []

[stage.build]
run = "./build.sh"
concurrency = 0
concurency = 2
deadline = 30
retry = { first = "5m", max = "1s", factor = "two" }

[stage.test]
deadline = "soon"

[stage."a b"]
run = ["x"]

[stags.x]
run = ["x"]
"#;
    insta::assert_snapshot!(Around::new(text).problems(), @r#"
    goaround.toml:3: http.listen: expected a loopback address such as 127.0.0.1:80 as long as
        no token is configured, got 0.0.0.0:80; set http.token_file or GOAROUND_TOKEN
    goaround.toml:4: http.lisen: unknown key, expected one of listen, url, token_file, token;
        got 1; did you mean listen?
    goaround.toml:7: flow.ci.stages: expected configured stages, got "tset", which has no
        [stage.tset]; did you mean "test"?
    goaround.toml:7: flow.ci.stages: expected each stage once, got "build" twice; a flow must
        not have a cycle
    goaround.toml:10: flow.empty.stages: expected at least one stage, got none
    goaround.toml:13: stage.build.run: expected a program and its arguments such as
        ["./build.sh", "--quick"], got "./build.sh"
    goaround.toml:14: stage.build.concurrency: expected 1..=4096, got 0
    goaround.toml:15: stage.build.concurency: unknown key, expected one of run, env,
        concurrency, deadline, stop_grace, version, kinds, unique, journal, memory_bytes_max,
        stdout_bytes_max, stderr_bytes_max, result_bytes_max, retry, breaker; got 2; did you
        mean concurrency?
    goaround.toml:16: stage.build.deadline: expected a length of time such as 500ms, 30s, 5m,
        2h or 7d in 1ms..=365d, got 30
    goaround.toml:17: stage.build.retry.factor: expected a number in 1..=1000, got "two"
    goaround.toml:17: stage.build.retry.max: expected at least retry.first (5m), got 1s
    goaround.toml:19: stage.test.run: expected a program and its arguments such as
        ["./build.sh"], got nothing
    goaround.toml:20: stage.test.deadline: expected a length of time such as 500ms, 30s, 5m,
        2h or 7d in 1ms..=365d, got "soon"
    goaround.toml:22: stage."a b": expected a name of 1 to 64 of the characters a-z A-Z 0-9 _
        - ., got "a b"
    goaround.toml:25: stags: unknown key, expected one of broker, store, http, limits,
        shutdown, flow, stage; got a section; did you mean stage?
    "#);
}

#[test]
fn what_this_version_does_not_have_is_refused_and_not_ignored() {
    let text = r#"
[surge]
threshold = 1
[[trigger]]
on = "done"
[oops]
spool = "spool"
[pager.oncall]
kind = "webhook"
[stage.build]
http = "http://127.0.0.1:1"
"#;
    insta::assert_snapshot!(Around::new(text).problems(), @r#"
    goaround.toml:2: surge: not available in this version; remove it
    goaround.toml:4: trigger: not available in this version; remove it
    goaround.toml:6: oops: not available in this version; remove it
    goaround.toml:8: pager: not available in this version; remove it
    goaround.toml:10: stage.build.run: expected a program and its arguments such as
        ["./build.sh"], got nothing
    goaround.toml:11: stage.build.http: not available in this version; remove it
    "#);
}

#[test]
fn servers_are_named_by_urls_whose_passwords_never_show() {
    let text = format!(
        "[broker]\nurl = \"amqps://ann:hunter2@rabbit/ci\"\n[store]\nurl = \"postgres://books/ci\"\n\
         password_file = \"secret.txt\"\n{GOOD}"
    );
    let around = Around::new(&text);
    fs::write(around.folder.path().join("secret.txt"), "top/secret\n").unwrap();
    let loaded = around.read().unwrap();
    let Backend::Server(broker) = &loaded.config.broker.at else {
        panic!("{:?}", loaded.config.broker);
    };
    assert_eq!(broker.reveal(), "amqps://ann:hunter2@rabbit/ci");
    let Backend::Server(store) = &loaded.config.store.at else {
        panic!("{:?}", loaded.config.store);
    };
    assert_eq!(store.reveal(), "postgres://postgres:top%2Fsecret@books/ci");
    let shown = format!("{loaded:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("top"),
        "{shown}"
    );
}

#[test]
fn a_url_that_the_roles_could_not_use_is_refused_with_the_part_that_is_wrong() {
    let with = |broker: &str, store: &str| {
        let text = format!("[broker]\nurl = \"{broker}\"\n[store]\nurl = \"{store}\"\n{GOOD}");
        Around::new(&text)
    };
    let (rabbit, books) = ("amqp://h", "postgres://h/db");
    assert!(with(rabbit, books).read().is_ok());
    for (broker, store, says) in [
        (
            "amqp://u:geheim@h:x",
            books,
            "toml:2: broker.url: expected a port of 1 to 65535",
        ),
        ("amqp://u:geheim@h:x", books, "got \"x\""),
        ("amqp://h:99999", books, "got \"99999\""),
        (
            "amqp://h/%zz",
            books,
            "a virtual host with % only as in %2f, got \"%zz\"",
        ),
        (
            "amqp://h?heartbeat=abc",
            books,
            "a heartbeat of 1 to 65535 s",
        ),
        ("amqp://h?bogus=1", books, "got \"bogus\""),
        (
            rabbit,
            "postgres://u:geheim@h:x/db",
            "toml:4: store.url: expected postgres://",
        ),
        (rabbit, "postgres://u:geheim@h:x/db", "got \"x\""),
    ] {
        let said = with(broker, store).problems().replace("\n    ", " ");
        assert!(said.contains(says), "{broker} {store}: {said}");
        assert!(!said.contains("geheim"), "{said}");
    }
    let said = with("amqp://h:x", "postgres://h:x/db").problems();
    assert_eq!(said.matches("toml:").count(), 2, "{said}");
    let from_variable = Around::new(GOOD).with("GOAROUND__BROKER__URL", "amqp://h:99999");
    let said = from_variable.problems();
    assert!(
        said.starts_with("GOAROUND__BROKER__URL: broker.url: expected a port"),
        "{said}"
    );
}

#[test]
fn certificates_that_cannot_be_used_are_refused_when_the_file_is_read() {
    let with = |url: &str| {
        let tls = "[broker.tls]\nca_file = \"ca.pem\"\n";
        let around = Around::new(&format!("[broker]\nurl = \"{url}\"\n{tls}{GOOD}"));
        fs::write(around.folder.path().join("ca.pem"), "no certificate").unwrap();
        around.problems()
    };
    let said = with("amqps://h");
    let expected = "goaround.toml:4: broker.tls.ca_file: expected a file in PEM";
    assert!(said.starts_with(expected), "{said}");
    let said = with("amqp://h");
    assert!(
        said.starts_with("goaround.toml:2: broker.url: expected an amqps://"),
        "{said}"
    );
    let gone = "[broker]\nurl = \"amqp://h:x\"\n[broker.tls]\nca_file = \"gone.pem\"\n";
    let said = Around::new(&format!("{gone}{GOOD}")).problems();
    assert_eq!(said.matches("toml:").count(), 2, "{said}");
}

#[test]
fn a_prefix_that_the_broker_would_refuse_is_refused_when_the_file_is_read() {
    let with = |prefix: &str| Around::new(&format!("[broker]\nprefix = \"{prefix}\"\n{GOOD}"));
    let longest = "a".repeat(amqp::Names::PREFIX_BYTES_MAX);
    assert!(with(&longest).read().is_ok());
    for prefix in ["amq", "amq.x", "a b", &format!("{longest}a")] {
        let said = with(prefix).problems();
        let expected = "goaround.toml:2: broker.prefix: expected 1 to 64 of";
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn a_store_on_a_server_beside_an_embedded_broker_is_refused() {
    let text =
        format!("[store]\nurl = \"postgres://books/ci\"\n[broker.tls]\nca_file = \"x\"\n{GOOD}");
    insta::assert_snapshot!(Around::new(&text).problems(), @r#"
    goaround.toml:2: broker.url: expected amqp://… or amqps://… because store.url is a
        server, got "embedded"; set both or neither
    goaround.toml:4: broker.tls.ca_file: x: No such file or directory (os error 2)
    "#);
}

#[test]
fn what_would_be_too_big_for_a_message_is_refused_with_the_broker_that_says_so() {
    let sizes = "[limits]\npayload_bytes_max = \"16MiB\"\n[stage.build]\nrun = [\"x\"]\n\
                 stdout_bytes_max = \"64MiB\"\nresult_bytes_max = \"15MiB\"\n";
    assert!(Around::new(sizes).read().is_ok(), "embedded takes them");
    let amqp = format!("[broker]\nurl = \"amqp://box\"\n{sizes}");
    insta::assert_snapshot!(Around::new(&amqp).problems(), @r"
    goaround.toml:4: limits.payload_bytes_max: expected at most 15MiB because broker.url is a
        server, got 16MiB; RabbitMQ takes no message above its max_message_size, 16MiB since
        4.0, and a ticket is one
    goaround.toml:7: stage.build.stdout_bytes_max: expected at most 15MiB because broker.url
        is a server, got 64MiB; RabbitMQ takes no message above its max_message_size, 16MiB
        since 4.0, and a ticket is one
    ");
}

#[test]
fn a_file_that_is_no_toml_says_where() {
    let text = "[stage.build]\nrun = [\"x\"]\nrun = [\"y\"]\ndeadline = \n[stage.test]\nrn = 1\n\
                [stage.build]\nconcurrency = 2\n";
    insta::assert_snapshot!(Around::new(text).problems(), @r"
    goaround.toml:3: stage.build.run: expected each key and section once, got it twice
    goaround.toml:4: string values must be quoted, expected literal string
    goaround.toml:6: stage.test.rn: unknown key, expected one of run, env, concurrency,
        deadline, stop_grace, version, kinds, unique, journal, memory_bytes_max,
        stdout_bytes_max, stderr_bytes_max, result_bytes_max, retry, breaker; got 1; did you
        mean run?
    goaround.toml:7: stage.build: expected each key and section once, got it twice
    ");
}

#[test]
fn a_file_that_is_not_there_or_no_text_says_what_to_do() {
    let around = Around::new("");
    fs::write(around.folder.path().join("goaround.toml"), b"# fine\n\xff").unwrap();
    let said = around.problems();
    let expected = "goaround.toml: expected UTF-8 text, got other bytes in line 2";
    assert_eq!(said, expected);
    fs::remove_file(around.folder.path().join("goaround.toml")).unwrap();
    let said = around.problems();
    let expected = "goaround.toml: no such file; `goaround init` writes one, --config names \
                    another";
    assert_eq!(said, expected);
}

#[test]
fn mistakes_in_the_environment_name_the_variable() {
    let around = Around::new(GOOD)
        .with("GOAROUND__STAGE__BUILD__CONCURRENCY", "many")
        .with("GOAROUND__STAGE__BUILD__CONCURENCY", "2")
        .with("GOAROUND__SURGE__THRESHOLD", "2")
        .with("GOAROUND__STORE", "2");
    insta::assert_snapshot!(around.problems(), @r#"
    GOAROUND__STAGE__BUILD__CONCURENCY: stage.build.concurency: unknown key, expected one of
        run, env, concurrency, deadline, stop_grace, version, kinds, unique, journal,
        memory_bytes_max, stdout_bytes_max, stderr_bytes_max, result_bytes_max, retry,
        breaker; got "2"; did you mean CONCURRENCY?
    GOAROUND__STAGE__BUILD__CONCURRENCY: stage.build.concurrency: expected 1..=4096, got
        "many"
    GOAROUND__STORE: store: expected one key of this section, url, password_file,
        connections_max, retention, tickets_max, oops_retention, oopses_max; got the whole
        section
    GOAROUND__SURGE__THRESHOLD: surge.threshold: not available in this version; unset it
    "#);
}

#[test]
fn a_mistake_in_the_environment_shows_its_value_but_never_a_secret() {
    let around = Around::new(GOOD)
        .with("GOAROUND__BROKR__PREFIX", "mine")
        .with("GOAROUND__BROKER__ULR", "amqp//ana:s3cret@rabbit")
        .with("GOAROUND__BROKER__URL", "amqp:/ana:s3cret@rabbit")
        .with("GOAROUND__HTTP__TOKN", "s3cret");
    let said = around.read().unwrap_err().to_string();
    for part in [
        "GOAROUND__BROKR__PREFIX: brokr: unknown key, expected one of broker, store, http, limits, \
         shutdown, flow, stage; got \"mine\"; did you mean BROKER?",
        "GOAROUND__BROKER__URL: broker.url: expected embedded or amqp://… or amqps://…, got \
         (hidden)",
        "got (hidden); did you mean TOKEN?",
        "GOAROUND__BROKER__ULR: broker.ulr: unknown key, expected one of url, ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn no_message_repeats_what_may_be_a_secret() {
    let text = r#"
[broker]
passwd = "geheim"
pass = "geheim"
pasword = 4711
api_key = ["geheim"]
[stage.build]
run = ["x"]
env = { DB_PASSWORD = "geheim", DEBUG = 1 }
apikey = "geheim"
pin = geheim
[stage.test]
run = ["x"]
env = ["TOKEN=geheim"]
"#;
    let around = Around::new(text)
        .with("GOAROUND__BROKER__PASSWORD", "geheim")
        .with("GOAROUND__STAGE__BUILD__API_KEY", "geheim")
        .with("GOAROUND__STAGE__BUILD__ENV__HOME", "geheim")
        .with("GOAROUND__STAGE__TEST__ENV", "{ A = \"geheim\", B = 4711 }");
    let said = around.read().unwrap_err().to_string();
    assert!(!said.contains("geheim") && !said.contains("4711"), "{said}");
    for part in [
        "got { DB_PASSWORD = (hidden), DEBUG = (hidden integer) }",
        "got { A = (hidden), B = (hidden integer) }",
        "goaround.toml:11: ",
        "got [(hidden)]",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_flag_covers_the_environment_which_covers_the_file() {
    let mut around = Around::new(&format!("{GOOD}[http]\nlisten = \"127.0.0.1:1\"\n"));
    let listen = |around: &Around| around.read().unwrap().config.http.listen.port();
    assert_eq!(listen(&around), 1);
    around = around.with("GOAROUND__HTTP__LISTEN", "localhost:2");
    assert_eq!(listen(&around), 2);
    around.flags = vec![("--listen", "http.listen", "127.0.0.1:3".into())];
    assert_eq!(listen(&around), 3);
    around.flags = vec![("--listen", "http.listen", "here".into())];
    let said = around.problems();
    let expected = "--listen: http.listen: expected an address and port such as \
                    \"127.0.0.1:7878\", got \"here\"";
    assert_eq!(said, expected);
}

#[test]
fn a_good_file_becomes_stages_flows_and_handlers() {
    let around = Around::new(GOOD).with("GOAROUND__STAGE__TEST__STOP_GRACE", "3s");
    let config = around.read().unwrap().config;
    assert_eq!(config.folder, around.folder.path());
    let build = config.flows.stage(&stage("build")).unwrap();
    assert_eq!((build.concurrency.get(), build.unique), (2, Unique::No));
    assert_eq!(build.retry.first, Duration::from_secs(2));
    let test = config.flows.stage(&stage("test")).unwrap();
    assert_eq!(
        (test.journal, test.unique),
        (Journal::Exceptions, Unique::ByKey)
    );
    assert_eq!(test.grace, Duration::from_secs(3));
    assert_eq!(test.kinds.as_ref().map(|kinds| kinds.len()), Some(1));
    let handler = &config.handlers[&stage("build")];
    assert_eq!(handler.command, ["./build.sh"]);
    let env = [("CI", "1"), ("HOME", "/home/ana")];
    assert_eq!(
        handler.env,
        env.map(|(name, text)| (name.into(), text.into())).into()
    );
}

fn breaker_of(around: &Around, name: &str) -> Option<Rules> {
    let config = around.read().unwrap().config;
    config.flows.stage(&stage(name)).unwrap().breaker
}

#[test]
fn a_breaker_is_on_unless_it_is_turned_off() {
    let text = r#"
[stage.usual]
run = ["x"]
[stage.quick]
run = ["x"]
breaker = { failures = 3, probe = "10s" }
[stage.patient.breaker]
probe = "1h"
[stage.patient]
run = ["x"]
[stage.on]
run = ["x"]
breaker = true
[stage.off]
run = ["x"]
breaker = false
"#;
    let around = Around::new(text);
    let rules = |failures, secs| Some(Rules::new(failures, Duration::from_secs(secs)).unwrap());
    assert_eq!(breaker_of(&around, "usual"), rules(5, 60));
    assert_eq!(breaker_of(&around, "quick"), rules(3, 10));
    assert_eq!(breaker_of(&around, "patient"), rules(5, 3_600));
    assert_eq!(breaker_of(&around, "on"), rules(5, 60));
    assert_eq!(breaker_of(&around, "off"), None);
    let around = around
        .with("GOAROUND__STAGE__QUICK__BREAKER", "false")
        .with("GOAROUND__STAGE__USUAL__BREAKER__FAILURES", "7")
        .with("GOAROUND__STAGE__OFF__BREAKER", "true")
        .with("GOAROUND__STAGE__OFF__BREAKER__PROBE", "2m");
    assert_eq!(breaker_of(&around, "quick"), None);
    assert_eq!(breaker_of(&around, "usual"), rules(7, 60));
    assert_eq!(breaker_of(&around, "off"), rules(5, 120));
}

#[test]
fn what_is_shown_of_breakers_is_a_file_that_means_the_same() {
    let text = "[stage.off]\nrun = [\"x\"]\nbreaker = false\n\
                [stage.quick]\nrun = [\"x\"]\nbreaker = { probe = \"10s\" }\n";
    let around = Around::new(text);
    let shown = around.read().unwrap().settings.all();
    let shown: Vec<String> = shown
        .iter()
        .map(|(path, setting)| format!("{path} = {}", setting.value))
        .collect();
    let again = Around::new(&shown.join("\n"));
    assert_eq!(breaker_of(&again, "off"), None);
    assert_eq!(breaker_of(&again, "quick"), breaker_of(&around, "quick"));
}

#[test]
fn a_breaker_that_cannot_work_is_refused_with_its_place() {
    let text = r#"
[stage.build]
run = ["x"]
breaker = { failures = 0, prob = "1m", probe = "0s" }
[stage.test]
run = ["x"]
breaker = 5
[stage.pack]
run = ["x"]
breaker = { failures = 101, probe = 60 }
"#;
    let around = Around::new(text).with("GOAROUND__STAGE__TEST__BREAKER", "off");
    insta::assert_snapshot!(around.problems(), @r#"
    goaround.toml:4: stage.build.breaker.failures: expected 1..=100, got 0
    goaround.toml:4: stage.build.breaker.prob: unknown key, expected one of failures, probe;
        got "1m"; did you mean probe?
    goaround.toml:4: stage.build.breaker.probe: expected a length of time such as 500ms, 30s,
        5m, 2h or 7d in 1ms..=365d, got "0s"
    goaround.toml:7: stage.test.breaker: expected true or false, or a section with failures
        and probe, got 5
    goaround.toml:10: stage.pack.breaker.failures: expected 1..=100, got 101
    goaround.toml:10: stage.pack.breaker.probe: expected a length of time such as 500ms, 30s,
        5m, 2h or 7d in 1ms..=365d, got 60
    GOAROUND__STAGE__TEST__BREAKER: stage.test.breaker: expected true or false, or a section
        with failures and probe, got "off"
    "#);
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_domain() {
    let config = Around::new("[stage.x]\nrun = [\"x\"]\n")
        .read()
        .unwrap()
        .config;
    let expected = Stage {
        breaker: Some(Rules::default()),
        ..Stage::new(stage("x"))
    };
    assert_eq!(config.flows.stage(&stage("x")), Some(&expected));
    assert_eq!(
        config.flows.stage(&stage("x")).unwrap().retry,
        RetryPolicy::default()
    );
    let plain = Config::default();
    assert_eq!(
        (config.http, config.keeping, config.limits, config.drain),
        (plain.http, plain.keeping, plain.limits, plain.drain)
    );
}

#[test]
fn the_world_outside_may_only_come_in_with_a_token() {
    let text = format!("{GOOD}[http]\nlisten = \"0.0.0.0:7878\"\ntoken_file = \"token\"\n");
    let around = Around::new(&text);
    let said = around.problems();
    assert!(
        said.contains("http.token_file") && said.contains("No such file"),
        "{said}"
    );
    fs::write(around.folder.path().join("token"), " s3cret\n").unwrap();
    let http = around.read().unwrap().config.http;
    assert_eq!(http.token, Some(Secret::new("s3cret")));
    let around = around.with("GOAROUND_TOKEN", "other");
    assert_eq!(
        around.read().unwrap().config.http.token,
        Some(Secret::new("other"))
    );
    let shown: Vec<String> = around
        .read()
        .unwrap()
        .settings
        .all()
        .iter()
        .map(|(path, setting)| format!("{path} = {}", setting.value))
        .collect();
    assert!(
        shown.contains(&"http.token = \"(hidden)\"".to_owned()),
        "{shown:?}"
    );
}

#[test]
fn a_token_in_the_file_is_refused_and_not_repeated() {
    let around = Around::new("[http]\ntoken = \"hunter2\"\ntokn = \"hunter2\"\n");
    let said = around.problems();
    assert!(
        said.starts_with("goaround.toml:2: http.token: expected no secret"),
        "{said}"
    );
    assert!(!said.contains("hunter2 "), "{said}");
}

#[test]
fn the_source_of_each_value_is_known() {
    let around = Around::new(GOOD).with("GOAROUND__STAGE__BUILD__CONCURRENCY", "7");
    let all = around.read().unwrap().settings.all();
    let shown = all
        .iter()
        .filter(|(path, _)| path.to_string().starts_with("stage.build"));
    let folder = format!("{}/", around.folder.path().display());
    let shown: Vec<String> = shown
        .map(|(path, setting)| format!("{path} = {}  # {}", setting.value, setting.source))
        .map(|line| line.replace(&folder, ""))
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    stage.build.run = ["./build.sh"]  # goaround.toml:6
    stage.build.env = { CI = "(hidden)", HOME = true, NOT_SET = true }  # goaround.toml:9
    stage.build.concurrency = 7  # GOAROUND__STAGE__BUILD__CONCURRENCY
    stage.build.deadline = "30m"  # default
    stage.build.stop_grace = "10s"  # default
    stage.build.unique = "none"  # default
    stage.build.journal = "full"  # default
    stage.build.stdout_bytes_max = "1MiB"  # default
    stage.build.stderr_bytes_max = "64KiB"  # default
    stage.build.result_bytes_max = "1MiB"  # default
    stage.build.retry.first = "2s"  # goaround.toml:8
    stage.build.retry.factor = 2.0  # default
    stage.build.retry.max = "5m"  # default
    stage.build.retry.jitter = 0.2  # default
    stage.build.retry.attempts = 0  # default
    stage.build.breaker.failures = 5  # default
    stage.build.breaker.probe = "1m"  # default
    "#);
}

#[test]
fn the_written_page_and_example_are_those_of_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (file, text, flag) in [
        ("docs/configuration.md", reference(), ""),
        ("config/example.toml", example(), " --example"),
    ] {
        let written = fs::read_to_string(root.join(file)).unwrap_or_default();
        assert!(
            written == text,
            "{file} is not what the table says; \
             run: cargo run -p goaround -- __reference{flag} > {file}"
        );
    }
}

#[test]
fn the_example_has_every_key_and_loads() {
    let text = example();
    let around = Around::new(&text);
    for file in [
        "broker-password.txt",
        "store-password.txt",
        "ca.pem",
        "client.pem",
        "client.key",
    ] {
        fs::write(around.folder.path().join(file), "").unwrap();
    }
    let config = around.read().unwrap().config;
    assert_eq!(config.handlers.len(), 3);
    for key in KEYS {
        let last = key.path.rsplit('.').next().unwrap();
        assert!(text.contains(last), "{}", key.path);
    }
}
