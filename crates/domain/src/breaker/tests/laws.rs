//! Whole stories, told to a world that does what the board asks for.

use super::world::{Place, World};
use super::*;
use proptest::prelude::*;

const ILL: u64 = 1;
const WELL: u64 = 0;

/// Every n-th ticket is ill.
fn mixed(count: usize, every: usize) -> Vec<u64> {
    (0..count)
        .map(|n| if n % every == 0 { ILL } else { WELL })
        .collect()
}

/// 1,000 tickets of which v1 fails on every other one, until all of those are held.
fn held_by_v1() -> World {
    let mut world = World::new(mixed(1_000, 2));
    world.fails("v1", ILL, 7);
    world.deploy(&["v1"]);
    world.run(200);
    assert_eq!((world.done(), world.held()), (500, 500));
    world
}

#[test]
fn one_ticket_that_crashes_for_a_day_is_done_by_the_next_version() {
    let mut world = World::new([ILL].into_iter().chain([WELL; 49]));
    world.fails("v1", ILL, 7);
    world.deploy(&["v1"]);
    world.run(40);
    assert_eq!((world.done(), world.held()), (49, 1));
    let from = world.now;
    world.run(3_600);
    let attempts = world.attempts(ILL, from);
    assert!((58..=60).contains(&attempts), "{attempts} in an hour");
    world.deploy(&["v2"]);
    world.run(3);
    assert_eq!(world.done(), 50);
    assert!(world.board.is_quiet());
}

#[test]
fn what_a_bad_version_held_goes_by_itself_one_alone_first() {
    let mut world = held_by_v1();
    world.deploy(&["v2"]);
    let from = world.now;
    world.run(1);
    assert_eq!(world.attempts(ILL, from), 1);
    world.run(400);
    assert_eq!(world.done(), 1_000);
    assert!(world.board.is_quiet());
    assert_eq!(world.attempts(ILL, from), 500);
    // One, then 1, 10, 100, the rest: at no time were more out than had gone well before, times
    // ten.
    let mut starts: Vec<i64> = world
        .started
        .iter()
        .filter(|it| it.at >= from)
        .map(|it| it.at)
        .collect();
    starts.dedup();
    assert_eq!(starts[1] - starts[0], 1, "the second only after the first");
}

#[test]
fn a_second_bad_version_costs_one_attempt_in_its_first_interval() {
    for signature in [7, 8] {
        let mut world = held_by_v1();
        world.fails("v2", ILL, signature);
        world.deploy(&["v2"]);
        let from = world.now;
        world.run(59);
        assert_eq!(world.attempts(ILL, from), 1, "failing as {signature}");
        assert_eq!(world.held(), 500);
        world.deploy(&["v3"]);
        world.run(400);
        assert_eq!(world.done(), 1_000, "failing as {signature}");
        assert!(world.board.is_quiet());
    }
}

#[test]
fn a_storm_costs_one_attempt_a_probe_interval() {
    let mut world = World::new([ILL; 2_000]);
    world.fails("v1", ILL, 7);
    world.deploy(&["v1"]);
    world.run(60);
    assert!(world.board.holds_stage());
    let from = world.now;
    world.run(600);
    assert_eq!(world.attempts(ILL, from), 10);
    world.deploy(&["v2"]);
    let from = world.now;
    world.run(1);
    assert_eq!(world.attempts(ILL, from), 1, "one alone first");
    world.run(1_000);
    assert_eq!(world.done(), 2_000);
    assert!(world.board.is_quiet());
}

#[test]
fn a_stage_all_of_whose_tickets_are_held_is_probed_with_one_of_them() {
    let mut world = World::new([ILL; 24]);
    world.fails("v1", ILL, 7);
    world.deploy(&["v1"]);
    world.run(30);
    assert!(world.board.holds_stage());
    world.ills.clear();
    world.run(300);
    assert_eq!(world.done(), 24);
}

#[test]
fn an_outage_heals_without_a_new_version() {
    let mut world = World::new(mixed(400, 2));
    world.fails("v1", ILL, 7);
    world.deploy(&["v1"]);
    world.run(1_000);
    assert_eq!(world.held(), 200);
    world.ills.clear();
    world.run(300);
    assert_eq!(world.done(), 400);
    assert!(world.board.is_quiet());
}

#[test]
fn in_a_rolling_upgrade_everything_is_done_by_the_new_version() {
    let mut world = held_by_v1();
    world.deploy(&["v1", "v2"]);
    world.run(2_000);
    assert_eq!(world.done(), 1_000);
    assert!(world.board.is_quiet());
}

#[test]
fn several_failures_are_repaired_one_by_one() {
    let sorts = (0..400).map(|n| n % 4);
    let mut world = World::new(sorts);
    for sort in 1..4 {
        world.fails("v1", sort, sort);
    }
    world.fails("v2", 2, 2);
    world.deploy(&["v1"]);
    world.run(300);
    world.deploy(&["v2"]);
    world.run(300);
    assert_eq!(world.done(), 300, "but for the sort that v2 fails on");
    world.deploy(&["v3"]);
    world.run(300);
    assert_eq!(world.done(), 400);
    assert!(world.board.is_quiet());
}

#[test]
fn what_comes_and_goes_is_not_held_for_good() {
    for percent in [2, 10, 30, 45] {
        let mut world = World::new(mixed(2_000, 2));
        world.flaky.insert(ILL, percent);
        world.deploy(&["v1"]);
        world.run(900);
        assert_eq!(world.done(), 2_000, "{percent} %");
    }
}

#[test]
fn poison_among_the_tickets_of_a_stage_that_is_released_does_not_close_it_again() {
    let mut world = World::new(mixed(2_000, 5));
    for sort in [ILL, WELL] {
        world.fails("v1", sort, 7);
    }
    world.fails("v2", ILL, 7);
    world.deploy(&["v1"]);
    world.run(30);
    assert!(world.board.holds_stage());
    world.deploy(&["v2"]);
    world.run(600);
    assert_eq!(world.done(), 1_600, "all but the poison");
    world.deploy(&["v3"]);
    world.run(200);
    assert_eq!(world.done(), 2_000);
}

/// What people and machines do to a world.
#[derive(Clone, Debug)]
enum Event {
    Deploy(Vec<u8>),
    Break {
        version: u8,
        sort: u64,
        signature: u64,
    },
    Mend {
        version: u8,
        sort: u64,
    },
    Cancel(usize),
    Vanish(usize),
    Pass(i64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        2 => prop::collection::vec(1..5u8, 0..3).prop_map(Event::Deploy),
        2 => (1..5u8, 0..3u64, 1..4u64).prop_map(|(version, sort, signature)| Event::Break {
            version,
            sort,
            signature
        }),
        1 => (1..5u8, 0..3u64).prop_map(|(version, sort)| Event::Mend { version, sort }),
        1 => (0..60usize).prop_map(Event::Cancel),
        1 => (0..60usize).prop_map(Event::Vanish),
        6 => (1..150i64).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 0..40)
}

fn happen(world: &mut World, event: &Event) {
    match event {
        Event::Deploy(versions) => {
            let names: Vec<String> = versions.iter().map(|n| format!("v{n}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            world.deploy(&names);
        }
        Event::Break {
            version,
            sort,
            signature,
        } => world.fails(&format!("v{version}"), *sort, *signature),
        Event::Mend { version: n, sort } => {
            world.ills.remove(&(version(&format!("v{n}")), *sort));
        }
        Event::Cancel(n) => world.cancel(*n),
        Event::Vanish(n) => world.vanish(*n),
        Event::Pass(seconds) => world.run(*seconds),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The world itself checks that there is never a second canary, and none too early.
    #[test]
    fn whatever_happens_a_good_version_ends_it_and_nobody_has_to_do_anything(
        sorts in prop::collection::vec(0..3u64, 60), takes in 1..4i64, events in events()
    ) {
        let mut world = World::new(sorts);
        world.takes = takes;
        world.fails("v1", 1, 1);
        world.deploy(&["v1"]);
        for event in &events {
            happen(&mut world, event);
        }
        world.deploy(&["v9"]);
        world.run(1_500);
        let over = world.count(|place| matches!(place, Place::Done | Place::Cancelled));
        let rest: Vec<_> = world.jobs.iter().map(|job| &job.place)
            .filter(|place| !matches!(place, Place::Done | Place::Cancelled)).collect();
        prop_assert_eq!(over, world.jobs.len(), "{:?} {:#?}", rest, world.board);
        prop_assert!(world.board.is_quiet());
    }
}
