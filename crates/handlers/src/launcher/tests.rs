use super::*;
use crate::processes;

fn shell(line: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]);
    command
}

async fn launched(line: &str) -> Launched {
    let mut launcher = Launcher::start().unwrap();
    launcher.launch(shell(line)).await.unwrap()
}

#[tokio::test]
async fn a_child_that_dies_is_told_from_one_that_leaves() {
    for (line, death) in [
        ("exit 0", Death::Left(0)),
        ("exit 2", Death::Left(2)),
        ("exit 101", Death::Died(Exit::Status(101))),
        ("kill -KILL $$", Death::Died(Exit::Signal(9))),
        ("kill -ABRT $$", Death::Died(Exit::Signal(6))),
    ] {
        let launched = launched(line).await;
        assert_eq!(
            (launched.death, launched.was_asked),
            (death, false),
            "{line}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_started_is_an_error() {
    let mut launcher = Launcher::start().unwrap();
    let launched = launcher.launch(Command::new("/nowhere/at/all")).await;
    assert!(launched.is_err());
}

#[tokio::test]
async fn a_child_has_begun_when_it_says_so_even_at_its_end() {
    let mut launcher = Launcher::start().unwrap();
    for (line, has_begun) in [
        ("kill -URG $PPID; exit 0", true),
        ("exit 0", false),
        ("kill -URG $PPID; kill -KILL $$", true),
        ("kill -KILL $$", false),
    ] {
        let launched = launcher.launch(shell(line)).await.unwrap();
        assert_eq!(launched.has_begun, has_begun, "{line}");
    }
}

#[tokio::test]
async fn a_stop_that_comes_together_with_the_end_was_the_reason_for_it() {
    let mut launcher = Launcher::start().unwrap();
    for line in ["kill -TERM $PPID; exit 0", "kill -INT $PPID; kill -KILL $$"] {
        let launched = launcher.launch(shell(line)).await.unwrap();
        assert!(launched.was_asked, "{line}");
    }
}

#[tokio::test]
async fn the_dead_are_known_by_their_last_words_and_their_memory() {
    let mut launcher = Launcher::start().unwrap();
    let line = "echo first >&2; echo last >&2; kill -SEGV $$";
    let dead = launcher.launch(shell(line)).await.unwrap();
    assert_eq!(launcher.last_words(), "first\nlast\n");
    assert!(dead.memory_bytes_max > Some(100_000), "{dead:?}");
}

#[tokio::test]
async fn what_is_left_behind_has_its_say_as_well() {
    let mut launcher = Launcher::start().unwrap();
    let line = "{ read -r gone; echo 'nobody is left' >&2; } < pipe & exec 9> pipe; kill -KILL $$";
    let folder = tempfile::tempdir().unwrap();
    let mut command = shell(&format!("mkfifo pipe; {line}"));
    command.current_dir(folder.path());
    launcher.launch(command).await.unwrap();
    launcher.see_off(None).await;
    assert_eq!(launcher.last_words(), "nobody is left\n");
}

#[tokio::test]
async fn each_child_has_last_words_of_its_own() {
    let mut launcher = Launcher::start().unwrap();
    for word in ["one", "two"] {
        let line = format!("echo {word} >&2; kill -KILL $$");
        launcher.launch(shell(&line)).await.unwrap();
        assert_eq!(launcher.last_words(), format!("{word}\n"));
    }
}

#[tokio::test]
async fn an_errand_that_takes_too_long_is_killed() {
    let mut launcher = Launcher::start().unwrap();
    let errand = launcher.send(shell("exit 3"));
    let done = launcher.receive(errand, Duration::from_secs(60)).await;
    assert_eq!(done.unwrap().code(), Some(3));
    let errand = launcher.send(shell("exec sleep 600"));
    let slow = launcher.receive(errand, Duration::from_millis(50)).await;
    assert_eq!(slow.unwrap().signal(), Some(9));
}

#[tokio::test]
async fn an_errand_is_on_its_way_while_something_else_is_done_and_sees_when_that_is_over() {
    let mut launcher = Launcher::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (begun, done) = (folder.path().join("begun"), folder.path().join("done"));
    let mut command = shell("touch begun; read -r end; test -e done");
    command.current_dir(folder.path());
    let errand = launcher.send(command);
    let since = Instant::now();
    while !begun.exists() && since.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(begun.exists(), "the errand is not on its way");
    std::fs::write(&done, "").unwrap();
    let ended = launcher.receive(errand, Duration::from_secs(60)).await;
    assert_eq!(ended.unwrap().code(), Some(0));
}

#[tokio::test]
async fn what_comes_before_an_errand_is_received_takes_nothing_of_its_time() {
    let mut launcher = Launcher::start().unwrap();
    let patience = Duration::from_secs(1);
    let errand = launcher.send(shell("read -r end; exit 3"));
    std::thread::sleep(patience);
    let ended = launcher.receive(errand, patience).await;
    assert_eq!(ended.unwrap().code(), Some(3));
}

#[tokio::test]
async fn an_errand_hears_whether_all_before_it_was_done_or_its_launcher_went_away() {
    let mut launcher = Launcher::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let command = || {
        let mut command = shell("read -r word && touch word; touch over");
        command.current_dir(folder.path());
        command
    };
    let is_there = |name: &str| folder.path().join(name).exists();
    drop(launcher.send(command()));
    let since = Instant::now();
    while !is_there("over") && since.elapsed() < Duration::from_secs(60) {
        sleep(Duration::from_millis(1)).await;
    }
    assert!(is_there("over") && !is_there("word"));
    let errand = launcher.send(command());
    let ended = launcher.receive(errand, Duration::from_secs(60)).await;
    assert_eq!(ended.unwrap().code(), Some(0));
    assert!(is_there("word"));
}

#[tokio::test]
async fn an_errand_that_cannot_begin_is_an_error() {
    let mut launcher = Launcher::start().unwrap();
    let errand = launcher.send(Command::new("/nowhere"));
    launcher.see_off(Some(&errand)).await;
    let ended = launcher.receive(errand, Duration::from_secs(60)).await;
    assert!(ended.is_err());
}

#[tokio::test]
async fn those_left_behind_are_seen_off_beside_an_errand_that_has_ended_already() {
    let mut launcher = Launcher::start().unwrap();
    let dead = launcher.launch(shell("sleep 0.2 & kill -KILL $$")).await;
    assert_eq!(dead.unwrap().death, Death::Died(Exit::Signal(9)));
    let errand = launcher.send(shell("exit 3"));
    launcher.see_off(Some(&errand)).await;
    assert_eq!(processes::children(), [errand.pid().unwrap()], "not those");
    let ended = launcher.receive(errand, Duration::from_secs(60)).await;
    assert_eq!(
        ended.unwrap().code(),
        Some(3),
        "its end is still there to be seen"
    );
}

#[tokio::test]
async fn what_an_errand_says_is_nobody_s_last_word() {
    let mut launcher = Launcher::start().unwrap();
    let dead = launcher.launch(shell("echo last >&2; kill -KILL $$")).await;
    assert_eq!(dead.unwrap().death, Death::Died(Exit::Signal(9)));
    let errand = launcher.send(shell("echo connected >&2"));
    let ended = launcher.receive(errand, Duration::from_secs(60)).await;
    assert_eq!(ended.unwrap().code(), Some(0));
    assert_eq!(launcher.last_words(), "last\n");
}

#[tokio::test]
async fn a_pause_is_as_long_as_it_was_wanted() {
    let mut launcher = Launcher::start().unwrap();
    let pause = Duration::from_millis(20);
    let began = Instant::now();
    assert_eq!(launcher.rest(pause).await, Rested::Over);
    assert!(began.elapsed() >= pause);
}
