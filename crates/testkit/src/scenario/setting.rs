//! The world that a scenario describes.

use crate::handler::{Script, Step};
use domain::flow::{BadFlow, Flows, Stage};
use domain::names::{FlowName, StageName};
use domain::retry::RetryPolicy;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

/// Stages, flows, and what the handlers do.
#[derive(Default)]
pub struct Setting {
    stages: BTreeMap<StageName, Stage>,
    flows: BTreeMap<FlowName, Vec<StageName>>,
    steps: BTreeMap<StageName, Vec<Step>>,
    always: BTreeMap<StageName, Step>,
}

impl Setting {
    /// What is configured.
    ///
    /// # Errors
    /// When a flow names a stage that the scenario does not have.
    pub fn flows(&self) -> Result<Flows, Vec<BadFlow>> {
        let stages = self.stages.values().cloned().collect();
        Flows::new(stages, self.flows.clone())
    }

    /// What the handlers do; a stage of which nothing is said is always done.
    pub fn scripts(&self) -> BTreeMap<StageName, Arc<Script>> {
        let script = |stage: &StageName| match self.always.get(stage) {
            Some(step) => Script::always(step.clone()),
            None => Script::steps(self.steps.get(stage).cloned().unwrap_or_default()),
        };
        let stages = self.stages.keys();
        stages
            .map(|stage| (stage.clone(), Arc::new(script(stage))))
            .collect()
    }

    /// Adds a stage with the retry that scenarios count on: 1 s, doubled, without chance.
    pub(super) fn add_stage(
        &mut self,
        name: StageName,
        concurrency: NonZeroUsize,
        deadline: Option<Duration>,
    ) {
        let plain = Stage::new(name.clone());
        let stage = Stage {
            concurrency,
            deadline: deadline.unwrap_or(plain.deadline),
            retry: RetryPolicy {
                jitter: 0.0,
                ..RetryPolicy::default()
            },
            ..plain
        };
        self.stages.insert(name, stage);
    }

    pub(super) fn add_flow(&mut self, name: FlowName, stages: Vec<StageName>) {
        self.flows.insert(name, stages);
    }

    pub(super) fn has_stage(&self, name: &StageName) -> bool {
        self.stages.contains_key(name)
    }

    /// The handler of this stage takes this step on these attempts, or always.
    pub(super) fn direct(&mut self, stage: StageName, step: Step, attempts: &[usize]) {
        if attempts.is_empty() {
            self.always.insert(stage, step);
            return;
        }
        let steps = self.steps.entry(stage).or_default();
        for attempt in attempts {
            if steps.len() < *attempt {
                steps.resize(*attempt, Step::Done);
            }
            if let Some(place) = attempt.checked_sub(1).and_then(|at| steps.get_mut(at)) {
                *place = step.clone();
            }
        }
    }
}
