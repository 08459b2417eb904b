//! How a command is found and started, what it is told, and what is said when it cannot be.

use crate::ground::{Ground, failure, handle, payload, ticket};
use domain::names::Version;
use domain::outcome::{Outcome, OutcomeKind};
use domain::ports::Handler;
use domain::ticket::Ticket;
use handlers::{Exec, ExecConfig, ExecError};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

fn write(ground: &Ground, name: &str, content: &str, mode: u32) {
    let path = ground.path(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn what_cannot_be_started_says_where_it_was_looked_for_and_what_to_do() {
    let ground = Ground::new();
    write(&ground, "plain", "#!/bin/sh\n", 0o644);
    write(&ground, "text", "echo no first line\n", 0o755);
    write(&ground, "lost", "#!/nowhere/python9\n", 0o755);
    for (word, said) in [
        ("./gone", "found nothing: put it there"),
        ("no-such-command", "none of the folders of PATH"),
        ("./plain", "chmod +x it"),
        ("./text", "begin a script with a line such as #!/bin/sh"),
        ("./lost", "\"/nowhere/python9\", which is not there"),
    ] {
        let exec = ground.command(&[word]);
        let attempted = handle(&exec, ticket("")).await;
        let mut limited = ground.config(&[word]);
        limited.limits.memory_bytes_max = Some(1 << 30);
        assert_eq!(handle(&ground.exec(limited), ticket("")).await, attempted);
        assert_eq!(attempted.outcome.kind(), OutcomeKind::Unstartable, "{word}");
        let message = &failure(&attempted).message;
        assert!(
            message.contains(said),
            "{message:?} should contain {said:?}"
        );
        assert_eq!(exec.inspect().obstacle.as_ref(), Some(message), "{word}");
    }
}

#[tokio::test]
async fn a_repaired_command_starts_and_is_another_version() {
    let ground = Ground::new();
    let exec = ground.command(&["./run"]);
    let missing = exec.inspect();
    assert_eq!(
        handle(&exec, ticket("")).await.outcome.kind(),
        OutcomeKind::Unstartable
    );
    write(&ground, "run", "#!/bin/sh\n", 0o644);
    let plain = exec.inspect();
    assert!(plain.obstacle.is_some());
    write(&ground, "run", "#!/bin/sh\n", 0o755);
    let good = exec.inspect();
    assert_eq!(good.obstacle, None);
    assert_eq!(good.version.as_str(), "sha256:a8076d3d28d2");
    assert_ne!(missing.version, plain.version);
    assert_ne!(plain.version, good.version);
    assert_eq!(handle(&exec, ticket("")).await.outcome, Outcome::done());
}

#[tokio::test]
async fn a_configured_version_is_the_version() {
    let ground = Ground::new();
    let mut config = ground.config(&["./gone"]);
    config.version = Version::new("1.4.2").ok();
    let seen = ground.exec(config).inspect();
    assert_eq!(seen.version.as_str(), "1.4.2");
    assert!(seen.obstacle.is_some());
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let ground = Ground::new();
    let mut config = ground.config(&["true"]);
    config.folder = ground.path("nowhere");
    let attempted = handle(&ground.exec(config), ticket("")).await;
    let failure = failure(&attempted);
    assert!(
        failure.message.contains("nowhere to run it in"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn a_configuration_that_can_never_work_is_refused() {
    let ground = Ground::new();
    let refused = |change: fn(&mut ExecConfig)| {
        let mut config = ground.config(&["true"]);
        change(&mut config);
        match Exec::new(config, ground.spawner.clone()) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(
        refused(|config| config.command = Vec::new()),
        "run: expected a program and its arguments, got []"
    );
    assert_eq!(
        refused(|config| config.command.push("a\0b".into())),
        "run: expected text without NUL, got \"a\\0b\""
    );
    assert_eq!(
        refused(|config| drop(config.env.insert("A=B".into(), String::new()))),
        "env: expected the name of a variable, got \"A=B\""
    );
    std::fs::write(ground.path("file"), "").unwrap();
    let mut config = ground.config(&["true"]);
    config.work_folder = ground.path("file");
    let error = Exec::new(config, ground.spawner.clone()).err();
    assert!(matches!(error, Some(ExecError::WorkFolder { .. })));
}

#[tokio::test]
async fn a_command_inherits_nothing_but_what_it_is_told() {
    let ground = Ground::new();
    let mut config = ground.config(&["env"]);
    config.env.insert("OWN".into(), "yes".into());
    config.callback_url = Some("http://127.0.0.1:7878/api/v1/callbacks".into());
    let mut ticket = Ticket::clone(&ticket(""));
    ticket.trace = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    let ticket = Arc::new(ticket);
    let attempted = handle(&ground.exec(config.clone()), Arc::clone(&ticket)).await;
    config.limits.memory_bytes_max = Some(1 << 30);
    let limited = handle(&ground.exec(config), ticket).await;
    let work = ground.path("work").display().to_string();
    let lines = |attempted| {
        let text = String::from_utf8(payload(attempted).unwrap().bytes.to_vec()).unwrap();
        let lines = text.lines().map(|line| shorten(line, &work));
        lines.collect::<std::collections::BTreeSet<String>>()
    };
    assert_eq!(lines(&limited), lines(&attempted));
    assert_eq!(
        lines(&attempted).into_iter().collect::<Vec<_>>(),
        [
            "GOAROUND_ATTEMPT=1",
            "GOAROUND_CALLBACK_URL=http://127.0.0.1:7878/api/v1/callbacks/\
                0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f/1",
            "GOAROUND_DEADLINE=2026-11-21T14:03:22.120Z",
            "GOAROUND_FLOW=ci",
            "GOAROUND_GENERATION=1",
            "GOAROUND_HOP=0",
            "GOAROUND_KEY=rust",
            "GOAROUND_KIND=package",
            "GOAROUND_PROGRESS=<work>/*.progress",
            "GOAROUND_RESULT=<work>/*.result",
            "GOAROUND_STAGE=build",
            "GOAROUND_TICKET_ID=0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f",
            "OWN=yes",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ]
    );
}

/// The name of a file for results differs each time.
fn shorten(line: &str, work: &str) -> String {
    let Some((before, after)) = line.split_once(work) else {
        return line.to_owned();
    };
    let ending = after.rsplit('.').next().unwrap();
    format!("{before}<work>/*.{ending}")
}

#[tokio::test]
async fn a_command_holds_no_open_file_of_ours() {
    let ground = Ground::new();
    let _ours = std::fs::File::create(ground.path("ours")).unwrap();
    // What we ourselves were left with by whoever started us cannot be told from what is wanted.
    let any = std::process::Command::new("/bin/ls")
        .arg("/proc/self/fd")
        .output();
    let attempted = handle(&ground.command(&["ls", "/proc/self/fd"]), ticket("")).await;
    assert_eq!(payload(&attempted).unwrap().bytes, any.unwrap().stdout);
}

#[tokio::test]
async fn a_path_of_the_stage_is_where_its_commands_are_looked_for() {
    let ground = Ground::new();
    std::fs::create_dir(ground.path("tools")).unwrap();
    write(
        &ground,
        "tools/own-tool",
        "#!/bin/sh\necho \"$PATH\"\n",
        0o755,
    );
    let mut config = ground.config(&["own-tool"]);
    config
        .env
        .insert("PATH".into(), "tools:/usr/bin:/bin".into());
    let attempted = handle(&ground.exec(config), ticket("")).await;
    assert_eq!(
        &payload(&attempted).unwrap().bytes[..],
        b"tools:/usr/bin:/bin\n"
    );
}

#[tokio::test]
async fn a_command_runs_in_its_folder() {
    let ground = Ground::new();
    let attempted = ground.run("pwd -P").await;
    let folder = ground.folder.path().canonicalize().unwrap();
    let said = String::from_utf8(payload(&attempted).unwrap().bytes.to_vec()).unwrap();
    assert_eq!(said.trim_end(), folder.to_str().unwrap());
}
