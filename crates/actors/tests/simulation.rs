//! A thousand stories of the real actors on a faulty memory broker.
//!
//! A story that fails says its seed; `GOAROUND_SEED=7 cargo nextest run -p goaround-actors
//! --test simulation one_story` plays it again.

use actix_rt::System;
use actors::controller::Keeping;
use actors::{Controller, ControllerSetup, Root, Setup};
use domain::names::StageName;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use testkit::faults::Fault;
use testkit::simulation::{Berth, Crew, Life, simulate, simulate_all};

/// The real actors, all on one arbiter.
struct Actors;

impl Crew for Actors {
    fn live(&self, berth: Berth, life: Life<'_>) {
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .expect("a runtime can be made")
        };
        // Dropped at the end, the system drops every actor where it is: that is the SIGKILL.
        System::with_tokio_rt(runtime).block_on(async {
            let ports = berth.ports.clone();
            let setup = Arc::new(setup(&berth));
            let here = Box::new(|_: &StageName, _| actix_rt::Arbiter::current());
            let _running = Root::new(Arc::clone(&setup), here).start();
            let ports = || Arc::new(ports.clone());
            let beside = ControllerSetup::beside(&setup, ports(), ports());
            let _controller = Controller::start(&Arc::new(beside), keeping());
            life.await;
        });
    }
}

fn setup(berth: &Berth) -> Setup {
    Setup {
        broker: Arc::new(berth.ports.clone()),
        reporter: Arc::new(berth.ports.clone()),
        holds: Arc::new(berth.ports.clone()),
        flows: Arc::clone(&berth.flows),
        handlers: berth.handlers(),
        clock: Arc::clone(&berth.clock),
        observer: Arc::clone(&berth.observer),
        holder: berth.holder.clone(),
        hostname: "sim".into(),
    }
}

/// Nothing is forgotten while a story is told.
const fn keeping() -> Keeping {
    Keeping {
        tickets_for: Duration::from_secs(365 * 86_400),
        tickets_max: 1_000_000,
        oopses_for: Duration::from_secs(365 * 86_400),
        oopses_max: 1_000_000,
    }
}

/// Plays these seeds; they must not all be quiet ones.
fn stories(seeds: Range<u64>) {
    quiet_panics();
    let played = simulate_all(seeds, &Actors);
    let struck = played.struck;
    assert_eq!(
        struck.len(),
        Fault::ALL.len(),
        "every fault has struck: {struck:?}"
    );
    assert!(played.deaths > 0, "a process has died");
    let sums = played.sums;
    assert!(sums.canaries > 100, "breakers have opened: {sums:?}");
    assert!(sums.trials > 100, "tickets were tried alone: {sums:?}");
    assert!(sums.bystanders > 100, "they had been in company: {sums:?}");
}

/// Scripted handlers panic by the hundred; only other panics are worth a line.
fn quiet_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let told = panic.payload().downcast_ref::<&str>();
        if told.is_none_or(|told| *told != "the script says so") {
            usual(panic);
        }
    }));
}

#[test]
fn the_first_quarter_of_a_thousand_stories_ends_well() {
    stories(0..250);
}

#[test]
fn the_second_quarter_of_a_thousand_stories_ends_well() {
    stories(250..500);
}

#[test]
fn the_third_quarter_of_a_thousand_stories_ends_well() {
    stories(500..750);
}

#[test]
fn the_last_quarter_of_a_thousand_stories_ends_well() {
    stories(750..1_000);
}

#[test]
fn one_story_is_played_again_by_its_seed() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a seed to replay comes from whoever runs tests"
    )]
    let wish = std::env::var("GOAROUND_SEED");
    let seed = wish.map_or(1, |seed| seed.parse().expect("GOAROUND_SEED is a number"));
    quiet_panics();
    simulate(seed, &Actors);
}

#[test]
fn the_same_seed_is_the_same_story_to_the_last_event() {
    quiet_panics();
    for seed in 0..20 {
        let (first, second) = (simulate(seed, &Actors), simulate(seed, &Actors));
        let differ = first
            .events
            .iter()
            .zip(&second.events)
            .find(|(a, b)| a != b);
        assert!(
            first == second,
            "seed {seed} was told in two ways: {differ:#?}"
        );
    }
}
