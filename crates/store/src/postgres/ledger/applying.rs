//! What the journal says is written into the books: a whole group in one transaction.

use super::Books;
use super::burial::JUDGED;
use super::hearing::{HANDED_BACK, Hearing};
use crate::postgres::fault::Fault;
use crate::postgres::keys;
use crate::postgres::partitions::HISTORY;
use crate::postgres::repairs::{Alert, Repairs};
use crate::postgres::rows;
use crate::postgres::submit::LEDGER_SHARD;
use crate::postgres::working::Working;
use deadpool_postgres::Transaction;
use domain::breaker::End;
use domain::flow::Flows;
use domain::names::StageName;
use domain::ports::Applied;
use domain::record::{Fate, Record, Said};
use domain::ticket::{Name, Ticket, TicketId};
use std::collections::{BTreeSet, HashSet};
use uuid::Uuid;

/// The attempts of these tickets whose end was told: a word about their beginning that is read
/// again must not open them again.
const TOLD: &str = "SELECT ticket, generation, hop, attempt FROM history
 WHERE ticket = ANY($1) AND (outcome IS NOT NULL OR what = ANY($2))";

impl Books {
    pub(super) async fn apply_once(&self, records: &[Record]) -> Result<Applied, Fault> {
        let shared = &self.store.shared;
        let now = self.now();
        let mut client = self.client().await?;
        let times = records.iter().filter_map(|record| match &record.said {
            Said::Ended(parted) => Some(parted.ended.as_ref()?.span.ended_at),
            _ => None,
        });
        let times = times.chain([now]);
        shared.days.cover(&client, HISTORY, times, now).await?;
        let (tx, alert) = self.begin_alert(&mut client).await?;
        if records
            .iter()
            .any(|record| is_keyed(&shared.flows, &record.said))
        {
            keys::lock(&tx).await?;
        }
        let setting = self.setting(now);
        let repairs = match at_risk(records, &alert) {
            Some(stages) => Repairs::take(&tx, setting, stages).await?,
            None => Repairs::none(setting),
        };
        let working = Working::load(&tx, tickets_of(records)).await?;
        let mut hearing = Hearing {
            told: told(&tx, &working, records).await?,
            working,
            applied: Applied::default(),
            flows: &shared.flows,
            now,
            repairs,
        };
        for record in records {
            hearing.hear(record);
        }
        let Hearing {
            mut working,
            mut applied,
            repairs,
            ..
        } = hearing;
        keys::pass_on(&tx, &mut working, now).await?;
        let has_waits = working.has_new_waits() || working.ends_trial();
        let written = working.write(&tx, LEDGER_SHARD).await?;
        let repaired = repairs.finish(&tx).await?;
        tx.commit().await?;
        applied.control = written.revision.is_some() || repaired.control;
        if has_waits || written.released > 0 || repaired.is_news {
            self.wake();
        }
        Ok(applied)
    }
}

/// The stages whose breakers must be in hand: something failed there, or something happened that
/// one of them waits for. `None` when no breaker and no plan can have anything to do with it.
fn at_risk(records: &[Record], alert: &Alert) -> Option<BTreeSet<StageName>> {
    let mut stages = BTreeSet::new();
    let mut has_ends = false;
    for record in records {
        let (stage, is_at_risk) = match &record.said {
            Said::Ended(parted) => {
                has_ends = true;
                let end = parted.ended.as_ref();
                let end = end.map(|ended| End::of(ended.outcome, ended.signature));
                (&parted.stage, matches!(end, Some(End::Failed(_))))
            }
            Said::Started(started) => (&started.stage, false),
            _ => continue,
        };
        if (is_at_risk || alert.stages.contains(stage)) && !stages.contains(stage) {
            stages.insert(stage.clone());
        }
    }
    (!stages.is_empty() || has_ends && alert.has_plans).then_some(stages)
}

fn is_keyed(flows: &Flows, said: &Said) -> bool {
    let unique = |stage: &StageName| keys::is_unique(flows, stage);
    match said {
        Said::Started(started) => unique(&started.stage),
        Said::Ended(parted) => unique(&parted.stage),
        Said::Suspect(ticket) => unique(&ticket.stage),
        Said::Arrived(arrived) => unique(&arrived.ticket.stage),
        Said::Fenced { stage, .. } => unique(stage),
        _ => false,
    }
}

/// Every ticket that the records are about.
fn tickets_of(records: &[Record]) -> Vec<TicketId> {
    let mut ids = Vec::with_capacity(records.len());
    for record in records {
        ids.extend(record.said.name().map(|name| name.ticket));
        if let Said::Ended(parted) = &record.said {
            ids.extend(parted.emits.iter().map(Ticket::id));
            if let Fate::Doubted(copies) = &parted.to {
                ids.extend(copies.iter().map(Ticket::id));
            }
        }
    }
    ids
}

/// A word about a beginning that comes late is most often one that is read again; whether it is
/// shows in the history.
async fn told(
    tx: &Transaction<'_>,
    working: &Working,
    records: &[Record],
) -> Result<HashSet<Name>, Fault> {
    let mut late: Vec<Uuid> = Vec::new();
    for record in records {
        if let Said::Started(started) = &record.said
            && let Some(placed) = working.get(started.name.ticket)
            && placed.name != started.name
            && working.open_attempt(&started.name).is_none()
        {
            late.push(started.name.ticket.uuid());
        }
    }
    let mut told = HashSet::new();
    if late.is_empty() {
        return Ok(told);
    }
    let query = tx.prepare_cached(TOLD).await?;
    let over = [JUDGED, HANDED_BACK];
    for row in tx.query(&query, &[&late, &over.as_slice()]).await? {
        let id = rows::ticket_id(&row, 0)?;
        told.insert(rows::name(&row, id, 1)?);
    }
    Ok(told)
}
