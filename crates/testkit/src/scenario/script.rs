//! Reads a scenario.

use super::Setting;
use crate::handler::Step;
use domain::names::{FlowName, StageName};
use domain::ports::Action;
use domain::time::parse_duration;
use domain::wait::Reason;
use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

/// A line of a scenario that cannot be read or does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadScenario {
    /// Which line, from 1.
    pub number: usize,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for BadScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.number, self.why)
    }
}

impl std::error::Error for BadScenario {}

/// A line that does or expects something.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verb {
    Submit { count: u64, to: String },
    Advance(Duration),
    Expect { count: u64, what: Count },
    ExpectTicket { ticket: usize, state: String },
    Order { ticket: usize, action: Action },
    Kill,
    Repair(String),
    ExplainAll,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Oopses,
    Done,
    Dropped,
    Runnable,
    Running,
    Waiting,
    WaitingFor(Reason),
}

pub(super) struct Scenario {
    pub(super) setting: Setting,
    pub(super) verbs: Vec<(usize, Verb)>,
}

pub(super) fn parse(text: &str) -> Result<Scenario, BadScenario> {
    let mut setting = Setting::default();
    let mut verbs = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let read = match describe(line, &mut setting) {
            Ok(true) => Ok(()),
            Ok(false) => verb(line).map(|verb| verbs.push((number, verb))),
            Err(why) => Err(why),
        };
        read.map_err(|why| BadScenario { number, why })?;
    }
    Ok(Scenario { setting, verbs })
}

/// Reads a line that describes the world; `false` when it is none.
fn describe(line: &str, setting: &mut Setting) -> Result<bool, String> {
    if let Some(rest) = line.strip_prefix("stage ") {
        add_stage(rest, setting)?;
    } else if let Some(rest) = line.strip_prefix("flow ") {
        add_flow(rest, setting)?;
    } else if let Some(rest) = line.strip_prefix("the handler of ") {
        direct(rest, setting)?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn add_stage(rest: &str, setting: &mut Setting) -> Result<(), String> {
    let mut words = rest.split_whitespace();
    let name = stage(words.next().unwrap_or_default())?;
    let (mut concurrency, mut deadline) = (NonZeroUsize::MIN, None);
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        match word {
            "concurrency" => concurrency = number(value)?,
            "deadline" => deadline = Some(length(value)?),
            other => return Err(expected("concurrency or deadline", other)),
        }
    }
    setting.add_stage(name, concurrency, deadline);
    Ok(())
}

fn add_flow(rest: &str, setting: &mut Setting) -> Result<(), String> {
    let (name, stops) = rest
        .split_once(':')
        .ok_or_else(|| expected("flow NAME: STAGE, STAGE", rest))?;
    let name = FlowName::new(name.trim()).map_err(|error| error.to_string())?;
    let stops = stops.split(',').map(|stop| stage(stop.trim()));
    setting.add_flow(name, stops.collect::<Result<_, _>>()?);
    Ok(())
}

/// `test crashes on attempt 1, 2` or `test fails always`.
fn direct(rest: &str, setting: &mut Setting) -> Result<(), String> {
    let (name, what) = rest.split_once(' ').unwrap_or((rest, ""));
    let name = stage(name)?;
    if !setting.has_stage(&name) {
        return Err(expected("a stage of this scenario", name.as_str()));
    }
    let (doing, attempts) = match what.split_once(" on attempt ") {
        Some((doing, attempts)) => (doing, numbers(attempts)?),
        None => {
            let always = what.strip_suffix(" always");
            let doing = always.ok_or_else(|| expected("on attempt N, or always", what))?;
            (doing, Vec::new())
        }
    };
    setting.direct(name, step(doing)?, &attempts);
    Ok(())
}

fn step(doing: &str) -> Result<Step, String> {
    if let Some(rest) = doing.strip_prefix("takes ") {
        return Ok(Step::After(length(rest)?, Box::new(Step::Done)));
    }
    if let Some(rest) = doing.strip_prefix("waits for a call-back for ") {
        return Ok(Step::Pending(length(rest)?));
    }
    Ok(match doing {
        "fails" => Step::Fail,
        "rejects" => Step::Reject,
        "crashes" => Step::Crash,
        "panics" => Step::Panic,
        "hangs" => Step::Deaf,
        "is not ready" => Step::NotNow(None),
        "cannot be started" => Step::Unstartable,
        other => return Err(expected("what a handler can do, such as fails", other)),
    })
}

fn verb(line: &str) -> Result<Verb, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Ok(match words.as_slice() {
        ["submit", count, "to", to] => Verb::Submit {
            count: number(count)?,
            to: (*to).into(),
        },
        ["advance", lengths @ ..] => Verb::Advance(length(&lengths.join(" "))?),
        ["expect", "ticket", ticket, "is", state] => Verb::ExpectTicket {
            ticket: number(ticket)?,
            state: (*state).into(),
        },
        ["expect", count, what] => Verb::Expect {
            count: number(count)?,
            what: counted(what)?,
        },
        ["retry", "ticket", ticket] => order(ticket, Action::Retry)?,
        ["cancel", "ticket", ticket] => order(ticket, Action::Cancel)?,
        ["drop", "ticket", ticket, "because", why @ ..] => {
            order(ticket, Action::Drop(why.join(" ")))?
        }
        ["kill", "the", "process"] => Verb::Kill,
        ["repair", "the", "handler", "of", stage] => Verb::Repair((*stage).into()),
        ["explain", "every", "ticket"] => Verb::ExplainAll,
        _ => return Err(expected("a line such as: submit 3 to ci", line)),
    })
}

fn order(ticket: &str, action: Action) -> Result<Verb, String> {
    let ticket = number(ticket)?;
    Ok(Verb::Order { ticket, action })
}

fn counted(what: &str) -> Result<Count, String> {
    Ok(match what {
        "oops" | "oopses" => Count::Oopses,
        "done" => Count::Done,
        "dropped" => Count::Dropped,
        "runnable" => Count::Runnable,
        "running" => Count::Running,
        "waiting" => Count::Waiting,
        other => match Reason::parse(other) {
            Some(reason) => Count::WaitingFor(reason),
            None => return Err(expected("a state, a wait's reason, or oopses", other)),
        },
    })
}

fn stage(name: &str) -> Result<StageName, String> {
    StageName::new(name).map_err(|error| error.to_string())
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| expected("a number", word))
}

fn numbers(words: &str) -> Result<Vec<usize>, String> {
    words.split(',').map(|word| number(word.trim())).collect()
}

fn length(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

fn expected(what: &str, got: &str) -> String {
    format!("expected {what}, got {got:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_read_in_the_users_words() {
        let scenario = parse(
            "stage build concurrency 2
             stage test deadline 5s
             flow ci: build, test
             the handler of test crashes on attempt 1, 3
             # then
             submit 3 to ci
             advance 2m 30s
             expect 3 done
             expect 1 oops
             expect ticket 2 is backoff
             drop ticket 1 because it is a duplicate",
        )
        .unwrap();
        let flows = scenario.setting.flows().unwrap();
        assert_eq!(flows.stages().len(), 2);
        assert_eq!(scenario.verbs.len(), 6);
        assert_eq!(
            scenario.verbs[1],
            (7, Verb::Advance(Duration::from_secs(150)))
        );
        let drop = Verb::Order {
            ticket: 1,
            action: Action::Drop("it is a duplicate".into()),
        };
        assert_eq!(scenario.verbs[5], (11, drop));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let why = |text| parse(text).err().unwrap().to_string();
        assert_eq!(
            why("stage build\nsubmit three to ci"),
            "line 2: expected a number, got \"three\""
        );
        assert_eq!(
            why("the handler of build fails always"),
            "line 1: expected a stage of this scenario, got \"build\""
        );
        assert_eq!(
            why("\n\ndance"),
            "line 3: expected a line such as: submit 3 to ci, got \"dance\""
        );
    }
}
