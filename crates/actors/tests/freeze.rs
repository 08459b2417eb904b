//! A stage whose thread does not answer any more: noticed by a ping, and given another thread.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use actix_rt::Arbiter;
use actors::{Root, Setup};
use async_trait::async_trait;
use domain::event::{Event, Loss, SettledAs};
use domain::flow::{Flows, Stage};
use domain::invariants::{Checker, Scope};
use domain::names::{Holder, Kind, StageName, Version};
use domain::outcome::{Attempted, Outcome};
use domain::ports::{Catalog, Clock, Context, Desk, Handler, Inspection, Observer};
use domain::ticket::{Lineage, Name, Payload, Ticket};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::driven;
use testkit::clock::TestClock;
use testkit::memory::Memory;
use testkit::recorder::{Chorus, Recorder};
use tokio::task::spawn_blocking;

/// Blocks the thread of its first attempt until the door opens.
struct Blocking {
    entered: Mutex<Option<Sender<()>>>,
    door: Mutex<Receiver<()>>,
}

#[async_trait]
impl Handler for Blocking {
    async fn handle(&self, _: Arc<Ticket>, _: Context) -> Attempted {
        let entered = self.entered.lock().unwrap().take();
        if let Some(entered) = entered {
            entered.send(()).unwrap();
            self.door.lock().unwrap().recv().unwrap();
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

fn ticket(clock: &TestClock) -> Ticket {
    let id = clock.ticket_id();
    Ticket {
        name: Name::first(id),
        kind: Kind::unnamed(),
        flow: None,
        stage: work(),
        key: None,
        payload: Payload::default(),
        deadline: None,
        created_at: clock.now(),
        lineage: Lineage::root(id),
        trace: None,
    }
}

/// Lets time pass until this has happened. The stage's thread is a real one: after each second it
/// gets a moment to answer in.
async fn passing(recorder: &Recorder, what: impl Fn(&Event) -> bool) {
    let pass = async {
        for _ in 0..120 {
            tokio::time::advance(Duration::from_secs(1)).await;
            let moment = || std::thread::sleep(Duration::from_millis(5));
            spawn_blocking(moment).await.unwrap();
        }
        panic!("it did not happen within two minutes:\n{}", recorder.tail());
    };
    tokio::select! {
        biased;
        _ = recorder.expect(what) => {}
        () = pass => {}
    }
}

fn is_finished(event: &Event) -> bool {
    let finished = SettledAs::Finished;
    matches!(event, Event::TicketSettled { settled, .. } if *settled == finished)
}

fn is_frozen(event: &Event) -> bool {
    let frozen = Loss::Frozen;
    matches!(event, Event::SupervisorLost { why, .. } if *why == frozen)
}

#[test]
fn a_stage_whose_thread_is_blocked_gets_another_and_what_was_blocked_lands_later() {
    driven(async {
        // Time does not pass by itself as long as this runs.
        let (end, ended) = channel::<()>();
        let still = spawn_blocking(move || ended.recv().is_err());
        let (entered, has_entered) = channel();
        let (open, door) = channel();
        let handler = Blocking {
            entered: Mutex::new(Some(entered)),
            door: Mutex::new(door),
        };
        let mut stage = Stage::new(work());
        stage.concurrency = NonZeroUsize::new(2).unwrap();
        let flows = Arc::new(Flows::new(vec![stage], BTreeMap::new()).unwrap());
        let clock = Arc::new(TestClock::new(1));
        let memory = Memory::new(Arc::clone(&flows), Arc::clone(&clock) as Arc<dyn Clock>);
        let recorder = Arc::new(Recorder::default());
        let checker = Arc::new(Checker::new(Scope::InHand));
        let ears: Vec<Arc<dyn Observer>> = vec![Arc::clone(&recorder) as _, checker.clone() as _];
        let setup = Setup {
            broker: Arc::new(memory.clone()),
            reporter: Arc::new(memory.clone()),
            holds: Arc::new(memory.clone()),
            flows,
            handlers: BTreeMap::from([(work(), Arc::new(handler) as Arc<dyn Handler>)]),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            observer: Arc::new(Chorus(ears)),
            holder: Holder::new("here:1:1").unwrap(),
            hostname: "here".into(),
        };
        let threads = Arc::new(Mutex::new(vec![Arbiter::new()]));
        let all = Arc::clone(&threads);
        let arbiters = Box::new(move |_: &StageName, last: Option<Loss>| {
            let mut threads = all.lock().unwrap();
            if last == Some(Loss::Frozen) {
                threads.push(Arbiter::new());
            }
            threads.last().unwrap().handle()
        });
        let running = Root::new(Arc::new(setup), arbiters).start();

        memory.submit(vec![ticket(&clock)]).await.unwrap();
        spawn_blocking(move || has_entered.recv().unwrap())
            .await
            .unwrap();
        memory.submit(vec![ticket(&clock)]).await.unwrap();
        passing(&recorder, is_frozen).await;
        passing(&recorder, is_finished).await;
        let balance = memory.balance().await.unwrap();
        assert_eq!((balance.done, balance.running), (1, 1), "{balance:?}");

        open.send(()).unwrap();
        passing(&recorder, is_finished).await;
        let balance = memory.balance().await.unwrap();
        assert!(balance.is_balanced() && balance.done == 2, "{balance:?}");
        assert!(checker.violations().is_empty(), "{}", recorder.tail());
        drop(running);
        for arbiter in threads.lock().unwrap().drain(..) {
            arbiter.stop();
        }
        drop(end);
        assert!(still.await.unwrap());
    });
}
