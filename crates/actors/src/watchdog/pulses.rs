//! What each worker last said of itself, and who has fallen silent.

use domain::control::Reach;
use domain::fleet::{Heartbeat, LAPSE};
use domain::names::{Holder, StageName};
use domain::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// The most workers that are kept apart; who was silent the longest goes first.
const WORKERS_MAX: usize = 16_384;
/// A worker that was silent for so long is forgotten: another incarnation works in its place.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);

/// The last heartbeat of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// What it said, but for the names of what it has in hand: they are most of it.
    pub beat: Heartbeat,
    /// How many tickets it had in hand.
    pub in_hand: usize,
    /// When it was heard.
    pub heard_at: Timestamp,
    /// Whether it has been silent for too long since.
    pub is_silent: bool,
}

/// Something that is worth a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    New(Heartbeat),
    /// With how many tickets in hand.
    Silent(Heartbeat, usize),
    Back(Heartbeat),
}

/// What each worker last said of itself.
#[derive(Default)]
pub(super) struct Pulses {
    workers: BTreeMap<Holder, Pulse>,
    /// Since when everybody who speaks is heard.
    listens_since: Option<Timestamp>,
}

impl Pulses {
    pub(super) fn hear(&mut self, beats: Vec<Heartbeat>, now: Timestamp) -> Vec<Turn> {
        let mut turns = Vec::new();
        for mut beat in beats {
            let in_hand = std::mem::take(&mut beat.in_hand).len();
            match self.workers.get(&beat.holder) {
                None => turns.push(Turn::New(beat.clone())),
                Some(pulse) if pulse.is_silent => turns.push(Turn::Back(beat.clone())),
                Some(_) => {}
            }
            self.make_room_for(&beat.holder);
            let pulse = Pulse {
                heard_at: now,
                is_silent: false,
                in_hand,
                beat,
            };
            self.workers.insert(pulse.beat.holder.clone(), pulse);
        }
        turns
    }

    /// Who has fallen silent since the last look.
    pub(super) fn look(&mut self, now: Timestamp) -> Vec<Turn> {
        let mut turns = Vec::new();
        for pulse in self.workers.values_mut() {
            if !pulse.is_silent && now.since(pulse.heard_at) >= LAPSE {
                pulse.is_silent = true;
                turns.push(Turn::Silent(pulse.beat.clone(), pulse.in_hand));
            }
        }
        let is_known = |pulse: &Pulse| now.since(pulse.heard_at) < FORGOTTEN_AFTER;
        self.workers.retain(|_, pulse| is_known(pulse));
        turns
    }

    /// How far this revision has come at each stage that a live worker serves. `None` as long as
    /// somebody who is alive may not have been heard yet.
    pub(super) fn reach(
        &self,
        revision: u64,
        now: Timestamp,
    ) -> Option<BTreeMap<StageName, Reach>> {
        let listens_since = self.listens_since?;
        if now.since(listens_since) < LAPSE {
            return None;
        }
        let mut reach = BTreeMap::new();
        let is_alive = |pulse: &&Pulse| now.since(pulse.heard_at) < LAPSE;
        for Pulse { beat, .. } in self.workers.values().filter(is_alive) {
            for stage in beat.stages.keys() {
                let at_stage = reach.entry(stage.clone());
                let at_stage = at_stage.or_insert_with(|| Reach::new(revision));
                at_stage.add(&beat.holder, beat.revision);
            }
        }
        Some(reach)
    }

    /// From now on nobody is heard.
    pub(super) const fn deafen(&mut self) {
        self.listens_since = None;
    }

    /// Nobody could be heard until now: silence begins anew for those who were not silent before.
    pub(super) fn excuse(&mut self, now: Timestamp) {
        self.listens_since = Some(now);
        let speaking = self.workers.values_mut().filter(|pulse| !pulse.is_silent);
        speaking.for_each(|pulse| pulse.heard_at = now);
    }

    pub(super) fn all(&self) -> Vec<Pulse> {
        self.workers.values().cloned().collect()
    }

    fn make_room_for(&mut self, holder: &Holder) {
        if self.workers.len() < WORKERS_MAX || self.workers.contains_key(holder) {
            return;
        }
        let oldest = self.workers.iter().min_by_key(|(_, pulse)| pulse.heard_at);
        if let Some(oldest) = oldest.map(|(holder, _)| holder.clone()) {
            self.workers.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::names::Version;
    use domain::ticket::{Name, TicketId};

    fn stage(name: &str) -> StageName {
        StageName::new(name).unwrap()
    }

    fn beat(holder: &str) -> Heartbeat {
        Heartbeat {
            holder: Holder::new(holder).unwrap(),
            hostname: "here".into(),
            stages: BTreeMap::new(),
            kinds: BTreeMap::new(),
            revision: 1,
            in_hand: Vec::new(),
        }
    }

    const fn second(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    #[test]
    fn a_worker_falls_silent_once_and_comes_back_once() {
        let mut pulses = Pulses::default();
        let (a, b) = (beat("a:1:1"), beat("b:1:1"));
        let new = vec![Turn::New(a.clone()), Turn::New(b.clone())];
        let busy = Heartbeat {
            in_hand: vec![Name::first(TicketId::from_bytes([1; 16]))],
            ..b.clone()
        };
        assert_eq!(pulses.hear(vec![a.clone(), busy], second(0)), new);
        assert_eq!(pulses.hear(vec![a.clone()], second(4)), vec![]);
        assert_eq!(pulses.look(second(7)), vec![Turn::Silent(b.clone(), 1)]);
        assert_eq!(pulses.look(second(8)), vec![]);
        let back = pulses.hear(vec![b.clone()], second(9));
        assert_eq!(back, vec![Turn::Back(b)]);
        assert_eq!(pulses.all().len(), 2);
    }

    fn serving(holder: &str, stages: &[&str], revision: u64) -> Heartbeat {
        let version = Version::new("1").unwrap();
        let stages = stages.iter().map(|name| stage(name));
        Heartbeat {
            stages: stages.map(|stage| (stage, version.clone())).collect(),
            revision,
            ..beat(holder)
        }
    }

    #[test]
    fn a_revision_is_applied_by_so_many_of_those_that_are_alive_and_who_lags_is_named() {
        let mut pulses = Pulses::default();
        pulses.excuse(second(0));
        let (build, test) = (stage("build"), stage("test"));
        let beats = vec![
            serving("a:1:1", &["build", "test"], 7),
            serving("b:1:1", &["build"], 6),
            serving("c:1:1", &["build"], 8),
        ];
        pulses.hear(beats, second(4));
        assert_eq!(pulses.reach(7, second(5)), None, "one may not be heard yet");
        let reach = pulses.reach(7, second(6)).unwrap();
        assert_eq!((reach[&build].by(), reach[&build].of), (2, 3));
        let behind = BTreeMap::from([(Holder::new("b:1:1").unwrap(), 6)]);
        assert_eq!(reach[&build].behind, behind);
        assert_eq!((reach[&test].by(), reach[&test].of), (1, 1));
        pulses.hear(vec![serving("b:1:1", &["build"], 7)], second(8));
        let reach = pulses.reach(7, second(10)).unwrap();
        assert_eq!((reach[&build].by(), reach[&build].of), (1, 1), "two lapsed");
        assert_eq!(reach.get(&test), None);
        pulses.deafen();
        assert_eq!(pulses.reach(7, second(11)), None, "nobody is heard");
        pulses.excuse(second(12));
        assert_eq!(pulses.reach(7, second(17)), None, "who lives is yet to say");
        let reach = pulses.reach(7, second(18)).unwrap();
        assert!(reach.is_empty(), "and nobody did");
    }

    #[test]
    fn nobody_falls_silent_because_the_watchdog_was_deaf() {
        let mut pulses = Pulses::default();
        pulses.hear(vec![beat("a:1:1")], second(0));
        pulses.excuse(second(100));
        assert_eq!(pulses.look(second(101)), vec![]);
        assert_eq!(pulses.look(second(106)).len(), 1);
        pulses.look(second(4_000));
        assert_eq!(pulses.all(), vec![], "forgotten in the end");
    }
}
