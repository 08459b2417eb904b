//! Flows and stages: the lists that tickets follow, and the rules of each stop.

use crate::breaker;
use crate::names::{FlowName, Kind, StageName};
use crate::retry::RetryPolicy;
use crate::ticket::Ticket;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::time::Duration;

/// How much of the happy path is written into the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// Every attempt.
    Full,
    /// Only attempts that did not end in `done`.
    Exceptions,
}

/// Whether a stage works on several tickets of one key at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unique {
    /// Keys are only names.
    No,
    /// At most one ticket a key is at work, and at most one more waits behind it, which is the
    /// newest; all others with that key are dropped as superseded. Who is at work is not stopped,
    /// but goes around no more once a newer one waits.
    ByKey,
}

/// The rules of one stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Which stage.
    pub name: StageName,
    /// How many workers at once.
    pub concurrency: NonZeroUsize,
    /// How long an attempt may take.
    pub deadline: Duration,
    /// How long a handler that was asked to stop may take before it is made to.
    pub grace: Duration,
    /// When failures are tried again.
    pub retry: RetryPolicy,
    /// Which kinds it takes; `None` takes all.
    pub kinds: Option<BTreeSet<Kind>>,
    /// Whether a key is worked on by one ticket at a time here, and only the newest waits.
    pub unique: Unique,
    /// How much of the happy path is written down.
    pub journal: Journal,
    /// When what keeps failing waits for repair; `None` backs off for ever.
    pub breaker: Option<breaker::Rules>,
}

impl Stage {
    /// The most workers that one stage may have.
    pub const CONCURRENCY_MAX: usize = 4_096;

    /// A stage with the defaults that the documentation names.
    pub fn new(name: StageName) -> Self {
        Self {
            name,
            concurrency: NonZeroUsize::MIN,
            deadline: Duration::from_secs(30 * 60),
            grace: Duration::from_secs(10),
            retry: RetryPolicy::default(),
            kinds: None,
            unique: Unique::No,
            journal: Journal::Full,
            breaker: None,
        }
    }

    /// Whether the stage takes tickets of this kind.
    pub fn takes(&self, kind: &Kind) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(kind))
    }
}

/// Everything that is configured: the stages, and the flows over them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flows {
    stages: BTreeMap<StageName, Stage>,
    flows: BTreeMap<FlowName, Vec<StageName>>,
}

/// What comes after a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// This stage.
    Stage(&'a StageName),
    /// Nothing: the ticket is then finished.
    End,
    /// Nobody can tell: the ticket's flow is not configured any more, or not with this stage.
    Lost,
}

/// A set of flows that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFlow {
    /// Nothing to go through.
    #[error("flow.{0}.stages: expected at least one stage, got none")]
    Empty(FlowName),
    /// A stop that nobody configured.
    #[error(
        "flow.{flow}.stages: expected configured stages, got {stage:?}, which has no [stage.{stage}]"
    )]
    MissingStage {
        /// The flow.
        flow: FlowName,
        /// The stage that is not there.
        stage: StageName,
    },
    /// The same stop twice would be a cycle: the hand-off could not tell where it is.
    #[error(
        "flow.{flow}.stages: expected each stage once, got {stage:?} twice; a flow must not have a cycle"
    )]
    Cycle {
        /// The flow.
        flow: FlowName,
        /// The stage that comes twice.
        stage: StageName,
    },
}

impl Flows {
    /// Puts stages and flows together.
    ///
    /// # Errors
    /// Every [`BadFlow`] there is, not only the first.
    pub fn new(
        stages: Vec<Stage>,
        flows: BTreeMap<FlowName, Vec<StageName>>,
    ) -> Result<Self, Vec<BadFlow>> {
        let stages: BTreeMap<_, _> = stages
            .into_iter()
            .map(|stage| (stage.name.clone(), stage))
            .collect();
        let mut bad = Vec::new();
        for (flow, stops) in &flows {
            check_flow(flow, stops, &stages, &mut bad);
        }
        if bad.is_empty() {
            Ok(Self { stages, flows })
        } else {
            Err(bad)
        }
    }

    /// The rules of a stage, if it is configured.
    pub fn stage(&self, name: &StageName) -> Option<&Stage> {
        self.stages.get(name)
    }

    /// All stages, in the order of the flows they first appear in, then by name.
    pub fn stages(&self) -> Vec<&Stage> {
        let mut seen = BTreeSet::new();
        let in_flows = self.flows.values().flatten();
        in_flows
            .chain(self.stages.keys())
            .filter(|name| seen.insert(*name))
            .filter_map(|name| self.stages.get(name))
            .collect()
    }

    /// The flows and their stages.
    pub fn flows(&self) -> &BTreeMap<FlowName, Vec<StageName>> {
        &self.flows
    }

    /// Where a flow begins, if it is configured.
    pub fn first_stage(&self, flow: &FlowName) -> Option<&StageName> {
        self.flows.get(flow)?.first()
    }

    /// Where this ticket goes after the stage it is at.
    pub fn next_stage(&self, ticket: &Ticket) -> Next<'_> {
        let Some(flow) = &ticket.flow else {
            return Next::End;
        };
        let stops = self.flows.get(flow).map_or(&[][..], Vec::as_slice);
        match stops.iter().position(|stop| *stop == ticket.stage) {
            None => Next::Lost,
            Some(here) => stops.get(here + 1).map_or(Next::End, Next::Stage),
        }
    }

    /// Whether somebody here takes such a ticket.
    pub fn claims(&self, stage: &StageName, kind: &Kind) -> bool {
        self.stages
            .get(stage)
            .is_some_and(|stage| stage.takes(kind))
    }
}

fn check_flow(
    flow: &FlowName,
    stops: &[StageName],
    stages: &BTreeMap<StageName, Stage>,
    bad: &mut Vec<BadFlow>,
) {
    if stops.is_empty() {
        bad.push(BadFlow::Empty(flow.clone()));
    }
    let mut seen = BTreeSet::new();
    for stop in stops {
        if !stages.contains_key(stop) {
            bad.push(BadFlow::MissingStage {
                flow: flow.clone(),
                stage: stop.clone(),
            });
        }
        if !seen.insert(stop) {
            bad.push(BadFlow::Cycle {
                flow: flow.clone(),
                stage: stop.clone(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ticket::{Lineage, Name, Payload, TicketId};
    use crate::time::Timestamp;

    fn stage(name: &str) -> StageName {
        StageName::new(name).unwrap()
    }

    fn flows(stops: &[&str]) -> Result<Flows, Vec<BadFlow>> {
        let stages = ["build", "test"].map(|name| Stage::new(stage(name))).into();
        let stops = stops.iter().map(|name| stage(name)).collect();
        Flows::new(
            stages,
            BTreeMap::from([(FlowName::new("ci").unwrap(), stops)]),
        )
    }

    #[test]
    fn a_flow_of_configured_stages_is_followed_to_its_end() {
        let flows = flows(&["build", "test"]).unwrap();
        assert_eq!(
            flows.first_stage(&FlowName::new("ci").unwrap()),
            Some(&stage("build"))
        );
        assert_eq!(flows.stages().len(), 2);
    }

    #[test]
    fn a_ticket_whose_flow_nobody_knows_is_lost_rather_than_at_its_end() {
        let flows = flows(&["build", "test"]).unwrap();
        let next = |flow: Option<&str>, at: &str| {
            let id = TicketId::from_bytes([1; 16]);
            let ticket = Ticket {
                name: Name::first(id),
                kind: Kind::unnamed(),
                flow: flow.map(|flow| FlowName::new(flow).unwrap()),
                stage: stage(at),
                key: None,
                payload: Payload::default(),
                deadline: None,
                created_at: Timestamp::EPOCH,
                lineage: Lineage::root(id),
                trace: None,
            };
            match flows.next_stage(&ticket) {
                Next::Stage(stage) => stage.to_string(),
                end => format!("{end:?}"),
            }
        };
        assert_eq!(next(Some("ci"), "build"), "test");
        assert_eq!(next(Some("ci"), "test"), "End");
        assert_eq!(next(None, "build"), "End");
        assert_eq!(next(Some("ci"), "publish"), "Lost");
        assert_eq!(next(Some("gone"), "build"), "Lost");
    }

    #[test]
    fn a_flow_that_cannot_work_is_refused_with_every_reason() {
        let said: Vec<String> = flows(&["build", "publish", "build"])
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            said,
            [
                "flow.ci.stages: expected configured stages, got \"publish\", which has no [stage.publish]",
                "flow.ci.stages: expected each stage once, got \"build\" twice; a flow must not have a cycle",
            ]
        );
        assert!(flows(&[]).is_err());
    }
}
