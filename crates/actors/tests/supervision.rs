//! Real actors on a memory broker, with time that is driven.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use actors::controller::Keeping;
use actors::{Controller, ControllerSetup, Root, Running, Setup};
use domain::breaker::Rules;
use domain::event::{Event, Loss, SettledAs};
use domain::flow::{Flows, Stage};
use domain::invariants::{Checker, Scope};
use domain::names::{Holder, StageName};
use domain::outcome::OutcomeKind;
use domain::ports::{Catalog, Clock, Desk, Handler, Observer, Oopses, Plans};
use domain::ticket::{Ticket, TicketId};
use domain::wait::Reason;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::driven;
use testkit::clock::TestClock;
use testkit::handler::{Script, Step};
use testkit::memory::Memory;
use testkit::recorder::{Chorus, Recorder};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};

/// A stage `work` of real actors.
struct World {
    memory: Memory,
    clock: Arc<TestClock>,
    recorder: Arc<Recorder>,
    checker: Arc<Checker>,
    script: Arc<Script>,
    setup: Arc<Setup>,
}

fn work() -> StageName {
    "work".parse().unwrap()
}

impl World {
    fn new(script: Script, change: impl FnOnce(&mut Stage)) -> Self {
        let mut stage = Stage::new(work());
        stage.retry.jitter = 0.0;
        change(&mut stage);
        let flows = Arc::new(Flows::new(vec![stage], BTreeMap::new()).unwrap());
        let clock = Arc::new(TestClock::new(1));
        let memory = Memory::new(Arc::clone(&flows), Arc::clone(&clock) as Arc<dyn Clock>);
        let recorder = Arc::new(Recorder::default());
        let checker = Arc::new(Checker::new(Scope::Everything));
        let ears: Vec<Arc<dyn Observer>> =
            vec![Arc::clone(&recorder) as _, Arc::clone(&checker) as _];
        let script = Arc::new(script);
        let handlers = BTreeMap::from([(work(), Arc::clone(&script) as Arc<dyn Handler>)]);
        let setup = Arc::new(Setup {
            broker: Arc::new(memory.clone()),
            reporter: Arc::new(memory.clone()),
            holds: Arc::new(memory.clone()),
            flows,
            handlers,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            observer: Arc::new(Chorus(ears)),
            holder: Holder::new("here:1:1").unwrap(),
            hostname: "here".into(),
        });
        Self {
            memory,
            clock,
            recorder,
            checker,
            script,
            setup,
        }
    }

    fn start(&self) -> (Rc<Running>, Controller) {
        let here = Box::new(|_: &StageName, _| actix_rt::Arbiter::current());
        let running = Rc::new(Root::new(Arc::clone(&self.setup), here).start());
        let memory = || Arc::new(self.memory.clone());
        let setup = ControllerSetup::beside(&self.setup, memory(), memory());
        let controller = Controller::start(&Arc::new(setup), Keeping::default());
        (running, controller)
    }

    async fn submit(&self, count: usize) -> Vec<TicketId> {
        let tickets: Vec<Ticket> = (0..count).map(|_| self.ticket()).collect();
        let ids: Vec<TicketId> = tickets.iter().map(Ticket::id).collect();
        for id in &ids {
            let event = Event::TicketAccepted {
                ticket: *id,
                stage: work(),
            };
            self.setup.observer.observe(self.clock.now(), &event);
        }
        self.memory.submit(tickets).await.unwrap();
        ids
    }

    fn ticket(&self) -> Ticket {
        let id = self.clock.ticket_id();
        Ticket::new(id, work(), self.clock.now())
    }

    async fn finished(&self, count: usize) {
        for _ in 0..count {
            let is_finished = |event: &Event| {
                matches!(
                    event,
                    Event::TicketSettled {
                        settled: SettledAs::Finished,
                        ..
                    }
                )
            };
            self.recorder.expect(is_finished).await;
        }
    }

    async fn oopses(&self) -> usize {
        let listing = domain::ports::Listing {
            query: domain::filter::Query::default(),
            limit: 1_000,
            sort: domain::ports::Sort::NewestFirst,
            now: self.clock.now(),
        };
        Oopses::list(&self.memory, listing)
            .await
            .unwrap()
            .rows
            .len()
    }

    async fn assert_sound(&self) {
        let balance = self.memory.balance(None).await.unwrap();
        assert!(balance.is_balanced(), "{balance:?}");
        let violations = self.checker.violations();
        assert!(
            violations.is_empty(),
            "{violations:?}\n{}",
            self.recorder.tail()
        );
        assert_eq!(
            self.script.doubles(),
            0,
            "never two attempts at one ticket at once"
        );
    }
}

#[test]
fn tickets_are_worked_on_in_as_many_slots_as_the_stage_has() {
    driven(async {
        let step = Step::After(Duration::from_secs(1), Box::new(Step::Done));
        let world = World::new(Script::steps(vec![step]), |stage| {
            stage.concurrency = NonZeroUsize::new(3).unwrap();
        });
        let (running, _controller) = world.start();
        world.submit(10).await;
        world.finished(10).await;
        assert_eq!(world.script.at_once_max(), 3);
        assert!(running.drain(Duration::from_secs(1)).await);
        world.assert_sound().await;
    });
}

#[test]
fn a_panic_is_an_outcome_too_and_goes_around() {
    driven(async {
        let world = World::new(Script::steps(vec![Step::Panic, Step::Panic]), |_| {});
        let (_running, _controller) = world.start();
        let ids = world.submit(3).await;
        world.finished(3).await;
        assert_eq!(
            world.oopses().await,
            6,
            "two panics a ticket, one report each"
        );
        let entry = world.memory.ticket(ids[0]).await.unwrap().unwrap();
        assert_eq!(entry.ticket.name.attempt.0, 3);
        world.assert_sound().await;
    });
}

#[test]
fn a_handler_that_hangs_is_stopped_at_its_deadline_and_let_go_before_it_is_settled() {
    for script in [
        Script::steps(vec![Step::Deaf]),
        Script::steps(vec![Step::Hang]).that_listens(),
    ] {
        driven(async {
            let world = World::new(script, |stage| stage.deadline = Duration::from_secs(60));
            let (_running, _controller) = world.start();
            world.submit(1).await;
            let ended = world
                .recorder
                .expect(|event| matches!(event, Event::AttemptEnded { .. }))
                .await;
            let Event::AttemptEnded { outcome, took, .. } = ended else {
                unreachable!()
            };
            assert_eq!(outcome, OutcomeKind::TimedOut);
            assert!(took >= Duration::from_secs(60), "{took:?}");
            world.finished(1).await;
            assert_eq!(world.oopses().await, 1);
            world.assert_sound().await;
        });
    }
}

/// Submits one whose own deadline is so far ahead.
async fn submit_with_deadline(world: &World, ahead: Duration) -> TicketId {
    let ticket = Ticket {
        deadline: Some(world.clock.now().plus(ahead)),
        ..world.ticket()
    };
    let (id, stage) = (ticket.id(), work());
    let accepted = Event::TicketAccepted { ticket: id, stage };
    world.setup.observer.observe(world.clock.now(), &accepted);
    world.memory.submit(vec![ticket]).await.unwrap();
    id
}

/// The same, and waits until it is parked.
async fn parked_at_its_deadline(world: &World, ahead: Duration) -> TicketId {
    let id = submit_with_deadline(world, ahead).await;
    let is_parked = |event: &Event| {
        let parked = SettledAs::Waiting(Reason::Parked);
        matches!(event, Event::TicketSettled { settled, .. } if *settled == parked)
    };
    world.recorder.expect(is_parked).await;
    id
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_ticket_past_its_own_deadline_is_reported_once_and_parked_without_being_run() {
    driven(async {
        let world = World::new(Script::done(), |_| {});
        let (_running, _controller) = world.start();
        let id = parked_at_its_deadline(&world, Duration::ZERO).await;
        // It does not go around.
        tokio::time::sleep(60 * MINUTE).await;
        assert_eq!(world.script.calls_for(id), 0);
        let entry = world.memory.ticket(id).await.unwrap().unwrap();
        assert_eq!(entry.place.state(), domain::books::State::Waiting);
        assert_eq!((entry.oopses.len(), world.oopses().await), (1, 1));
        world.assert_sound().await;
    });
}

/// The messages that were logged.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Visit for Heard {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

impl tracing::Subscriber for Heard {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn a_worker_that_does_not_run_a_ticket_says_by_which_time_it_judged() {
    let heard = Heard::default();
    let _listens = tracing::subscriber::set_default(heard.clone());
    driven(async {
        let world = World::new(Script::done(), |_| {});
        let (_running, _controller) = world.start();
        let now = world.clock.now();
        parked_at_its_deadline(&world, Duration::ZERO).await;
        let said = heard.0.lock().unwrap().join("\n");
        let deadline = format!("its own deadline was {now}");
        assert!(said.contains(&deadline), "{said}");
        assert!(
            said.contains("by the clock of this machine it is"),
            "{said}"
        );
    });
}

#[test]
fn a_handler_is_stopped_at_its_tickets_own_deadline_if_that_comes_first() {
    for script in [
        Script::always(Step::Deaf),
        Script::always(Step::Hang).that_listens(),
    ] {
        driven(async {
            let world = World::new(script, |stage| stage.deadline = 10 * MINUTE);
            let (_running, _controller) = world.start();
            let begun = world.clock.now();
            let id = parked_at_its_deadline(&world, MINUTE).await;
            let took = world.clock.now().since(begun);
            assert!(took >= MINUTE && took < 2 * MINUTE, "{took:?}");
            tokio::time::sleep(60 * MINUTE).await;
            assert_eq!(world.script.calls_for(id), 1, "it is not tried again");
            assert_eq!(world.oopses().await, 1);
            world.assert_sound().await;
        });
    }
}

#[test]
fn what_is_cut_short_by_its_own_deadline_is_no_failure_of_its_stage() {
    for (own, is_clue) in [(MINUTE, false), (20 * MINUTE, true)] {
        driven(async {
            let world = World::new(Script::always(Step::Hang).that_listens(), |stage| {
                stage.deadline = 10 * MINUTE;
                stage.concurrency = NonZeroUsize::new(5).unwrap();
                stage.breaker = Some(Rules::default());
            });
            let (_running, _controller) = world.start();
            for _ in 0..5 {
                submit_with_deadline(&world, own).await;
            }
            tokio::time::sleep(11 * MINUTE).await;
            assert_eq!(world.oopses().await, 5);
            let tripped = world.memory.tripped(Some(work())).await.unwrap();
            assert_eq!(!tripped.is_empty(), is_clue, "{tripped:?}");
        });
    }
}

#[test]
fn a_ticket_that_fails_is_tried_again_until_its_own_deadline_and_then_parked() {
    driven(async {
        let world = World::new(Script::always(Step::Fail), |_| {});
        let (_running, _controller) = world.start();
        // After 1 s, 2 s and 4 s; the next would come after 8 s more, which is too late.
        let id = parked_at_its_deadline(&world, Duration::from_secs(10)).await;
        tokio::time::sleep(60 * MINUTE).await;
        assert_eq!(world.script.calls_for(id), 4);
        assert_eq!(world.oopses().await, 4, "one for each attempt");
        world.assert_sound().await;
    });
}

#[test]
fn a_supervisor_that_panics_or_ends_disturbs_no_attempt_and_loses_no_ticket() {
    for how in [Loss::Panicked, Loss::Stopped] {
        driven(async {
            let step = Step::After(Duration::from_secs(5), Box::new(Step::Done));
            let world = World::new(Script::steps(vec![step]), |stage| {
                stage.concurrency = NonZeroUsize::new(2).unwrap();
            });
            let (running, _controller) = world.start();
            world.submit(6).await;
            world
                .recorder
                .expect(|event| matches!(event, Event::AttemptStarted { .. }))
                .await;
            match how {
                Loss::Panicked => running.make_panic(&work()),
                _ => running.make_end(&work()),
            }
            let lost =
                |event: &Event| matches!(event, Event::SupervisorLost { why, .. } if *why == how);
            world.recorder.expect(lost).await;
            world.finished(6).await;
            assert_eq!(
                world.oopses().await,
                0,
                "nothing went wrong with any ticket"
            );
            assert_eq!(world.script.calls(), 6, "nothing ran twice");
            assert_eq!(running.readiness()(), Ok(()));
            world.assert_sound().await;
        });
    }
}

#[test]
fn a_handler_that_cannot_be_started_holds_its_stage_with_one_oops_until_it_changes() {
    driven(async {
        let world = World::new(Script::steps(vec![Step::Unstartable; 9]), |stage| {
            stage.concurrency = NonZeroUsize::new(4).unwrap();
        });
        let (_running, _controller) = world.start();
        world.submit(8).await;
        world
            .recorder
            .expect(|event| matches!(event, Event::StageHeld { .. }))
            .await;
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(world.oopses().await, 1, "one for all that found the same");
        assert!(
            world.script.calls() <= 8,
            "no loop: {} calls",
            world.script.calls()
        );
        let balance = world.memory.balance(None).await.unwrap();
        assert_eq!(balance.waiting.get(&Reason::Held), Some(&1), "{balance:?}");
        world.script.repair();
        world.finished(8).await;
        world.assert_sound().await;
    });
}

#[test]
fn a_drain_finishes_what_is_in_hand_and_takes_no_more() {
    driven(async {
        let step = Step::After(Duration::from_secs(5), Box::new(Step::Done));
        let world = World::new(Script::steps(vec![step]), |_| {});
        let (running, _controller) = world.start();
        world.submit(3).await;
        world
            .recorder
            .expect(|event| matches!(event, Event::AttemptStarted { .. }))
            .await;
        assert!(running.drain(Duration::from_secs(20)).await);
        let balance = world.memory.balance(None).await.unwrap();
        assert_eq!((balance.done, balance.runnable), (1, 2), "{balance:?}");
        world.assert_sound().await;
    });
}

#[test]
fn what_outlives_the_drain_is_handed_back_and_nothing_is_charged() {
    driven(async {
        let world = World::new(Script::steps(vec![Step::Hang]).that_listens(), |_| {});
        let (running, controller) = world.start();
        let ids = world.submit(1).await;
        world
            .recorder
            .expect(|event| matches!(event, Event::AttemptStarted { .. }))
            .await;
        assert!(running.drain(Duration::from_secs(20)).await);
        drop((running, controller));
        let entry = world.memory.ticket(ids[0]).await.unwrap().unwrap();
        assert_eq!(entry.ticket.name.attempt.0, 1, "{entry:?}");
        assert_eq!(world.oopses().await, 0);
        world.assert_sound().await;
    });
}

#[test]
fn waits_end_by_themselves_and_not_now_spends_no_attempt() {
    driven(async {
        let steps = vec![Step::NotNow(Some(Duration::from_secs(300))), Step::Fail];
        let world = World::new(Script::steps(steps), |_| {});
        let (_running, _controller) = world.start();
        let ids = world.submit(1).await;
        let begin = world.clock.now();
        world.finished(1).await;
        let took = world.clock.now().since(begin);
        assert!(
            took >= Duration::from_secs(301) && took < Duration::from_secs(302),
            "{took:?}"
        );
        let entry = world.memory.ticket(ids[0]).await.unwrap().unwrap();
        assert_eq!(
            entry.ticket.name.attempt.0, 2,
            "only the failure is charged"
        );
        assert_eq!(world.oopses().await, 1);
        world.assert_sound().await;
    });
}

#[test]
fn a_rejected_ticket_is_parked_and_a_pending_one_times_out_with_a_report() {
    driven(async {
        let world = World::new(
            Script::steps(vec![Step::Pending(Duration::from_secs(60)), Step::Reject]),
            |_| {},
        );
        let (_running, _controller) = world.start();
        world.submit(1).await;
        let parked = |event: &Event| {
            matches!(
                event,
                Event::TicketSettled {
                    settled: SettledAs::Waiting(Reason::Parked),
                    ..
                }
            )
        };
        world.recorder.expect(parked).await;
        assert_eq!(
            world.oopses().await,
            2,
            "the overdue wait, and the rejection"
        );
        tokio::time::sleep(Duration::from_secs(86_400)).await;
        assert_eq!(
            world.script.calls(),
            2,
            "a parked ticket is not tried by itself"
        );
        world.assert_sound().await;
    });
}
