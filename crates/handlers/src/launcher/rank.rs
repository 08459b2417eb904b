//! Whom the kernel kills first when memory has run out: the child, never its launcher.

use std::fs;

/// As far below the others as no child gets.
const LOWERED_BY: i32 = 500;
/// Above the launcher by so much where that may not step down. It is small beside what a large
/// process counts: the order between us and others is not ours to change.
const RAISED_BY: i32 = 20;
/// Below this the kernel would rather stop the whole machine.
const LOWEST: i32 = -999;
const HIGHEST: i32 = 1_000;

/// What we are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rank {
    /// What a child is to be scored; `None` where nobody scores.
    child: Option<i32>,
}

impl Rank {
    /// Steps down if we may.
    pub(super) fn take() -> Self {
        let usual: Option<i32> = fs::read_to_string(score_of("self"))
            .ok()
            .and_then(|text| text.trim().parse().ok());
        let child = usual.map(|usual| {
            let lowered = (usual - LOWERED_BY).max(LOWEST);
            match fs::write(score_of("self"), lowered.to_string()) {
                Ok(()) => usual,
                // Most users may not.
                Err(_) => (usual + RAISED_BY).min(HIGHEST),
            }
        });
        Self { child }
    }

    /// Puts a child, which has our score, where it is found before us.
    pub(super) fn put_before(self, pid: u32) {
        let Some(score) = self.child else { return };
        if let Err(error) = fs::write(score_of(&pid.to_string()), score.to_string()) {
            // It may have ended already.
            tracing::debug!("the child's score could not be set: {error}");
        }
    }
}

fn score_of(process: &str) -> String {
    format!("/proc/{process}/oom_score_adj")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_is_found_before_its_launcher() {
        let rank = Rank::take();
        let mut child = Command::new("/bin/sleep").arg("600").spawn().unwrap();
        rank.put_before(child.id());
        let score = |process: &str| -> i32 {
            let text = fs::read_to_string(score_of(process)).unwrap();
            text.trim().parse().unwrap()
        };
        let scores = (score("self"), score(&child.id().to_string()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(scores.0 < scores.1, "{scores:?}");
    }
}
