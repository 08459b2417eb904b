//! A stage whose thread does not answer any more: noticed by a ping, and given another thread.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use actix_rt::Arbiter;
use actors::controller::Keeping;
use actors::{Controller, ControllerSetup, Root, Running, Setup};
use async_trait::async_trait;
use domain::event::{Event, Loss, SettledAs};
use domain::filter::Query;
use domain::flow::{Flows, Stage};
use domain::invariants::{Checker, Scope};
use domain::names::{Holder, Kind, StageName, Version};
use domain::oops::Report;
use domain::outcome::{Attempted, Outcome, OutcomeKind};
use domain::ports::{
    Action, Catalog, Clock, Context, Desk, Handler, Inspection, Listing, Observer, Oopses, Order,
    Sort,
};
use domain::ticket::{Ticket, TicketId};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::driven;
use testkit::clock::TestClock;
use testkit::memory::Memory;
use testkit::recorder::{Chorus, Recorder};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

/// Blocks the thread of the first attempt at each ticket of the kind `blocks` until the door opens;
/// a ticket of the kind `waits` waits for another one to let it go on, without blocking anything.
struct Blocking {
    entered: Sender<()>,
    door: Mutex<Receiver<()>>,
    waiting: Sender<()>,
    go_on: Notify,
    /// How often it was called for a ticket of the kind `counts`.
    counted: AtomicU32,
}

#[async_trait]
impl Handler for Blocking {
    async fn handle(&self, ticket: Arc<Ticket>, _: Context) -> Attempted {
        let is_first = ticket.name.attempt.0 == 1;
        if ticket.kind.as_str() == "blocks" && is_first {
            self.entered.send(()).unwrap();
            self.door.lock().unwrap().recv().unwrap();
        }
        if ticket.kind.as_str() == "counts" {
            self.counted.fetch_add(1, Ordering::SeqCst);
        }
        if ticket.kind.as_str() == "waits" {
            self.waiting.send(()).unwrap();
            self.go_on.notified().await;
        }
        Outcome::done().into()
    }

    fn inspect(&self) -> Inspection {
        Inspection {
            version: Version::new("1").unwrap(),
            obstacle: None,
        }
    }
}

fn work() -> StageName {
    "work".parse().unwrap()
}

const DEADLINE: Duration = Duration::from_secs(30);

/// A stage whose handler can be made to block its thread, and everybody who watches it.
struct Place {
    clock: Arc<TestClock>,
    memory: Memory,
    recorder: Arc<Recorder>,
    checker: Arc<Checker>,
    handler: Arc<Blocking>,
    entered: Receiver<()>,
    waiting: Receiver<()>,
    door: Sender<()>,
    threads: Arc<Mutex<Vec<Arbiter>>>,
    running: Running,
    _controller: Controller,
}

impl Place {
    fn new(deadline: Duration) -> Self {
        let (entered, has_entered) = channel();
        let (waiting, waits) = channel();
        let (open, door) = channel();
        let handler = Arc::new(Blocking {
            entered,
            door: Mutex::new(door),
            waiting,
            go_on: Notify::new(),
            counted: AtomicU32::new(0),
        });
        let mut stage = Stage::new(work());
        stage.concurrency = NonZeroUsize::new(2).unwrap();
        stage.deadline = deadline;
        let flows = Arc::new(Flows::new(vec![stage], BTreeMap::new()).unwrap());
        let clock = Arc::new(TestClock::new(1));
        let memory = Memory::new(Arc::clone(&flows), Arc::clone(&clock) as Arc<dyn Clock>);
        let recorder = Arc::new(Recorder::default());
        let checker = Arc::new(Checker::new(Scope::InHand));
        let ears: Vec<Arc<dyn Observer>> = vec![Arc::clone(&recorder) as _, checker.clone() as _];
        let setup = Arc::new(Setup {
            broker: Arc::new(memory.clone()),
            reporter: Arc::new(memory.clone()),
            holds: Arc::new(memory.clone()),
            flows,
            handlers: BTreeMap::from([(work(), Arc::clone(&handler) as Arc<dyn Handler>)]),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            observer: Arc::new(Chorus(ears)),
            holder: Holder::new("here:1:1").unwrap(),
            hostname: "here".into(),
        });
        let threads = Arc::new(Mutex::new(vec![Arbiter::new()]));
        let all = Arc::clone(&threads);
        let arbiters = Box::new(move |_: &StageName, last: Option<Loss>| {
            let mut threads = all.lock().unwrap();
            if last == Some(Loss::Frozen) {
                threads.push(Arbiter::new());
            }
            threads.last().unwrap().handle()
        });
        let books = || Arc::new(memory.clone());
        let beside = Arc::new(ControllerSetup::beside(&setup, books(), books()));
        Self {
            running: Root::new(setup, arbiters).start(),
            _controller: Controller::start(&beside, Keeping::default()),
            clock,
            memory,
            recorder,
            checker,
            handler,
            entered: has_entered,
            waiting: waits,
            door: open,
            threads,
        }
    }

    async fn submit(&self, kind: &str) -> TicketId {
        let ticket = self.ticket(kind);
        let id = ticket.id();
        self.memory.submit(vec![ticket]).await.unwrap();
        id
    }

    fn ticket(&self, kind: &str) -> Ticket {
        let id = self.clock.ticket_id();
        Ticket {
            kind: Kind::new(kind).unwrap(),
            ..Ticket::new(id, work(), self.clock.now())
        }
    }

    /// Lets time pass until this has happened. The stage's thread is a real one: after each second
    /// it gets a moment to answer in.
    async fn passing(&self, what: impl Fn(&Event) -> bool) {
        let pass = async {
            for _ in 0..120 {
                pass(Duration::from_secs(1)).await;
            }
            let tail = self.recorder.tail();
            panic!("it did not happen within two minutes:\n{tail}");
        };
        tokio::select! {
            biased;
            _ = self.recorder.expect(what) => {}
            () = pass => {}
        }
    }

    async fn reports(&self) -> Vec<Report> {
        let all = Listing {
            query: Query::default(),
            limit: 10,
            sort: Sort::OldestFirst,
            now: self.clock.now(),
        };
        Oopses::list(&self.memory, all).await.unwrap().rows
    }

    /// How many attempts of this ticket were charged.
    async fn attempts(&self, id: TicketId) -> u32 {
        let entry = self.memory.ticket(id).await.unwrap().unwrap();
        entry.ticket.name.attempt.0
    }

    async fn end(self) {
        let balance = self.memory.balance(None).await.unwrap();
        assert!(balance.is_balanced(), "{balance:?}");
        let violations = self.checker.violations();
        assert!(
            violations.is_empty(),
            "{violations:?}\n{}",
            self.recorder.tail()
        );
        drop(self.running);
        for arbiter in self.threads.lock().unwrap().drain(..) {
            arbiter.stop();
        }
    }
}

async fn pass(length: Duration) {
    tokio::time::advance(length).await;
    let moment = || std::thread::sleep(Duration::from_millis(5));
    spawn_blocking(moment).await.unwrap();
}

/// Waits for a word of a thread that has a time of its own.
async fn hear(word: &Receiver<()>) {
    for _ in 0..4_000 {
        if word.try_recv().is_ok() {
            return;
        }
        pass(Duration::ZERO).await;
    }
    panic!("nothing was heard");
}

fn is_finished(event: &Event) -> bool {
    let finished = SettledAs::Finished;
    matches!(event, Event::TicketSettled { settled, .. } if *settled == finished)
}

fn is_frozen(event: &Event) -> bool {
    let frozen = Loss::Frozen;
    matches!(event, Event::SupervisorLost { why, .. } if *why == frozen)
}

/// Time does not pass by itself as long as this runs.
fn holding_time(test: impl AsyncFnOnce()) {
    driven(async {
        let (end, ended) = channel::<()>();
        let still = spawn_blocking(move || ended.recv().is_err());
        test().await;
        drop(end);
        assert!(still.await.unwrap());
    });
}

#[test]
fn a_stage_whose_thread_is_blocked_gets_another_and_what_was_blocked_lands_later() {
    holding_time(async || {
        let place = Place::new(Duration::from_secs(600));
        place.submit("blocks").await;
        hear(&place.entered).await;
        place.submit("plain").await;
        place.passing(is_frozen).await;
        place.passing(is_finished).await;
        let balance = place.memory.balance(None).await.unwrap();
        assert_eq!((balance.done, balance.running), (1, 1), "{balance:?}");

        place.door.send(()).unwrap();
        place.passing(is_finished).await;
        assert_eq!(place.memory.balance(None).await.unwrap().done, 2);
        assert_eq!(place.reports().await, []);
        place.end().await;
    });
}

#[test]
fn a_handler_that_blocks_its_thread_past_its_deadline_is_reported_while_it_does() {
    holding_time(async || {
        let place = Place::new(DEADLINE);
        let blocker = place.submit("blocks").await;
        hear(&place.entered).await;
        let is_told = |event: &Event| matches!(event, Event::OopsRecorded { .. });
        place.passing(is_told).await;

        let reports = place.reports().await;
        assert_eq!(reports.len(), 1, "{reports:?}");
        let failure = &reports[0].failure;
        assert_eq!(reports[0].outcome, OutcomeKind::TimedOut);
        assert_eq!(failure.error_type, "ThreadBlocked");
        assert!(failure.message.contains("restart"), "{}", failure.message);
        // While it may still run, its ticket does not move.
        for _ in 0..60 {
            pass(Duration::from_secs(1)).await;
        }
        let balance = place.memory.balance(None).await.unwrap();
        assert_eq!(balance.running, 1, "{balance:?}");

        // It says that it is done; that was decided before.
        place.door.send(()).unwrap();
        place.passing(is_finished).await;
        assert_eq!(place.reports().await, reports);
        assert_eq!(place.attempts(blocker).await, 2);
        let told = place.recorder.events();
        assert_eq!(told.iter().filter(|event| is_told(event)).count(), 1);
        place.end().await;
    });
}

#[test]
fn those_who_share_a_blocked_thread_go_around_and_nothing_is_charged() {
    holding_time(async || {
        let deadline = Duration::from_secs(1);
        let place = Place::new(deadline);
        let bystander = place.submit("waits").await;
        hear(&place.waiting).await;
        let blocker = place.submit("blocks").await;
        hear(&place.entered).await;
        place
            .passing(|event| matches!(event, Event::OopsRecorded { .. }))
            .await;
        // The blocked thread keeps real time: by now the deadline of both has passed there too.
        let enough = deadline + Duration::from_millis(200);
        spawn_blocking(move || std::thread::sleep(enough))
            .await
            .unwrap();
        place.door.send(()).unwrap();
        hear(&place.waiting).await;
        place.handler.go_on.notify_waiters();
        place.passing(is_finished).await;
        place.passing(is_finished).await;
        let attempts = (
            place.attempts(bystander).await,
            place.attempts(blocker).await,
        );
        assert_eq!(attempts, (1, 2), "{}", place.recorder.tail());
        assert_eq!(place.reports().await.len(), 1);
        place.end().await;
    });
}

#[test]
fn what_was_begun_on_a_thread_that_is_blocked_for_ever_goes_on_on_another() {
    holding_time(async || {
        let place = Place::new(Duration::from_secs(600));
        let waits = place.submit("waits").await;
        hear(&place.waiting).await;
        // The slot that is left goes to the one that blocks, and nobody else gets one.
        place.submit("blocks").await;
        hear(&place.entered).await;
        let last = place.submit("plain").await;
        place.passing(is_frozen).await;
        hear(&place.waiting).await;
        place.handler.go_on.notify_waiters();
        place.passing(is_finished).await;
        place.passing(is_finished).await;
        for id in [waits, last] {
            assert_eq!(place.attempts(id).await, 1, "nothing is charged");
        }
        let balance = place.memory.balance(None).await.unwrap();
        assert_eq!((balance.done, balance.running), (2, 1), "{balance:?}");
        place.door.send(()).unwrap();
        place.passing(is_finished).await;
        assert_eq!(place.reports().await, []);
        place.end().await;
    });
}

#[test]
fn one_of_the_same_group_that_had_not_begun_is_not_kept_back() {
    holding_time(async || {
        let place = Place::new(Duration::from_secs(600));
        let group = vec![place.ticket("blocks"), place.ticket("plain")];
        place.memory.submit(group).await.unwrap();
        hear(&place.entered).await;
        place.passing(is_finished).await;
        let balance = place.memory.balance(None).await.unwrap();
        assert_eq!((balance.done, balance.running), (1, 1), "{balance:?}");
        place.door.send(()).unwrap();
        place.passing(is_finished).await;
        place.end().await;
    });
}

#[test]
fn what_a_handler_has_said_stands_when_its_thread_is_blocked_right_after() {
    holding_time(async || {
        let place = Place::new(Duration::from_secs(600));
        // The first of them is done when the second one blocks the thread that would hear of it.
        let group = vec![place.ticket("counts"), place.ticket("blocks")];
        place.memory.submit(group).await.unwrap();
        hear(&place.entered).await;
        place.passing(is_finished).await;
        assert_eq!(place.handler.counted.load(Ordering::SeqCst), 1);
        place.door.send(()).unwrap();
        place.passing(is_finished).await;
        assert_eq!(place.handler.counted.load(Ordering::SeqCst), 1);
        place.end().await;
    });
}

#[test]
fn one_that_had_to_wait_for_the_thread_is_given_its_own_time() {
    holding_time(async || {
        let place = Place::new(Duration::from_secs(10));
        let group = vec![place.ticket("blocks"), place.ticket("blocks")];
        place.memory.submit(group).await.unwrap();
        // Neither takes as long as it may; together they do.
        for _ in 0..2 {
            hear(&place.entered).await;
            for _ in 0..7 {
                pass(Duration::from_secs(1)).await;
            }
            place.door.send(()).unwrap();
        }
        place.passing(is_finished).await;
        place.passing(is_finished).await;
        assert_eq!(place.reports().await, []);
        place.end().await;
    });
}

#[test]
fn one_that_is_cancelled_while_it_blocks_is_not_charged() {
    holding_time(async || {
        let place = Place::new(DEADLINE);
        let ticket = place.submit("blocks").await;
        hear(&place.entered).await;
        // Its thread cannot hear of that. Ours can.
        let order = Order {
            ticket,
            action: Action::Cancel,
            by: "ann".into(),
            at: place.clock.now(),
        };
        place.memory.carry_out(vec![order]).await.unwrap();
        for _ in 0..60 {
            pass(Duration::from_secs(1)).await;
        }
        assert_eq!(place.reports().await, []);
        place.door.send(()).unwrap();
        let is_stale = |event: &Event| matches!(event, Event::SettlementStale { .. });
        place.passing(is_stale).await;
        place.end().await;
    });
}
