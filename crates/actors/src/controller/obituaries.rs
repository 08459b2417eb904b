//! How workers died, as far as their launchers have told.

use domain::names::Holder;
use domain::obituary::Obituary;
use domain::record::{Record, Said};
use std::collections::{HashMap, VecDeque};

/// The most that are remembered; the oldest goes first. A death is judged within seconds, and all
/// of them together are no larger than a few tickets.
const KEPT_MAX: usize = 256;

/// What the journal says of deaths. It is not kept over a change of the leader: what a new one
/// judges is told without details.
#[derive(Default)]
pub(crate) struct Obituaries {
    by_holder: HashMap<Holder, Obituary>,
    order: VecDeque<Holder>,
}

impl Obituaries {
    pub(crate) fn hear(&mut self, record: &Record) {
        let Said::Gone {
            holder,
            obituary: Some(obituary),
            ..
        } = &record.said
        else {
            return;
        };
        let bounded = (**obituary).clone().bounded();
        if self.by_holder.insert(holder.clone(), bounded).is_some() {
            return;
        }
        self.order.push_back(holder.clone());
        if self.order.len() > KEPT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_holder.remove(&oldest);
        }
    }

    pub(crate) fn of(&self, holder: &Holder) -> Option<Obituary> {
        self.by_holder.get(holder).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::outcome::Exit;
    use domain::time::Timestamp;

    fn gone(n: usize, has_obituary: bool) -> Record {
        let holder = Holder::new(&format!("worker/{n}")).unwrap();
        let obituary = Obituary {
            exit: Exit::Signal(9),
            began_at: Timestamp::EPOCH,
            died_at: Timestamp::EPOCH,
            memory_bytes_max: Some(n as u64),
            oom_kills: 0,
            last_words: "x".repeat(100_000),
        };
        Record {
            by: holder.clone(),
            at: Timestamp::EPOCH,
            said: Said::Gone {
                holder,
                why: "signal 9".into(),
                obituary: has_obituary.then(|| Box::new(obituary)),
            },
        }
    }

    fn memory_of(obituaries: &Obituaries, n: usize) -> Option<u64> {
        let holder = Holder::new(&format!("worker/{n}")).unwrap();
        obituaries.of(&holder)?.memory_bytes_max
    }

    #[test]
    fn a_death_without_details_says_nothing() {
        let mut obituaries = Obituaries::default();
        obituaries.hear(&gone(1, false));
        assert_eq!(memory_of(&obituaries, 1), None);
    }

    #[test]
    fn the_last_deaths_are_remembered_and_each_is_of_bounded_length() {
        let mut obituaries = Obituaries::default();
        for n in 0..KEPT_MAX + 3 {
            obituaries.hear(&gone(n, true));
            // A record may be repeated.
            obituaries.hear(&gone(n, true));
        }
        assert_eq!(memory_of(&obituaries, 2), None);
        assert_eq!(memory_of(&obituaries, 3), Some(3));
        assert_eq!(obituaries.by_holder.len(), KEPT_MAX);
        let longest = obituaries.by_holder.values().map(|it| it.last_words.len());
        assert!(longest.max() <= Some(Obituary::LAST_WORDS_BYTES_MAX));
    }
}
