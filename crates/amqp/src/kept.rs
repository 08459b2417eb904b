//! Keeps tasks at work that nobody waits for: a panic in one, which is a bug, is told and ends
//! neither it for good nor its neighbours.

use futures_util::FutureExt;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::time::sleep;

/// How long after a panic a task begins anew.
const AGAIN: Duration = Duration::from_secs(1);

/// Runs what `task` makes until it ends by itself, and makes it anew after each panic. Whatever it
/// had in its own hands is lost with it.
pub(crate) async fn keep<Task>(what: &str, mut task: impl FnMut() -> Task)
where
    Task: Future<Output = ()>,
{
    while caught(what, task()).await.is_err() {
        sleep(AGAIN).await;
    }
}

/// Runs it; a panic is logged under this name.
///
/// # Errors
/// What the panic said.
pub(crate) async fn caught<T>(what: &str, task: impl Future<Output = T>) -> Result<T, String> {
    let ended = AssertUnwindSafe(task).catch_unwind().await;
    ended.map_err(|panic| {
        let why = message(&*panic);
        tracing::error!(task = what, "{what} panicked, a bug in goaround: {why}");
        why
    })
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_begins_anew_and_one_that_ends_does_not() {
        let runs = Cell::new(0);
        let task = || {
            runs.set(runs.get() + 1);
            let is_first = runs.get() < 3;
            async move { assert!(!is_first, "not yet") }
        };
        keep("a task", task).await;
        assert_eq!(runs.get(), 3);
    }

    #[tokio::test]
    async fn what_a_panic_says_is_told() {
        let caught = caught("a task", async { panic!("number {}", 7) });
        let caught: Result<(), String> = caught.await;
        assert_eq!(caught, Err("number 7".to_owned()));
    }
}
