//! Remembers where a panic came from until the boundary that caught it asks.

use domain::outcome::Failure;
use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::panic::PanicHookInfo;

thread_local! {
    /// The hook and the boundary run on the same thread in the same poll, so this is never
    /// another attempt's panic.
    static LAST: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// Installs the panic hook that lets an OOPS name the place of a panic; the hook that was there
/// before still runs. Also pays for the first symbolised backtrace now, which takes 100 ms, so that
/// no arbiter pays for it later.
pub fn listen_to_panics() {
    let warm = std::thread::Builder::new().name("goaround-symbols".into());
    warm.spawn(|| Backtrace::force_capture().to_string().len())
        .ok(); // A cold start is only slower.
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
    let trace = Backtrace::force_capture().to_string();
    LAST.with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            *last = Some((place, trace));
        }
    });
}

/// What a caught panic means for the attempt.
pub(crate) fn failure(panic: &(dyn Any + Send)) -> Failure {
    let message = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".into());
    let (place, trace) = LAST.with(RefCell::take).unwrap_or_default();
    let message = if place.is_empty() {
        message
    } else {
        format!("{message} (at {place})")
    };
    Failure {
        trace,
        ..Failure::new("Panic", message)
    }
}
