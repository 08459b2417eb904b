//! A thousand stories that follow from their seeds.
//!
//! A seed makes a [`Plan`]: stages, tickets, what each handler does, which faults strike, when the
//! process is killed, what an operator orders. [`play`] lets a [`Crew`] (the real actors) live
//! through it on a faulty memory broker, with the checker listening, heals the world, waits until
//! everything has come to rest, and checks the end. [`simulate`] says which seed failed.

mod check;
mod driver;
mod plan;
mod turns;

use crate::faults::{Fault, Faulty};
use crate::handler::Script;
use domain::event::Event;
use domain::flow::Flows;
use domain::names::{Holder, StageName};
use domain::ports::{Clock, Handler, Observer};
use driver::Driver;
use std::collections::BTreeMap;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

pub use check::Sums;
pub use plan::{Deed, Plan, StagePlan, TicketPlan};

/// Everything that a process needs to live.
pub struct Berth {
    /// The broker and the store, all ports in one.
    pub ports: Faulty,
    /// What is configured.
    pub flows: Arc<Flows>,
    /// What does the work.
    pub scripts: BTreeMap<StageName, Arc<Script>>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Hears everything.
    pub observer: Arc<dyn Observer>,
    /// Which process this is, with its incarnation.
    pub holder: Holder,
}

impl Berth {
    /// What does the work, as the port that actors know.
    pub fn handlers(&self) -> BTreeMap<StageName, Arc<dyn Handler>> {
        let scripts = self.scripts.iter();
        scripts
            .map(|(stage, script)| (stage.clone(), Arc::clone(script) as Arc<dyn Handler>))
            .collect()
    }
}

/// What happens to a process while it lives; when it is over, the process dies.
pub type Life<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Whoever can be a process.
pub trait Crew {
    /// Makes a runtime of its own with paused time, starts the process there, awaits `life`, and
    /// then ends everything where it is, as SIGKILL would: no drain, every task dropped.
    fn live(&self, berth: Berth, life: Life<'_>);
}

/// A story that was played to its end.
#[derive(Debug, Default, PartialEq)]
pub struct Played {
    /// Everything that was told, in its order.
    pub events: Vec<Event>,
    /// How many processes died on the way.
    pub deaths: u32,
    /// What was done about what went wrong.
    pub sums: Sums,
    /// How often each fault struck.
    pub struck: BTreeMap<Fault, u32>,
}

/// The most processes of one story.
const LIVES_MAX: u32 = 200;

/// Plays the plan to its end.
///
/// # Errors
/// Everything that was not as it must be, one a line.
pub fn play(plan: &Plan, crew: &dyn Crew) -> Result<Played, String> {
    let mut driver = Driver::new(plan);
    for life in 1..=LIVES_MAX {
        let ports = driver.ports();
        let berth = driver.berth(life);
        crew.live(berth, Box::pin(driver.live(ports)));
        if let Some(end) = driver.end() {
            return end;
        }
        driver.process_died();
    }
    Err(format!("still not at rest after {LIVES_MAX} processes"))
}

/// Plays the story of a seed.
///
/// # Panics
/// When something was not as it must be; says the seed, the plan and what was wrong.
pub fn simulate(seed: u64, crew: &dyn Crew) -> Played {
    let plan = Plan::from_seed(seed);
    match play(&plan, crew) {
        Ok(played) => played,
        Err(wrong) => panic!("{}", told(&plan, &wrong)),
    }
}

/// Plays the stories of these seeds, all of them, and adds them up.
///
/// # Panics
/// When a story failed: says every seed that failed, and tells the first story in full.
pub fn simulate_all(seeds: Range<u64>, crew: &dyn Crew) -> Played {
    let mut all = Played::default();
    let mut failed = Vec::new();
    let mut first = String::new();
    for seed in seeds.clone() {
        let plan = Plan::from_seed(seed);
        match play(&plan, crew) {
            Ok(played) => all.add(played),
            Err(wrong) => {
                let line = wrong.lines().next().unwrap_or_default();
                failed.push(format!("seed {seed}: {line}"));
                if first.is_empty() {
                    first = told(&plan, &wrong);
                }
            }
        }
    }
    let count = failed.len();
    assert!(
        failed.is_empty(),
        "{count} of the stories {seeds:?} failed:\n{}\n\n{first}",
        failed.join("\n")
    );
    all
}

fn told(plan: &Plan, wrong: &str) -> String {
    let seed = plan.seed;
    format!("seed {seed} failed; play it again with GOAROUND_SEED={seed}\n{wrong}\n{plan:#?}")
}

impl Played {
    /// Adds what happened in another story; its events are not kept.
    fn add(&mut self, other: Self) {
        self.deaths += other.deaths;
        self.sums.add(other.sums);
        for (fault, count) in other.struck {
            *self.struck.entry(fault).or_default() += count;
        }
    }
}
