//! Announces the versions of the handlers here, where workers and controller are one process.
//!
//! Replacing a handler's file is a deployment, and nobody says so: the files are looked at. A look
//! reads no more of a file than when it was changed, unless it was.

use super::ControllerSetup;
use domain::names::{StageName, Version};
use domain::ports::Serving;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// How often the handlers are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Announces for ever; returns why it could not. `news` is told that a round may have something
/// to do.
pub(super) async fn run(setup: &ControllerSetup, news: &Notify) -> String {
    let mut stages = setup.flows.stages().into_iter();
    let Some(versions) = setup.versions.as_ref() else {
        return std::future::pending().await; // The workers are elsewhere, and say it themselves.
    };
    if stages.all(|stage| stage.breaker.is_none()) {
        return std::future::pending().await; // Nobody asks.
    }
    let (mut told, mut seen) = (None, None);
    loop {
        let serving = serving(setup, versions());
        // A file that is still being written is seen in a new version with each look.
        let is_steady = told.is_none() || seen.as_ref() == Some(&serving);
        if is_steady && told.as_ref() != Some(&serving) {
            let now = setup.clock.now();
            if let Err(error) = setup.waits.serving(serving.clone(), now).await {
                return format!("the versions of the handlers could not be announced: {error}");
            }
            told = Some(serving.clone());
            news.notify_one();
        }
        seen = Some(serving);
        sleep(LOOK_EVERY).await;
    }
}

fn serving(setup: &ControllerSetup, versions: BTreeMap<StageName, Version>) -> Serving {
    let here = |(stage, version): (StageName, Version)| {
        let kinds = setup.flows.stage(&stage).and_then(|it| it.kinds.clone());
        let holders = BTreeMap::from([(setup.holder.clone(), kinds)]);
        (stage, BTreeMap::from([(version, holders)]))
    };
    versions.into_iter().map(here).collect()
}
