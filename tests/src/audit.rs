//! [`Effects`] and [`Audit`]: what happened at the far side, and whether that is what was promised.
//! Nothing here trusts a word of the product about its own work.

use crate::teller::Teller;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Which attempt, as the handler was told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    /// The ticket's id.
    pub ticket: String,
    /// The stage.
    pub stage: String,
    /// Hop, generation and attempt.
    pub name: [u64; 3],
    /// The handler's process.
    pub pid: u32,
}

/// How a run ended, as far as it could say so itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Well.
    Done,
    /// By its own hand.
    Crashed,
    /// It was asked to stop, which is nobody's failure.
    Stopped,
    /// It never said.
    Silent,
}

/// Every run there was, in the order in which they began, and who ran beside whom.
#[derive(Debug, Default)]
pub struct Effects {
    /// All runs.
    pub runs: Vec<(Run, End)>,
    /// Runs that began while another one of the same ticket was alive.
    pub doubles: Vec<String>,
}

impl Effects {
    /// Reads the log that the handlers left.
    ///
    /// # Panics
    /// When there is a line that no handler writes.
    pub fn read(log: &Path) -> Self {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let mut effects = Self::default();
        // The runs that have not said yet that they ended.
        let mut open: BTreeMap<Run, usize> = BTreeMap::new();
        for line in text.split_inclusive('\n') {
            // The last line may be half written while somebody looks.
            let Some(line) = line.strip_suffix('\n') else {
                break;
            };
            let (what, run) = parse(line).unwrap_or_else(|| panic!("no handler writes {line:?}"));
            match what {
                "double" => effects.doubles.push(line.to_owned()),
                "start" => {
                    open.insert(run.clone(), effects.runs.len());
                    effects.runs.push((run, End::Silent));
                }
                _ => {
                    let at = open.remove(&run).expect("who ends has begun");
                    effects.runs[at].1 = match what {
                        "end" => End::Done,
                        "stopped" => End::Stopped,
                        _ => End::Crashed,
                    };
                }
            }
        }
        effects.doubles.extend(overlaps(&text));
        effects
    }

    /// Runs of this ticket.
    pub fn of(&self, ticket: &str) -> Vec<&(Run, End)> {
        self.runs
            .iter()
            .filter(|(run, _)| run.ticket == ticket)
            .collect()
    }
}

/// A run that began before another one of its ticket said that it ended: found by the order of the
/// lines alone, without the lock.
fn overlaps(text: &str) -> Vec<String> {
    let mut last: BTreeMap<String, u32> = BTreeMap::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let Some((what, run)) = parse(line) else {
            continue;
        };
        match what {
            "start" => {
                last.insert(run.ticket, run.pid);
            }
            "end" | "crash" | "stopped" if last.get(&run.ticket) != Some(&run.pid) => {
                found.push(format!("{line} (another had begun before)"));
            }
            _ => {}
        }
    }
    found
}

fn parse(line: &str) -> Option<(&str, Run)> {
    let mut words = line.split(' ');
    let what = words.next()?;
    let (ticket, stage) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut number = || words.next()?.parse::<u64>().ok();
    let name = [number()?, number()?, number()?];
    let pid = u32::try_from(number()?).ok()?;
    let run = Run {
        ticket,
        stage,
        name,
        pid,
    };
    matches!(what, "double" | "start" | "end" | "crash" | "stopped").then_some((what, run))
}

/// What an auditor finds.
#[derive(Debug, Default)]
pub struct Audit {
    /// Promised, and not done at the far side.
    pub lost: Vec<String>,
    /// Two at once.
    pub live_doubles: Vec<String>,
    /// Done more than once at the same hop, one after the other: at least once, said so.
    pub repeated: Vec<String>,
    /// Attempts that failed, and were not reported exactly once.
    pub unreported: Vec<String>,
    /// Reports about an attempt that did not fail at the far side: it ended well, or never began
    /// there, and nobody could know, because its holder died.
    pub posthumous: Vec<String>,
}

impl Audit {
    /// Compares what publishers had confirmed, what happened at the far side, and the reports.
    /// Each promise is: these tickets go through these stages.
    pub fn new(promises: &[(&[String], &[&str])], effects: &Effects, oopses: &[Value]) -> Self {
        let mut audit = Self {
            live_doubles: effects.doubles.clone(),
            ..Self::default()
        };
        let mut done: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (run, end) in &effects.runs {
            if *end == End::Done {
                *done.entry((&run.ticket, &run.stage)).or_default() += 1;
            }
        }
        for (ids, stages) in promises {
            let hops = ids
                .iter()
                .flat_map(|id| stages.iter().map(move |stage| (id, stage)));
            let missing = hops.filter(|(id, stage)| !done.contains_key(&(id.as_str(), **stage)));
            let missing = missing.map(|(id, stage)| format!("{id} at {stage}"));
            audit.lost.extend(missing);
        }
        let repeated = done.iter().filter(|(_, count)| **count > 1);
        audit.repeated = repeated
            .map(|((ticket, stage), count)| format!("{ticket} at {stage}: {count} times"))
            .collect();
        audit.compare_reports(effects, oopses);
        audit
    }

    fn compare_reports(&mut self, effects: &Effects, oopses: &[Value]) {
        let mut reported: BTreeMap<(String, [u64; 3]), usize> = BTreeMap::new();
        for oops in oopses {
            *reported.entry(attempt_of(oops)).or_default() += 1;
        }
        let failed: BTreeSet<(String, [u64; 3])> = effects
            .runs
            .iter()
            .filter(|(_, end)| matches!(end, End::Crashed | End::Silent))
            .map(|(run, _)| (run.ticket.clone(), run.name))
            .collect();
        for attempt in &failed {
            let count = reported.get(attempt).copied().unwrap_or_default();
            if count != 1 {
                self.unreported.push(format!("{attempt:?}: {count} OOPSes"));
            }
        }
        for (attempt, count) in reported {
            if count > 1 {
                self.unreported.push(format!("{attempt:?}: {count} OOPSes"));
            }
            if !failed.contains(&attempt) {
                self.posthumous.push(format!("{attempt:?}"));
            }
        }
    }

    /// Nothing lost, nobody beside another, each failure told once.
    ///
    /// # Panics
    /// When that is not so.
    pub fn assert_clean(&self) {
        assert!(
            self.lost.is_empty() && self.live_doubles.is_empty() && self.unreported.is_empty(),
            "{self:#?}"
        );
    }
}

/// The attempt that a report is about: ticket, and hop, generation, attempt.
fn attempt_of(oops: &Value) -> (String, [u64; 3]) {
    let ticket = oops["ticket"].as_str().unwrap_or_default().to_owned();
    let name = ["hop", "generation", "attempt"].map(|field| {
        oops[field]
            .as_u64()
            .unwrap_or_else(|| panic!("{field} is missing in {oops}"))
    });
    (ticket, name)
}

/// Each report is in its ticket's history, once, and no history names a report that is not there.
///
/// # Panics
/// When that is not so.
pub fn assert_histories_agree(teller: &Teller, oopses: &[Value]) {
    let mut by_ticket: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for oops in oopses {
        let field = |name: &str| oops[name].as_str().unwrap_or_default();
        let is_new = by_ticket
            .entry(field("ticket"))
            .or_default()
            .insert(field("id"));
        assert!(is_new, "listed twice: {oops}");
    }
    for (ticket, reported) in by_ticket {
        let path = format!("tickets/{ticket}/history");
        let history = teller
            .get(&path)
            .unwrap_or_else(|| panic!("no history of {ticket}"));
        let lines = history["items"].as_array().or(history.as_array());
        let lines = lines.unwrap_or_else(|| panic!("a list, got {history}"));
        let told: BTreeSet<&str> = lines
            .iter()
            .filter_map(|line| line["oops"].as_str())
            .collect();
        assert_eq!(told, reported, "history of {ticket}: {history}");
    }
}

/// All reports.
///
/// # Panics
/// When the server does not tell them.
pub fn oopses(teller: &Teller) -> Vec<Value> {
    oopses_if_any(teller).expect("the server tells its reports")
}

/// All reports, unless the server cannot be asked at the moment.
pub fn oopses_if_any(teller: &Teller) -> Option<Vec<Value>> {
    let list = ["oops", "list", "--limit", "10000", "-o", "json"];
    let output = teller.run(&list, "");
    let oopses = serde_json::from_slice(&output.stdout);
    oopses.ok().filter(|_| output.status.success())
}
