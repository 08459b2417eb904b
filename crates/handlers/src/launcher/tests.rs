use super::*;

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
    launcher.see_off().await;
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
    let patience = Duration::from_secs(60);
    let done = launcher.run(shell("exit 3"), || {}, patience).await;
    assert_eq!(done.unwrap().code(), Some(3));
    let patience = Duration::from_millis(50);
    let slow = launcher.run(shell("exec sleep 600"), || {}, patience).await;
    assert_eq!(slow.unwrap().signal(), Some(9));
}

#[tokio::test]
async fn an_errand_is_on_its_way_while_something_else_is_done_and_sees_when_that_is_over() {
    let mut launcher = Launcher::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (begun, done) = (folder.path().join("begun"), folder.path().join("done"));
    let mut errand = shell("touch begun; read -r end; test -e done");
    errand.current_dir(folder.path());
    let first = || {
        let since = Instant::now();
        while !begun.exists() && since.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(begun.exists(), "the errand is not on its way");
        std::fs::write(&done, "").unwrap();
    };
    let ended = launcher.run(errand, first, Duration::from_secs(60)).await;
    assert_eq!(ended.unwrap().code(), Some(0));
}

#[tokio::test]
async fn what_comes_before_an_errand_takes_nothing_of_its_time() {
    let mut launcher = Launcher::start().unwrap();
    let patience = Duration::from_secs(1);
    let first = || std::thread::sleep(patience);
    let errand = launcher.run(shell("read -r end; exit 3"), first, patience);
    assert_eq!(errand.await.unwrap().code(), Some(3));
}

#[tokio::test]
async fn what_comes_before_an_errand_is_done_also_when_that_cannot_begin() {
    let mut launcher = Launcher::start().unwrap();
    let mut is_done = false;
    let nobody = Command::new("/nowhere");
    let ended = launcher.run(nobody, || is_done = true, Duration::from_secs(60));
    assert!(ended.await.is_err());
    assert!(is_done);
}

#[tokio::test]
async fn a_pause_is_as_long_as_it_was_wanted() {
    let mut launcher = Launcher::start().unwrap();
    let pause = Duration::from_millis(20);
    let began = Instant::now();
    assert_eq!(launcher.rest(pause).await, Rested::Over);
    assert!(began.elapsed() >= pause);
}
