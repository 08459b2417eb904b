//! A leading controller on a broker and books that fail by script, with time that is driven.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod books;
mod repair;
mod road;
#[path = "../support/mod.rs"]
mod support;
mod trials;
mod world;

use actors::{Collector, Watchdog};
use domain::fleet::LAPSE;
use domain::hearing::Spot;
use domain::names::Holder;
use domain::obituary::Obituary;
use domain::oops::{Report, Scene, Source, Span};
use domain::outcome::{Exit, Failure, OutcomeKind};
use domain::ports::{Clock, Desk, Observer, Reporter, Sent};
use domain::record::Said;
use domain::ticket::{Generation, Hop, Ticket};
use domain::time::Timestamp;
use domain::wait::Reason;
use road::{How, Way};
use std::sync::Arc;
use std::time::Duration;
use support::driven;
use tokio::time::sleep;
use world::{Worker, World, build, generation, holder};

/// Longer than a lapse and everything that has to be read after it.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_crash_between_applying_and_acknowledging_changes_the_books_once() {
    driven(async {
        let world = World::new();
        let worker = Worker::start(&world, "worker");
        let _running = world.start();
        let ticket = world.released().await;
        world.road.change(|state| state.journal.fail_done = 3);
        world.say_started(&worker.holder, &ticket);
        world.say_finished(&worker.holder, ticket.name);
        world
            .until("the journal is read to its end", || {
                let state = world.road.state();
                state.journal.fail_done == 0 && state.journal.acked == state.journal.entries.len()
            })
            .await;
        assert_eq!(world.books.spot(ticket.id()), Some(Spot::Done));
        let books = world.books.state();
        assert_eq!(books.applied, 2, "each record counted once");
        assert!(books.stale >= 2, "read again, they changed nothing");
        drop(books);
        assert!(world.failures("lead", "acknowledgement") >= 3);
        assert_eq!(world.most_published(), 1);
    });
}

#[test]
fn a_leader_that_loses_its_term_in_the_middle_of_a_release_leaves_a_doubt_for_the_next() {
    driven(async {
        let world = World::new();
        let _worker = Worker::start(&world, "worker");
        let _running = world.start();
        world.until("it leads", || world.leading.leads()).await;
        let ticket = world.ticket();
        world.road.change(|state| state.how.push_back(How::Hangs));
        world.books.submit(vec![ticket.clone()]).await.unwrap();
        let is_publishing = || world.books.spot(ticket.id()) == Some(Spot::Publishing);
        world.until("it is being published", is_publishing).await;
        world.books.depose();
        world.road.confirm.notify_one();
        sleep(LONG).await;
        assert!(!world.leading.leads(), "an idle leader notices as well");
        assert!(
            is_publishing(),
            "whether it landed is for the next to judge"
        );
        world.books.vacate();
        let renewed = ticket.name.renewed();
        let is_renewed = || world.road.state().published.contains(&renewed);
        world
            .until("it is published under a new name", is_renewed)
            .await;
        assert_eq!(world.most_published(), 1, "no name twice");
        let last = world.road.state().spread.last().cloned().unwrap();
        let fence = last.fences.get(&ticket.id()).copied();
        assert_eq!(fence, Some(Generation(2)), "its first copy is fenced off");
    });
}

#[test]
fn what_was_being_published_and_has_been_worked_on_meanwhile_does_not_run_again() {
    driven(async {
        let world = World::new();
        let worker = Worker::start(&world, "worker");
        let _running = world.start();
        world.until("it leads", || world.leading.leads()).await;
        let [done, lost] = [world.ticket(), world.ticket()];
        world.road.change(|state| state.how.push_back(How::Hangs));
        let both = vec![done.clone(), lost.clone()];
        world.books.submit(both).await.unwrap();
        let is_publishing = |ticket: &Ticket| {
            let spot = world.books.spot(ticket.id());
            spot == Some(Spot::Publishing)
        };
        let are_publishing = || is_publishing(&done) && is_publishing(&lost);
        world
            .until("they are being published", are_publishing)
            .await;
        world.books.depose();
        world.road.confirm.notify_one();
        sleep(LONG).await;
        // The broker had the one of them, and nobody leads who could hear what became of it.
        world.say_started(&worker.holder, &done);
        world.say_finished(&worker.holder, done.name);
        world.books.vacate();
        let is_renewed = || generation(&world.books, lost.id()) == 2;
        world.until("the other one is in doubt", is_renewed).await;
        sleep(LONG).await;
        assert_eq!(world.books.spot(done.id()), Some(Spot::Done));
        let state = world.road.state();
        assert!(!state.published.contains(&done.name.renewed()));
        assert!(state.published.contains(&lost.name.renewed()));
    });
}

#[test]
fn a_suspect_in_the_hands_of_a_live_worker_waits_and_a_dead_ones_is_judged_after_the_lapse() {
    driven(async {
        let world = World::new();
        let (first, second) = (Worker::start(&world, "a"), Worker::start(&world, "b"));
        let _running = world.start();
        let ticket = world.released().await;
        first.takes(ticket.name);
        world.say_started(&first.holder, &ticket);
        sleep(LONG).await;
        // Its connection was cut: the broker hands the ticket to the other one.
        world.say(&second.holder, Said::Suspect(Box::new(ticket.clone())));
        sleep(Duration::from_secs(600)).await;
        let suspect = Some(Spot::Waiting(Reason::Suspect));
        assert_eq!(world.books.spot(ticket.id()), suspect, "it is held");
        assert_eq!(world.oopses().await, vec![]);
        drop(first);
        let died_at = world.clock.now();
        let is_judged = || generation(&world.books, ticket.id()) == 2;
        world.until("it is judged", is_judged).await;
        let took = world.clock.now().since(died_at);
        assert!(
            took >= LAPSE - Duration::from_secs(2),
            "too early: {took:?}"
        );
        assert!(took < LAPSE * 2, "too late: {took:?}");
        let name = ticket.name.renewed().charged();
        let is_out = || world.road.state().published.contains(&name);
        world.until("it is released again", is_out).await;
        let oopses = world.oopses().await;
        assert_eq!(oopses.len(), 1);
        assert_eq!(oopses[0].version.as_str(), "7", "what the dead one ran");
        assert_eq!(oopses[0].hostname, "there");
        assert_eq!(world.most_published(), 1);
    });
}

#[test]
fn the_word_of_a_holder_that_lives_decides_about_its_suspect() {
    driven(async {
        let world = World::new();
        let (first, second) = (Worker::start(&world, "a"), Worker::start(&world, "b"));
        let _running = world.start();
        let ticket = world.released().await;
        first.takes(ticket.name);
        world.say_started(&first.holder, &ticket);
        world.say(&second.holder, Said::Suspect(Box::new(ticket.clone())));
        sleep(LONG).await;
        world.say_finished(&first.holder, ticket.name);
        first.says.lock().unwrap().in_hand.clear();
        sleep(LONG).await;
        assert_eq!(world.books.spot(ticket.id()), Some(Spot::Done));
        assert_eq!(world.oopses().await, vec![]);
        assert_eq!(world.road.state().published, vec![ticket.name]);
    });
}

#[test]
fn a_new_leader_judges_nobody_before_it_could_have_heard_everybody() {
    driven(async {
        let world = World::new();
        let ticket = world.ticket();
        world.books.submit(vec![ticket.clone()]).await.unwrap();
        world.say_started(&holder("a"), &ticket);
        world.say(&holder("b"), Said::Suspect(Box::new(ticket.clone())));
        let first = Worker::start(&world, "a");
        first.takes(ticket.name);
        let _running = world.start();
        for _ in 0..5 {
            sleep(LONG).await;
            world.books.depose();
            world.books.vacate();
        }
        sleep(LONG).await;
        assert_eq!(generation(&world.books, ticket.id()), 1, "its holder lives");
        assert_eq!(world.oopses().await, vec![]);
    });
}

#[test]
fn a_barrier_holds_a_release_back_until_every_live_worker_has_answered() {
    driven(async {
        let world = World::new();
        let (_first, second) = (Worker::start(&world, "a"), Worker::start(&world, "b"));
        let _running = world.start();
        sleep(LONG).await;
        second.is_stuck_at(Some(world.road.revision()));
        let doubtful = How::Sent(Sent::Doubtful);
        world.road.change(|state| state.how.push_back(doubtful));
        let ticket = world.ticket();
        world.books.submit(vec![ticket.clone()]).await.unwrap();
        let renewed = ticket.name.renewed();
        let is_out = || world.road.state().published.contains(&renewed);
        sleep(LONG * 4).await;
        assert!(!is_out(), "one worker does not keep to the fence yet");
        let other = world.released().await;
        assert_ne!(other.id(), ticket.id(), "what is not in doubt goes on");
        second.is_stuck_at(None);
        let asked_at = world.clock.now();
        world.until("it is published", is_out).await;
        let took = world.clock.now().since(asked_at);
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(
            world.most_published(),
            1,
            "never again under its first name"
        );
    });
}

#[test]
fn a_worker_with_an_older_copy_in_hand_holds_a_release_back_until_it_is_dead() {
    driven(async {
        let world = World::new();
        let worker = Worker::start(&world, "a");
        let _other = Worker::start(&world, "b");
        let _running = world.start();
        sleep(LONG).await;
        let doubtful = How::Sent(Sent::Doubtful);
        world.road.change(|state| state.how.push_back(doubtful));
        let ticket = world.ticket();
        worker.takes(ticket.name);
        world.books.submit(vec![ticket.clone()]).await.unwrap();
        let is_out = || world.road.state().published.len() > 1;
        sleep(LONG).await;
        assert!(!is_out(), "its first copy did land");
        drop(worker);
        world.until("it is published", is_out).await;
        assert_eq!(world.most_published(), 1);
    });
}

#[test]
fn a_journal_that_ends_is_opened_again_and_what_comes_then_is_applied() {
    driven(async {
        let world = World::new();
        let worker = Worker::start(&world, "worker");
        let _running = world.start();
        for _ in 0..3 {
            let ticket = world.released().await;
            world.road.end(|state| &mut state.journal);
            world.say_finished(&worker.holder, ticket.name);
            let is_done = || world.books.spot(ticket.id()) == Some(Spot::Done);
            world.until("it is done", is_done).await;
        }
        assert_eq!(world.failures("lead", "the journal ended"), 3);
    });
}

#[test]
fn books_that_refuse_lead_back_to_candidature_and_nothing_is_lost() {
    driven(async {
        let world = World::new();
        let worker = Worker::start(&world, "worker");
        world.books.fail("lead", 2);
        let _running = world.start();
        let ticket = world.released().await;
        world.books.fail("apply", 3);
        world.say_finished(&worker.holder, ticket.name);
        let is_done = || world.books.spot(ticket.id()) == Some(Spot::Done);
        world.until("it is done", is_done).await;
        assert_eq!(world.failures("lead", "stand for election"), 2);
        assert_eq!(world.failures("lead", "could not be written"), 3);
        assert_eq!(world.books.state().applied, 1);
    });
}

#[test]
fn a_doubtful_publish_is_never_repeated_under_its_name() {
    driven(async {
        let world = World::new();
        let _worker = Worker::start(&world, "worker");
        let doubtful = [How::Sent(Sent::Doubtful); 3];
        world.road.change(|state| state.how.extend(doubtful));
        let _running = world.start();
        let ticket = world.ticket();
        world.books.submit(vec![ticket.clone()]).await.unwrap();
        let is_out = || world.books.spot(ticket.id()) == Some(Spot::Runnable);
        world.until("it has landed for certain", is_out).await;
        assert_eq!(generation(&world.books, ticket.id()), 4);
        assert_eq!(world.most_published(), 1);
    });
}

#[test]
fn a_result_that_cannot_be_written_is_written_again_and_the_ticket_is_not_published_again() {
    driven(async {
        let world = World::new();
        world.books.fail("sent", 5);
        let _running = world.start();
        let ticket = world.released().await;
        let is_out = || world.books.spot(ticket.id()) == Some(Spot::Runnable);
        world.until("the books know it", is_out).await;
        assert_eq!(world.road.state().published, vec![ticket.name]);
        assert_eq!(world.failures("release", "sent failed"), 5);
        assert_eq!(world.books.state().terms, 1, "in the same term");
    });
}

#[test]
fn a_result_that_can_never_be_written_ends_the_term() {
    driven(async {
        let world = World::new();
        let _worker = Worker::start(&world, "worker");
        world.books.fail("sent", 20);
        let _running = world.start();
        let ticket = world.released().await;
        let is_out = || world.books.spot(ticket.id()) == Some(Spot::Runnable);
        world.until("the next term has published it", is_out).await;
        assert_eq!(generation(&world.books, ticket.id()), 2, "as a doubt");
        assert_eq!(world.most_published(), 1);
        assert_eq!(
            world.failures("lead", "could not be written into the books"),
            1
        );
    });
}

#[test]
fn nothing_is_published_before_it_is_written_down_that_it_is_about_to_be() {
    driven(async {
        let world = World::new();
        world.books.fail("begin", 3);
        let _running = world.start();
        let ticket = world.released().await;
        assert_eq!(world.failures("release", "begin failed"), 3);
        assert_eq!(world.road.state().published, vec![ticket.name]);
    });
}

#[test]
fn what_did_not_leave_is_published_later_under_its_own_name() {
    driven(async {
        let world = World::new();
        let unsent = [How::Sent(Sent::Unsent); 3];
        world.road.change(|state| state.how.extend(unsent));
        let _running = world.start();
        let ticket = world.released().await;
        assert_eq!(world.road.state().published, vec![ticket.name]);
        assert_eq!(world.failures("release", "took none"), 3);
    });
}

#[test]
fn a_worker_that_died_while_nobody_led_is_buried_and_its_attempts_are_reported() {
    driven(async {
        let world = World::new();
        let _worker = Worker::start(&world, "b");
        let _running = world.start();
        let ticket = world.released().await;
        world.say_started(&holder("a"), &ticket);
        sleep(Duration::from_secs(1)).await;
        // Its ticket has gone on: somebody else speaks for it under a higher name.
        world.say_finished(&holder("b"), ticket.name.handed_on());
        sleep(Duration::from_secs(1)).await;
        world.books.depose();
        sleep(LONG).await;
        assert_eq!(world.oopses().await, vec![], "nobody leads");
        world.reporter.refuse(3);
        world.books.vacate();
        sleep(LONG * 2).await;
        assert!(world.books.state().buried.contains(&holder("a")));
        assert_eq!(world.failures("report", "not yet"), 3);
        assert_eq!(world.oopses().await.len(), 1, "tried until it is durable");
    });
}

#[test]
fn a_report_about_the_dead_is_recorded_also_when_its_ticket_is_done() {
    driven(async {
        let world = World::new();
        let _worker = Worker::start(&world, "b");
        let _running = world.start();
        let ticket = world.released().await;
        world.say_started(&holder("a"), &ticket);
        sleep(Duration::from_secs(1)).await;
        world.say_finished(&holder("b"), ticket.name.handed_on());
        sleep(LONG).await;
        let oopses = world.oopses().await;
        assert_eq!(oopses.len(), 1);
        assert_eq!(
            (oopses[0].name, &oopses[0].holder),
            (ticket.name, &holder("a"))
        );
        assert_eq!(world.books.spot(ticket.id()), Some(Spot::Done));
    });
}

fn died_of_hunger(holder: Holder, at: Timestamp) -> Said {
    let obituary = Obituary {
        exit: Exit::Signal(9),
        began_at: at,
        died_at: at,
        memory_bytes_max: Some(1 << 30),
        oom_kills: 1,
        last_words: "more\n".into(),
    };
    Said::Gone {
        holder,
        why: "signal 9".into(),
        obituary: Some(Box::new(obituary)),
    }
}

#[test]
fn what_a_launcher_tells_of_a_death_is_in_the_reports_about_its_attempts() {
    driven(async {
        let world = World::new();
        let worker = Worker::start(&world, "b");
        let _running = world.start();
        let (judged, buried) = (world.released().await, world.released().await);
        for ticket in [&judged, &buried] {
            world.say_started(&holder("a"), ticket);
        }
        sleep(Duration::from_secs(1)).await;
        world.say(&worker.holder, Said::Suspect(Box::new(judged.clone())));
        world.say_finished(&worker.holder, buried.name.handed_on());
        let gone = died_of_hunger(holder("a"), world.clock.now());
        world.say(&holder("a"), gone);
        sleep(LONG).await;
        let oopses = world.oopses().await;
        assert_eq!(oopses.len(), 2, "{oopses:?}");
        for report in &oopses {
            assert_eq!(report.source, Source::Launcher, "{report:?}");
            assert_eq!(report.failure.exit, Some(Exit::Signal(9)));
            assert_eq!(report.failure.log_tail, "more\n");
            let said = &report.failure.message;
            assert!(
                said.ends_with("signal 9 (SIGKILL), out of memory"),
                "{said}"
            );
        }
        assert_eq!(generation(&world.books, judged.id()), 2);
    });
}

#[test]
fn whoever_lives_is_called_once_when_somebody_was_killed_and_not_when_somebody_left() {
    driven(async {
        let world = World::new();
        let _lives = Worker::start(&world, "b");
        let _running = world.start();
        sleep(LONG).await;
        let before = world.road.revision();
        let (holder, why) = (holder("a"), String::from("it was stopped"));
        let obituary = None;
        let left = Said::Gone {
            holder,
            why,
            obituary,
        };
        world.say(&self::holder("a"), left);
        sleep(LONG).await;
        assert_eq!(world.road.revision(), before);
        let killed = |who: &str| {
            let obituary = died_of_hunger(self::holder(who), world.clock.now());
            world.say(&self::holder(who), obituary);
        };
        killed("that never beat");
        sleep(LONG).await;
        assert_eq!(world.road.revision(), before);
        let was_at_work = Worker::start(&world, "c");
        sleep(LONG).await;
        drop(was_at_work);
        killed("c");
        sleep(LONG).await;
        assert_eq!(world.road.revision(), before + 1);
    });
}

#[test]
fn an_unclaimed_ticket_goes_through_the_door_under_a_new_name() {
    driven(async {
        let world = World::new();
        let _running = world.start();
        let ticket = world.ticket();
        let lost = ticket.clone();
        world.road.change(|state| {
            state.unclaimed.fail_done = 1;
            state.unclaimed.entries.push(lost);
        });
        let unclaimed = Some(Spot::Waiting(Reason::Unclaimed));
        let is_in = || {
            let is_acked = world.road.state().unclaimed.acked == 1;
            is_acked && world.books.spot(ticket.id()) == unclaimed
        };
        world.until("it is in the books", is_in).await;
        sleep(Duration::from_secs(5)).await;
        assert_eq!(generation(&world.books, ticket.id()), 2);
        assert_eq!(world.books.state().applied, 1, "taken in twice, it is one");
        assert_eq!(world.failures("unclaimed", "done failed"), 1);
    });
}

#[test]
fn the_newest_desired_state_reaches_everybody_and_an_older_one_never_follows() {
    driven(async {
        let world = World::new();
        let worker = Worker::start(&world, "worker");
        let _running = world.start();
        world
            .until("it is spread", || !world.road.state().spread.is_empty())
            .await;
        for _ in 0..5 {
            world.say(&worker.holder, Said::Unhold(build()));
            sleep(Duration::from_secs(1)).await;
        }
        let newest = world.books.state().snapshot.revision;
        assert_eq!(world.road.revision(), newest);
        worker.is_stuck_at(Some(newest - 1));
        let before = world.road.state().spread.len();
        sleep(LONG).await;
        let spread = world.road.state().spread.clone();
        assert!(
            spread.len() > before,
            "spread again for the one that missed it"
        );
        let revisions = spread.iter().map(|snapshot| snapshot.revision);
        assert!(revisions.is_sorted());
    });
}

#[test]
fn a_controller_that_does_not_lead_still_collects_and_does_nothing_else() {
    driven(async {
        let world = World::new();
        world.books.depose();
        let _running = world.start();
        let way = Arc::new(Way(Arc::clone(&world.road)));
        let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
        let observer = Arc::clone(&world.recorder) as Arc<dyn Observer>;
        world.reporter.refuse(3);
        let reporter = Arc::clone(&world.reporter) as Arc<dyn Reporter>;
        let _collector = Collector::start(way, reporter, clock, observer);
        let ticket = world.ticket();
        world.books.submit(vec![ticket.clone()]).await.unwrap();
        let report = a_report(&world);
        let id = report.id;
        world.road.change(|state| {
            state.reports.fail_done = 1;
            state.reports.entries.push(report);
        });
        let is_acked = || world.road.state().reports.acked == 1;
        world.until("it is recorded and taken", is_acked).await;
        assert_eq!(world.oopses().await[0].id, id);
        assert_eq!(world.failures("collect", "not yet"), 3);
        sleep(LONG).await;
        assert_eq!(
            world.books.spot(ticket.id()),
            Some(Spot::Waiting(Reason::NotNow))
        );
        assert!(world.road.state().spread.is_empty());
    });
}

#[test]
fn a_watchdog_hears_who_is_alive_and_says_when_it_is_deaf() {
    driven(async {
        let world = World::new();
        let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
        let observer = Arc::clone(&world.recorder) as Arc<dyn Observer>;
        let way = Arc::new(Way(Arc::clone(&world.road)));
        let watchdog = Watchdog::start(way, clock, observer);
        let (readiness, pulses) = (watchdog.readiness(), watchdog.pulses());
        let reaches = watchdog.reaches();
        assert!(readiness().is_err(), "nothing is heard yet");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(readiness(), Ok(()));
        assert_eq!(reaches(1), None, "who is alive may not have been heard yet");
        sleep(LAPSE).await;
        assert_eq!(reaches(1), Some([].into()), "nobody is");
        let beat = domain::fleet::Heartbeat {
            holder: holder("a"),
            hostname: "there".into(),
            stages: [(build(), "1".parse().unwrap())].into(),
            kinds: [].into(),
            revision: 1,
            in_hand: Vec::new(),
        };
        world.road.change(|state| state.beats.entries.push(beat));
        sleep(Duration::from_secs(1)).await;
        assert!(!pulses()[0].is_silent);
        for (revision, by) in [(1, 1), (2, 0)] {
            let reach = &reaches(revision).unwrap()[&build()];
            assert_eq!((reach.by(), reach.of), (by, 1));
        }
        sleep(LAPSE + Duration::from_secs(1)).await;
        assert!(pulses()[0].is_silent);
        assert_eq!(reaches(1), Some([].into()), "a silent one is not counted");
        world.road.end(|state| &mut state.beats);
        sleep(Duration::from_millis(100)).await;
        assert!(readiness().unwrap_err().contains("the script ended it"));
        assert_eq!(reaches(1), None, "nothing is heard");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(readiness(), Ok(()), "it listens again");
    });
}

fn a_report(world: &World) -> Report {
    let mut ticket = world.ticket();
    ticket.name.hop = Hop(3);
    let scene = Scene {
        holder: holder("a"),
        hostname: "there".into(),
        version: "7".parse().unwrap(),
    };
    let span = Span {
        started_at: world.clock.now(),
        ended_at: world.clock.now(),
    };
    let failure = Failure::new("Boom", "it went wrong");
    Report::new(&ticket, OutcomeKind::Failed, failure, &scene, span)
}
