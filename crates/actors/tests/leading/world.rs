//! A controller that may lead, and the workers that it hears of.

use crate::books::{Ballot, Books};
use crate::road::{FakeRoad, Way};
use actors::controller::{AtLead, Keeping};
use actors::{Controller, ControllerSetup, Leading, LeadingParts};
use async_trait::async_trait;
use domain::event::Event;
use domain::fleet::{BEAT_EVERY, Heartbeat};
use domain::flow::{Flows, Stage};
use domain::names::{Holder, StageName, Version};
use domain::oops::{OopsId, Report, Scene};
use domain::ports::{Clock, Desk, Observer, OopsError, Oopses, Reporter, StoreError};
use domain::record::{Fate, Parted, Record, Said, Started};
use domain::ticket::{Name, Ticket, TicketId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::clock::TestClock;
use testkit::memory::Memory;
use testkit::recorder::Recorder;
use tokio::task::JoinSet;
use tokio::time::sleep;

pub(crate) struct World {
    pub(crate) books: Arc<Books>,
    pub(crate) road: Arc<FakeRoad>,
    reports: Memory,
    pub(crate) reporter: Arc<Stubborn>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) leading: Leading,
    flows: Arc<Flows>,
}

pub(crate) fn build() -> StageName {
    "build".parse().unwrap()
}

pub(crate) fn holder(name: &str) -> Holder {
    Holder::new(&format!("{name}:1:1")).unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        let mut stage = Stage::new(build());
        stage.retry.jitter = 0.0;
        let flows = Arc::new(Flows::new(vec![stage], BTreeMap::new()).unwrap());
        let clock = Arc::new(TestClock::new(1));
        let reports = Memory::new(Arc::clone(&flows), Arc::clone(&clock) as Arc<dyn Clock>);
        let reporter = Arc::new(Stubborn::new(reports.clone()));
        let recorder = Arc::new(Recorder::default());
        let books = Books::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let road = Arc::new(FakeRoad::default());
        let leading = Leading::new(LeadingParts {
            election: Arc::new(Ballot(Arc::clone(&books))),
            road: Arc::new(Way(Arc::clone(&road))),
            desk: Arc::clone(&books) as Arc<dyn Desk>,
            catalog: Arc::clone(&books) as _,
            reporter: Arc::clone(&reporter) as Arc<dyn Reporter>,
            flows: Arc::clone(&flows),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            observer: Arc::clone(&recorder) as Arc<dyn Observer>,
            listener: Arc::clone(&recorder) as Arc<dyn Observer>,
            holder: holder("controller"),
        });
        Self {
            books,
            road,
            reports,
            reporter,
            clock,
            recorder,
            leading,
            flows,
        }
    }

    pub(crate) fn start(&self) -> (AtLead, Controller) {
        let setup = ControllerSetup {
            waits: Arc::new(self.leading.clone()),
            oopses: Arc::new(self.reports.clone()),
            flows: Arc::clone(&self.flows),
            scenes: self.leading.scenes(),
            deaths: self.leading.deaths(),
            versions: None,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            observer: Arc::clone(&self.recorder) as Arc<dyn Observer>,
            holder: holder("controller"),
            hostname: "here".into(),
        };
        let controller = Controller::start(&Arc::new(setup), Keeping::default());
        (self.leading.start(), controller)
    }

    pub(crate) fn ticket(&self) -> Ticket {
        let id = self.clock.ticket_id();
        Ticket::new(id, build(), self.clock.now())
    }

    /// Submits a ticket and waits until its queue has it.
    pub(crate) async fn released(&self) -> Ticket {
        let ticket = self.ticket();
        self.books.submit(vec![ticket.clone()]).await.unwrap();
        self.until("the ticket is released", || {
            self.road.state().published.contains(&ticket.name)
        })
        .await;
        ticket
    }

    /// Waits until something is so; ten minutes at most.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        for _ in 0..60_000 {
            if is_so() {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}\n{}", self.recorder.tail());
    }

    pub(crate) fn record(&self, by: &Holder, said: Said) -> Record {
        Record {
            by: by.clone(),
            at: self.clock.now(),
            said,
        }
    }

    pub(crate) fn say(&self, by: &Holder, said: Said) {
        self.road.say(self.record(by, said));
    }

    pub(crate) fn say_started(&self, by: &Holder, ticket: &Ticket) {
        let scene = Scene {
            holder: by.clone(),
            hostname: "there".into(),
            version: "7".parse().unwrap(),
        };
        let started = Started {
            name: ticket.name,
            stage: build(),
            scene: Arc::new(scene),
            ticket: None,
            claimed: false,
        };
        self.say(by, Said::Started(Box::new(started)));
    }

    pub(crate) fn say_finished(&self, by: &Holder, name: Name) {
        let parted = Parted {
            name,
            stage: build(),
            ended: None,
            to: Fate::Finished,
            emits: Vec::new(),
        };
        self.say(by, Said::Ended(Box::new(parted)));
    }

    pub(crate) async fn oopses(&self) -> Vec<Report> {
        let listing = domain::ports::Listing {
            query: domain::filter::Query::default(),
            limit: 1_000,
            sort: domain::ports::Sort::NewestFirst,
            now: self.clock.now(),
        };
        Oopses::list(&self.reports, listing).await.unwrap().rows
    }

    /// How often a failure of this kind was told, with these words.
    pub(crate) fn failures(&self, of: &str, words: &str) -> usize {
        self.recorder.count(|event| {
            matches!(event, Event::StoreFailed { what, why } if *what == of && why.contains(words))
        })
    }

    /// How often the name that is published most often was published.
    pub(crate) fn most_published(&self) -> usize {
        let mut counts: BTreeMap<Name, usize> = BTreeMap::new();
        for name in &self.road.state().published {
            *counts.entry(*name).or_default() += 1;
        }
        counts.into_values().max().unwrap_or(0)
    }
}

/// A store that refuses reports when told to.
pub(crate) struct Stubborn {
    inner: Memory,
    left: Mutex<u32>,
}

impl Stubborn {
    fn new(inner: Memory) -> Self {
        let left = Mutex::new(0);
        Self { inner, left }
    }

    /// The next reports are refused, so many of them.
    pub(crate) fn refuse(&self, times: u32) {
        *self.left.lock().unwrap() = times;
    }

    fn refuses(&self) -> bool {
        let mut left = self.left.lock().unwrap();
        let refuses = *left > 0;
        *left = left.saturating_sub(1);
        refuses
    }
}

#[async_trait]
impl Reporter for Stubborn {
    async fn record(&self, report: Report) -> Result<OopsId, OopsError> {
        if self.refuses() {
            return Err(OopsError(StoreError::Unavailable("not yet".into())));
        }
        self.inner.record(report).await
    }
}

/// A worker, as far as its heartbeats go; dropped, it is silent.
pub(crate) struct Worker {
    pub(crate) holder: Holder,
    pub(crate) says: Arc<Mutex<Says>>,
    _beats: JoinSet<()>,
}

pub(crate) struct Says {
    pub(crate) in_hand: Vec<Name>,
    /// Which version of its handler it has.
    pub(crate) version: Version,
    /// It beats on, but has not read the desired state since.
    pub(crate) stuck_at: Option<u64>,
}

impl Worker {
    pub(crate) fn start(world: &World, name: &str) -> Self {
        let says = Arc::new(Mutex::new(Says {
            in_hand: Vec::new(),
            version: "7".parse().unwrap(),
            stuck_at: None,
        }));
        let holder = holder(name);
        let mut beats = JoinSet::new();
        let (road, clock) = (Arc::clone(&world.road), Arc::clone(&world.clock));
        beats.spawn_local(beat(holder.clone(), Arc::clone(&says), road, clock));
        Self {
            holder,
            says,
            _beats: beats,
        }
    }

    pub(crate) fn takes(&self, name: Name) {
        self.says.lock().unwrap().in_hand.push(name);
    }

    /// It has this version of its handler from its next beat on.
    pub(crate) fn deploys(&self, version: &str) {
        self.says.lock().unwrap().version = version.parse().unwrap();
    }

    pub(crate) fn is_stuck_at(&self, revision: Option<u64>) {
        self.says.lock().unwrap().stuck_at = revision;
    }
}

async fn beat(holder: Holder, says: Arc<Mutex<Says>>, road: Arc<FakeRoad>, clock: Arc<TestClock>) {
    loop {
        let revision = {
            let says = says.lock().unwrap();
            let revision = says.stuck_at.unwrap_or_else(|| road.revision());
            let beat = Heartbeat {
                holder: holder.clone(),
                hostname: "there".into(),
                stages: BTreeMap::from([(build(), says.version.clone())]),
                kinds: BTreeMap::new(),
                revision,
                in_hand: says.in_hand.clone(),
            };
            let (by, at) = (holder.clone(), clock.now());
            let said = Said::Beat(Box::new(beat));
            road.say(Record { by, at, said });
            revision
        };
        let is_stuck = says.lock().unwrap().stuck_at.is_some();
        let newer = async {
            while is_stuck || road.revision() <= revision {
                road.changed().await;
            }
        };
        tokio::time::timeout(BEAT_EVERY, newer).await.ok();
    }
}

pub(crate) fn generation(books: &Books, ticket: TicketId) -> u32 {
    books.name(ticket).generation.0
}
