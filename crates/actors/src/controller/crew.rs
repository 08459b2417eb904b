//! Who was at work where, also of those that have died since: their reports name what they ran.

use domain::fleet::Heartbeat;
use domain::names::{Holder, StageName, Version};
use domain::oops::Scene;
use domain::time::Timestamp;
use std::collections::BTreeMap;

/// The most workers that are remembered; who was silent the longest goes first.
const CREW_MAX: usize = 4_096;

/// What workers last said of themselves.
#[derive(Default)]
pub(crate) struct Crew {
    members: BTreeMap<Holder, Member>,
}

struct Member {
    heard_at: Timestamp,
    hostname: String,
    stages: BTreeMap<StageName, Version>,
}

impl Crew {
    /// Returns whether somebody is new, or serves something else than before.
    pub(crate) fn hear(&mut self, beat: &Heartbeat, now: Timestamp) -> bool {
        if let Some(member) = self.members.get_mut(&beat.holder) {
            member.heard_at = now;
            let is_news = member.stages != beat.stages;
            if is_news {
                member.stages.clone_from(&beat.stages);
            }
            return is_news;
        }
        if self.members.len() >= CREW_MAX {
            self.forget_one();
        }
        let member = Member {
            heard_at: now,
            hostname: beat.hostname.clone(),
            stages: beat.stages.clone(),
        };
        self.members.insert(beat.holder.clone(), member);
        true
    }

    fn forget_one(&mut self) {
        let oldest = self
            .members
            .iter()
            .min_by_key(|(_, member)| member.heard_at);
        if let Some(holder) = oldest.map(|(holder, _)| holder.clone()) {
            self.members.remove(&holder);
        }
    }

    pub(crate) fn scene(&self, holder: &Holder, stage: &StageName) -> Option<Scene> {
        let member = self.members.get(holder)?;
        Some(Scene {
            holder: holder.clone(),
            hostname: member.hostname.clone(),
            version: member.stages.get(stage)?.clone(),
        })
    }
}
