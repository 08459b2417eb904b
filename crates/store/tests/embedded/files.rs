//! What the store says about files that it cannot use, and that it leaves them as they are.

use crate::support::{Bench, STAGES, SmallDisk, StillClock, try_open};
use domain::ports::{Broker, Catalog, Depth, Desk, Finding, StoreError};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use store::{Config, Embedded, OpenError};
use tempfile::TempDir;

fn open(path: &Path) -> Result<Embedded, OpenError> {
    try_open(Config::new(path), &STAGES, &Arc::new(StillClock::default()))
}

fn refused(path: &Path) -> String {
    match open(path) {
        Ok(_) => panic!("expected {} to be refused", path.display()),
        Err(error) => error.to_string(),
    }
}

/// A folder with some tickets in it, closed.
async fn filled() -> TempDir {
    let folder = TempDir::new().unwrap();
    let bench = Bench::at(folder.path(), |config| config);
    for _ in 0..200 {
        bench.submit(bench.ticket("build")).await;
    }
    bench.store.close();
    drop(bench);
    folder
}

#[tokio::test]
async fn a_second_process_is_refused_and_told_whose_folder_it_is() {
    let bench = Bench::new();
    let said = refused(&bench.path);
    let pid = std::process::id().to_string();
    assert!(said.contains(&bench.path.display().to_string()), "{said}");
    assert!(
        said.contains(&format!("process {pid} has it open")),
        "{said}"
    );
    bench.store.close();
    open(&bench.path).unwrap();
}

#[tokio::test]
async fn a_file_that_was_overwritten_is_refused_and_not_made_anew() {
    for name in ["books.db", "oopses.db"] {
        let folder = filled().await;
        let file = folder.path().join(name);
        std::fs::write(
            &file,
            b"this was a database once, long enough for a header".repeat(40),
        )
        .unwrap();
        let before = std::fs::read(&file).unwrap();
        let said = refused(folder.path());
        assert!(said.contains(name), "{said}");
        assert!(said.contains("restore it from a backup"), "{said}");
        assert_eq!(std::fs::read(&file).unwrap(), before);
    }
}

#[tokio::test]
async fn a_damaged_page_is_found_when_the_folder_is_opened() {
    let folder = filled().await;
    let path = folder.path().join("books.db");
    let mut file = std::fs::File::options().write(true).open(&path).unwrap();
    let pages = file.metadata().unwrap().len() / 4_096;
    assert!(pages > 10);
    for page in [pages / 2, pages - 1] {
        file.seek(SeekFrom::Start(page * 4_096)).unwrap();
        file.write_all(&[0xA5; 4_096]).unwrap();
    }
    drop(file);
    let said = refused(folder.path());
    assert!(
        said.contains("books.db: expected an intact database"),
        "{said}"
    );
}

#[tokio::test]
async fn a_file_that_was_cut_short_is_refused() {
    let folder = filled().await;
    let path = folder.path().join("books.db");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2 / 4_096 * 4_096)
        .unwrap();
    drop(file);
    let said = refused(folder.path());
    assert!(said.contains("expected an intact database"), "{said}");
}

#[tokio::test]
async fn a_file_of_a_newer_program_is_refused_with_both_versions() {
    let folder = filled().await;
    let db = rusqlite::Connection::open(folder.path().join("books.db")).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let said = refused(folder.path());
    assert!(said.contains("schema version 3 or older, got 99"), "{said}");
    assert!(said.contains("start that one"), "{said}");
}

#[tokio::test]
async fn another_programs_database_is_refused() {
    let folder = TempDir::new().unwrap();
    let db = rusqlite::Connection::open(folder.path().join("books.db")).unwrap();
    db.execute_batch("CREATE TABLE mine (id INTEGER); INSERT INTO mine VALUES (1)")
        .unwrap();
    drop(db);
    let said = refused(folder.path());
    assert!(said.contains("got another program's database"), "{said}");
    let db = rusqlite::Connection::open(folder.path().join("books.db")).unwrap();
    let kept: i64 = db
        .query_row("SELECT count(*) FROM mine", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_refused() {
    let Some(disk) = SmallDisk::mount("size=1m,ro") else {
        eprintln!("skipped: a_folder_that_cannot_be_written_is_refused: no right to mount");
        return;
    };
    let said = refused(&disk.path);
    assert!(
        said.contains("expected a folder that can be written"),
        "{said}"
    );
    assert!(said.contains("--data"), "{said}");
    let file = TempDir::new().unwrap();
    let path = file.path().join("file");
    std::fs::write(&path, b"x").unwrap();
    let said = refused(&path);
    assert!(
        said.contains("expected a folder that can be written"),
        "{said}"
    );
}

#[tokio::test]
async fn an_intent_file_that_cannot_be_read_is_kept_aside_and_told() {
    let folder = filled().await;
    std::fs::write(folder.path().join("intents"), b"\0\0\0\0 garbage").unwrap();
    let store = open(folder.path()).unwrap();
    let findings = store.check(Depth::Usual).await.unwrap();
    let finding = findings
        .iter()
        .find(|finding| finding.about == "intent file")
        .unwrap();
    assert!(!finding.is_fine);
    assert!(folder.path().join("intents.damaged").exists());
}

/// A store whose books were overwritten, all but the first page, while it runs.
async fn overwritten() -> Bench {
    let bench = Bench::new();
    for _ in 0..300 {
        bench.submit(bench.ticket("build")).await;
    }
    let path = bench.path.join("books.db");
    bench.store.close();
    let mut bench = bench;
    bench.reopen(&STAGES);
    let mut file = std::fs::File::options().write(true).open(&path).unwrap();
    let pages = file.metadata().unwrap().len() / 4_096;
    for page in 1..pages {
        file.seek(SeekFrom::Start(page * 4_096)).unwrap();
        file.write_all(&[0xA5; 4_096]).unwrap();
    }
    bench
}

#[tokio::test]
async fn damage_that_comes_while_it_runs_is_told_and_not_panicked_about() {
    let bench = overwritten().await;
    let error = bench
        .store
        .history(bench.ticket("build").id())
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
    assert!(error.to_string().contains("books.db"), "{error}");
}

fn of<'a>(findings: &'a [Finding], about: &str) -> &'a Finding {
    let found = findings.iter().find(|finding| finding.about == about);
    found.unwrap_or_else(|| panic!("nothing about {about}: {findings:?}"))
}

#[tokio::test]
async fn only_a_deep_look_reads_the_pages_and_finds_that_one_is_damaged() {
    let bench = overwritten().await;
    let usual = bench.store.check(Depth::Usual).await.unwrap();
    for about in ["books.db: integrity", "oopses.db: integrity"] {
        let finding = of(&usual, about);
        assert!(finding.is_fine, "{finding:?}");
        assert!(finding.seen.contains("were not read"), "{finding:?}");
        assert!(finding.seen.contains("doctor --deep"), "{finding:?}");
    }
    let deep = bench.store.check(Depth::Deep).await.unwrap();
    let damaged = of(&deep, "books.db: integrity");
    assert!(!damaged.is_fine && damaged.remedy.is_some(), "{damaged:?}");
    assert_eq!(
        of(&deep, "oopses.db: integrity").seen,
        "every page is intact"
    );
}

#[tokio::test]
async fn what_is_asked_after_the_close_is_refused() {
    let bench = Bench::new();
    let mut consumer = bench.consume("build", 1).await;
    bench.store.close();
    let error = bench
        .store
        .submit(vec![bench.ticket("build")])
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "the store is closed");
    let other = crate::support::stage("test");
    let refused = bench.store.consume(&other, std::num::NonZeroUsize::MIN);
    assert_eq!(
        refused.await.err().unwrap().to_string(),
        "the store is closed"
    );
    let ended = consumer
        .next(std::num::NonZeroUsize::MIN)
        .await
        .unwrap_err();
    assert_eq!(
        ended.to_string(),
        "the subscription to stage build ended: the store is closed"
    );
    bench.store.close();
}

#[tokio::test]
async fn a_healthy_store_finds_itself_healthy() {
    let bench = Bench::new();
    bench.submit(bench.ticket("build")).await;
    let findings = bench.store.check(Depth::Deep).await.unwrap();
    for about in [
        "books.db: integrity",
        "books.db: schema version",
        "oopses.db: integrity",
        "books.db: write-ahead log",
    ] {
        let finding = of(&findings, about);
        assert!(finding.is_fine, "{finding:?}");
    }
}
