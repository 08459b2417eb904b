//! Who serves each stage, with which version of its handler.

use super::Books;
use crate::postgres::fault::Fault;
use crate::postgres::partitions::HISTORY;
use crate::postgres::repairs::Repairs;
use crate::postgres::rows;
use crate::postgres::writing::execute;
use domain::names::StageName;
use domain::ports::Serving;
use domain::time::Timestamp;
use std::collections::BTreeSet;

/// The stages that somebody served when the leader last heard.
const KNOWN: &str = "SELECT stage FROM boards";
const FORGET: &str = "DELETE FROM servers";
const SERVE: &str = "INSERT INTO servers (stage, version, holder)
 SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING";

impl Books {
    /// Nobody else serves any stage. What breakers do about a new version is done at once: its
    /// canary is due when this returns.
    pub(super) async fn serves(&self, serving: &Serving, now: Timestamp) -> Result<(), Fault> {
        let mut client = self.client().await?;
        let days = &self.store.shared.days;
        days.cover(&client, HISTORY, [now].into_iter(), now).await?;
        let tx = self.begin(&mut client).await?;
        let mut repairs = Repairs::take(&tx, self.setting(now), BTreeSet::new()).await?;
        let mut stages: BTreeSet<StageName> = serving.keys().cloned().collect();
        for row in tx.query(KNOWN, &[]).await? {
            stages.insert(rows::parsed(row.try_get(0)?, StageName::new)?);
        }
        repairs.load_more(&tx, stages).await?;
        let (mut names, mut versions, mut holders) = (Vec::new(), Vec::new(), Vec::new());
        for (stage, by_version) in serving {
            for (version, by) in by_version {
                for holder in by {
                    names.push(stage.as_str());
                    versions.push(version.as_str());
                    holders.push(holder.as_str());
                }
            }
        }
        execute(&tx, FORGET, &[]).await?;
        execute(&tx, SERVE, &[&names, &versions, &holders]).await?;
        repairs.serving(serving);
        let repaired = repairs.finish(&tx).await?;
        tx.commit().await?;
        if repaired.is_news {
            self.wake();
        }
        Ok(())
    }
}
