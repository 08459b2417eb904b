//! The promises of the ports, kept by the embedded store on real files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use async_trait::async_trait;
use domain::flow::Flows;
use domain::names::Holder;
use domain::ports::{Broker, Catalog, Clock, Desk, Oopses, Plans, Waits};
use std::sync::Arc;
use std::time::Duration;
use store::{Config, Embedded};
use tempfile::TempDir;
use testkit::clock::TestClock;
use testkit::contract::World;

struct Files {
    folder: TempDir,
    clock: Arc<TestClock>,
    store: Option<Embedded>,
}

impl Files {
    fn open_folder(&mut self, flows: Arc<Flows>) {
        let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(&self.clock);
        let holder = Holder::new("stand-1").unwrap();
        let config = Config::new(self.folder.path());
        self.store = Some(Embedded::open(config, flows, clock, holder).unwrap());
    }

    fn store(&self) -> Embedded {
        self.store.clone().unwrap()
    }
}

fn open(flows: Arc<Flows>, clock: Arc<TestClock>) -> Box<dyn World> {
    // The threads behind the ports live in real time; what the books say of time is driven.
    clock.stop();
    let mut files = Files {
        folder: TempDir::new().unwrap(),
        clock,
        store: None,
    };
    files.open_folder(flows);
    Box::new(files)
}

#[async_trait]
impl World for Files {
    fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(self.store())
    }

    fn desk(&self) -> Arc<dyn Desk> {
        Arc::new(self.store())
    }

    fn waits(&self) -> Arc<dyn Waits> {
        Arc::new(self.store())
    }

    fn catalog(&self) -> Arc<dyn Catalog> {
        Arc::new(self.store())
    }

    fn oopses(&self) -> Arc<dyn Oopses> {
        self.store().oopses()
    }

    fn plans(&self) -> Arc<dyn Plans> {
        Arc::new(self.store())
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(50)
    }

    async fn restart(&mut self, flows: Arc<Flows>) {
        // Whatever is still lent stays lent by the one that is gone: nothing of it comes back. Nor
        // does whoever still has a port of it keep it alive.
        if let Some(gone) = self.store.take() {
            gone.close();
        }
        self.open_folder(flows);
    }
}

testkit::contract_tests!(crate::open);
