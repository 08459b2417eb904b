//! What a leader tells the books so that breakers know whom to try.

use crate::LONG;
use crate::support::driven;
use crate::world::{Worker, World, build};
use domain::fleet::{BEAT_EVERY, LAPSE};
use domain::ports::{Clock, Serving};
use std::time::Duration;
use tokio::time::sleep;

/// What the books were told last, one `version: holders` after the other.
fn told(world: &World) -> Option<String> {
    let serving: Serving = world.books.state().serving.last()?.clone();
    let versions = serving.get(&build()).into_iter().flatten();
    let told = versions.map(|(version, holders)| {
        let names = holders.keys().map(|holder| holder.as_str());
        let names: Vec<&str> = names.map(|name| name.split(':').next().unwrap()).collect();
        format!("{version}: {}", names.join(" "))
    });
    Some(told.collect::<Vec<_>>().join(", "))
}

async fn is_told(world: &World, expected: &str) {
    let is_so = || told(world).as_deref() == Some(expected);
    world.until(expected, is_so).await;
}

#[test]
fn the_books_hear_who_serves_a_stage_once_everybody_was_heard_and_whenever_that_changes() {
    driven(async {
        let world = World::new();
        let (first, second) = (Worker::start(&world, "a"), Worker::start(&world, "b"));
        let began_at = world.clock.now();
        let _running = world.start();
        is_told(&world, "7: a b").await;
        let took = world.clock.now().since(began_at);
        assert!(took >= LAPSE, "somebody might have been there: {took:?}");
        sleep(LONG).await;
        assert_eq!(world.books.state().serving.len(), 1, "nothing has changed");
        second.deploys("8");
        let deployed_at = world.clock.now();
        is_told(&world, "7: a, 8: b").await;
        let took = world.clock.now().since(deployed_at);
        assert!(took <= BEAT_EVERY + Duration::from_millis(100), "{took:?}");
        drop(first);
        is_told(&world, "8: b").await;
        sleep(LONG).await;
        assert_eq!(world.books.state().serving.len(), 3);
    });
}

#[test]
fn a_new_leader_tells_the_books_anew_and_not_before_it_has_heard_everybody() {
    driven(async {
        let world = World::new();
        let _workers = [Worker::start(&world, "a"), Worker::start(&world, "b")];
        let _running = world.start();
        is_told(&world, "7: a b").await;
        world.books.depose();
        sleep(LONG).await;
        world.books.state().serving.clear();
        world.books.vacate();
        world.until("it leads", || world.leading.leads()).await;
        let led_at = world.clock.now();
        is_told(&world, "7: a b").await;
        let took = world.clock.now().since(led_at);
        assert!(took >= LAPSE, "{took:?}");
        assert_eq!(world.books.state().serving.len(), 1, "never without b");
    });
}

#[test]
fn many_changes_are_told_as_few() {
    driven(async {
        let world = World::new();
        let start = |n: usize| Worker::start(&world, &format!("w{n:02}"));
        let workers: Vec<Worker> = (0..40).map(start).collect();
        let _running = world.start();
        world.until("it is told", || told(&world).is_some()).await;
        for worker in &workers {
            worker.deploys("8");
            sleep(Duration::from_millis(100)).await;
        }
        let is_last = || told(&world).is_some_and(|told| !told.contains("7:"));
        world.until("all are told", is_last).await;
        let count = world.books.state().serving.len();
        assert!(count <= 9, "{count} times in 6 seconds");
    });
}

#[test]
fn books_that_do_not_take_an_announcement_get_it_again_in_the_same_term() {
    driven(async {
        let world = World::new();
        let _worker = Worker::start(&world, "a");
        world.books.fail("serving", 3);
        let _running = world.start();
        is_told(&world, "7: a").await;
        assert_eq!(world.failures("announce", "serving failed"), 3);
        assert_eq!(world.books.state().terms, 1);
    });
}

#[test]
fn a_canary_of_a_whole_stage_that_an_announcement_calls_for_is_spread_at_once() {
    driven(async {
        let world = World::new();
        let worker = Worker::start(&world, "a");
        let _running = world.start();
        is_told(&world, "7: a").await;
        sleep(LONG).await;
        world.books.state().is_to_permit = true;
        worker.deploys("8");
        is_told(&world, "8: a").await;
        let told_at = world.clock.now();
        let is_spread = || {
            let spread = world.road.state().spread.last().cloned();
            spread.is_some_and(|snapshot| snapshot.gates.contains_key(&build()))
        };
        world.until("it is spread", is_spread).await;
        let took = world.clock.now().since(told_at);
        assert!(took < Duration::from_secs(1), "{took:?}");
    });
}
