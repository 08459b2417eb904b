//! Verdicts, carried out.

use super::Books;
use super::burial::JUDGED;
use crate::codes::Count;
use crate::postgres::fault::Fault;
use crate::postgres::keys;
use crate::postgres::partitions::HISTORY;
use crate::postgres::rows::{Barrier, Placed};
use crate::postgres::submit::LEDGER_SHARD;
use crate::postgres::working::{Steer, Working};
use domain::books::{Fact, Line};
use domain::verdict::Verdict;
use domain::wait::Reason;

impl Books {
    pub(super) async fn judge_once(&self, verdicts: &[Verdict]) -> Result<u64, Fault> {
        let now = self.now();
        let mut client = self.client().await?;
        let days = &self.store.shared.days;
        let times = verdicts.iter().map(|verdict| verdict.wait.since);
        days.cover(&client, HISTORY, times.chain([now]), now)
            .await?;
        let tx = self.begin(&mut client).await?;
        keys::lock(&tx).await?;
        let ids = verdicts.iter().map(|verdict| verdict.of.ticket).collect();
        let mut working = Working::load(&tx, ids).await?;
        let mut counted = 0;
        for verdict in verdicts {
            counted += u64::from(carry_out(&mut working, verdict));
        }
        if counted > 0 {
            keys::pass_on(&tx, &mut working, now).await?;
            working.write(&tx, LEDGER_SHARD).await?;
            tx.commit().await?;
            self.wake();
        }
        Ok(counted)
    }
}

/// False when the books know better.
fn carry_out(working: &mut Working, verdict: &Verdict) -> bool {
    let Some(placed) = working.get(verdict.of.ticket) else {
        return false;
    };
    let reason = placed.reason();
    let is_judged = matches!(reason, Some(Reason::Suspect | Reason::Pending));
    if placed.name != verdict.of || !is_judged {
        return false;
    }
    let mut placed: Placed = placed.clone();
    let wait = &verdict.wait;
    working.close(&verdict.of);
    if wait.oops.is_some() {
        working.count(placed.stage.as_str(), Count::AttemptsFailed, 1);
    }
    working.tell(Line {
        at: wait.since,
        name: verdict.of,
        stage: placed.stage.clone(),
        fact: Fact::Noted {
            what: JUDGED.into(),
            why: wait.because.clone(),
            oops: wait.oops,
        },
    });
    placed.put_waiting(verdict.name, wait.clone());
    // A copy of a suspect may still be out there; a pending ticket is in the store only.
    if reason == Some(Reason::Suspect) && verdict.name.generation > verdict.of.generation {
        placed.barrier = Some(Barrier::New);
        working.steer(Steer::Fence(verdict.of.ticket, verdict.name.generation));
    }
    working.put(placed);
    true
}
