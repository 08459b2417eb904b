//! Spreads the desired state: whatever is newest in the books, in one place, so that an older
//! snapshot never follows a newer one.

use super::leading::Shared;
use super::term::Term;
use domain::ports::StoreError;
use std::time::Duration;
use tokio::time::sleep;

/// Without any news it is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Rumours of a change are gathered for so long: most of them are about something else.
const RUMOUR_REST: Duration = Duration::from_millis(100);
/// A worker that keeps to an older revision for so long has missed the newest. A broker that has
/// just started may even have confirmed it and lost it (seen on RabbitMQ 3.10).
const BEHIND_AFTER: Duration = Duration::from_secs(5);
/// It is spread again so often in any case: whoever has lost it finds it.
const AGAIN_EVERY: Duration = Duration::from_secs(60);

/// Spreads for ever; returns why it could not. What was to be spread is spread by the next run.
pub(crate) async fn run(shared: &Shared) -> String {
    loop {
        let term = shared.leads().await;
        if let Err(error) = spread(shared, &term).await {
            return format!("the desired state could not be spread: {error}");
        }
        tokio::select! {
            biased;
            _ = term.over() => {}
            () = shared.herald.notified() => {}
            () = shared.rumour.notified() => gather(shared).await,
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

/// Waits for more rumours; what is certain does not wait with them.
async fn gather(shared: &Shared) {
    tokio::select! {
        biased;
        () = shared.herald.notified() => {}
        () = sleep(RUMOUR_REST) => {}
    }
}

async fn spread(shared: &Shared, term: &Term) -> Result<(), StoreError> {
    let snapshot = shared.parts.catalog.snapshot().await?;
    let is_due = match term.last_spread() {
        None => true,
        Some((revision, _)) if snapshot.revision > revision => true,
        Some((revision, ago)) => {
            ago >= AGAIN_EVERY || (ago >= BEHIND_AFTER && term.is_behind(revision))
        }
    };
    if !is_due || term.is_over() {
        return Ok(());
    }
    shared.parts.road.spread(&snapshot).await?;
    term.spread(snapshot.revision);
    // A marker that is written from now on proves that nobody starts below this revision.
    term.question.notify_one();
    Ok(())
}
