//! The gates of stages that fail as a whole, and the permits that let one ticket through.

use super::{Post, Repairs};
use crate::postgres::fault::Fault;
use crate::postgres::rows;
use crate::postgres::working::{Steer, Working};
use crate::postgres::writing::execute;
use deadpool_postgres::Transaction;
use domain::control::{Gate, Permit};
use domain::names::{Holder, StageName, Version};
use domain::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::Row;

const GATES: &str = "SELECT stage, since, reason, permit, holder, is_used FROM gates
 WHERE stage = ANY($1)";
const SERVERS: &str = "SELECT DISTINCT holder FROM servers WHERE stage = $1
   AND (version = $2 OR NOT EXISTS (SELECT FROM servers WHERE stage = $1 AND version = $2))
 ORDER BY holder";
const USED: &str = "UPDATE gates SET is_used = $2 WHERE stage = $1";

/// A gate, as the table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::postgres) struct Gated {
    pub(super) since: Timestamp,
    pub(super) reason: String,
    /// The newest permit.
    pub(super) number: Option<u64>,
    /// Whose it is.
    pub(super) holder: Option<Holder>,
    /// Whether it was used.
    pub(super) is_used: bool,
}

impl Gated {
    pub(super) const fn shut(since: Timestamp, reason: String) -> Self {
        Self {
            since,
            reason,
            number: None,
            holder: None,
            is_used: false,
        }
    }

    /// The gate's row, from these columns: since, reason, permit, holder, is_used.
    pub(in crate::postgres) fn read(row: &Row, at: usize) -> Result<Self, Fault> {
        let holder: Option<&str> = row.try_get(at + 3)?;
        let number: Option<i64> = row.try_get(at + 2)?;
        Ok(Self {
            since: Timestamp::from_micros(row.try_get(at)?),
            reason: row.try_get(at + 1)?,
            number: number.map(i64::cast_unsigned),
            holder: holder
                .map(|holder| rows::parsed(holder, Holder::new))
                .transpose()?,
            is_used: row.try_get(at + 4)?,
        })
    }

    /// The same, as everybody keeps to it.
    pub(in crate::postgres) fn gate(&self) -> Gate {
        let permit = self.number.zip(self.holder.clone());
        Gate {
            since: self.since,
            reason: self.reason.clone(),
            permit: permit.map(|(number, holder)| Permit { number, holder }),
        }
    }
}

pub(super) async fn load(
    tx: &Transaction<'_>,
    stages: &[&str],
) -> Result<BTreeMap<StageName, Gated>, Fault> {
    let query = tx.prepare_cached(GATES).await?;
    let mut gates = BTreeMap::new();
    for row in tx.query(&query, &[&stages]).await? {
        let stage = rows::parsed(row.try_get(0)?, StageName::new)?;
        gates.insert(stage, Gated::read(&row, 1)?);
    }
    Ok(gates)
}

/// Who serves the stage: those with the wanted version, or everybody if none has it.
async fn servers(
    tx: &Transaction<'_>,
    stage: &StageName,
    wants: Option<&Version>,
) -> Result<Vec<Holder>, Fault> {
    let query = tx.prepare_cached(SERVERS).await?;
    let wants = wants.map_or("", Version::as_str);
    let rows = tx.query(&query, &[&stage.as_str(), &wants]).await?;
    let holder = |row: &Row| rows::parsed(row.try_get(0)?, Holder::new);
    rows.iter().map(holder).collect()
}

impl Repairs<'_> {
    /// The stage takes deliveries by permit only.
    pub(super) fn shut(&mut self, stage: &StageName, why: String) {
        let now = self.setting.now;
        if let Some(post) = self.posts.get_mut(stage) {
            post.gate.get_or_insert_with(|| Gated::shut(now, why));
        }
    }

    pub(super) fn open(&mut self, stage: &StageName) {
        if let Some(post) = self.posts.get_mut(stage) {
            post.gate = None;
        }
    }

    /// The same of a stage that has no breakers any more.
    pub(super) fn ungate(&mut self, stage: &StageName) {
        self.ungated.push(stage.clone());
    }

    /// Lets one process take one delivery. Nobody, if nobody serves the stage. They take turns:
    /// one that is alive may have no slot free for hours, while others idle.
    pub(super) async fn permit(
        &mut self,
        tx: &Transaction<'_>,
        stage: &StageName,
        wants: Option<&Version>,
    ) -> Result<(), Fault> {
        let servers = servers(tx, stage, wants).await?;
        let Some(post) = self.posts.get_mut(stage) else {
            return Ok(());
        };
        let turn = post.permits.checked_rem(servers.len() as u64);
        let turn = turn.and_then(|turn| usize::try_from(turn).ok());
        let holder = turn.and_then(|turn| servers.into_iter().nth(turn));
        let (Some(gate), Some(holder)) = (post.gate.as_mut(), holder) else {
            return Ok(());
        };
        post.permits += 1;
        post.is_touched = true;
        gate.number = Some(post.permits);
        gate.holder = Some(holder);
        gate.is_used = false;
        Ok(())
    }

    /// Whether a permit is out that its holder may still use.
    pub(super) async fn is_permitted(
        &self,
        tx: &Transaction<'_>,
        stage: &StageName,
    ) -> Result<bool, Fault> {
        let gate = self.posts.get(stage).and_then(|post| post.gate.as_ref());
        let Some(holder) = gate
            .filter(|gate| !gate.is_used)
            .and_then(|it| it.holder.as_ref())
        else {
            return Ok(false);
        };
        let servers: BTreeSet<Holder> = servers(tx, stage, None).await?.into_iter().collect();
        Ok(servers.contains(holder))
    }

    /// Writes down which gates are shut. What a worker must hear of raises the revision.
    pub(super) async fn save_gates(&mut self, tx: &Transaction<'_>) -> Result<(), Fault> {
        let mut working = Working::default();
        for stage in self.ungated.drain(..) {
            working.steer(Steer::Ungate(stage));
        }
        for (stage, post) in &mut self.posts {
            let Post {
                gate, stored_gate, ..
            } = post;
            let shown = |gate: &Option<Gated>| gate.as_ref().map(Gated::gate);
            if shown(gate) != shown(stored_gate) {
                working.steer(match gate {
                    Some(gate) => Steer::Gate(stage.clone(), gate.gate()),
                    None => Steer::Ungate(stage.clone()),
                });
            } else if let Some(gate) = gate
                && stored_gate.as_ref() != Some(&*gate)
            {
                execute(tx, USED, &[&stage.as_str(), &gate.is_used]).await?;
            }
            stored_gate.clone_from(gate);
        }
        if !working.steers.is_empty() {
            let written = working.write(tx, self.setting.shard).await?;
            self.done.control |= written.revision.is_some();
        }
        Ok(())
    }
}
