//! What every part of a worker shares.

use crate::config::Config;
use crate::envelope;
use crate::journal::Journal;
use crate::link::{Link, State};
use crate::publisher::{Message, Publisher};
use crate::worker::WorkerSettings;
use crate::worker::counts::Counts;
use crate::worker::door::{self, Door, Errand, Of};
use crate::worker::in_hand::InHand;
use crate::worker::lane::{self, Post};
use crate::worker::lock;
use crate::worker::shelf::Shelf;
use crate::worker::versions::Versions;
use crate::worker::vitals::Vitals;
use domain::control::{Admission, Snapshot};
use domain::delivery::Lender;
use domain::names::StageName;
use domain::ports::StoreError;
use domain::record::{Record, Said};
use domain::ticket::Ticket;
use domain::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// What every part of a worker shares.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) settings: WorkerSettings,
    /// For deliveries and their acks.
    pub(crate) link: Arc<Link>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) journal: Journal,
    pub(crate) in_hand: Mutex<InHand>,
    pub(crate) door: Door,
    /// The desired state that deliveries keep to; `None` until there is one.
    pub(crate) desired: watch::Sender<Option<Arc<Snapshot>>>,
    pub(crate) shelves: Mutex<BTreeMap<StageName, Arc<Shelf>>>,
    pub(crate) vitals: Vitals,
    pub(crate) versions: Versions,
    pub(crate) counts: Counts,
    /// Whether no more is to be taken.
    pub(crate) closing: watch::Sender<bool>,
    /// Where each stage's messages go; made once, since there is one for each next ticket.
    routes: Mutex<BTreeMap<StageName, Arc<str>>>,
    exchange: Arc<str>,
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        settings: WorkerSettings,
        link: Arc<Link>,
        publisher: Arc<Publisher>,
    ) -> Self {
        Self {
            journal: Journal::new(Arc::clone(&publisher), &config.names),
            exchange: config.names.exchange().into(),
            config,
            versions: Versions::new(Arc::clone(&settings.versions)),
            settings,
            link,
            publisher,
            in_hand: Mutex::default(),
            door: Door::default(),
            desired: watch::Sender::new(None),
            shelves: Mutex::default(),
            vitals: Vitals::default(),
            counts: Counts::default(),
            closing: watch::Sender::new(false),
            routes: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }

    /// A record of ours.
    pub(crate) fn record(&self, said: Said) -> Record {
        self.record_at(self.now(), said)
    }

    pub(crate) fn record_at(&self, at: Timestamp, said: Said) -> Record {
        let by = self.settings.holder.clone();
        Record { by, at, said }
    }

    /// How long a delivery may stay unacked.
    pub(crate) fn ack_timeout(&self) -> Duration {
        self.config.ack_timeout
    }

    /// The desired state, empty as long as there is none.
    pub(crate) fn desired(&self) -> Arc<Snapshot> {
        self.desired.borrow().clone().unwrap_or_default()
    }

    /// What may be taken of the stage now; `used` is the last permit that was used up.
    pub(crate) fn admits(&self, stage: &StageName, used: u64) -> Admission {
        if *self.closing.borrow() {
            return Admission::Nothing;
        }
        match &*self.desired.borrow() {
            Some(desired) => desired.admits(stage, &self.settings.holder, used),
            None => Admission::Nothing,
        }
    }

    /// What may be handed out of the stage now. While the broker takes no messages, nothing could
    /// be started or settled.
    pub(crate) fn may_hand_out(&self, stage: &StageName, used: u64) -> Admission {
        let publishing = self.publisher.link().state();
        let is_blocked = matches!(*publishing.borrow(), State::Blocked { .. });
        match is_blocked {
            true => Admission::Nothing,
            false => self.admits(stage, used),
        }
    }

    pub(crate) fn shelf(&self, stage: &StageName) -> Arc<Shelf> {
        let mut shelves = lock(&self.shelves);
        let shelf = shelves
            .entry(stage.clone())
            .or_insert_with(|| Arc::new(Shelf::new(stage.clone())));
        Arc::clone(shelf)
    }

    /// Every stage's shelf.
    pub(crate) fn all_shelves(&self) -> Vec<Arc<Shelf>> {
        lock(&self.shelves).values().cloned().collect()
    }

    /// A ticket as the message that carries it to its stage.
    pub(crate) fn stage_message(&self, ticket: &Ticket) -> Message {
        let routing_key = self.route(&ticket.stage);
        envelope::message(ticket, (Arc::clone(&self.exchange), routing_key))
    }

    fn route(&self, stage: &StageName) -> Arc<str> {
        let mut routes = lock(&self.routes);
        match routes.get(stage) {
            Some(route) => Arc::clone(route),
            None => {
                let route: Arc<str> = stage.as_str().into();
                routes.insert(stage.clone(), Arc::clone(&route));
                route
            }
        }
    }

    /// Acks these; what cannot be acked comes again, and the books answer it.
    pub(crate) async fn ack(&self, posts: Vec<Post>) {
        if posts.is_empty() {
            return;
        }
        let lost = lane::ack(posts, self.config.publish_timeout).await;
        self.counts.unacked.add(lost);
    }

    /// The same, without waiting until they are written: they are handed to the connection before
    /// this returns. One that was written may be lost with the connection all the same.
    pub(crate) fn ack_unwatched(&self, posts: Vec<Post>) {
        self.counts.unacked.add(lane::ack_unwatched(posts));
    }

    pub(crate) fn unavailable(&self, what: &str) -> StoreError {
        StoreError::Unavailable(format!("{what}: {} does not confirm", self.config.place()))
    }
}

impl Lender for Shared {
    fn take_back(&self, number: u64) {
        let now = self.now();
        let said = match lock(&self.in_hand).get(number) {
            Some(held) => door::handed_back(held, now),
            None => return,
        };
        self.counts.handed_back.add(1);
        self.door.knock([Errand {
            said,
            of: Of::InHand(number),
        }]);
    }
}
