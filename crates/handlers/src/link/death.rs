//! How a spawner came to its end, as far as its worker can know.

use domain::outcome::Exit;
use std::io;
use std::sync::Arc;
use wire::child::{BadFrame, Frames};

/// How a conversation came to its end.
#[derive(Debug)]
pub(crate) enum Farewell {
    /// Its process has ended; what is odd about the moment.
    Ended(String),
    /// Nothing that it says can be believed any more; why not.
    Unfit(String),
}

/// How a spawner died.
#[derive(Clone, Debug)]
pub(crate) struct Death {
    pub(crate) why: Arc<str>,
    /// How its process ended, unless that was our doing.
    pub(crate) exit: Option<Exit>,
}

impl Death {
    /// What is known when the process has been waited for.
    pub(crate) fn of(farewell: Farewell, exit: Option<Exit>) -> Self {
        match (farewell, exit) {
            (Farewell::Ended(oddity), Some(exit)) => Self {
                why: format!("it ended with {exit}{oddity}").into(),
                exit: Some(exit),
            },
            (Farewell::Ended(oddity), None) => Self {
                why: format!("it ended{oddity}").into(),
                exit: None,
            },
            (Farewell::Unfit(why), _) => Self {
                why: why.into(),
                exit: None,
            },
        }
    }
}

impl Farewell {
    /// Its process has ended, after these frames.
    pub(super) fn ended(was_greeted: bool, frames: &Frames) -> Self {
        Self::Ended(match (was_greeted, frames.finish()) {
            (false, _) => ", before it said hello: is it the right program?".into(),
            (true, Ok(())) => String::new(),
            (true, Err(error)) => format!(", in the middle of a reply: {error}"),
        })
    }
}

/// Whether this is what a socket says whose other end is gone.
pub(super) fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected)
}

/// What is said of a spawner that cannot be understood.
pub(super) fn nonsense(error: &BadFrame) -> String {
    format!("it talks nonsense: {error}")
}
