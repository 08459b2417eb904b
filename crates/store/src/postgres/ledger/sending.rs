//! What became of tickets on their way to the broker.

use super::Books;
use crate::postgres::fault::Fault;
use crate::postgres::keys::note;
use crate::postgres::partitions::HISTORY;
use crate::postgres::repairs::{Repairs, is_told, lock_readable};
use crate::postgres::rows::{Barrier, PUBLISHING, RUNNABLE, WAITING};
use crate::postgres::submit::{LEDGER_SHARD, SUBMITTED};
use crate::postgres::working::{Steer, Working};
use domain::ports::{Sent, StoreError};
use domain::ticket::{Name, TicketId};
use domain::time::Timestamp;
use domain::wait::{Condition, Wait};

const IN_DOUBT: &str = "whether it was published is not known; it goes on under a new generation";

impl Books {
    pub(super) async fn note_sent(&self, tickets: &[(Name, Sent)]) -> Result<(), Fault> {
        let now = self.now();
        let mut client = self.client().await?;
        let days = &self.store.shared.days;
        days.cover(&client, HISTORY, [now].into_iter(), now).await?;
        let tx = self.begin(&mut client).await?;
        let setting = self.setting(now);
        // Before any ticket is locked.
        let mut repairs = match tickets.iter().any(|(_, sent)| *sent == Sent::Doubtful) {
            true => Repairs::take_tripped(&tx, setting).await?,
            false => Repairs::none(setting),
        };
        let ids: Vec<TicketId> = tickets.iter().map(|(name, _)| name.ticket).collect();
        let mut working = lock_readable(&tx, &ids).await?;
        for (name, sent) in tickets {
            match sent {
                Sent::Begun => begin(&mut working, name, now)?,
                Sent::Confirmed => confirm(&mut working, name, now),
                Sent::Unsent => bring_back(&mut working, name),
                Sent::Doubtful => {
                    if is_publishing(&working, name) {
                        doubt((&mut working, &mut repairs), name.ticket, now);
                    }
                }
            }
        }
        working.write(&tx, LEDGER_SHARD).await?;
        repairs.finish(&tx).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn is_publishing(working: &Working, name: &Name) -> bool {
    let placed = working.get(name.ticket);
    placed.is_some_and(|placed| placed.name == *name && placed.state == PUBLISHING)
}

/// Nothing of the group is published if one ticket of it is not there any more: an order came
/// first, and the next look at what is due sees it.
fn begin(working: &mut Working, name: &Name, now: Timestamp) -> Result<(), Fault> {
    let moved = || {
        Fault::Said(StoreError::Unavailable(format!(
            "ticket {} was moved by somebody else before it was published; nothing was published, \
             it is looked at again",
            name.ticket
        )))
    };
    let placed = working.get_mut(name.ticket).ok_or_else(moved)?;
    let is_due = matches!(
        placed.wait.as_ref().map(|wait| &wait.condition),
        Some(Condition::Backoff { .. } | Condition::NotNow { .. } | Condition::Trial { .. })
    );
    if placed.name != *name || placed.state != WAITING || !is_due {
        return Err(moved());
    }
    placed.state = PUBLISHING;
    let why = match placed.wait.as_ref() {
        Some(wait) if wait.because == SUBMITTED || is_told(&wait.because) => return Ok(()),
        Some(wait) => released(&wait.condition),
        None => return Ok(()),
    };
    let stage = placed.stage.clone();
    working.tell(note((*name, stage), now, ("released", why)));
    Ok(())
}

const fn released(from: &Condition) -> &'static str {
    match from {
        Condition::Backoff { .. } => "its back-off is over",
        Condition::Trial { .. } => "its turn to be tried alone has come",
        _ => "the time it was put off to has come",
    }
}

/// Its first word may have been read before: then it is further already.
fn confirm(working: &mut Working, name: &Name, now: Timestamp) {
    if is_publishing(working, name)
        && let Some(placed) = working.get_mut(name.ticket)
    {
        placed.let_go(*name, RUNNABLE, now);
    }
}

/// It waits again as before.
fn bring_back(working: &mut Working, name: &Name) {
    if is_publishing(working, name)
        && let Some(placed) = working.get_mut(name.ticket)
    {
        placed.state = WAITING;
    }
}

/// Nobody knows whether it landed: it goes on under a new generation, behind a barrier. A canary
/// goes on as one, or its landing would show nothing.
fn doubt((working, repairs): (&mut Working, &mut Repairs<'_>), id: TicketId, now: Timestamp) {
    let Some(placed) = working.get_mut(id) else {
        return;
    };
    if placed.state != PUBLISHING {
        return;
    }
    let name = placed.name.renewed();
    repairs.renamed(&placed.stage, (placed.name, name));
    let wait = Wait {
        condition: Condition::NotNow { until: now },
        since: now,
        because: IN_DOUBT.into(),
        oops: placed.wait.as_ref().and_then(|wait| wait.oops),
    };
    placed.put_waiting(name, wait);
    placed.barrier = Some(Barrier::New);
    working.steer(Steer::Fence(id, name.generation));
}
