//! The desired state: one row, one snapshot, and everybody who follows it.

use crate::error::Fault;
use crate::queues::Queues;
use domain::control::{Change, Gate, Hold, Permit, Snapshot};
use domain::names::{Holder, StageName, Version};
use domain::oops::OopsId;
use domain::ticket::{Generation, TicketId};
use domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The snapshot as the writer has it, and the last one that is durable.
pub(crate) struct Control {
    snapshot: Snapshot,
    /// The fences in the order in which they came, the oldest first.
    fences: Vec<(TicketId, Generation)>,
    durable: (Snapshot, Vec<(TicketId, Generation)>),
    is_changed: bool,
    followers: watch::Sender<Snapshot>,
}

impl Control {
    /// Reads the row. Holds do not outlive a start: the handler may have been replaced meanwhile,
    /// and one that still cannot be started is held again by its first ticket.
    pub(crate) fn open(db: &Connection) -> Result<Self, Fault> {
        let (mut snapshot, fences) = read(db)?;
        let is_changed = !snapshot.holds.is_empty();
        if is_changed {
            snapshot.holds.clear();
            snapshot.revision += 1;
        }
        let (followers, _) = watch::channel(snapshot.clone());
        let mut control = Self {
            durable: (snapshot.clone(), fences.clone()),
            snapshot,
            fences,
            is_changed,
            followers,
        };
        control.save(db)?;
        control.is_changed = false;
        Ok(control)
    }

    /// Where each new snapshot can be seen once it is durable.
    pub(crate) fn follow(&self) -> watch::Receiver<Snapshot> {
        self.followers.subscribe()
    }

    /// The snapshot, as far as this transaction has brought it.
    pub(crate) const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(crate) fn change(&mut self, change: &Change) {
        let is_new = match change {
            Change::Hold(stage, hold) => {
                let before = self.snapshot.holds.insert(stage.clone(), hold.clone());
                before.as_ref() != Some(hold)
            }
            Change::Unhold(stage) => self.snapshot.holds.remove(stage).is_some(),
            Change::RollCall => true,
        };
        if is_new {
            self.touch();
        }
    }

    /// Shuts the gate of a stage, gives a permit for it, or opens it.
    pub(crate) fn gate(&mut self, stage: StageName, gate: Option<Gate>) {
        let gates = &mut self.snapshot.gates;
        let is_new = match gate {
            Some(gate) => gates.insert(stage, gate.clone()) != Some(gate),
            None => gates.remove(&stage).is_some(),
        };
        if is_new {
            self.touch();
        }
    }

    /// Nothing older than this generation of the ticket may run any more.
    pub(crate) fn fence(&mut self, ticket: TicketId, generation: Generation) {
        self.fences.retain(|(fenced, _)| *fenced != ticket);
        self.fences.push((ticket, generation));
        self.snapshot.fences.insert(ticket, generation);
        while self.fences.len() > Snapshot::FENCES_MAX {
            let (oldest, _) = self.fences.remove(0);
            self.snapshot.fences.remove(&oldest);
        }
        self.touch();
    }

    const fn touch(&mut self) {
        if !self.is_changed {
            self.snapshot.revision += 1;
            self.is_changed = true;
        }
    }

    /// Writes the row, if this transaction has changed it.
    pub(crate) fn save(&self, db: &Connection) -> Result<(), Fault> {
        if !self.is_changed {
            return Ok(());
        }
        let body = Body::of(&self.snapshot, &self.fences);
        let body = serde_json::to_string(&body).map_err(|error| Fault::row("control", error))?;
        db.prepare_cached(
            "INSERT INTO control (one, revision, body) VALUES (1, ?1, ?2)
             ON CONFLICT (one) DO UPDATE SET revision = excluded.revision, body = excluded.body",
        )?
        .execute(params![self.snapshot.revision.cast_signed(), body])?;
        Ok(())
    }

    /// The transaction is durable: everybody is told. The followers come first, because a queue
    /// that is made meanwhile begins with what they see (`broker::consume`); whoever asked for the
    /// change is answered only after the queues.
    pub(crate) fn tell(&mut self, queues: &Queues) {
        if !std::mem::take(&mut self.is_changed) {
            return;
        }
        self.durable = (self.snapshot.clone(), self.fences.clone());
        self.followers.send_replace(self.snapshot.clone());
        for queue in queues.all() {
            queue.set(door(&self.snapshot, &queue.stage));
        }
    }

    /// The transaction was undone.
    pub(crate) fn undo(&mut self) {
        (self.snapshot, self.fences) = self.durable.clone();
        self.is_changed = false;
    }
}

/// What may be taken from a stage's queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Door {
    /// Whatever there is.
    #[default]
    Open,
    /// Nothing: the stage is on hold.
    Held,
    /// What somebody had before, and one ticket with the permit of this number; 0 is none.
    Gated(u64),
}

/// What may be taken from this stage's queue. There is one process here, so that a permit is
/// always for it.
pub(crate) fn door(snapshot: &Snapshot, stage: &StageName) -> Door {
    if snapshot.holds.contains_key(stage) {
        return Door::Held;
    }
    match snapshot.gates.get(stage) {
        Some(gate) => Door::Gated(gate.permit.as_ref().map_or(0, |permit| permit.number)),
        None => Door::Open,
    }
}

type Read = (Snapshot, Vec<(TicketId, Generation)>);

/// The row; before the first change there is none.
pub(crate) fn read(db: &Connection) -> Result<Read, Fault> {
    let row: Option<(i64, String)> = db
        .prepare_cached("SELECT revision, body FROM control WHERE one = 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((revision, body)) = row else {
        return Ok(Read::default());
    };
    let body: Body = serde_json::from_str(&body).map_err(|error| Fault::row("control", error))?;
    body.into_snapshot(revision.cast_unsigned())
}

#[derive(Serialize, Deserialize)]
struct Body {
    holds: Vec<HoldRow>,
    #[serde(default)]
    gates: Vec<GateRow>,
    fences: Vec<(String, u32)>,
}

#[derive(Serialize, Deserialize)]
struct GateRow {
    stage: String,
    since: i64,
    reason: String,
    permit: Option<(u64, String)>,
}

#[derive(Serialize, Deserialize)]
struct HoldRow {
    stage: String,
    since: i64,
    reason: String,
    by: String,
    version: Option<String>,
    oops: Option<String>,
}

impl Body {
    fn of(snapshot: &Snapshot, fences: &[(TicketId, Generation)]) -> Self {
        let hold = |(stage, hold): (&StageName, &Hold)| HoldRow {
            stage: stage.to_string(),
            since: hold.since.as_micros(),
            reason: hold.reason.clone(),
            by: hold.by.clone(),
            version: hold.version.as_ref().map(Version::to_string),
            oops: hold.oops.as_ref().map(OopsId::to_string),
        };
        let gate = |(stage, gate): (&StageName, &Gate)| GateRow {
            stage: stage.to_string(),
            since: gate.since.as_micros(),
            reason: gate.reason.clone(),
            permit: gate
                .permit
                .as_ref()
                .map(|permit| (permit.number, permit.holder.to_string())),
        };
        Self {
            holds: snapshot.holds.iter().map(hold).collect(),
            gates: snapshot.gates.iter().map(gate).collect(),
            fences: fences
                .iter()
                .map(|(ticket, generation)| (ticket.to_string(), generation.0))
                .collect(),
        }
    }

    fn into_snapshot(self, revision: u64) -> Result<Read, Fault> {
        let mut snapshot = Snapshot {
            revision,
            ..Snapshot::default()
        };
        for row in self.holds {
            let (stage, hold) = row.into_hold()?;
            snapshot.holds.insert(stage, hold);
        }
        for row in self.gates {
            let (stage, gate) = row.into_gate()?;
            snapshot.gates.insert(stage, gate);
        }
        let mut fences = Vec::new();
        for (ticket, generation) in self.fences {
            let ticket = ticket
                .parse()
                .map_err(|error| Fault::row("a fence's ticket", error))?;
            fences.push((ticket, Generation(generation)));
        }
        snapshot.fences = fences.iter().copied().collect();
        Ok((snapshot, fences))
    }
}

impl GateRow {
    fn into_gate(self) -> Result<(StageName, Gate), Fault> {
        let bad = |error: &dyn std::fmt::Display| Fault::row("a gate", error);
        let permit = self.permit.map(|(number, holder)| {
            let holder = Holder::new(&holder);
            holder.map(|holder| Permit { number, holder })
        });
        let gate = Gate {
            since: Timestamp::from_micros(self.since),
            reason: self.reason,
            permit: permit.transpose().map_err(|error| bad(&error))?,
        };
        let stage = StageName::new(&self.stage).map_err(|error| bad(&error))?;
        Ok((stage, gate))
    }
}

impl HoldRow {
    fn into_hold(self) -> Result<(StageName, Hold), Fault> {
        let bad = |error: &dyn std::fmt::Display| Fault::row("a hold", error);
        let version = self.version.as_deref().map(Version::new).transpose();
        let oops = self.oops.as_deref().map(str::parse).transpose();
        let hold = Hold {
            since: Timestamp::from_micros(self.since),
            reason: self.reason,
            by: self.by,
            version: version.map_err(|error| bad(&error))?,
            oops: oops.map_err(|error| bad(&error))?,
        };
        let stage = StageName::new(&self.stage).map_err(|error| bad(&error))?;
        Ok((stage, hold))
    }
}
