//! The folder for results and progress is one process's own.

use crate::ground::{Ground, handle, ticket};
use domain::outcome::Outcome;
use handlers::{Exec, ExecError};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Another process, which has the folder until it dies.
fn owner(work: &Path) -> Child {
    let script = "open F, '>', $ARGV[0] or die; flock F, 2 or die; $| = 1; \
        syswrite F, $$; print \"mine\\n\"; sleep 600";
    let mut owner = Command::new("perl")
        .args(["-e", script])
        .arg(work.join("lock"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let stdout = owner.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut said).unwrap();
    assert_eq!(said, "mine\n");
    owner
}

#[tokio::test]
async fn a_process_that_shares_the_folder_of_another_is_refused_and_takes_nothing_away() {
    let ground = Ground::new();
    let work = ground.path("work");
    std::fs::create_dir(&work).unwrap();
    let theirs = work.join("0000000000000001-7.result");
    std::fs::write(&theirs, "theirs").unwrap();
    let mut owner = owner(&work);
    let open = || Exec::new(ground.config(&["true"]), ground.spawner.clone());
    let error = open().err().unwrap();
    assert!(matches!(error, ExecError::WorkFolderInUse { .. }));
    let said = error.to_string();
    for word in [
        &work.display().to_string(),
        &format!("process {}", owner.id()),
        "--data of its own",
    ] {
        assert!(said.contains(word), "{said:?} should contain {word:?}");
    }
    assert!(theirs.exists());
    // Nothing is waited for once it is dead.
    owner.kill().unwrap();
    owner.wait().unwrap();
    open().unwrap();
    assert!(!theirs.exists(), "it is left over now");
}

#[tokio::test]
async fn the_stages_of_one_process_share_its_folder_whatever_they_call_it() {
    let ground = Ground::new();
    let first = ground.shell("exit 0");
    std::os::unix::fs::symlink(ground.path("work"), ground.path("alias")).unwrap();
    let mut config = ground.config(&["true"]);
    config.work_folder = ground.path("alias");
    for exec in [first, ground.exec(config)] {
        let attempted = handle(&exec, ticket("")).await;
        assert_eq!(attempted.outcome, Outcome::done());
    }
}
