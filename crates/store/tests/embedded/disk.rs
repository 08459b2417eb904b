//! A full disk: everybody is told, nothing is half done, and it goes on by itself.

use crate::support::{Bench, SmallDisk, failed, fresh};
use domain::outcome::Outcome;
use domain::ports::{Broker, Catalog, Depth, Desk, Reporter, StoreError};
use domain::ticket::{Payload, Ticket};
use std::path::Path;

/// Fills the disk to the last byte, and takes that back when it is dropped.
struct Filler(std::path::PathBuf);

impl Filler {
    fn fill(disk: &Path) -> Self {
        let file = disk.join("filler");
        for size in [1_048_576, 4_096, 1] {
            let mut out = std::fs::File::options()
                .append(true)
                .create(true)
                .open(&file)
                .unwrap();
            while std::io::Write::write_all(&mut out, &vec![b'x'; size]).is_ok() {}
        }
        Self(file)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn heavy(bench: &Bench) -> Ticket {
    Ticket {
        payload: Payload::untyped(vec![b'x'; 64 * 1024]),
        ..bench.ticket("build")
    }
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_ends_by_itself() {
    let Some(disk) = SmallDisk::mount("size=16m") else {
        eprintln!("skipped: a_full_disk_loses_nothing_and_ends_by_itself: no right to mount");
        return;
    };
    let bench = Bench::at(&disk.path, |config| config);
    for _ in 0..20 {
        bench.submit(heavy(&bench)).await;
    }
    for _ in 0..120 {
        bench.submit(bench.ticket("test")).await;
    }
    let mut consumer = bench.consume("build", 10).await;
    let mut started = bench.start(fresh(&mut *consumer, 4).await).await;
    let before = bench.store.balance(None).await.unwrap();
    let filler = Filler::fill(&disk.path);

    let error = bench.store.submit(vec![heavy(&bench)]).await.unwrap_err();
    assert_eq!(error, StoreError::Full("books.db".into()));
    assert!(error.to_string().contains("free some space"), "{error}");

    let one = bench.settlement(started.remove(0), Outcome::done()).await;
    let two = bench.settlement(started.remove(0), Outcome::done()).await;
    let unsettled = bench.store.settle(vec![one, two]).await.unwrap_err();
    assert_eq!(unsettled.settlements.len(), 2, "the group comes back whole");
    assert!(
        matches!(unsettled.error, StoreError::Full(_)),
        "{unsettled:?}"
    );

    let performed = started.remove(0).performed(failed().into(), bench.now());
    let report = performed.to_report().unwrap();
    let error = bench.store.oopses().record(report).await.unwrap_err();
    assert!(matches!(error.0, StoreError::Full(_)), "{error:?}");

    // More records than the last page of the intent file has room for.
    let mut many = bench.consume("test", 120).await;
    let more = fresh(&mut *many, 120).await;
    let refused = bench
        .store
        .start(more, &bench.start_now())
        .await
        .unwrap_err();
    assert!(matches!(refused.error, StoreError::Full(_)), "{refused:?}");
    assert_eq!(refused.deliveries.len(), 120);

    let now = bench.store.balance(None).await.unwrap();
    assert_eq!((now.accepted, now.done), (before.accepted, 0));
    bench.assert_balanced().await;

    drop(filler);
    bench.store.settle(unsettled.settlements).await.unwrap();
    bench.start(refused.deliveries).await;
    bench.submit(heavy(&bench)).await;
    let now = bench.store.balance(None).await.unwrap();
    assert_eq!((now.accepted, now.done), (before.accepted + 1, 2));
    bench.assert_balanced().await;
    let findings = bench.store.check(Depth::Usual).await.unwrap();
    assert!(
        findings
            .iter()
            .any(|finding| finding.about.contains("free space"))
    );
}

#[tokio::test]
async fn a_disk_without_room_for_the_files_is_told_at_the_start() {
    let Some(disk) = SmallDisk::mount("size=64k") else {
        eprintln!(
            "skipped: a_disk_without_room_for_the_files_is_told_at_the_start: no right to mount"
        );
        return;
    };
    let clock = std::sync::Arc::new(crate::support::StillClock::default());
    let config = store::Config::new(&disk.path);
    let error = crate::support::try_open(config, &crate::support::STAGES, &clock)
        .err()
        .unwrap();
    assert!(error.to_string().contains("the disk is full"), "{error}");
    disk.remount("size=16m");
    let config = store::Config::new(&disk.path);
    crate::support::try_open(config, &crate::support::STAGES, &clock).unwrap();
}
