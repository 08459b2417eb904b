//! Side-by-side measurements: each figure stands beside a bare limit measured in the same run.
//!
//! `cargo run --release -p bench [-- NAME …] [--rounds N] [--tickets N]` runs all or the named
//! ones; ratios of medians are what counts, since machines differ. `peers` is run when it is named.

mod afar;
mod amqp_drain;
mod amqp_latency;
mod amqp_worker;
mod bare;
mod command;
mod cpu;
mod drain;
mod history;
mod lapin_loop;
mod latency;
mod noop;
mod peers;
mod pg_records;
mod servers;
mod storm;
mod submit;
mod table;
mod up;
mod waiting;

use servers::Servers;
use std::cell::OnceCell;
use table::Table;

/// The allocator of the program that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How much to measure, and on what.
pub(crate) struct Size {
    /// Tickets of one round.
    pub(crate) tickets: usize,
    /// Rounds; medians are shown.
    pub(crate) rounds: usize,
    servers: OnceCell<Servers>,
}

impl Size {
    /// RabbitMQ and PostgreSQL; started when somebody asks for them.
    pub(crate) fn servers(&self) -> anyhow::Result<&Servers> {
        if let Some(servers) = self.servers.get() {
            return Ok(servers);
        }
        let servers = Servers::start()?;
        Ok(self.servers.get_or_init(|| servers))
    }
}

type Bench = fn(&Size, &mut Table) -> anyhow::Result<()>;

const BENCHES: &[(&str, Bench)] = &[
    ("drain", drain::one_stage),
    ("three-stage", drain::three_stages),
    ("submit", submit::from_file),
    ("submitters", submit::concurrent),
    ("command", command::small),
    ("command-1gib", command::large),
    ("latency", latency::at_200_a_second),
    ("waiting", waiting::a_million),
    ("history", history::after_a_million),
    ("storm", storm::crash_storm),
    ("release", storm::release),
    ("amqp-drain", amqp_drain::one_stage),
    ("amqp-stages", amqp_drain::three_stages),
    ("amqp-latency", amqp_latency::at_200_a_second),
    ("amqp-cpu", amqp_worker::idle),
    ("amqp-recovery", amqp_worker::recovery),
    ("pg-records", pg_records::attempts),
];

/// Beside others' workers, which are installed for that: only when it is asked for.
const PEERS: &str = "peers";
const PEERS_ROUNDS: usize = 3;
const ROUNDS: usize = 5;

fn main() -> anyhow::Result<()> {
    let mut size = Size {
        tickets: 200_000,
        rounds: ROUNDS,
        servers: OnceCell::new(),
    };
    let (mut wanted, mut rounds) = (Vec::new(), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || -> anyhow::Result<usize> {
            let value = arguments.next().unwrap_or_default();
            value
                .parse()
                .map_err(|_| anyhow::anyhow!("{argument}: expected a number, got {value:?}"))
        };
        match argument.as_str() {
            "--rounds" => rounds = Some(number()?),
            "--tickets" => size.tickets = number()?,
            "--spawner" => return exit(handlers::spawner::main()),
            "--peer" => return peers::main(arguments),
            _ => wanted.push(argument),
        }
    }
    let mut names: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
    names.push(PEERS);
    if let Some(unknown) = wanted.iter().find(|name| !names.contains(&name.as_str())) {
        anyhow::bail!("expected one of {}, got {unknown:?}", names.join(", "));
    }
    if wanted.iter().any(|wanted| wanted == PEERS) {
        size.rounds = rounds.unwrap_or(PEERS_ROUNDS);
        peers::compare(&size)?;
        wanted.retain(|wanted| wanted != PEERS);
        if wanted.is_empty() {
            return Ok(()); // Nothing else was named, which is not the same as nothing.
        }
    }
    size.rounds = rounds.unwrap_or(ROUNDS);
    let mut table = Table::default();
    for (name, bench) in BENCHES {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            eprintln!("measuring {name} …");
            bench(&size, &mut table)?;
        }
    }
    println!("{table}");
    Ok(())
}

fn exit(code: std::process::ExitCode) -> anyhow::Result<()> {
    anyhow::ensure!(
        code == std::process::ExitCode::SUCCESS,
        "the spawner failed"
    );
    Ok(())
}
