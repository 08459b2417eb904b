//! What becomes of a group of messages that came in for a stage: which of them are work, and
//! which are questions, repetitions or too late.

use crate::envelope;
use crate::journal::CARRIED_BYTES_MAX;
use crate::quarantine;
use crate::worker::door::{self, Errand, Of};
use crate::worker::in_hand::{Held, Met, Phase};
use crate::worker::lane::{Lane, Post};
use crate::worker::lock;
use crate::worker::shared::Shared;
use bytes::Bytes;
use domain::control::Snapshot;
use domain::delivery::{Delivery, Incoming, Lender, Receipt};
use domain::names::{Holder, StageName, Version};
use domain::ports::Sent;
use domain::record::{Arrived, Said};
use domain::ticket::Ticket;
use domain::time::Timestamp;
use domain::wait::{Condition, Wait};
use std::sync::Arc;
use wire::envelope::Unpacked;

/// Why a lane is ended.
const NOT_KEPT: &str = "a message that is too large could not be kept in the quarantine yet";

/// One message, read.
struct Read {
    tag: u64,
    unpacked: Unpacked,
    was_before: bool,
    size: Size,
}

/// How many bytes a body has, and whether we can do with it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Fits,
    /// Nobody runs on it here. The books get all of it, so that it can run when the limit is
    /// raised.
    Large(usize),
    /// It is too long even for a record. All of it is in the quarantine, and only there.
    Cut(usize),
}

impl Size {
    const fn of(bytes: usize, bytes_max: usize) -> Self {
        match bytes {
            bytes if bytes <= bytes_max => Self::Fits,
            bytes if bytes <= CARRIED_BYTES_MAX => Self::Large(bytes),
            bytes => Self::Cut(bytes),
        }
    }
}

/// What became of a group.
#[derive(Default)]
pub(crate) struct TakenIn {
    /// What somebody has to work on or ask about.
    pub(crate) incoming: Vec<Incoming>,
    /// Why some of it was not taken in. It comes again when the lane has ended, and not before.
    pub(crate) fault: Option<String>,
}

/// Takes in a group.
pub(crate) async fn receive(
    shared: &Arc<Shared>,
    (stage, lane): (&StageName, &Arc<Lane>),
    group: Vec<lapin::message::Delivery>,
) -> TakenIn {
    if group.is_empty() {
        return TakenIn::default();
    }
    lane.received(group.iter().map(|delivery| delivery.delivery_tag));
    let now = shared.now();
    let mut all = Vec::with_capacity(group.len());
    let mut fault = None;
    for delivery in group {
        let size = Size::of(delivery.data.len(), shared.settings.payload_bytes_max);
        // One that was not confirmed is enough to wait for.
        let is_kept = async || fault.is_none() && set_aside(shared, &delivery).await;
        if matches!(size, Size::Cut(_)) && !is_kept().await {
            fault = Some(NOT_KEPT.to_owned());
            continue;
        }
        all.push(read(delivery, size, (stage, now)));
    }
    let place = Place {
        here: version_here(shared, stage, &all),
        lane,
        now,
    };
    let mut sorted = Sorted::default();
    sort(shared, &place, all, &mut sorted);
    shared.door.knock(sorted.errands);
    shared.ack(sorted.spare).await;
    let incoming = sorted.incoming;
    TakenIn { incoming, fault }
}

fn read(delivery: lapin::message::Delivery, size: Size, place: (&StageName, Timestamp)) -> Read {
    let is_cut = matches!(size, Size::Cut(_));
    let body = match is_cut {
        true => Bytes::new(),
        false => Bytes::from(delivery.data),
    };
    let mut unpacked = envelope::unpack(&delivery.properties, body, place);
    if is_cut {
        unpacked.ticket.payload = wire::record::left_out();
    }
    Read {
        tag: delivery.delivery_tag,
        was_before: delivery.redelivered || envelope::was_delivered(&delivery.properties),
        unpacked,
        size,
    }
}

/// Where a group came in, and when.
struct Place<'a> {
    lane: &'a Arc<Lane>,
    now: Timestamp,
    /// The version of the handler here, if one of the group is to avoid any.
    here: Option<Version>,
}

/// Looked at only for those that care, which are few, and never while others wait for a lock.
fn version_here(shared: &Shared, stage: &StageName, all: &[Read]) -> Option<Version> {
    let cares = all.iter().any(|read| !read.unpacked.avoid.is_empty());
    cares.then(|| shared.versions.look().remove(stage))?
}

/// What a group came to.
#[derive(Default)]
struct Sorted {
    incoming: Vec<Incoming>,
    errands: Vec<Errand>,
    /// To be acked at once.
    spare: Vec<Post>,
}

fn sort(shared: &Arc<Shared>, place: &Place<'_>, all: Vec<Read>, to: &mut Sorted) {
    let mut in_hand = lock(&shared.in_hand);
    // Read under the lock: a heartbeat that tells of a newer state must list what this one let in.
    let desired = shared.desired();
    for read in all {
        let post = Post {
            lane: Arc::clone(place.lane),
            tag: read.tag,
        };
        if !read.unpacked.has_identity {
            nameless(shared, read, (post, place.now), to);
            continue;
        }
        tell_oddities(&read.unpacked);
        let size = read.size;
        let phase = match size {
            Size::Cut(_) => Phase::Cut,
            Size::Fits | Size::Large(_) if read.was_before => Phase::Suspect,
            Size::Fits | Size::Large(_) => Phase::Received,
        };
        let Unpacked {
            ticket,
            booked: is_booked,
            avoid,
            alone: is_alone,
            ..
        } = read.unpacked;
        let shunned = place.here.as_ref().filter(|here| avoid.contains(here));
        let ticket = Arc::new(ticket);
        let held = Held {
            ticket: Arc::clone(&ticket),
            post: Some(post.clone()),
            others: Vec::new(),
            is_booked,
            phase,
            sent: Vec::new(),
        };
        match in_hand.meet(held) {
            Met::New(number) => {
                let new = New {
                    number,
                    ticket,
                    phase,
                    is_alone,
                };
                take(shared, new, (&desired, size, shunned), to);
            }
            Met::Adopted => shared.counts.adopted.add(1),
            Met::Again => shared.counts.again.add(1),
            Met::Spare => to.spare.push(post),
        }
    }
}

/// Something new in our hands.
struct New {
    /// Our number for it.
    number: u64,
    ticket: Arc<Ticket>,
    phase: Phase,
    /// Whether it is on trial.
    is_alone: bool,
}

fn take(
    shared: &Arc<Shared>,
    new: New,
    (desired, size, shunned): (&Snapshot, Size, Option<&Version>),
    to: &mut Sorted,
) {
    let New {
        number,
        ticket,
        phase,
        is_alone,
    } = new;
    let name = ticket.name;
    let of = Of::InHand(number);
    if !desired.lets_run(name.ticket, name.generation) {
        shared.counts.fenced.add(1);
        let stage = ticket.stage.clone();
        let said = Said::Fenced { name, stage };
        to.errands.push(Errand { said, of });
        return;
    }
    if let Some(here) = shunned.filter(|_| phase == Phase::Received) {
        shared.counts.avoided.add(1);
        let said = door::not_here(&ticket, here, shared.now());
        to.errands.push(Errand { said, of });
        return;
    }
    if phase == Phase::Received && !shared.settings.flows.claims(&ticket.stage, &ticket.kind) {
        shared.counts.unclaimed.add(1);
        let said = door::not_taken(&ticket, shared.now());
        to.errands.push(Errand { said, of });
        return;
    }
    let receipt = Receipt::new(number, Arc::clone(shared) as Arc<dyn Lender>);
    to.incoming.push(match (phase, size) {
        (Phase::Suspect, _) => {
            shared.counts.suspects.add(1);
            let holder = Holder::unknown();
            Incoming::Suspect(Delivery::suspect(ticket, receipt, holder, None))
        }
        (_, Size::Large(bytes)) => {
            let why = too_large(shared, bytes);
            Incoming::Unreadable(Delivery::unreadable(ticket, receipt, why))
        }
        (_, Size::Cut(bytes)) => {
            let why = cut(shared, bytes);
            Incoming::Unreadable(Delivery::unreadable(ticket, receipt, why))
        }
        (_, Size::Fits) => {
            let delivery = Delivery::new(ticket, receipt);
            Incoming::Fresh(match is_alone {
                true => delivery.alone(),
                false => delivery,
            })
        }
    });
}

/// Nobody can tell two deliveries of it apart, so it gets a name and goes through the door; the
/// controller releases it under that name.
fn nameless(shared: &Shared, mut read: Read, (post, now): (Post, Timestamp), to: &mut Sorted) {
    if matches!(read.size, Size::Cut(_)) {
        // All of it is in the quarantine, and nobody can ask for it by name.
        to.spare.push(post);
        return;
    }
    shared.counts.nameless.add(1);
    read.unpacked.identify(shared.settings.clock.ticket_id());
    tell_oddities(&read.unpacked);
    let ticket = read.unpacked.ticket;
    let arrived = Arrived {
        name: ticket.name,
        wait: Wait {
            condition: Condition::NotNow { until: now },
            since: now,
            because: "it was published without an id, and got this one".to_owned(),
            oops: None,
        },
        ticket,
    };
    let said = Said::Arrived(Box::new(arrived));
    to.errands.push(Errand {
        said,
        of: Of::Nameless(post),
    });
}

fn tell_oddities(unpacked: &Unpacked) {
    for oddity in &unpacked.oddities {
        let id = unpacked.ticket.id();
        tracing::warn!(ticket.id = %id, "ticket {id} came with something strange: {oddity}");
    }
}

fn too_large(shared: &Shared, bytes: usize) -> String {
    let bytes_max = shared.settings.payload_bytes_max;
    format!(
        "its body has {bytes} bytes, and at most {bytes_max} are taken (limits.payload_bytes_max); \
         all of it is kept: raise the limit and retry it"
    )
}

fn cut(shared: &Shared, bytes: usize) -> String {
    format!(
        "its body has {bytes} bytes, and never more than {CARRIED_BYTES_MAX} are taken; the whole \
         message is kept in the queue {}",
        shared.config.names.quarantine()
    )
}

/// Keeps a message aside as it came; returns whether that is durable.
async fn set_aside(shared: &Shared, delivery: &lapin::message::Delivery) -> bool {
    let why = cut(shared, delivery.data.len());
    let message = quarantine::message(&shared.config.names, delivery, &why);
    let is_kept = shared.publisher.publish(message).await == Sent::Confirmed;
    if is_kept {
        shared.counts.cut.add(1);
    }
    is_kept
}
