//! Remembers where a panic came from until the boundary that caught it asks.

use domain::outcome::Failure;
use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::panic::PanicHookInfo;
use tokio::task::spawn_blocking;

thread_local! {
    /// The hook and the boundary run on the same thread in the same poll, so this is never
    /// another attempt's panic.
    static LAST: RefCell<Option<(String, Backtrace)>> = const { RefCell::new(None) };
}

/// Installs the panic hook that lets an OOPS name the place of a panic; the hook that was there
/// before still runs.
pub fn listen_to_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        remember(panic);
        before(panic);
    }));
}

fn remember(panic: &PanicHookInfo) {
    let place = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    // Only addresses for now: finding their names may take a tenth of a second.
    let trace = Backtrace::force_capture();
    LAST.with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            *last = Some((place, trace));
        }
    });
}

/// A panic that was caught.
pub(crate) struct Panic {
    /// What it said, and where.
    pub(crate) message: String,
    trace: Option<Backtrace>,
}

impl Panic {
    /// What the boundary on this thread has just caught.
    pub(crate) fn caught(panic: &(dyn Any + Send)) -> Self {
        let message = panic
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".into());
        match LAST.with(RefCell::take) {
            Some((place, trace)) => Self {
                message: format!("{message} (at {place})"),
                trace: Some(trace),
            },
            None => Self {
                message,
                trace: None,
            },
        }
    }

    /// What it means for the attempt. Finds the names of its frames, on a thread that has time for
    /// it: the arbiter has other attempts to see to.
    pub(crate) async fn failure(self) -> Failure {
        let named = spawn_blocking(move || self.trace.map(|trace| trace.to_string())).await;
        Failure {
            trace: named.ok().flatten().unwrap_or_default(),
            ..Failure::new("Panic", self.message)
        }
    }
}
