//! Who was at work where, also of those that have died since: their reports name what they ran.

use domain::fleet::Heartbeat;
use domain::names::{Holder, Kind, StageName, Version};
use domain::oops::Scene;
use domain::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

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
    kinds: BTreeMap<StageName, BTreeSet<Kind>>,
    /// The last version of each stage that it ever served: what it had started does not change
    /// because its handler's file went away.
    last: BTreeMap<StageName, Version>,
}

impl Crew {
    /// Returns whether somebody is new, or serves something else than before.
    pub(crate) fn hear(&mut self, beat: &Heartbeat, now: Timestamp) -> bool {
        if let Some(member) = self.members.get_mut(&beat.holder) {
            member.heard_at = now;
            let is_news = member.stages != beat.stages || member.kinds != beat.kinds;
            if is_news {
                member.stages.clone_from(&beat.stages);
                member.kinds.clone_from(&beat.kinds);
                member.last.extend(beat.stages.clone());
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
            kinds: beat.kinds.clone(),
            last: beat.stages.clone(),
        };
        self.members.insert(beat.holder.clone(), member);
        true
    }

    /// Whether it has been heard.
    pub(crate) fn has(&self, holder: &Holder) -> bool {
        self.members.contains_key(holder)
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
            version: member.last.get(stage)?.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_there_is_known_when_its_file_has_gone() {
        let (holder, stage) = (Holder::new("a").unwrap(), StageName::new("build").unwrap());
        let version = Version::new("1").unwrap();
        let mut beat = Heartbeat {
            holder: holder.clone(),
            hostname: "host".into(),
            stages: BTreeMap::from([(stage.clone(), version.clone())]),
            kinds: BTreeMap::new(),
            revision: 1,
            in_hand: Vec::new(),
        };
        let mut crew = Crew::default();
        assert!(crew.hear(&beat, Timestamp::EPOCH));
        beat.stages.clear();
        assert!(crew.hear(&beat, Timestamp::EPOCH), "that is news");
        assert_eq!(crew.scene(&holder, &stage).unwrap().version, version);
    }
}
