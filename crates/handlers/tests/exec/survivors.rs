//! Commands that outlive launcher, worker and spawner, which were killed at once.

use crate::ground::{Sleeper, is_alive, parent_of, pids_in, signal, spawner_command, until};
use rustix::process::Signal;
use std::process::{Command, Stdio};

/// A command, a child in its group, one in a session of its own, and one in a group of its own and
/// without its mark.
const FAMILY: &str = r#"sleep 600 & echo $! >> pids
    setsid sh -c 'echo $$ >> pids; sleep 600; :' &
    perl -e 'setpgrp; %ENV = (); exec "/bin/sh", "-c", "echo \$\$ >> pids; sleep 600; :"' &
    echo $PPID > spawner; echo $$ >> pids; wait"#;

const FAMILY_SIZE: usize = 4;

/// Says of each process of the first worker whether it still runs.
const WITNESS: &str = r#"while read -r pid; do
        case "$(cat "/proc/$pid/stat" 2>&1)" in
            *") Z "* | *") X "* | *"No such"*) echo dead ;;
            *) echo alive ;;
        esac
    done < pids > seen; mv seen witness; sleep 600"#;

async fn at_work(company: &str) -> (Sleeper, Vec<u32>) {
    let worker = Sleeper::start(FAMILY, company);
    let pids = worker.pids("pids", FAMILY_SIZE).await;
    (worker, pids)
}

/// Kills a worker, its spawner and what is between them, so that none sees the end of another.
async fn kill_all_at_once(worker: &mut Sleeper) {
    let spawner = worker.pids("spawner", 1).await[0];
    let all = [worker.id(), parent_of(spawner), spawner];
    for kill in [Signal::STOP, Signal::KILL] {
        for pid in all {
            signal(pid, kill);
        }
    }
    worker.wait();
    until("the end of the spawner", || {
        all.iter().all(|pid| !is_alive(*pid)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_all_who_were_above_it_left_at_work_is_dead_before_the_first_command_starts() {
    for company in ["among", "alone"] {
        let (mut worker, orphans) = at_work(company).await;
        let (mut other, theirs) = at_work(company).await;
        kill_all_at_once(&mut worker).await;
        kill_all_at_once(&mut other).await;
        let (living, others) = at_work(company).await;
        assert!(orphans.iter().all(|pid| is_alive(*pid)), "{company}");

        let next = worker.start_again(WITNESS, company);
        let witness = until("a witness", || {
            std::fs::read_to_string(next.path("witness")).ok()
        })
        .await;
        assert_eq!(witness, "dead\n".repeat(FAMILY_SIZE), "{company}");
        // Of other folders, neither orphans nor those at work are touched.
        for pid in theirs.iter().chain(&others) {
            assert!(is_alive(*pid), "{company}: {pid} is of another folder");
        }
        drop((living, next));
        let last = other.start_again(WITNESS, company);
        until("another witness", || {
            last.path("witness").exists().then_some(())
        })
        .await;
        assert!(theirs.iter().all(|pid| !is_alive(*pid)), "{company}");
    }
}

#[tokio::test]
async fn a_worker_that_such_a_command_has_started_does_not_end_itself_or_whom_it_is_under() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // The shell stands for the command, and gives its mark and its group to the worker.
    let mut command = Command::new("sh")
        .args(["-c", r#""$@"; :"#, "sh"])
        .arg(env!("CARGO_BIN_EXE_goaround-sleeper"))
        .arg(spawner_command().program)
        .arg(folder.path())
        .args(["echo $PPID > spawner; sleep 600", "among"])
        .env("GOAROUND_RESULT", path("0000000000000001-7.result"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let spawner = pids_in(&path("spawner"), 1).await[0];
    let worker = parent_of(spawner);
    assert_eq!(parent_of(worker), command.id());
    signal(worker, Signal::KILL);
    command.wait().unwrap();
    until("the end of the spawner", || {
        (!is_alive(spawner)).then_some(())
    })
    .await;
}
