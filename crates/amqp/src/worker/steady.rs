//! What a worker says that it serves: what two looks in a row have seen.
//!
//! A handler's file that is being written is another version with each look, and one that is being
//! moved is not there for a moment. Whoever announced that would call for canaries that meet the
//! half of a file.

use domain::names::{StageName, Version};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Half a beat. Looks that are closer are one: after a stall two may come together, and both would
/// see the same half.
const APART: Duration = Duration::from_secs(1);

/// The stages that are served, and the version of each one's handler.
pub(crate) struct Steady {
    told: BTreeMap<StageName, Version>,
    seen: BTreeMap<StageName, Version>,
    seen_at: Instant,
}

impl Steady {
    /// At the start there is nothing that it could differ from.
    pub(crate) fn new(seen: BTreeMap<StageName, Version>) -> Self {
        Self {
            told: seen.clone(),
            seen,
            seen_at: Instant::now(),
        }
    }

    /// Another look: what it has seen like the last one is told from now on.
    pub(crate) fn look(&mut self, now: BTreeMap<StageName, Version>) {
        if self.seen_at.elapsed() < APART {
            return;
        }
        self.seen_at = Instant::now();
        for (stage, version) in &now {
            if self.seen.get(stage) == Some(version) {
                self.told.insert(stage.clone(), version.clone());
            }
        }
        let seen = &self.seen;
        self.told
            .retain(|stage, _| now.contains_key(stage) || seen.contains_key(stage));
        self.seen = now;
    }

    /// What is to be told.
    pub(crate) const fn told(&self) -> &BTreeMap<StageName, Version> {
        &self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    /// Stages and the versions that they are served with.
    type Versions<'a> = &'a [(&'a str, &'a str)];

    fn seen(all: Versions<'_>) -> BTreeMap<StageName, Version> {
        let one = |(stage, version): &(&str, &str)| {
            let version = Version::new(version).unwrap();
            (StageName::new(stage).unwrap(), version)
        };
        all.iter().map(one).collect()
    }

    /// Each look, and what is told after it.
    async fn check(looks: &[(Versions<'_>, Versions<'_>)]) {
        let mut steady = Steady::new(seen(&[("build", "1"), ("test", "1")]));
        for (look, told) in looks {
            advance(APART).await;
            steady.look(seen(look));
            assert_eq!(*steady.told(), seen(told), "after {look:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_being_written_is_told_when_it_stays_as_it_is() {
        let before: Versions<'_> = &[("build", "1"), ("test", "1")];
        let after: Versions<'_> = &[("build", "2"), ("test", "1")];
        check(&[
            (&[("build", "half"), ("test", "1")], before),
            (after, before),
            (after, after),
        ])
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_not_there_for_a_moment_has_not_gone() {
        let both: Versions<'_> = &[("build", "1"), ("test", "1")];
        let one: Versions<'_> = &[("test", "1")];
        check(&[(one, both), (both, both), (one, both), (one, one)]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_stage_does_keeps_no_other_back() {
        check(&[
            (
                &[("build", "half"), ("test", "2")],
                &[("build", "1"), ("test", "1")],
            ),
            (
                &[("build", "more"), ("test", "2")],
                &[("build", "1"), ("test", "2")],
            ),
            (&[("test", "2")], &[("build", "1"), ("test", "2")]),
        ])
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn two_looks_in_one_moment_are_one() {
        let mut steady = Steady::new(seen(&[("build", "1")]));
        advance(APART).await;
        for _ in 0..2 {
            steady.look(seen(&[("build", "half")]));
        }
        assert_eq!(*steady.told(), seen(&[("build", "1")]));
    }
}
