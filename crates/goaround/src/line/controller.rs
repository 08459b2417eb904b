//! A controller: the books in PostgreSQL, and what leads from them, for workers anywhere.

mod checked;

use super::broker::of_controller;
use super::{Announced, Ears, Ground};
use actors::controller::{AtLead, Collector, ControllerSetup, Keeping, Leading, LeadingParts};
use actors::watchdog::Reaches;
use actors::{Controller, Watchdog, controller::Scenes};
use anyhow::Context as _;
use checked::Checked;
use domain::names::StageName;
use domain::ports::{Catalog, Desk, Inspection, Observer, Oopses, Plans, Road, Vitals};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Postgres, PostgresConfig};

/// A controller that is connected; it does not stand for election yet.
pub struct ControllerLine {
    postgres: Postgres,
    road: Arc<amqp::Controller>,
    desk: Arc<dyn Desk>,
    catalog: Arc<dyn Catalog>,
    leading: Leading,
    ground: Ground,
}

/// A controller at work; dropped, it ends, and another one leads.
pub struct RunningController {
    _leading: AtLead,
    _collector: Collector,
    _controller: Controller,
    vitals: Watchdog,
}

impl RunningController {
    /// Tells how far the desired state has come, by what the workers say of themselves. A
    /// controller that does not lead hears them as well.
    pub fn reaches(&self) -> Reaches {
        self.vitals.reaches()
    }
}

impl ControllerLine {
    /// Connects to both, brings the tables up to date, and declares what the journal needs.
    /// `listener` hears what happens at this desk and, while this controller leads, at all workers.
    ///
    /// # Errors
    /// When one of them cannot be reached or refuses us; says which, and what to do.
    pub async fn open(
        broker: amqp::Config,
        books: PostgresConfig,
        ground: &Ground,
        listener: Arc<dyn Observer>,
    ) -> anyhow::Result<Self> {
        let flows = || Arc::clone(&ground.flows);
        let clock = || Arc::clone(&ground.clock);
        let postgres = Postgres::open(books, flows(), clock(), ground.holder.clone())
            .await
            .context("the store cannot be used")?;
        let stages = ground.stage_names();
        let place = broker.place();
        let road = amqp::Controller::start(broker.clone(), &stages, clock(), ground.holder.clone())
            .await
            .with_context(|| format!("the broker at {place} cannot be used"))?;
        ground.metrics.add_broker(of_controller(&road))?;
        let ears = Ears::new(vec![ground.observer(), Arc::clone(&listener)]);
        let desk = Announced::new(postgres.clone(), clock(), Arc::new(ears));
        let catalog = Checked::new(postgres.clone(), broker, stages);
        let leading = Leading::new(LeadingParts {
            election: Arc::new(postgres.clone()),
            road: Arc::clone(&road) as Arc<dyn Road>,
            desk: Arc::new(postgres.clone()),
            catalog: Arc::new(postgres.clone()),
            reporter: Arc::new(postgres.clone()),
            flows: flows(),
            clock: clock(),
            observer: ground.observer(),
            listener: Arc::clone(&listener),
            holder: ground.holder.clone(),
        });
        Ok(Self {
            postgres,
            road,
            desk: Arc::new(desk),
            catalog: Arc::new(catalog),
            leading,
            ground: ground.clone(),
        })
    }

    /// Stands for election, leads when chosen, and collects reports. Call inside an actix system.
    pub fn start(&self, keeping: Keeping) -> RunningController {
        let scenes: Scenes = self.leading.scenes();
        let setup = ControllerSetup {
            waits: Arc::new(self.leading.clone()),
            oopses: self.oopses(),
            flows: Arc::clone(&self.ground.flows),
            scenes,
            deaths: self.leading.deaths(),
            versions: None,
            clock: Arc::clone(&self.ground.clock),
            observer: self.ground.observer(),
            holder: self.ground.holder.clone(),
            hostname: self.ground.hostname.clone(),
        };
        RunningController {
            _leading: self.leading.start(),
            _collector: Collector::start(
                Arc::clone(&self.road) as Arc<dyn Road>,
                Arc::new(self.postgres.clone()),
                Arc::clone(&self.ground.clock),
                self.ground.observer(),
            ),
            _controller: Controller::start(&Arc::new(setup), keeping),
            vitals: Watchdog::start_silent(
                Arc::clone(&self.road) as Arc<dyn Vitals>,
                Arc::clone(&self.ground.clock),
                self.ground.observer(),
            ),
        }
    }

    /// Where tickets are submitted and orders given.
    pub fn desk(&self) -> Arc<dyn Desk> {
        Arc::clone(&self.desk)
    }

    /// The books, for reading.
    pub fn catalog(&self) -> Arc<dyn Catalog> {
        Arc::clone(&self.catalog)
    }

    /// The reports.
    pub fn oopses(&self) -> Arc<dyn Oopses> {
        Arc::new(self.postgres.clone())
    }

    /// Breakers and release plans.
    pub fn plans(&self) -> Arc<dyn Plans> {
        Arc::new(self.postgres.clone())
    }

    /// The handlers, as the workers announce them.
    pub fn inspections(&self) -> Arc<dyn Fn() -> BTreeMap<StageName, Inspection> + Send + Sync> {
        let leading = self.leading.clone();
        Arc::new(move || {
            let workers = leading.workers().into_iter();
            let stages = workers.flat_map(|worker| worker.stages);
            let seen = stages.map(|(stage, version)| {
                let obstacle = None;
                (stage, Inspection { version, obstacle })
            });
            seen.collect()
        })
    }
}
