//! How a breaker's tickets are released.

use super::Scope;
use super::state::Proof;
use crate::plan::{Ramp, StopRule, Terms};

/// Too many failures, after a repair: beside the one that was repaired there may be others, and
/// those have breakers of their own.
const REPAIRED_PERCENT_MAX: u8 = 20;
/// Too many failures, of a kind that comes and goes.
const HEALED_PERCENT_MAX: u8 = 50;

/// On which terms these tickets are released after this proof.
pub(super) fn terms(scope: Scope, proof: Proof) -> Terms {
    let share = |percent_max| StopRule {
        percent_max,
        ..StopRule::default()
    };
    let (ramp, stop) = match (scope, proof) {
        // Its canary was the first step, and its own breaker sees when many in a row fail: a share
        // of poison among its tickets must not keep all others from running.
        (Scope::Stage, _) => (Ramp::of(&[10, 100]), share(100)),
        (Scope::Signature(_), Proof::Healed) => (Ramp::default(), share(HEALED_PERCENT_MAX)),
        (Scope::Signature(signature), Proof::Repaired) => {
            let same = Some(signature);
            let stop = StopRule {
                same,
                ..share(REPAIRED_PERCENT_MAX)
            };
            (Ramp::default(), stop)
        }
    };
    Terms {
        ramp,
        stop,
        ..Terms::default()
    }
}
