//! Which stages can be served here, and by which version: asked of the handlers, whose code may
//! fail.

use crate::kept;
use crate::worker::lock;
use domain::names::{StageName, Version};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Asks every handler.
pub(crate) type Ask = Arc<dyn Fn() -> BTreeMap<StageName, Version> + Send + Sync>;

/// The versions, as they are now or as they were last known.
pub(crate) struct Versions {
    ask: Ask,
    known: Mutex<BTreeMap<StageName, Version>>,
    is_failing: AtomicBool,
}

impl Versions {
    pub(crate) fn new(ask: Ask) -> Self {
        Self {
            ask,
            known: Mutex::default(),
            is_failing: AtomicBool::new(false),
        }
    }

    /// Looks at the handlers. If one of them panics, what was known before holds: its neighbours
    /// go on, and this worker is not taken for dead.
    pub(crate) fn look(&self) -> BTreeMap<StageName, Version> {
        match catch_unwind(AssertUnwindSafe(|| (self.ask)())) {
            Ok(seen) => {
                self.is_failing.store(false, Ordering::Relaxed);
                lock(&self.known).clone_from(&seen);
                seen
            }
            Err(panic) => {
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    let why = kept::message(&*panic);
                    tracing::error!(
                        "a handler panicked when it was asked for its version, the versions last \
                         known are kept to: {why}"
                    );
                }
                lock(&self.known).clone()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_handler_that_panics_leaves_what_was_known() {
        let looks = AtomicUsize::new(0);
        let stage = StageName::new("build").unwrap();
        let name = stage.clone();
        let versions = Versions::new(Arc::new(move || {
            let look = looks.fetch_add(1, Ordering::Relaxed);
            assert!(look != 1, "it cannot be inspected");
            BTreeMap::from([(name.clone(), Version::new(&look.to_string()).unwrap())])
        }));
        let seen: Vec<String> = (0..3)
            .map(|_| versions.look()[&stage].to_string())
            .collect();
        assert_eq!(seen, ["0", "0", "2"]);
    }
}
