//! Draining full queues on RabbitMQ: what supervision, the journal and the books cost beside a bare
//! loop on the same broker.

use crate::afar::{Afar, Plan};
use crate::lapin_loop::{self, Bare};
use crate::servers::Servers;
use crate::table::{Table, median};
use crate::{Size, cpu, noop};
use domain::flow::Journal;
use std::time::Instant;

/// Of the tickets asked for, one in so many: a broker is slower than a file.
const DRAIN_SHARE: usize = 2;
const STAGES_SHARE: usize = 20;
/// Instant handlers wait for nothing but the confirm of their start, which all that were started as
/// one group share: so this many share it. The bare loop confirms nothing here but the hand-off.
const CONCURRENCY: usize = 2_048;
const HUNDRED_THOUSAND: f64 = 100_000.0;

pub(crate) fn one_stage(size: &Size, table: &mut Table) -> anyhow::Result<()> {
    let contest = Contest {
        what: "drain of a RabbitMQ stage",
        stages: 1,
        tickets: size.tickets / DRAIN_SHARE,
        rounds: size.rounds,
    };
    let workers = contest.run(size.servers()?, table)?;
    let what = "worker CPU for 100,000 of them, journal full";
    table.bound(what, format!("{workers:.2} s"), "<= 0.8 s", workers <= 0.8);
    Ok(())
}

pub(crate) fn three_stages(size: &Size, table: &mut Table) -> anyhow::Result<()> {
    let contest = Contest {
        what: "hand-off through three RabbitMQ stages",
        stages: 3,
        tickets: size.tickets / STAGES_SHARE,
        rounds: size.rounds,
    };
    contest.run(size.servers()?, table)?;
    Ok(())
}

struct Contest {
    what: &'static str,
    stages: usize,
    tickets: usize,
    rounds: usize,
}

/// Ours at work, in one of its forms.
struct Form {
    what: &'static str,
    afar: Afar,
    /// Whether the controller records while the worker works; else it does so afterwards.
    is_beside: bool,
    /// Done tickets that the books must have by now.
    done: usize,
    rates: Vec<f64>,
    recorded: Vec<f64>,
    costs: Vec<Cost>,
}

/// CPU seconds for a hundred thousand tickets.
#[derive(Clone, Copy, Default)]
struct Cost {
    worker: f64,
    broker: f64,
    controller: f64,
    store: f64,
}

impl Contest {
    /// Returns the worker's CPU seconds for a hundred thousand tickets.
    fn run(&self, servers: &Servers, table: &mut Table) -> anyhow::Result<f64> {
        actix_rt::System::new().block_on(async {
            let mut forms = self.forms(servers).await?;
            let (mut bare, mut cost) = (Vec::new(), Vec::new());
            for _ in 0..self.rounds {
                let (rate, spent) = self.bare(servers).await?;
                bare.push(rate);
                cost.push(spent);
                for form in &mut forms {
                    self.ours(servers, form).await?;
                }
            }
            tell("bare", &cost);
            for form in &mut forms {
                let what = format!("{}, {}", self.what, form.what);
                tell(&what, &form.costs);
                table.rates(&what, &mut bare, &mut form.rates, 0.9);
                let recorded = median(&mut form.recorded);
                eprintln!("  recorded at {recorded:.0} attempts/s, first to last");
            }
            let full = &forms
                .first()
                .map(|form| form.costs.clone())
                .unwrap_or_default();
            let mut worker: Vec<f64> = full.iter().map(|cost| cost.worker).collect();
            Ok(median(&mut worker))
        })
    }

    async fn forms(&self, servers: &Servers) -> anyhow::Result<Vec<Form>> {
        let mut forms = Vec::new();
        for (what, journal, is_beside) in [
            ("journal full", Journal::Full, false),
            ("journal exceptions", Journal::Exceptions, false),
            (
                "journal full, controller and PostgreSQL at work on the same cores",
                Journal::Full,
                true,
            ),
        ] {
            let stages = self.stages;
            let plan = Plan {
                stages,
                concurrency: CONCURRENCY,
                journal,
            };
            let afar = Afar::start(servers.place(), plan, "[\"/bin/true\"]").await?;
            forms.push(Form {
                what,
                afar,
                is_beside,
                done: 0,
                rates: Vec::new(),
                recorded: Vec::new(),
                costs: Vec::new(),
            });
        }
        Ok(forms)
    }

    async fn bare(&self, servers: &Servers) -> anyhow::Result<(f64, Cost)> {
        let bare = Bare::connect(&servers.broker(), "bench").await?;
        bare.declare(self.stages).await?;
        let queue = bare.queue(0);
        lapin_loop::fill(&bare.publisher().await?, ("", &queue), self.tickets).await?;
        bare.close().await;
        let bare = Bare::connect(&servers.broker(), "bench").await?;
        let before = (cpu::own()?, servers.broker_cpu()?);
        let rate = bare.drain(self.tickets, self.stages).await?;
        let cost = Cost {
            worker: self.per(cpu::own()? - before.0),
            broker: self.per(servers.broker_cpu()? - before.1),
            ..Cost::default()
        };
        bare.close().await;
        Ok((rate, cost))
    }

    async fn ours(&self, servers: &Servers, form: &mut Form) -> anyhow::Result<()> {
        let afar = &form.afar;
        let worker = afar.worker(noop::handlers_of(&self.plan().flows())).await?;
        let bare = Bare::connect(&servers.broker(), "bench").await?;
        let to = (afar.place.prefix.as_str(), "s1");
        lapin_loop::fill(&bare.publisher().await?, to, self.tickets).await?;
        bare.close().await;
        if !form.is_beside {
            afar.freeze()?;
        }
        let before = [cpu::own()?, servers.broker_cpu()?];
        let rest = [afar.controller_cpu()?, servers.store_cpu()?];
        let start = Instant::now();
        let worker = worker.start();
        worker.finished.wait_for(self.tickets).await;
        form.rates
            .push(self.tickets as f64 / start.elapsed().as_secs_f64());
        let spent = [cpu::own()? - before[0], servers.broker_cpu()? - before[1]];
        form.done += self.tickets;
        let reading = if form.is_beside {
            start
        } else {
            Instant::now()
        };
        afar.thaw()?;
        afar.recorded(form.done).await?;
        let attempts = (self.tickets * self.stages) as f64;
        form.recorded
            .push(attempts / reading.elapsed().as_secs_f64());
        form.costs.push(Cost {
            worker: self.per(spent[0]),
            broker: self.per(spent[1]),
            controller: self.per(afar.controller_cpu()? - rest[0]),
            store: self.per(servers.store_cpu()? - rest[1]),
        });
        worker.close().await;
        Ok(())
    }

    const fn plan(&self) -> Plan {
        Plan {
            stages: self.stages,
            concurrency: CONCURRENCY,
            journal: Journal::Full,
        }
    }

    fn per(&self, seconds: f64) -> f64 {
        seconds * HUNDRED_THOUSAND / self.tickets as f64
    }
}

fn tell(what: &str, costs: &[Cost]) {
    let of = |part: fn(&Cost) -> f64| {
        let mut all: Vec<f64> = costs.iter().map(part).collect();
        median(&mut all)
    };
    eprintln!(
        "{what}: CPU seconds for 100,000 tickets: worker {:.2}, broker {:.2}, controller {:.2}, PostgreSQL {:.2}",
        of(|cost| cost.worker),
        of(|cost| cost.broker),
        of(|cost| cost.controller),
        of(|cost| cost.store),
    );
}
