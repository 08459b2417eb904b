//! What tests of actors have in common.

use actix::System;

/// Runs a test on one arbiter whose time is driven.
pub(crate) fn driven(test: impl Future<Output = ()>) {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
    };
    System::with_tokio_rt(runtime).block_on(test);
}
