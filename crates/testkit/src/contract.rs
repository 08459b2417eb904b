//! What every broker and store must keep: one suite a port, run by the memory version and by the
//! real ones alike.
//!
//! A crate that implements the ports writes a [`World`] and runs everything with
//! [`contract_tests!`](crate::contract_tests): one test a case, named by its sentence.

pub mod breakers;
pub mod broker;
pub mod catalog;
pub mod crash;
pub mod desk;
pub mod filters;
pub mod gates;
pub mod oopses;
pub mod orders;
pub mod releases;
pub mod repair;
pub mod trials;
pub mod unique;
pub mod waits;

mod deaths;
mod plans;
mod shop;
mod stages;
mod stand;

use crate::clock::TestClock;
use async_trait::async_trait;
use domain::flow::Flows;
use domain::ports::{Broker, Catalog, Desk, Oopses, Plans, Waits};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use stand::Stand;

/// A broker and a store under test.
#[async_trait]
pub trait World: Send + Sync {
    /// Carries the runnable tickets.
    fn broker(&self) -> Arc<dyn Broker>;
    /// Where tickets come in and orders are given.
    fn desk(&self) -> Arc<dyn Desk>;
    /// The waiting tickets.
    fn waits(&self) -> Arc<dyn Waits>;
    /// The books.
    fn catalog(&self) -> Arc<dyn Catalog>;
    /// The reports.
    fn oopses(&self) -> Arc<dyn Oopses>;
    /// Breakers and release plans.
    fn plans(&self) -> Arc<dyn Plans>;
    /// How long to wait before it counts as nothing: long enough for a thread behind the port.
    fn patience(&self) -> Duration;
    /// Whether a journal lies between the broker and the books. Then whoever settles does not hear
    /// whether it counted, what is handed back or delivered again goes through the one door, and
    /// what is released is waiting, and due, until the leader has published it.
    fn has_journal(&self) -> bool {
        false
    }
    /// The process dies as by SIGKILL, and another takes over the same data with these flows.
    async fn restart(&mut self, flows: Arc<Flows>);
}

/// Makes a world without tickets.
pub type Open = fn(Arc<Flows>, Arc<TestClock>) -> Box<dyn World>;

/// A case on its way.
pub type Running = Pin<Box<dyn Future<Output = ()>>>;

/// One promise, as a test.
pub type Case = fn(Stand) -> Running;

/// Lists the cases of a suite, and makes a macro that turns each into a test.
macro_rules! suite {
    ($tests:ident $suite:ident ($d:tt) $($case:ident),+ $(,)?) => {
        /// The promises of this suite, by their sentences.
        pub const CASES: &[(&str, $crate::contract::Case)] = &[
            $((stringify!($case), |stand| Box::pin($case(stand)))),+
        ];

        /// Makes a test of each case of this suite.
        #[macro_export]
        macro_rules! $tests {
            ($d open:path, $d($d attributes:tt)*) => {
                $(
                    #[tokio::test($d($d attributes)*)]
                    async fn $case() {
                        let stand = $crate::contract::Stand::new($d open);
                        $crate::contract::$suite::$case(stand).await;
                    }
                )+
            };
        }
    };
}
pub(crate) use suite;

/// Makes a test of every promise: `contract_tests!(open, start_paused = true)`, where `open` is an
/// [`Open`]. What comes after it goes to `#[tokio::test]`.
#[macro_export]
macro_rules! contract_tests {
    ($open:path $(, $($attributes:tt)*)?) => {
        mod breakers {
            $crate::breakers_contract!($open, $($($attributes)*)?);
        }
        mod broker {
            $crate::broker_contract!($open, $($($attributes)*)?);
        }
        mod crash {
            $crate::crash_contract!($open, $($($attributes)*)?);
        }
        mod desk {
            $crate::desk_contract!($open, $($($attributes)*)?);
        }
        mod orders {
            $crate::orders_contract!($open, $($($attributes)*)?);
        }
        mod gates {
            $crate::gates_contract!($open, $($($attributes)*)?);
        }
        mod releases {
            $crate::releases_contract!($open, $($($attributes)*)?);
        }
        mod repair {
            $crate::repair_contract!($open, $($($attributes)*)?);
        }
        mod trials {
            $crate::trials_contract!($open, $($($attributes)*)?);
        }
        mod unique {
            $crate::unique_contract!($open, $($($attributes)*)?);
        }
        mod waits {
            $crate::waits_contract!($open, $($($attributes)*)?);
        }
        mod catalog {
            $crate::catalog_contract!($open, $($($attributes)*)?);
        }
        mod oopses {
            $crate::oopses_contract!($open, $($($attributes)*)?);
        }
        mod filters {
            $crate::filters_contract!($open, $($($attributes)*)?);
        }
    };
}
