//! The controller's actors: they move waiting tickets on.
//!
//! [`Controller`] releases, judges and forgets through the ports `Waits` and `Oopses`, wherever
//! they are kept. Where broker and store are two systems, [`Leading`] is the `Waits`: it leads when
//! it is chosen to, reads the journal into the books, and knows from it who is alive. [`Collector`]
//! takes in the reports that workers sent, in every controller.

mod announcer;
mod announcing;
mod collector;
mod crew;
mod hearsay;
mod herald;
mod leading;
mod obituaries;
mod publisher;
mod recorder;
mod retention;
mod term;
mod unclaimed;
mod waits;

use crate::kept::Ears;
use crate::root::{self, Setup, Versions};
use actix::Actor;
use domain::flow::Flows;
use domain::names::{Holder, StageName, Version};
use domain::obituary::Obituary;
use domain::oops::Scene;
use domain::ports::{Clock, Observer, Oopses, Retention as Keep};
use domain::verdict::Case;
use std::sync::Arc;
use std::time::Duration;

pub use collector::Collector;
pub use leading::{AtLead, Leading, LeadingParts};
pub use retention::Keeping;

/// Answers who was at work there: the worker with that name, at that stage.
pub type Scenes = Arc<dyn Fn(&Holder, &StageName) -> Option<Scene> + Send + Sync>;

/// Answers how it died: the process with that name, if its launcher has told.
pub type Deaths = Arc<dyn Fn(&Holder) -> Option<Obituary> + Send + Sync>;

/// Everything that the controller's actors need from the world.
pub struct ControllerSetup {
    /// The waiting tickets.
    pub waits: Arc<dyn domain::ports::Waits>,
    /// The reports.
    pub oopses: Arc<dyn Oopses>,
    /// What is configured.
    pub flows: Arc<Flows>,
    /// Who was at work where, for the reports about attempts that nobody speaks for.
    pub scenes: Scenes,
    /// How processes died, for the same reports.
    pub deaths: Deaths,
    /// Which version of its handler each stage has in this process, as far as it can be started;
    /// `None` when the workers are elsewhere, and say it themselves.
    pub versions: Option<Versions>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Hears everything.
    pub observer: Arc<dyn Observer>,
    /// Which process this is, with its incarnation.
    pub holder: Holder,
    /// On which host.
    pub hostname: String,
}

impl ControllerSetup {
    /// A controller in the process of the workers, which are the only ones: its handlers' versions
    /// are those that the reports name.
    pub fn beside(
        setup: &Setup,
        waits: Arc<dyn domain::ports::Waits>,
        oopses: Arc<dyn Oopses>,
    ) -> Self {
        let handlers = setup.handlers.clone();
        let hostname = setup.hostname.clone();
        let scenes = move |holder: &Holder, stage: &StageName| {
            let version = handlers.get(stage)?.inspect().version;
            Some(Scene {
                holder: holder.clone(),
                hostname: hostname.clone(),
                version,
            })
        };
        Self {
            waits,
            oopses,
            flows: Arc::clone(&setup.flows),
            scenes: Arc::new(scenes),
            deaths: Arc::new(|_| None),
            versions: Some(versions(setup)),
            clock: Arc::clone(&setup.clock),
            observer: Arc::clone(&setup.observer),
            holder: setup.holder.clone(),
            hostname: setup.hostname.clone(),
        }
    }

    /// The same, with what launchers have told of the processes before this one.
    #[must_use]
    pub fn after(mut self, deaths: Deaths) -> Self {
        self.deaths = deaths;
        self
    }

    fn ears(&self) -> Ears {
        Ears {
            clock: Arc::clone(&self.clock),
            observer: Arc::clone(&self.observer),
        }
    }

    /// Who was at work at this, as far as anybody knows. When only the books know the version, it
    /// is theirs: breakers would take any other for one that has just been announced.
    fn scene(&self, holder: &Holder, case: &Case) -> Option<Scene> {
        let known = case.scene.clone();
        let known = known.or_else(|| (self.scenes)(holder, &case.ticket.stage));
        known.or_else(|| {
            let version = case.version.clone();
            Some(Scene {
                holder: holder.clone(),
                hostname: self.hostname.clone(),
                version: version.or_else(|| Version::new("unknown").ok())?,
            })
        })
    }
}

/// The versions that breakers are told of.
fn versions(setup: &Setup) -> Versions {
    let has_breaker = |stage: &StageName| {
        let rules = setup.flows.stage(stage);
        rules.is_some_and(|rules| rules.breaker.is_some())
    };
    let handlers = setup.handlers.iter();
    let handlers = handlers.filter(|(stage, _)| has_breaker(stage));
    root::versions(
        handlers
            .map(|(stage, handler)| (stage.clone(), Arc::clone(handler)))
            .collect(),
    )
}

/// The controller at work; dropped, its actors end.
pub struct Controller {
    _waits: actix::Addr<waits::Waits>,
    _retention: actix::Addr<retention::Retention>,
}

impl Controller {
    /// Starts the controller's actors on the current arbiter.
    pub fn start(setup: &Arc<ControllerSetup>, keeping: Keeping) -> Self {
        Self {
            _waits: waits::Waits::new(Arc::clone(setup)).start(),
            _retention: retention::Retention::new(Arc::clone(setup), keeping).start(),
        }
    }
}

/// How long to wait after the store failed.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// The share of ended tickets and reports that is kept.
const fn kept(before: domain::time::Timestamp, tickets_max: u64) -> Keep {
    Keep {
        before,
        tickets_max,
    }
}
