//! The memory version keeps what every broker and store must keep.

use async_trait::async_trait;
use domain::flow::Flows;
use domain::ports::{Broker, Catalog, Desk, Oopses, Plans, Waits};
use std::sync::Arc;
use std::time::Duration;
use testkit::clock::TestClock;
use testkit::contract::World;
use testkit::memory::Memory;

struct InMemory(Memory);

#[async_trait]
impl World for InMemory {
    fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(self.0.clone())
    }

    fn desk(&self) -> Arc<dyn Desk> {
        Arc::new(self.0.clone())
    }

    fn waits(&self) -> Arc<dyn Waits> {
        Arc::new(self.0.clone())
    }

    fn catalog(&self) -> Arc<dyn Catalog> {
        Arc::new(self.0.clone())
    }

    fn oopses(&self) -> Arc<dyn Oopses> {
        Arc::new(self.0.clone())
    }

    fn plans(&self) -> Arc<dyn Plans> {
        Arc::new(self.0.clone())
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(1)
    }

    async fn restart(&mut self, flows: Arc<Flows>) {
        self.0 = self.0.restart_with(flows);
    }
}

fn open(flows: Arc<Flows>, clock: Arc<TestClock>) -> Box<dyn World> {
    Box::new(InMemory(Memory::new(flows, clock)))
}

testkit::contract_tests!(crate::open, start_paused = true);
