//! The settler: makes the outcomes of a stage durable, in groups.

use crate::attempt::DURABLE_RETRY;
use crate::holds;
use crate::station::{Room, Station};
use actix::fut::WrapFuture;
use actix::{ActorContext, ActorFutureExt, AsyncContext};
use domain::delivery::{Decision, Delivery, Disposition, Reported, Settlement};
use domain::event::{Event, SettledAs};
use domain::ports::{Settled, StoreError, Unsettled};
use domain::ticket::Name;
use domain::wait::Reason;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The most outcomes in one group: large enough that a disk's flush is shared by hundreds, small
/// enough that the first of them does not wait long for the last.
const GROUP_MAX: usize = 512;

/// Groups that may be on their way at once: one is being made durable while the next fills.
const GROUPS_IN_FLIGHT_MAX: usize = 2;

/// How long a group gathers after the last one was sent. A lone outcome does not wait at all; in a
/// stream of them a flush of the disk is shared by a few milliseconds' worth, instead of being paid
/// for every one or two.
const LINGER: Duration = Duration::from_millis(8);

/// Gathers what has ended and has it settled in groups.
pub(crate) struct Settler {
    station: Arc<Station>,
    waiting: Vec<Settle>,
    doors: Vec<Settlement>,
    in_flight: usize,
    /// When the last group was sent.
    sent_at: Option<Instant>,
    /// Whether a flush is on its way.
    is_due: bool,
}

impl Settler {
    pub(crate) fn new(station: Arc<Station>) -> Self {
        Self {
            station,
            waiting: Vec::new(),
            doors: Vec::new(),
            in_flight: 0,
            sent_at: None,
            is_due: false,
        }
    }

    /// Sends a full group now, and anything less when it has gathered.
    fn flush_soon(&mut self, context: &mut actix::Context<Self>) {
        if self.waiting.len() >= GROUP_MAX {
            return self.flush(context);
        }
        if self.is_due || self.is_empty() {
            return;
        }
        self.is_due = true;
        let since = self.sent_at.map_or(LINGER, |at| at.elapsed());
        match LINGER.saturating_sub(since) {
            // After the messages that are here already.
            Duration::ZERO => context.notify(Flush),
            rest => {
                context.notify_later(Flush, rest);
            }
        }
    }

    fn flush(&mut self, context: &mut actix::Context<Self>) {
        while self.in_flight < GROUPS_IN_FLIGHT_MAX && !self.is_empty() {
            let group = self.next_group();
            self.in_flight += 1;
            self.sent_at = Some(Instant::now());
            let station = Arc::clone(&self.station);
            let work = settle(station, group)
                .into_actor(self)
                .map(|(), settler, context| {
                    settler.in_flight -= 1;
                    settler.flush_soon(context);
                });
            context.spawn(work);
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.doors.is_empty()
    }

    fn next_group(&mut self) -> Group {
        let count = self.waiting.len().min(GROUP_MAX);
        let mut group = Group {
            settlements: std::mem::take(&mut self.doors),
            rooms: Vec::new(),
        };
        group.rooms.resize_with(group.settlements.len(), || None);
        for Settle { reported, room } in self.waiting.drain(..count) {
            group.settlements.push(decide(&self.station, reported));
            group.rooms.push(Some(room));
        }
        group
    }
}

struct Group {
    settlements: Vec<Settlement>,
    /// Held until the group is durable. What goes through the door takes none.
    rooms: Vec<Option<Room>>,
}

impl actix::Actor for Settler {
    type Context = actix::Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // Sent to by do_send, bounded by the settling window rather than by the mailbox.
        context.set_mailbox_capacity(crate::station::SETTLING_WINDOW);
    }
}

/// Settle this delivery.
pub(crate) struct Settle {
    pub(crate) reported: Delivery<Reported>,
    pub(crate) room: Room,
}

impl actix::Message for Settle {
    type Result = ();
}

impl actix::Handler<Settle> for Settler {
    type Result = ();

    fn handle(&mut self, message: Settle, context: &mut Self::Context) {
        self.waiting.push(message);
        self.flush_soon(context);
    }
}

/// Send a suspect through the one door.
pub(crate) struct Door(pub(crate) Vec<Settlement>);

impl actix::Message for Door {
    type Result = ();
}

impl actix::Handler<Door> for Settler {
    type Result = ();

    fn handle(&mut self, Door(settlements): Door, context: &mut Self::Context) {
        self.doors.extend(settlements);
        self.flush_soon(context);
    }
}

struct Flush;

impl actix::Message for Flush {
    type Result = ();
}

impl actix::Handler<Flush> for Settler {
    type Result = ();

    fn handle(&mut self, Flush: Flush, context: &mut Self::Context) {
        self.is_due = false;
        self.flush(context);
    }
}

/// End now. What is not durable yet goes back to the broker.
pub(crate) struct End;

impl actix::Message for End {
    type Result = ();
}

impl actix::Handler<End> for Settler {
    type Result = ();

    fn handle(&mut self, End: End, context: &mut Self::Context) {
        context.terminate();
    }
}

fn decide(station: &Station, reported: Delivery<Reported>) -> Settlement {
    let setup = &station.setup;
    reported.decide(&Decision {
        stage: &station.rules,
        flows: &setup.flows,
        now: setup.clock.now(),
        chance: setup.clock.chance(),
    })
}

/// Makes a group durable, however long that takes: what was worked on must not be lost.
async fn settle(station: Arc<Station>, group: Group) {
    let rooms = group.rooms;
    let told: Vec<(Name, SettledAs)> = group.settlements.iter().map(where_to).collect();
    match station.setup.broker.settle(group.settlements).await {
        Ok(settled) => {
            tell(&station, told, settled).await;
            drop(rooms);
        }
        Err(Unsettled { settlements, error }) => {
            observe_failure(&station, &error);
            // One by one from now on: what cannot be settled must not keep the others back.
            for (settlement, room) in settlements.into_iter().zip(rooms) {
                let alone = settle_alone(Arc::clone(&station), settlement, room);
                station.spawn(alone);
            }
        }
    }
}

async fn settle_alone(station: Arc<Station>, settlement: Settlement, room: Option<Room>) {
    let told = vec![where_to(&settlement)];
    let mut alone = vec![settlement];
    let settled = loop {
        sleep(DURABLE_RETRY).await;
        match station.setup.broker.settle(alone).await {
            Ok(settled) => break settled,
            Err(Unsettled { settlements, error }) => {
                observe_failure(&station, &error);
                alone = settlements;
            }
        }
    };
    tell(&station, told, settled).await;
    drop(room);
}

fn observe_failure(station: &Station, error: &StoreError) {
    let why = error.to_string();
    station.observe(&Event::StoreFailed {
        what: "settle",
        why,
    });
}

async fn tell(station: &Station, told: Vec<(Name, SettledAs)>, settled: Vec<Settled>) {
    let has_held = told
        .iter()
        .any(|(_, to)| *to == SettledAs::Waiting(Reason::Held));
    for ((name, settled_as), settled) in told.into_iter().zip(settled) {
        let stage = station.rules.name.clone();
        station.observe(&match settled {
            Settled::Applied => Event::TicketSettled {
                name,
                stage,
                settled: settled_as,
            },
            Settled::Stale => Event::SettlementStale { name, stage },
        });
    }
    // The stage may have been opened while this was on its way; then nobody else releases it.
    if has_held {
        holds::release_settled(station).await;
    }
}

fn where_to(settlement: &Settlement) -> (Name, SettledAs) {
    let settled_as = match settlement.disposition() {
        Disposition::Forward(_) => SettledAs::Forwarded,
        Disposition::Finish => SettledAs::Finished,
        Disposition::Wait { wait, .. } => SettledAs::Waiting(wait.condition.reason()),
    };
    (settlement.ticket().name, settled_as)
}
