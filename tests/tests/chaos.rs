//! Everything goes wrong at random, for some time; then an auditor counts (US-24).
//!
//! `make chaos` runs it for minutes (`MINUTES=`, `SEED=`), `make test` for seconds. The same seed
//! draws the same blows in the same order; when they land differs from run to run.

use acceptance::audit::{Audit, assert_histories_agree, oopses, oopses_if_any};
use acceptance::eventually_every;
use acceptance::field::{Broker, Field};
use acceptance::foreign::Foreign;
use acceptance::process::Process;
use acceptance::teller::Teller;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use testkit::dice::Dice;
use testkit::partners::proxy::{Mode, Proxy};
use testkit::partners::rabbitmq::{Options, Version};
use testkit::partners::setting;

const QUICK: [&str; 2] = ["build", "test"];
const SLOW: [&str; 1] = ["work"];
const CONFIG: &str = r#"
[flow.ci]
stages = ["build", "test"]
[stage.build]
run = [EFFECT, "--sleep", "0.02"]
concurrency = 2
retry = { first = "50ms", max = "500ms" }
[stage.test]
run = [EFFECT, "--crash", "07"]
concurrency = 2
retry = { first = "50ms", max = "500ms" }
[flow.slow]
stages = ["work"]
[stage.work]
run = [EFFECT, "--sleep", "3"]
concurrency = 2
retry = { first = "50ms", max = "500ms" }
"#;

/// How long things go wrong in `make test`.
const SHORT: Duration = Duration::from_secs(12);
/// How long it may take until everything is done after the last blow.
const SETTLE_MAX: Duration = Duration::from_secs(180);
/// Publishers wait while so many tickets are not done.
const OPEN_MAX: usize = 1_500;
const BATCH: usize = 20;
/// The most tickets whose state is asked for one by one.
const SHOWN_MAX: usize = 2_000;

/// What can go wrong.
#[derive(Clone, Copy, Debug)]
enum Blow {
    WorkerHost(usize),
    WorkerChild(usize),
    Spawner(usize),
    /// Shorter than a worker may be silent: whoever is frozen longer is taken for dead, and its
    /// work may then run twice at once.
    Freeze(usize, u64),
    ControllerHost(usize),
    ControllerChild(usize),
    BrokerRestart,
    BrokerPower,
    Cut,
    HalfOpen(u64),
    MemoryAlarm(u64),
    PostgresPower,
    PostgresRestart,
    /// Everything at once.
    PowerFailure,
}

fn draw(dice: &mut Dice) -> Blow {
    let worker = *dice.pick(&[0, 1, 2]);
    let controller = *dice.pick(&[0, 1]);
    let seconds = dice.between(2, 10);
    match dice.between(0, 21) {
        0..=3 => Blow::WorkerHost(worker),
        4..=5 => Blow::WorkerChild(worker),
        6 => Blow::Spawner(worker),
        7..=8 => Blow::ControllerHost(controller),
        9 => Blow::ControllerChild(controller),
        10 => Blow::BrokerRestart,
        11 => Blow::BrokerPower,
        12..=14 => Blow::Cut,
        15..=16 => Blow::HalfOpen(seconds),
        17 => Blow::MemoryAlarm(seconds),
        18 => Blow::PostgresPower,
        19 => Blow::Freeze(worker, dice.between(1, 4)),
        20 => Blow::PostgresRestart,
        _ => Blow::PowerFailure,
    }
}

struct Arena {
    field: Field,
    proxy: Proxy,
    workers: Vec<Process>,
    controllers: Vec<Process>,
}

impl Arena {
    fn start() -> Option<Self> {
        let field = Field::with(Options::new(Version::V310), CONFIG)?;
        let proxy = Proxy::start(field.broker.port());
        let through = field.url_through(proxy.port());
        let cruel = [("broker.url", through.as_str())];
        // One of each stands before the broker without the proxy, so that not all are cut off at
        // once.
        let differs = |n: usize| if n == 0 { &[][..] } else { &cruel[..] };
        let controllers: Vec<Process> = (0..2)
            .map(|n| field.start("controller", &format!("controller-{n}"), differs(n)))
            .collect();
        let workers: Vec<Process> = (0..3)
            .map(|n| field.start("worker", &format!("worker-{n}"), differs(n)))
            .collect();
        let mut arena = Self {
            field,
            proxy,
            workers,
            controllers,
        };
        for process in arena.controllers.iter_mut().chain(&mut arena.workers) {
            process.await_ready();
        }
        Some(arena)
    }

    fn strike(&mut self, blow: Blow) {
        match blow {
            Blow::WorkerHost(n) => self.workers[n].restart(),
            Blow::WorkerChild(n) => self.workers[n].kill_child(),
            Blow::Spawner(n) => self.workers[n].kill_spawner(),
            Blow::Freeze(n, seconds) => {
                self.workers[n].freeze_child();
                std::thread::sleep(Duration::from_secs(seconds));
                self.workers[n].thaw_child();
            }
            Blow::ControllerHost(n) => self.controllers[n].restart(),
            Blow::ControllerChild(n) => self.controllers[n].kill_child(),
            Blow::BrokerRestart | Blow::BrokerPower => self.restart_broker(blow),
            Blow::PowerFailure => self.fail_power(),
            Blow::Cut => self.proxy.cut(),
            Blow::HalfOpen(seconds) => {
                self.proxy.set(Mode::Stall);
                std::thread::sleep(Duration::from_secs(seconds));
                self.proxy.set(Mode::Pass);
            }
            Blow::MemoryAlarm(seconds) => {
                let Broker::Own(broker) = &self.field.broker else {
                    return;
                };
                broker.raise_alarm();
                std::thread::sleep(Duration::from_secs(seconds));
                broker.clear_alarm();
            }
            Blow::PostgresPower => {
                self.field.postgres.kill();
                self.field.postgres.restart();
            }
            Blow::PostgresRestart => {
                self.field.postgres.stop();
                std::thread::sleep(Duration::from_secs(1));
                self.field.postgres.restart();
            }
        }
    }

    fn fail_power(&mut self) {
        for process in self.workers.iter_mut().chain(&mut self.controllers) {
            process.kill();
        }
        self.field.postgres.kill();
        self.restart_broker(Blow::BrokerPower);
        self.field.postgres.restart();
        for process in self.workers.iter_mut().chain(&mut self.controllers) {
            process.restart();
        }
    }

    fn restart_broker(&mut self, blow: Blow) {
        let Broker::Own(broker) = &mut self.field.broker else {
            return;
        };
        match blow {
            Blow::BrokerPower => broker.kill(),
            _ => broker.stop(),
        }
        broker.restart();
    }

    /// A host that has ended by itself is a defect, which its log explains.
    fn assert_all_run(&mut self) {
        for process in self.controllers.iter_mut().chain(&mut self.workers) {
            let is_running = process.is_running();
            assert!(
                is_running,
                "{} ended:\n{}",
                process.name(),
                process.log_tail()
            );
        }
    }
}

/// What was promised.
#[derive(Default)]
struct Promises {
    quick: Mutex<BTreeSet<String>>,
    slow: Mutex<BTreeSet<String>>,
    is_over: AtomicBool,
}

/// The ids of what was promised.
struct Confirmed {
    quick: Vec<String>,
    slow: Vec<String>,
}

impl Promises {
    fn add(&self, ids: impl IntoIterator<Item = String>) {
        lock(&self.quick).extend(ids);
    }

    fn confirmed(&self) -> Confirmed {
        let [quick, slow] =
            [&self.quick, &self.slow].map(|ids| lock(ids).iter().cloned().collect());
        Confirmed { quick, slow }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn has_room(&self, field_log: &std::path::Path) -> bool {
        let log = std::fs::read_to_string(field_log).unwrap_or_default();
        let done = log
            .lines()
            .filter(|line| line.starts_with("end ") && line.contains(" test "));
        lock(&self.quick).len() < done.count() + OPEN_MAX
    }
}

fn lock(ids: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    ids.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Submits by the command line, to one controller after the other; an id that is printed counts.
fn submit(promises: &Promises, tellers: &[Teller], log: &std::path::Path) {
    let mut number = 0;
    for teller in tellers.iter().cycle() {
        if promises.is_over() {
            return;
        }
        let mut lines = String::new();
        for _ in 0..BATCH {
            number += 1;
            writeln!(lines, r#"{{"flow":"ci","payload":"{number:06}\n"}}"#).expect("a string");
        }
        let output = teller.run(&["submit", "--jsonl", "-"], &lines);
        let printed = acceptance::text(&output.stdout);
        promises.add(printed.lines().map(str::to_owned));
        let output = teller.run(&["submit", "--flow", "slow"], "");
        let printed = acceptance::text(&output.stdout);
        lock(&promises.slow).extend(printed.lines().map(str::to_owned));
        while !promises.has_room(log) && !promises.is_over() {
            std::thread::sleep(Duration::from_millis(200));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Publishes by hand; an id that the broker has confirmed counts.
fn publish(promises: &Promises, mut foreign: Foreign, prefix: &str) {
    let mut number = 0;
    while !promises.is_over() {
        number += 1;
        let id = uuid::Uuid::now_v7().to_string();
        let message = json!({
            "exchange": prefix, "key": "build", "id": id, "type": "foreign",
            "headers": {"goaround-flow": "ci"}, "text": format!("f{number:06}\n"),
        });
        promises.add(foreign.publish(&message));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn length() -> Duration {
    let minutes = setting("MINUTES").map(|minutes| minutes.parse().expect("MINUTES is a number"));
    minutes.map_or(SHORT, |minutes: u64| Duration::from_secs(60 * minutes))
}

fn seed() -> u64 {
    let seed = setting("SEED").map(|seed| seed.parse().expect("SEED is a number"));
    // The short form tells the same story each time, so that a failure is of its own making.
    let is_long = setting("MINUTES").is_some();
    seed.unwrap_or_else(|| {
        if is_long {
            u64::from(std::process::id())
        } else {
            7
        }
    })
}

#[test]
fn rabbitmq_and_pika_in_chaos_nothing_is_lost_and_nothing_runs_twice_at_once() {
    let seed = seed();
    let begun = Instant::now();
    let Some(mut arena) = Arena::start() else {
        return;
    };
    println!(
        "chaos: SEED={seed}, {:?}, begun after {:?}",
        length(),
        begun.elapsed()
    );
    let Some(foreign) = Foreign::start(&arena.field.broker.url()) else {
        return;
    };
    let promises = Promises::default();
    let prefix = arena.field.prefix().to_owned();
    let log = arena.field.far("effects.log");
    let tellers: Vec<Teller> = arena
        .controllers
        .iter()
        .map(|c| arena.field.ask(c))
        .collect();
    std::thread::scope(|scope| {
        scope.spawn(|| submit(&promises, &tellers, &log));
        scope.spawn(|| publish(&promises, foreign, &prefix));
        // However the blows end, the publishers must hear of it.
        let blows = std::panic::AssertUnwindSafe(|| rage(&mut arena, seed));
        let blows = std::panic::catch_unwind(blows);
        promises.is_over.store(true, Ordering::Relaxed);
        if let Err(panic) = blows {
            std::panic::resume_unwind(panic);
        }
    });
    let audit =
        std::panic::AssertUnwindSafe(|| settle_and_audit(&mut arena, &promises.confirmed()));
    if let Err(panic) = std::panic::catch_unwind(audit) {
        let kept = std::env::temp_dir().join(format!("goaround-chaos-{seed}"));
        arena.field.keep(&kept);
        println!("logs and effects are kept in {}", kept.display());
        std::panic::resume_unwind(panic);
    }
}

fn rage(arena: &mut Arena, seed: u64) {
    let mut dice = Dice::new(seed);
    let begun = Instant::now();
    while begun.elapsed() < length() {
        std::thread::sleep(Duration::from_millis(dice.between(500, 4_500)));
        let blow = draw(&mut dice);
        println!("{:7.1} s: {blow:?}", begun.elapsed().as_secs_f64());
        arena.strike(blow);
        arena.assert_all_run();
    }
}

fn settle_and_audit(arena: &mut Arena, confirmed: &Confirmed) {
    let begun = Instant::now();
    let teller = arena.field.ask(&arena.controllers[0]);
    let mut last = None;
    // Reports and the last words about the dead come after the work itself.
    let clean = eventually_every(Duration::from_secs(1), SETTLE_MAX, || {
        let (audit, books) = look(arena, &teller, confirmed)?;
        let open = ["runnable", "running"].map(|state| books[state].as_u64().unwrap_or(1));
        let is_clean = audit.lost.is_empty() && audit.unreported.is_empty();
        let is_clean = is_clean && open == [0, 0] && books["done"] == books["accepted"];
        last = Some((audit, books));
        is_clean.then_some(())
    });
    let (audit, books) = last.unwrap_or_else(|| panic!("no books:\n{}", arena.field.logs()));
    println!(
        "{} and {} slow ones confirmed, {} lost, {} live doubles, {} done again, \
         {} reports of the dead, settled after {:?}: {books}",
        confirmed.quick.len(),
        confirmed.slow.len(),
        audit.lost.len(),
        audit.live_doubles.len(),
        audit.repeated.len(),
        audit.posthumous.len(),
        begun.elapsed()
    );
    assert!(
        clean.is_some(),
        "{audit:#?}\n{books}\n{}",
        arena.field.logs()
    );
    audit.assert_clean();
    assert_eq!(books["balanced"], true, "{books}");
    arena.assert_all_run();
    assert_histories_agree(&teller, &oopses(&teller));
    let all = confirmed.quick.iter().chain(&confirmed.slow);
    let step = (confirmed.quick.len() / SHOWN_MAX).max(1);
    for id in all.step_by(step) {
        let ticket = teller.get(&format!("tickets/{id}"));
        let state = ticket.as_ref().and_then(|ticket| ticket["state"].as_str());
        assert_eq!(state, Some("done"), "{id}: {ticket:?}");
    }
}

fn look(arena: &Arena, teller: &Teller, confirmed: &Confirmed) -> Option<(Audit, Value)> {
    let books = teller.books_if_any()?;
    let effects = arena.field.effects();
    let reports = oopses_if_any(teller)?;
    let promises: [(&[String], &[&str]); 2] =
        [(&confirmed.quick, &QUICK), (&confirmed.slow, &SLOW)];
    let audit = Audit::new(&promises, &effects, &reports);
    Some((audit, books))
}
