//! RabbitMQ and PostgreSQL of this run: private, durable, on the same cores and disk as everything
//! else that is measured.

use crate::cpu;
use anyhow::anyhow;
use std::sync::atomic::{AtomicU32, Ordering};
use testkit::partners::postgres::PostgresServer;
use testkit::partners::rabbitmq::{Rabbit, Version};

/// Both servers; they end with this.
pub(crate) struct Servers {
    rabbit: Rabbit,
    postgres: PostgresServer,
    broker: u32,
    store: u32,
    places: AtomicU32,
}

/// A part of the servers that nobody else uses.
pub(crate) struct Place {
    /// The broker's URL.
    pub(crate) broker: String,
    /// What the names on the broker begin with.
    pub(crate) prefix: String,
    /// The URL of an empty database.
    pub(crate) store: String,
}

impl Servers {
    /// Starts both.
    pub(crate) fn start() -> anyhow::Result<Self> {
        eprintln!("starting RabbitMQ and PostgreSQL …");
        let rabbit = Rabbit::start(Version::V310).map_err(|missing| anyhow!("{missing}"))?;
        let postgres = PostgresServer::start().map_err(|missing| anyhow!("{missing}"))?;
        Ok(Self {
            broker: cpu::listener(rabbit.port())?,
            store: cpu::listener(postgres.port())?,
            places: AtomicU32::new(0),
            rabbit,
            postgres,
        })
    }

    /// A place of its own for one measurement.
    pub(crate) fn place(&self) -> Place {
        let name = format!("b{}", self.places.fetch_add(1, Ordering::Relaxed));
        Place {
            broker: self.rabbit.url(),
            store: self.postgres.create_database(&name),
            prefix: name,
        }
    }

    /// The broker's URL.
    pub(crate) fn broker(&self) -> String {
        self.rabbit.url()
    }

    /// CPU seconds of the broker so far.
    pub(crate) fn broker_cpu(&self) -> anyhow::Result<f64> {
        cpu::of_tree(self.broker)
    }

    /// CPU seconds of the store so far.
    pub(crate) fn store_cpu(&self) -> anyhow::Result<f64> {
        cpu::of_tree(self.store)
    }
}
