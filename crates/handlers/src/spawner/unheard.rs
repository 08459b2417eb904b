//! What commands had come to that were killed with their worker. Nobody takes their replies any
//! more, but a launcher reads what we write to standard error, and tells it in the reports.

use super::house::lock;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use wire::child::{End, Invocation};

/// So many are told of: with more of them the worker's own last words would be pushed out.
const TOLD_MAX: usize = 16;
const LINE_CHARS_MAX: usize = 160;
/// A dying worker lets go of one thing after the other: so long before its end is seen, one of its
/// commands may have been killed for it.
const DYING_MAX: Duration = Duration::from_secs(1);

/// The last progress of the commands that were killed last.
#[derive(Debug, Default)]
pub(super) struct Unheard {
    lines: Mutex<VecDeque<(Instant, String)>>,
}

impl Unheard {
    /// Notes what this one had come to, if it ever said so itself. Whether only its attempt was
    /// given up, or the worker is going, is not known yet.
    pub(super) fn note(&self, invocation: &Invocation, end: &End) {
        let Some(line) = line(invocation, end) else {
            return;
        };
        let mut lines = lock(&self.lines);
        lines.push_back((Instant::now(), line));
        if lines.len() > TOLD_MAX {
            lines.pop_front();
        }
    }

    /// Tells of those that were killed because the worker went, which was seen at that time.
    pub(super) fn tell(&self, gone_at: Instant) {
        for line in self.killed_with(gone_at) {
            eprintln!("goaround spawner: {line}");
        }
    }

    fn killed_with(&self, gone_at: Instant) -> Vec<String> {
        let lines = std::mem::take(&mut *lock(&self.lines)).into_iter();
        let with = lines.filter(|(at, _)| *at + DYING_MAX >= gone_at);
        with.map(|(_, line)| line).collect()
    }
}

fn line(invocation: &Invocation, end: &End) -> Option<String> {
    let End::Ended(ended) = end else { return None };
    let progress = String::from_utf8_lossy(&ended.progress);
    let progress: String = progress
        .chars()
        .filter(|c| !c.is_control())
        .take(LINE_CHARS_MAX)
        .collect();
    let fact = |name: &str| {
        let mut env = invocation.env.iter();
        let found = env.find(|variable| variable.name == name.as_bytes());
        found.map_or_else(String::new, |own| {
            String::from_utf8_lossy(&own.value).into_owned()
        })
    };
    let (ticket, stage) = (fact("GOAROUND_TICKET_ID"), fact("GOAROUND_STAGE"));
    (!progress.is_empty()).then(|| {
        format!(
            "ticket {ticket} was at stage {stage} when its worker went; last progress: {progress}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use wire::child::{Ended, Variable};

    fn variable(name: &'static str, value: &'static str) -> Variable {
        Variable {
            name: Bytes::from_static(name.as_bytes()),
            value: Bytes::from_static(value.as_bytes()),
        }
    }

    fn killed_at(progress: &str) -> (Invocation, End) {
        let invocation = Invocation {
            env: vec![
                variable("GOAROUND_TICKET_ID", "0197"),
                variable("GOAROUND_STAGE", "build"),
            ],
            ..Invocation::default()
        };
        let ended = Ended {
            progress: Bytes::copy_from_slice(progress.as_bytes()),
            ..Ended::default()
        };
        (invocation, End::Ended(ended))
    }

    fn said(progress: &str) -> Option<String> {
        let (invocation, end) = killed_at(progress);
        line(&invocation, &end)
    }

    #[test]
    fn whose_progress_it_was_is_said_on_one_plain_line() {
        let line = said("\u{1b}3 of\t7").unwrap();
        assert_eq!(
            line,
            "ticket 0197 was at stage build when its worker went; last progress: 3 of7"
        );
        assert_eq!(said(""), None, "it never said anything");
        assert!(said(&"x".repeat(4_000)).unwrap().len() < 300);
    }

    #[test]
    fn who_was_given_up_long_before_is_not_told_of_and_of_many_only_the_last() {
        let unheard = Unheard::default();
        for n in 0..TOLD_MAX + 3 {
            let (invocation, end) = killed_at(&format!("step {n}"));
            unheard.note(&invocation, &end);
        }
        let told = unheard.killed_with(Instant::now());
        assert_eq!(told.len(), TOLD_MAX);
        assert!(told[0].ends_with("step 3"), "{told:?}");
        let (invocation, end) = killed_at("step 1");
        unheard.note(&invocation, &end);
        let later = Instant::now() + DYING_MAX * 2;
        assert_eq!(unheard.killed_with(later), Vec::<String>::new());
    }
}
