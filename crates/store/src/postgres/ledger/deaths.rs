//! In what company the dead died. How many attempts a holder had open is written down when its
//! death becomes known, since each verdict and each report closes one of them: the last to be
//! judged must not look as if it had been by itself.

use crate::postgres::fault::Fault;
use crate::postgres::writing::execute;
use deadpool_postgres::Transaction;
use domain::names::Holder;
use domain::time::Timestamp;
use domain::trial::Company;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// A holder may be judged before it is buried, and is buried more than once: the most counts.
const DIED: &str = "INSERT INTO deaths (holder, in_hand, at)
 SELECT holder, count(*), $2 FROM attempts WHERE holder = ANY($1) GROUP BY holder ORDER BY holder
 ON CONFLICT (holder) DO UPDATE SET in_hand = greatest(deaths.in_hand, excluded.in_hand)";
/// Of a holder that nobody was judged of yet, what is open is all that it had.
const IN_HAND: &str = "SELECT holder, max(n) FROM (
   SELECT holder, in_hand AS n FROM deaths WHERE holder = ANY($1)
   UNION ALL SELECT holder, count(*) FROM attempts WHERE holder = ANY($1) GROUP BY holder) known
 GROUP BY holder";
const OVER: &str = "DELETE FROM deaths d WHERE holder = ANY($1)
 AND NOT EXISTS (SELECT FROM attempts a WHERE a.holder = d.holder)";
const FORGET: &str = "DELETE FROM deaths d WHERE at < $1
 AND NOT EXISTS (SELECT FROM attempts a WHERE a.holder = d.holder)";

/// How long a death is kept at the least, should the last of its attempts be closed by others.
const KEPT: Duration = Duration::from_secs(3_600);

/// How many attempts each of these holders had open.
#[derive(Debug, Default)]
pub(super) struct InHand(HashMap<String, i64>);

impl InHand {
    pub(super) async fn of(
        tx: &Transaction<'_>,
        holders: &BTreeSet<Holder>,
    ) -> Result<Self, Fault> {
        let mut in_hand = HashMap::new();
        if holders.is_empty() {
            return Ok(Self(in_hand));
        }
        let query = tx.prepare_cached(IN_HAND).await?;
        for row in tx.query(&query, &[&names(holders)]).await? {
            in_hand.insert(row.try_get(0)?, row.try_get(1)?);
        }
        Ok(Self(in_hand))
    }

    /// In what company an attempt of the holder died that was open.
    pub(super) fn company(&self, holder: &Holder, alone: bool) -> Company {
        let in_hand = self.0.get(holder.as_str()).copied().unwrap_or(1);
        Company {
            beside: u32::try_from(in_hand.saturating_sub(1)).unwrap_or(0),
            alone,
        }
    }
}

/// Before the first of its attempts is closed: these are dead.
pub(super) async fn note(
    tx: &Transaction<'_>,
    holders: &BTreeSet<Holder>,
    now: Timestamp,
) -> Result<(), Fault> {
    if !holders.is_empty() {
        execute(tx, DIED, &[&names(holders), &now.as_micros()]).await?;
    }
    Ok(())
}

/// After some of their attempts were closed: of whom none is left nobody asks any more.
pub(super) async fn forget_judged(
    tx: &Transaction<'_>,
    holders: &BTreeSet<Holder>,
) -> Result<(), Fault> {
    if !holders.is_empty() {
        execute(tx, OVER, &[&names(holders)]).await?;
    }
    Ok(())
}

/// The same of all that died long ago.
pub(super) async fn forget_old(tx: &Transaction<'_>, now: Timestamp) -> Result<(), Fault> {
    execute(tx, FORGET, &[&now.minus(KEPT).as_micros()]).await?;
    Ok(())
}

fn names(holders: &BTreeSet<Holder>) -> Vec<&str> {
    holders.iter().map(Holder::as_str).collect()
}
