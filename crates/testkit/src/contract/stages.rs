//! The stages of every stand.

use super::stand::stage;
use domain::breaker;
use domain::flow::{Stage, Unique};
use domain::names::Kind;
use domain::retry::RetryPolicy;
use std::collections::BTreeSet;
use std::time::Duration;

/// The stages of every stand.
pub(super) fn stages() -> Vec<Stage> {
    let plain = |name| Stage {
        retry: RetryPolicy {
            first: Duration::from_secs(1),
            jitter: 0.0,
            ..RetryPolicy::default()
        },
        ..Stage::new(stage(name))
    };
    let solo = Stage {
        unique: Unique::ByKey,
        ..plain("solo")
    };
    let picky = Stage {
        kinds: Some(BTreeSet::from([Kind::new("nut").expect("it is plain")])),
        ..plain("picky")
    };
    let frail = Stage {
        breaker: Some(breaker::Rules::default()),
        ..plain("frail")
    };
    vec![plain("build"), plain("test"), solo, picky, frail]
}
