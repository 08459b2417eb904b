//! The books in PostgreSQL, a leader, and a road in memory between the two: what a journal tells
//! is written into the books at once.

use crate::queues::{Queues, Sending};
use domain::books::Place;
use domain::control::Snapshot;
use domain::fleet::Heartbeat;
use domain::flow::Flows;
use domain::names::{Holder, Version};
use domain::ports::{
    Applied, Catalog, Clock, Due, Election, Ledger, Listing, Reporter, Sent, Sort,
};
use domain::record::{Arrived, Fate, Parted, Record, Said};
use domain::ticket::Ticket;
use domain::wait::{Condition, Wait};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use store::{Postgres, PostgresConfig};
use testkit::clock::TestClock;
use testkit::partners::postgres::PostgresServer;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

const DUE_MAX: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// A controller that leads.
#[derive(Clone)]
pub(crate) struct Leader {
    pub(crate) store: Postgres,
    pub(crate) books: Arc<dyn Ledger>,
}

/// One process with everything in it.
pub(crate) struct Bench {
    pub(crate) flows: Arc<Flows>,
    pub(crate) clock: Arc<TestClock>,
    url: String,
    leader: tokio::sync::Mutex<Option<Leader>>,
    queues: Mutex<Queues>,
    pub(crate) changed: Notify,
    tasks: Mutex<JoinSet<()>>,
    turn: tokio::sync::Mutex<()>,
    /// The server lives as long as somebody works on it.
    server: OnceLock<Arc<PostgresServer>>,
}

pub(crate) fn holder() -> Holder {
    Holder::new("stand-1").unwrap()
}

impl Bench {
    pub(crate) fn new(flows: Arc<Flows>, clock: Arc<TestClock>, url: String) -> Self {
        Self {
            flows,
            clock,
            url,
            leader: tokio::sync::Mutex::new(None),
            queues: Mutex::default(),
            changed: Notify::new(),
            tasks: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            server: OnceLock::new(),
        }
    }

    pub(crate) fn keep(&self, server: Arc<PostgresServer>) {
        assert!(self.server.set(server).is_ok(), "a bench has one server");
    }

    /// What the server itself answers.
    pub(crate) fn sql(&self, statement: &str) -> String {
        let database = self.url.rsplit('/').next().unwrap();
        let database = database.split('?').next().unwrap();
        self.server.get().unwrap().sql(database, statement)
    }

    /// Another controller on the same books.
    pub(crate) async fn another(&self) -> Postgres {
        let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(&self.clock);
        let config = PostgresConfig::new(&self.url);
        let flows = Arc::clone(&self.flows);
        let holder = Holder::new("stand-2").unwrap();
        Postgres::open(config, flows, clock, holder).await.unwrap()
    }

    pub(crate) fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap()
    }

    pub(crate) async fn leader(&self) -> Leader {
        let mut leader = self.leader.lock().await;
        if let Some(leader) = &*leader {
            return leader.clone();
        }
        let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(&self.clock);
        let config = PostgresConfig::new(&self.url);
        let flows = Arc::clone(&self.flows);
        let store = Postgres::open(config, flows, clock, holder())
            .await
            .unwrap();
        let books = store.lead().await.unwrap();
        leader.insert(Leader { store, books }).clone()
    }

    fn record(&self, said: Said) -> Record {
        Record {
            by: holder(),
            at: self.clock.now(),
            said,
        }
    }

    /// The journal says so, and is read at once.
    pub(crate) async fn tell(&self, said: Vec<Said>) -> Applied {
        let records = said.into_iter().map(|said| self.record(said)).collect();
        self.leader().await.books.apply(records).await.unwrap()
    }

    pub(crate) async fn snapshot(&self) -> Snapshot {
        self.leader().await.store.snapshot().await.unwrap()
    }

    /// Everything that the leader does by itself. It is done to its end, also when whoever waits
    /// for it goes away.
    pub(crate) async fn pump(self: &Arc<Self>) {
        let (done, is_done) = oneshot::channel();
        let bench = Arc::clone(self);
        let work = async move {
            bench.lead().await;
            done.send(()).ok();
        };
        self.tasks.lock().unwrap().spawn(work);
        is_done.await.expect("the leader does not panic");
    }

    async fn lead(&self) {
        let _turn = self.turn.lock().await;
        let (handed_back, fenced) = {
            let mut queues = self.queues();
            let handed_back = std::mem::take(&mut queues.handed_back);
            (handed_back, std::mem::take(&mut queues.fenced))
        };
        let said = handed_back.iter().map(|ticket| self.goes_back(ticket));
        let said = said.chain(fenced.iter().map(|ticket| self.fenced(ticket)));
        self.tell(said.collect()).await;
        // A round of the breakers and plans is for the case to make.
        while self.has_due().await && self.publish_due(DUE_MAX).await > 0 {}
    }

    /// Whether a wait is over.
    async fn has_due(&self) -> bool {
        let now = self.clock.now();
        let listing = Listing {
            query: "is:not_now,backoff".parse().unwrap(),
            limit: Listing::LIMIT_MAX,
            sort: Sort::OldestFirst,
            now,
        };
        let waiting = self.leader().await.store.tickets(listing).await.unwrap();
        waiting.rows.iter().any(|entry| match &entry.place {
            Place::Waiting(wait) => wait.condition.until().is_some_and(|until| until <= now),
            _ => false,
        })
    }

    /// Publishes what is due; returns how much that was.
    pub(crate) async fn release(&self, max: NonZeroUsize) -> usize {
        let _turn = self.turn.lock().await;
        self.publish_due(max).await
    }

    pub(crate) fn fenced(&self, ticket: &Ticket) -> Said {
        Said::Fenced {
            name: ticket.name,
            stage: ticket.stage.clone(),
        }
    }

    fn goes_back(&self, ticket: &Ticket) -> Said {
        let at = self.clock.now();
        let wait = Wait {
            condition: Condition::NotNow { until: at },
            since: at,
            because: "it was handed back unstarted".into(),
            oops: None,
        };
        Said::Ended(Box::new(Parted {
            name: ticket.name,
            stage: ticket.stage.clone(),
            ended: None,
            to: Fate::Waits(Box::new(Arrived {
                ticket: ticket.clone(),
                name: ticket.name.renewed(),
                wait,
            })),
            emits: Vec::new(),
        }))
    }

    async fn publish_due(&self, max: NonZeroUsize) -> usize {
        let books = self.leader().await.books;
        let due = books.due(self.clock.now(), max).await.unwrap().due;
        let all = |sent: Sent| due.iter().map(|due| (due.ticket.name, sent)).collect();
        books.sent(all(Sent::Begun)).await.unwrap();
        books.sent(all(Sent::Confirmed)).await.unwrap();
        let count = due.len();
        let sending = |due: Due| Sending {
            ticket: due.ticket,
            is_alone: due.alone,
        };
        self.publish(due.into_iter().map(sending).collect()).await;
        count
    }

    /// Into the queues of their stages; what nobody takes there comes in by the door.
    pub(crate) async fn publish(&self, tickets: Vec<Sending>) {
        let takes = |sending: &Sending| {
            let Ticket { stage, kind, .. } = &sending.ticket;
            self.flows.claims(stage, kind)
        };
        let (taken, unclaimed): (Vec<_>, Vec<_>) = tickets.into_iter().partition(takes);
        for sending in taken {
            self.queues().push(sending);
        }
        self.tell(
            unclaimed
                .into_iter()
                .map(|sending| self.unclaimed(sending.ticket))
                .collect(),
        )
        .await;
        self.changed.notify_waiters();
    }

    fn unclaimed(&self, ticket: Ticket) -> Said {
        let wait = Wait {
            condition: Condition::Unclaimed,
            since: self.clock.now(),
            because: "no stage is configured that takes it".into(),
            oops: None,
        };
        let name = ticket.name.renewed();
        Said::Arrived(Box::new(Arrived { ticket, name, wait }))
    }

    /// The process dies. Another one, configured so, finds what the broker delivers again, says
    /// that it serves its stages, and buries the dead one.
    pub(crate) async fn next(&self, flows: Arc<Flows>) -> Arc<Self> {
        let next = Self::new(flows, Arc::clone(&self.clock), self.url.clone());
        let next = Arc::new(next);
        let _turn = self.turn.lock().await;
        // The dead one leads no longer.
        self.leader.lock().await.take();
        let mut queues = std::mem::take(&mut *self.queues());
        let lent = std::mem::take(&mut queues.lent);
        *next.queues() = queues;
        let snapshot = next.snapshot().await;
        let said = lent.into_values().map(|lent| {
            let ticket = lent.copied.ticket;
            match snapshot.lets_run(ticket.id(), ticket.name.generation) {
                true => Said::Suspect(Box::new((*ticket).clone())),
                false => next.fenced(&ticket),
            }
        });
        next.tell(said.collect()).await;
        next.tell(vec![next.beat()]).await;
        next.bury().await;
        next.pump().await;
        next
    }

    fn beat(&self) -> Said {
        let version = Version::new("1").unwrap();
        let stages = self
            .flows
            .stages()
            .into_iter()
            .map(|stage| (stage.name.clone(), version.clone()));
        Said::Beat(Box::new(Heartbeat {
            holder: holder(),
            hostname: "stand".into(),
            stages: stages.collect(),
            kinds: [].into(),
            revision: 0,
            in_hand: Vec::new(),
        }))
    }

    async fn bury(&self) {
        let Leader { store, books } = self.leader().await;
        let owed = books.bury(&holder(), self.clock.now()).await.unwrap();
        for report in owed {
            store.record(report).await.unwrap();
        }
        let owed = books.bury(&holder(), self.clock.now()).await.unwrap();
        assert_eq!(owed, [], "what is recorded is not owed any more");
    }
}
