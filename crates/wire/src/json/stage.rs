//! A stage as JSON: its rules, its sums, and what holds it up.

use super::books::by_reason;
use domain::books::{Served, StageCounts};
use domain::breaker::Rules;
use domain::control::{Gate, Hold, Reach};
use domain::flow::{Flows, Journal, Stage, Unique};
use domain::names::StageName;
use domain::ports::Inspection;
use domain::retry::RetryPolicy;
use domain::time::show_duration;
use domain::wait::Reason;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A stage. One that is not configured, but has tickets, has only its sums.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageJson {
    /// Which stage.
    pub stage: String,
    /// The flows that it is a stop of.
    pub flows: Vec<String>,
    /// Whether it is configured.
    pub configured: bool,
    /// How many workers at once.
    pub concurrency: Option<usize>,
    /// How long an attempt may take.
    pub deadline: Option<String>,
    /// How long a handler that was asked to stop may take.
    pub grace: Option<String>,
    /// When failures are tried again.
    pub retry: Option<RetryJson>,
    /// When what keeps failing is held; `null` is never.
    pub breaker: Option<BreakerRulesJson>,
    /// Which kinds it takes; `null` takes all.
    pub kinds: Option<Vec<String>>,
    /// `key` when a key is worked on by one ticket at a time here, and only the newest waits.
    pub unique: Option<String>,
    /// `full` or `exceptions`.
    pub journal: Option<String>,
    /// In its queue.
    pub ready: u64,
    /// With its workers.
    pub running: u64,
    /// In the store, by reason; every reason is listed, from 0.
    pub waiting: BTreeMap<String, u64>,
    /// Attempts that ended in `done`, also by a call-back.
    pub done: u64,
    /// Attempts that went wrong.
    pub failed: u64,
    /// When the oldest ready ticket became ready.
    pub oldest_ready: Option<String>,
    /// Why it takes no deliveries, if it does not.
    pub hold: Option<HoldJson>,
    /// Why it takes one ticket at a time only, if it fails as a whole.
    pub gate: Option<GateJson>,
    /// The version of its handler, as it was last seen or announced.
    pub version: Option<String>,
    /// Who serves it: workers that announce the same version and kinds are one entry.
    pub served: Vec<ServedJson>,
    /// Why its handler cannot be started, if it cannot.
    pub obstacle: Option<String>,
    /// By how many of its workers the desired state is applied; `null` as long as it is not known
    /// who is alive.
    pub applied: Option<AppliedJson>,
}

/// By how many of the live workers of a stage the desired state is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedJson {
    /// The revision of the desired state; it rises with each change of anything in it.
    pub revision: u64,
    /// How many keep to it.
    pub by: usize,
    /// How many there are. One that was not heard for three heartbeats is not counted.
    pub of: usize,
    /// Those that still keep to an older one; at most [`AppliedJson::BEHIND_MAX`] are named.
    pub behind: Vec<BehindJson>,
}

/// A worker that has not applied the newest revision yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BehindJson {
    /// Which process, with its incarnation.
    pub worker: String,
    /// The revision that it keeps to.
    pub revision: u64,
}

/// Workers that serve a stage alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedJson {
    /// The version of their handler.
    pub version: String,
    /// How many they are.
    pub workers: u64,
    /// Which kinds they take; `null` takes all.
    pub kinds: Option<Vec<String>>,
}

/// When failures are tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryJson {
    /// The wait after the first failed attempt.
    pub first: String,
    /// What each further wait is multiplied by.
    pub factor: f64,
    /// The longest wait.
    pub max: String,
    /// The share of the wait that is left to chance.
    pub jitter: f64,
    /// After how many failed attempts a person must decide; 0 tries for ever.
    pub attempts: u32,
}

/// Why a stage takes no deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldJson {
    /// Since when.
    pub since: String,
    /// Why.
    pub reason: String,
    /// Who or what decided it.
    pub by: String,
    /// The handler's version at that time.
    pub version: Option<String>,
    /// The report that led to it.
    pub oops: Option<String>,
}

/// When what keeps failing is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerRulesJson {
    /// After how many failures in a row.
    pub failures: u32,
    /// From one canary to the next, at least.
    pub probe: String,
}

/// Why a stage takes one ticket at a time only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateJson {
    /// Since when.
    pub since: String,
    /// Why.
    pub reason: String,
    /// Who may take the next one, if somebody may.
    pub worker: Option<String>,
}

impl StageJson {
    /// A stage with its rules, if it is configured.
    pub fn new(name: &StageName, flows: &Flows) -> Self {
        let rules = flows.stage(name);
        let stops_here = |(flow, stops): (&_, &Vec<StageName>)| {
            stops.contains(name).then(|| ToString::to_string(flow))
        };
        Self {
            stage: name.to_string(),
            flows: flows.flows().iter().filter_map(stops_here).collect(),
            configured: rules.is_some(),
            concurrency: rules.map(|rules| rules.concurrency.get()),
            deadline: rules.map(|rules| show_duration(rules.deadline)),
            grace: rules.map(|rules| show_duration(rules.grace)),
            retry: rules.map(|rules| RetryJson::new(&rules.retry)),
            breaker: rules.and_then(|rules| rules.breaker.map(|it| BreakerRulesJson::new(&it))),
            kinds: rules.and_then(kinds),
            unique: rules.and_then(unique),
            journal: rules.map(journal),
            ready: 0,
            running: 0,
            waiting: by_reason(&BTreeMap::<Reason, u64>::new()),
            done: 0,
            failed: 0,
            oldest_ready: None,
            hold: None,
            gate: None,
            version: None,
            served: Vec::new(),
            obstacle: None,
            applied: None,
        }
    }

    /// The same with its sums.
    #[must_use]
    pub fn counted(self, counts: &StageCounts) -> Self {
        Self {
            ready: counts.ready,
            running: counts.running,
            waiting: by_reason(&counts.waiting),
            done: counts.done,
            failed: counts.failed,
            oldest_ready: counts.oldest_ready.map(|at| at.to_string()),
            served: counts.served.iter().map(ServedJson::new).collect(),
            ..self
        }
    }

    /// The same with what holds it up.
    #[must_use]
    pub fn held(self, hold: &Hold) -> Self {
        Self {
            hold: Some(HoldJson::new(hold)),
            ..self
        }
    }

    /// The same with its gate.
    #[must_use]
    pub fn gated(self, gate: &Gate) -> Self {
        Self {
            gate: Some(GateJson::new(gate)),
            ..self
        }
    }

    /// The same with how far the desired state has come there.
    #[must_use]
    pub fn reached(self, reach: &Reach) -> Self {
        Self {
            applied: Some(AppliedJson::new(reach)),
            ..self
        }
    }

    /// The same with a look at its handler.
    #[must_use]
    pub fn inspected(self, inspection: &Inspection) -> Self {
        let version = inspection.version.to_string();
        let here = ServedJson {
            version: version.clone(),
            workers: 1,
            kinds: self.kinds.clone(),
        };
        let mut served = self.served;
        // Unless the books were told of workers, it is this process that serves it.
        if served.is_empty() && inspection.obstacle.is_none() {
            served.push(here);
        }
        Self {
            version: Some(version),
            served,
            obstacle: inspection.obstacle.clone(),
            ..self
        }
    }
}

impl AppliedJson {
    /// The most workers that are named.
    pub const BEHIND_MAX: usize = 20;

    /// How far a revision has come.
    pub fn new(reach: &Reach) -> Self {
        let behind = reach.behind.iter().take(Self::BEHIND_MAX);
        let behind = behind.map(|(worker, revision)| BehindJson {
            worker: worker.to_string(),
            revision: *revision,
        });
        Self {
            revision: reach.revision,
            by: reach.by(),
            of: reach.of,
            behind: behind.collect(),
        }
    }
}

impl ServedJson {
    fn new(served: &Served) -> Self {
        let kinds = served.kinds.as_ref();
        Self {
            version: served.version.to_string(),
            workers: served.workers,
            kinds: kinds.map(|kinds| kinds.iter().map(ToString::to_string).collect()),
        }
    }
}

impl RetryJson {
    fn new(retry: &RetryPolicy) -> Self {
        Self {
            first: show_duration(retry.first),
            factor: retry.factor,
            max: show_duration(retry.max),
            jitter: retry.jitter,
            attempts: retry.attempts.map_or(0, std::num::NonZeroU32::get),
        }
    }
}

impl BreakerRulesJson {
    fn new(rules: &Rules) -> Self {
        Self {
            failures: rules.failures(),
            probe: show_duration(rules.probe()),
        }
    }
}

impl GateJson {
    fn new(gate: &Gate) -> Self {
        Self {
            since: gate.since.to_string(),
            reason: gate.reason.clone(),
            worker: gate.permit.as_ref().map(|it| it.holder.to_string()),
        }
    }
}

impl HoldJson {
    fn new(hold: &Hold) -> Self {
        Self {
            since: hold.since.to_string(),
            reason: hold.reason.clone(),
            by: hold.by.clone(),
            version: hold.version.as_ref().map(ToString::to_string),
            oops: hold.oops.map(|id| id.to_string()),
        }
    }
}

fn kinds(rules: &Stage) -> Option<Vec<String>> {
    let kinds = rules.kinds.as_ref()?;
    Some(kinds.iter().map(ToString::to_string).collect())
}

fn unique(rules: &Stage) -> Option<String> {
    match rules.unique {
        Unique::No => None,
        Unique::ByKey => Some("key".into()),
    }
}

fn journal(rules: &Stage) -> String {
    match rules.journal {
        Journal::Full => "full".into(),
        Journal::Exceptions => "exceptions".into(),
    }
}
