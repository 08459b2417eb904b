//! What each worker last said of itself, and who has fallen silent.

use domain::fleet::{Heartbeat, LAPSE};
use domain::names::Holder;
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
    /// What it said.
    pub beat: Heartbeat,
    /// When it was heard.
    pub heard_at: Timestamp,
    /// Whether it has been silent for too long since.
    pub is_silent: bool,
}

/// Something that is worth a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    New(Heartbeat),
    Silent(Heartbeat),
    Back(Heartbeat),
}

/// What each worker last said of itself.
#[derive(Default)]
pub(super) struct Pulses {
    workers: BTreeMap<Holder, Pulse>,
}

impl Pulses {
    pub(super) fn hear(&mut self, beats: Vec<Heartbeat>, now: Timestamp) -> Vec<Turn> {
        let mut turns = Vec::new();
        for beat in beats {
            match self.workers.get(&beat.holder) {
                None => turns.push(Turn::New(beat.clone())),
                Some(pulse) if pulse.is_silent => turns.push(Turn::Back(beat.clone())),
                Some(_) => {}
            }
            self.make_room_for(&beat.holder);
            let pulse = Pulse {
                heard_at: now,
                is_silent: false,
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
                turns.push(Turn::Silent(pulse.beat.clone()));
            }
        }
        let is_known = |pulse: &Pulse| now.since(pulse.heard_at) < FORGOTTEN_AFTER;
        self.workers.retain(|_, pulse| is_known(pulse));
        turns
    }

    /// Nobody could be heard until now: silence begins anew for those who were not silent before.
    pub(super) fn excuse(&mut self, now: Timestamp) {
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
        assert_eq!(pulses.hear(vec![a.clone(), b.clone()], second(0)), new);
        assert_eq!(pulses.hear(vec![a.clone()], second(4)), vec![]);
        assert_eq!(pulses.look(second(7)), vec![Turn::Silent(b.clone())]);
        assert_eq!(pulses.look(second(8)), vec![]);
        let back = pulses.hear(vec![b.clone()], second(9));
        assert_eq!(back, vec![Turn::Back(b)]);
        assert_eq!(pulses.all().len(), 2);
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
