//! What others would do with the same tickets: no-op tickets through one stage, each worker in
//! processes of its own, all on one RabbitMQ node. Asked for by name only, since it installs them.
//!
//! A queue is loaded by the peer's own publisher, and only then is its worker started.

mod house;
mod peer;
mod shift;

pub(crate) use house::main;

use crate::Size;
use crate::servers::Servers;
use crate::table::median;
use peer::Peer;
use shift::{Drained, Shift};
use std::process::Command;

const MIB: f64 = 1_048_576.0;

/// Measures whoever can be had, and prints the table.
pub(crate) fn compare(size: &Size) -> anyhow::Result<()> {
    let mut rows: Vec<Row> = Peer::ALL.map(|peer| Row::new(peer, size)).into();
    for row in &mut rows {
        eprintln!("looking for {}, at first some minutes …", row.peer.name());
        row.skipped = row.peer.install().err().map(|missing| missing.to_string());
    }
    let servers = size.servers()?;
    for row in rows.iter_mut().filter(|row| row.skipped.is_none()) {
        row.try_it(|row| row.idle(servers))?;
    }
    for round in 1..=size.rounds {
        for row in rows.iter_mut().filter(|row| row.skipped.is_none()) {
            eprintln!("round {round}: {} …", row.peer.name());
            row.try_it(|row| row.drain(servers))?;
        }
    }
    println!("| worker | tickets | handled | CPU for 100,000 | memory at most | memory idle |");
    println!("|---|---|---|---|---|---|");
    for row in &rows {
        println!("{}", row.told());
    }
    Ok(())
}

struct Row {
    peer: Peer,
    tickets: usize,
    idle_bytes: u64,
    rounds: Vec<Drained>,
    /// Why it is not measured.
    skipped: Option<String>,
}

impl Row {
    fn new(peer: Peer, size: &Size) -> Self {
        Self {
            peer,
            tickets: size.tickets / peer.share(),
            idle_bytes: 0,
            rounds: Vec::new(),
            skipped: None,
        }
    }

    /// A peer that cannot do it is left out, and said to be; that we cannot is an error.
    fn try_it(&mut self, what: impl FnOnce(&mut Self) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let tried = what(self);
        if self.peer.is_of_the_house() {
            return tried;
        }
        self.skipped = tried.err().map(|error| format!("{error:#}"));
        Ok(())
    }

    fn idle(&mut self, servers: &Servers) -> anyhow::Result<()> {
        eprintln!("{} idles …", self.peer.name());
        let place = Place::new(servers)?;
        let shift = place.shift(self)?;
        self.idle_bytes = shift.idle_bytes()?;
        Ok(())
    }

    fn drain(&mut self, servers: &Servers) -> anyhow::Result<()> {
        let place = Place::new(servers)?;
        let mut filling = self.peer.filling(self.tickets);
        peer::run(place.settle(&mut filling))?;
        let mut shift = place.shift(self)?;
        self.rounds.push(shift.drain(self.tickets as u64)?);
        Ok(())
    }

    fn told(&self) -> String {
        let name = self.peer.name();
        if let Some(why) = &self.skipped {
            let why = why.replace('\n', " ");
            return format!("| {name} | - | skipped: {why} | - | - | - |");
        }
        let of = |part: fn(&Drained) -> f64| {
            let mut all: Vec<f64> = self.rounds.iter().map(part).collect();
            median(&mut all)
        };
        format!(
            "| {name} | {} | {:.0}/s | {:.2} s | {:.1} MiB | {:.1} MiB |",
            self.tickets,
            of(|round| round.rate),
            of(|round| round.cpu_seconds),
            of(|round| round.peak_bytes as f64 / MIB),
            self.idle_bytes as f64 / MIB,
        )
    }
}

/// Where one measurement takes place: names that nobody else uses, and a folder for the counts.
struct Place {
    on_servers: crate::servers::Place,
    counts: tempfile::TempDir,
}

impl Place {
    fn new(servers: &Servers) -> anyhow::Result<Self> {
        Ok(Self {
            on_servers: servers.place(),
            counts: tempfile::tempdir()?,
        })
    }

    /// Tells a process where it is.
    fn settle<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env("PEERS_URL", &self.on_servers.broker)
            .env("PEERS_QUEUE", &self.on_servers.prefix)
            .env("PEERS_STORE", &self.on_servers.store)
            .env("PEERS_COUNTS", self.counts.path())
    }

    fn shift(&self, row: &Row) -> anyhow::Result<Shift> {
        let mut working = row.peer.working(row.tickets);
        Shift::start(row.peer, self.settle(&mut working), self.counts.path())
    }
}
