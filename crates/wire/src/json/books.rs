//! The sums over all tickets as JSON.

use domain::books::Balance;
use domain::time::Timestamp;
use domain::wait::Reason;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The key of what a stage's backlog has in the store. No reason is called so: stages cannot be
/// paused in this version, so no backlog is ever taken there, and none waits. It is told all the
/// same, so that nobody who reads the books need ask whether it is there.
const BACKLOG: &str = "backlog";

/// The books: every accepted ticket is in exactly one place, and the sums say whether it is so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceJson {
    /// Since when the tickets were accepted that these are the sums of; without it, of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// What publishers were told is accepted.
    pub accepted: u64,
    /// In the queues.
    pub runnable: u64,
    /// With workers.
    pub running: u64,
    /// In the store, by reason; every reason is listed, from 0, and the [`BACKLOG`].
    pub waiting: BTreeMap<String, u64>,
    /// Done for good.
    pub done: u64,
    /// Given up with a reason.
    pub dropped: u64,
    /// Whether the sums agree.
    pub balanced: bool,
}

impl BalanceJson {
    /// The sums in JSON's words, over what was accepted since, if they are.
    pub fn new(balance: &Balance, since: Option<Timestamp>) -> Self {
        Self {
            since: since.map(|since| since.to_string()),
            accepted: balance.accepted,
            runnable: balance.runnable,
            running: balance.running,
            waiting: waiting(balance),
            done: balance.done,
            dropped: balance.dropped,
            balanced: balance.is_balanced(),
        }
    }
}

fn waiting(balance: &Balance) -> BTreeMap<String, u64> {
    let mut waiting = by_reason(&balance.waiting);
    waiting.entry(BACKLOG.into()).or_insert(0);
    waiting
}

/// Every reason with its count, those that nothing waits for at 0.
pub(super) fn by_reason(counts: &BTreeMap<Reason, u64>) -> BTreeMap<String, u64> {
    let count = |reason: Reason| counts.get(&reason).copied().unwrap_or(0);
    Reason::ALL
        .into_iter()
        .map(|reason| (reason.to_string(), count(reason)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_from_zero() {
        let balance = Balance {
            accepted: 1,
            ..Balance::default()
        };
        let json = BalanceJson::new(&balance, None);
        let reasons = Reason::ALL.map(Reason::as_str);
        for key in reasons.into_iter().chain(["backlog"]) {
            assert!(json.waiting.contains_key(key), "{key}");
        }
        assert!(json.waiting.values().all(|count| *count == 0));
        assert!(!json.balanced);
    }
}
