//! Verdicts, carried out.

use super::burial::JUDGED;
use super::{Books, deaths};
use crate::codes::Count;
use crate::postgres::fault::Fault;
use crate::postgres::keys;
use crate::postgres::partitions::HISTORY;
use crate::postgres::repairs::{self, Repairs};
use crate::postgres::rows::{Barrier, Placed};
use crate::postgres::submit::LEDGER_SHARD;
use crate::postgres::working::{Steer, Working};
use domain::books::{Fact, Line};
use domain::breaker::{Attempt, End};
use domain::names::Holder;
use domain::oops::Span;
use domain::verdict::Verdict;
use domain::wait::{Condition, Reason, Wait};
use std::collections::BTreeSet;

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
        let stages = BTreeSet::new();
        let mut repairs = Repairs::take(&tx, self.setting(now), stages).await?;
        let ids = verdicts.iter().map(|verdict| verdict.of.ticket).collect();
        let working = Working::load(&tx, ids).await?;
        let stage = |verdict: &Verdict| Some(working.get(verdict.of.ticket)?.stage.clone());
        let stages = verdicts.iter().filter_map(stage).collect();
        repairs.load_more(&tx, stages).await?;
        let open = |verdict: &Verdict| working.open_attempt(&verdict.of);
        let open = verdicts.iter().filter_map(open);
        let dead: BTreeSet<Holder> = open.map(|open| open.holder.clone()).collect();
        deaths::note(&tx, &dead, now).await?;
        let mut judging = Judging { working, repairs };
        let mut counted = 0;
        for verdict in verdicts {
            counted += u64::from(judging.carry_out(verdict));
        }
        let Judging {
            mut working,
            repairs,
        } = judging;
        if counted > 0 {
            keys::pass_on(&tx, &mut working, now).await?;
            working.write(&tx, LEDGER_SHARD).await?;
            deaths::forget_judged(&tx, &dead).await?;
            let repaired = repairs.finish(&tx).await?;
            tx.commit().await?;
            tracing::debug!(?repaired, "{counted} verdicts are carried out");
            self.wake();
        }
        Ok(counted)
    }
}

/// Verdicts that are being carried out.
struct Judging<'a> {
    working: Working,
    repairs: Repairs<'a>,
}

impl Judging<'_> {
    /// False when the books know better.
    fn carry_out(&mut self, verdict: &Verdict) -> bool {
        let Some(placed) = self.working.get(verdict.of.ticket) else {
            return false;
        };
        let reason = placed.reason();
        let is_judged = matches!(reason, Some(Reason::Suspect | Reason::Pending));
        let until = placed.wait.as_ref().and_then(|wait| wait.condition.until());
        if placed.name != verdict.of || !is_judged || !verdict.is_due(until) {
            return false;
        }
        let mut placed: Placed = placed.clone();
        let tried = self.tried(verdict);
        self.working.close(&verdict.of);
        if verdict.wait.oops.is_some() {
            let stage = placed.stage.as_str();
            self.working.count(stage, Count::AttemptsFailed, 1);
        }
        self.working.tell(Line {
            at: verdict.wait.since,
            name: verdict.of,
            stage: placed.stage.clone(),
            fact: Fact::Noted {
                what: JUDGED.into(),
                why: verdict.wait.because.clone(),
                oops: verdict.wait.oops,
            },
        });
        // Its breaker may hold it instead.
        placed.is_alone |= matches!(verdict.wait.condition, Condition::Trial { .. });
        let wait = self.heard(&mut placed, (verdict, tried));
        placed.put_waiting(verdict.name, wait);
        // A copy of a suspect may still be out there; a pending ticket is in the store only.
        if reason == Some(Reason::Suspect) && verdict.name.generation > verdict.of.generation {
            placed.barrier = Some(Barrier::New);
            self.working
                .steer(Steer::Fence(verdict.of.ticket, verdict.name.generation));
        }
        self.working.put(placed);
        true
    }

    /// The attempt that is judged, as breakers hear of it. One whose death is laid to nobody shows
    /// them nothing.
    fn tried(&self, verdict: &Verdict) -> Option<Attempt> {
        if verdict.died.is_some() {
            return verdict.died.clone();
        }
        verdict.wait.oops?;
        let open = self.working.open_attempt(&verdict.of)?;
        Some(Attempt {
            name: verdict.of,
            version: open.version.clone(),
            span: Span {
                started_at: open.started_at,
                ended_at: verdict.wait.since,
            },
            end: End::Nothing,
        })
    }

    /// Breakers hear of the attempt. Returns what its ticket waits for.
    fn heard(
        &mut self,
        placed: &mut Placed,
        (verdict, tried): (&Verdict, Option<Attempt>),
    ) -> Wait {
        let wait = verdict.wait.clone();
        let Some(attempt) = tried else {
            // It had not been started: it goes on as what it was.
            let names = (verdict.of, verdict.name);
            self.repairs.renamed(&placed.stage, names);
            return wait;
        };
        placed.avoid.clear();
        placed.signature = match &attempt.end {
            End::Failed(signature) => *signature,
            End::Landed | End::Rejected | End::Nothing | End::NotRun => None,
        };
        self.repairs.tell_plan(placed, (&attempt.end).into());
        let held_by = self.repairs.ended(&placed.stage, &attempt);
        let at = (verdict.name, &placed.stage);
        repairs::held(&mut self.working, at, (wait, held_by))
    }
}
