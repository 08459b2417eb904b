//! The same knowledge in small numbers. A fleet counts records, markers and time for as long as it
//! leads; whoever compares fleets, as the model of the protocol does, wants those to be equal that
//! will answer alike.

use super::clock::{Hearing, Position};
use super::{BEAT_EVERY, Fleet, GAP, LAPSE};
use crate::time::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

/// The number of the last marker afterwards; above all that may still be compared with it.
const LAST_MARKER: u64 = 1 << 20;

impl Fleet {
    /// Forgets everything about the past that can have no effect, and makes `now` the present.
    /// Returns by how much the numbers of the markers fell: those that are still on their way are
    /// to fall by the same.
    pub fn compact(&mut self, now: Timestamp) -> u64 {
        self.forget_answered();
        self.compact_positions();
        self.compact_times(now);
        self.compact_markers()
    }

    /// Only what comes before or after a question matters.
    fn compact_positions(&mut self) {
        if self.all_heard_after(self.floor) {
            self.floor = 0;
        }
        let mut after: BTreeSet<Position> = self.questions.values().copied().collect();
        after.insert(self.floor);
        // Odd numbers for what a beat must come after, even ones for what lies between.
        let even = |position: Position| (0u64..).step_by(2).zip(after.range(..position));
        let even = |position: Position| even(position).last().map_or(0, |(even, _)| even + 2);
        for question in self.questions.values_mut() {
            *question = even(*question) + 1;
        }
        let beats = self
            .workers
            .values_mut()
            .filter_map(|worker| worker.beat.as_mut());
        for beat in beats {
            beat.position = even(beat.position);
        }
        self.called = even(self.called.saturating_add(1));
        self.clock.read = even(Position::MAX);
        self.floor = even(self.floor) + 1;
    }

    fn compact_times(&mut self, now: Timestamp) {
        let then = self.clock.now;
        let aged = |at: Timestamp, matters: bool, longest: Duration| {
            let age = if matters {
                then.since(at).min(longest)
            } else {
                Duration::ZERO
            };
            now.minus(age)
        };
        let clock = &mut self.clock;
        clock.since = aged(clock.since, self.hearing == Hearing::Deaf, LAPSE);
        clock.read_at = aged(clock.read_at, true, GAP + BEAT_EVERY);
        clock.now = now;
        let is_awaited = self.markers.asked > self.markers.returned;
        self.markers.asked_at = aged(self.markers.asked_at, is_awaited, BEAT_EVERY);
        for worker in self.workers.values_mut() {
            let matters = worker.lapses_at().is_some();
            worker.heard_at = aged(worker.heard_at, matters, LAPSE);
            let earlier = worker.earlier_since;
            worker.earlier_since = earlier.map(|since| aged(since, true, LAPSE));
        }
    }

    fn compact_markers(&mut self) -> u64 {
        let fall = self.markers.asked.saturating_sub(LAST_MARKER);
        let fallen = |marker: u64| marker.saturating_sub(fall);
        let mut awaited = BTreeSet::new();
        for marker in self
            .workers
            .values_mut()
            .filter_map(|worker| worker.marker.as_mut())
        {
            *marker = fallen(*marker);
            awaited.insert(*marker);
        }
        for (_, marker) in &mut self.barrier.marked {
            *marker = fallen(*marker);
            awaited.insert(*marker);
        }
        if let Hearing::Marked(marker) = &mut self.hearing {
            *marker = fallen(*marker);
            awaited.insert(*marker);
        }
        let markers = &mut self.markers;
        let is_back = markers.asked == markers.returned;
        let returned = fallen(markers.returned);
        let next = awaited.range(returned + 1..).next();
        markers.returned = match next {
            _ if is_back => LAST_MARKER,
            Some(next) => next - 1,
            None => LAST_MARKER - 1,
        };
        markers.asked = fallen(markers.asked);
        markers.base = fallen(markers.base).max(LAST_MARKER / 2);
        fall
    }
}
