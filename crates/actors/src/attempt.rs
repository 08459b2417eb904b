//! One attempt at one ticket, from the worker's start to the settler's door.

use crate::settler::Settle;
use crate::station::{Room, Station};
use crate::stop::Stop;
use crate::worker::{Abandon, Perform, Worker};
use actix::{Actor, Addr, MailboxError};
use domain::control::Hold;
use domain::delivery::{Delivery, Performed, Reported, Started, Unreported};
use domain::event::Event;
use domain::flow::Stage;
use domain::outcome::{Attempted, Failure, Outcome};
use domain::ports::{Context, LetsGo, StopReason, StopSignal};
use domain::ticket::Ticket;
use domain::time::show_duration;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How much longer than its grace a handler may take before that is worth a line in the log.
const GRACE_MARGIN: Duration = Duration::from_secs(5);

/// Waits between tries to make something durable: the world may need time, the ticket has it.
pub(crate) const DURABLE_RETRY: Duration = Duration::from_millis(500);

/// Runs one attempt to its end. The slot is given back as soon as the handler has let go; the
/// ticket is then on its way to being settled.
pub(crate) async fn run(
    station: Arc<Station>,
    delivery: Delivery<Started>,
    (slot, trial): (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
) {
    let ticket = Arc::clone(delivery.ticket());
    let stop = station.take_in_hand(ticket.id(), ticket.name.generation);
    let attempted = perform(&station, (&ticket, delivery.is_alone()), &stop).await;
    station.let_go(ticket.id());
    let performed = ended(&station, delivery, attempted);
    // The window bounds what is not durable yet; without a permit the slot stays taken.
    let Ok(settling) = Arc::clone(&station.settling).acquire_owned().await else {
        return; // Never closed while the station lives.
    };
    drop(slot);
    finish(station, performed, Room::new(settling, trial)).await;
}

/// Reports an attempt if it went wrong, and hands it to the settler.
pub(crate) async fn finish(station: Arc<Station>, performed: Delivery<Performed>, room: Room) {
    let reported = match performed.nothing_to_report() {
        Ok(reported) => reported,
        // On the heap, so that the happy path does not carry a report's room around.
        Err(performed) => Box::pin(tell(&station, performed)).await,
    };
    station.settler().do_send(Settle { reported, room });
}

async fn tell(station: &Station, performed: Delivery<Performed>) -> Delivery<Reported> {
    let reported = report(station, performed).await;
    hold_if_unstartable(station, &reported).await;
    reported
}

fn ended(
    station: &Station,
    delivery: Delivery<Started>,
    attempted: Attempted,
) -> Delivery<Performed> {
    let is_repeated_hold =
        matches!(attempted.outcome, Outcome::Unstartable(_)) && !station.is_first_to_hold();
    let attempted = if is_repeated_hold {
        Outcome::Abandoned.into()
    } else {
        attempted
    };
    let name = delivery.ticket().name;
    let performed = delivery.performed(attempted, station.setup.clock.now());
    let span = performed.span();
    station.observe(&Event::AttemptEnded {
        name,
        stage: station.rules.name.clone(),
        outcome: performed.outcome().kind(),
        took: span.ended_at.since(span.started_at),
    });
    performed
}

async fn perform(
    station: &Arc<Station>,
    (ticket, alone): (&Arc<Ticket>, bool),
    stop: &Arc<Stop>,
) -> Attempted {
    let rules = &station.rules;
    let worker = Worker::new(Arc::clone(&station.handler)).start();
    let context = Context {
        deadline: station.setup.clock.now().plus(rules.deadline),
        grace: rules.grace,
        stop: Arc::clone(stop) as Arc<dyn StopSignal>,
        alone,
    };
    let reply = worker.send(Perform {
        ticket: Arc::clone(ticket),
        context,
    });
    tokio::pin!(reply);
    let worker = Lent(Some(worker));
    let reason = tokio::select! {
        biased;
        reply = &mut reply => return spoken(reply),
        () = sleep_until(Instant::now() + rules.deadline) => {
            stop.fire(StopReason::Deadline);
            StopReason::Deadline
        }
        reason = stop.stopped() => reason,
    };
    let silence = || silenced(reason, rules.deadline);
    if station.handler.lets_go() == LetsGo::WhenStopped {
        // However long that takes: while something of it may still run, the ticket must not move.
        loop {
            match timeout(rules.grace + GRACE_MARGIN, &mut reply).await {
                Ok(reply) => return worker.returned(reply.unwrap_or_else(|_| silence())),
                Err(_) => warn_of_lingering(rules, ticket),
            }
        }
    }
    drop(worker);
    // The reply is an error once the worker has dropped the handler: only now it has let go.
    reply.await.unwrap_or_else(|_| silence())
}

fn warn_of_lingering(rules: &Stage, ticket: &Ticket) {
    tracing::warn!(
        ticket.id = %ticket.id(),
        stage = %rules.name,
        "the handler of ticket {} was told to stop and has not let go of it yet; its slot stays taken",
        ticket.id()
    );
}

/// A worker that has not spoken yet. Dropped, it takes the handler with it: an attempt that is
/// aborted leaves nothing running.
struct Lent(Option<Addr<Worker>>);

impl Lent {
    /// It has spoken, so there is nothing left to abandon.
    fn returned(mut self, attempted: Attempted) -> Attempted {
        self.0 = None;
        attempted
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(worker) = self.0.take() {
            worker.do_send(Abandon);
        }
    }
}

fn spoken(reply: Result<Attempted, MailboxError>) -> Attempted {
    reply.unwrap_or_else(|_| {
        let failure = Failure::new("WorkerDied", "the worker died without a word");
        Outcome::Crashed(failure).into()
    })
}

fn silenced(reason: StopReason, deadline: Duration) -> Attempted {
    match reason {
        StopReason::Drain | StopReason::Cancelled => Outcome::Abandoned.into(),
        StopReason::Deadline => {
            let after = show_duration(deadline);
            let message = format!("the handler was not done within {after} and was stopped");
            Outcome::TimedOut(Failure::new("DeadlineExceeded", message)).into()
        }
    }
}

/// Makes the report durable, however long that takes: the ticket must not move before.
async fn report(station: &Station, performed: Delivery<Performed>) -> Delivery<Reported> {
    let mut performed = performed;
    loop {
        match performed.report(&*station.setup.reporter).await {
            Ok(reported) => {
                observe_report(station, &reported);
                return reported;
            }
            Err(Unreported { delivery, error }) => {
                let why = error.to_string();
                station.observe(&Event::StoreFailed {
                    what: "report",
                    why,
                });
                performed = *delivery;
                sleep(DURABLE_RETRY).await;
            }
        }
    }
}

fn observe_report(station: &Station, reported: &Delivery<Reported>) {
    if let Some(oops) = reported.oops() {
        let name = reported.ticket().name;
        station.observe(&Event::OopsRecorded {
            oops,
            name,
            stage: station.rules.name.clone(),
        });
    }
}

/// A handler that cannot be started takes no more tickets until it changes; else each of them would
/// crash in turn.
async fn hold_if_unstartable(station: &Station, reported: &Delivery<Reported>) {
    let Outcome::Unstartable(failure) = reported.outcome() else {
        return;
    };
    let stage = station.rules.name.clone();
    let hold = Hold {
        since: station.setup.clock.now(),
        reason: failure.message.clone(),
        by: "goaround".into(),
        // What it was when it could not be started: it may have been repaired since.
        version: Some(reported.scene().version.clone()),
        oops: reported.oops(),
    };
    // Nothing is being started while the hold comes into force, and nothing is afterwards.
    let _gate = station.gate.write().await;
    station.hold_with(&hold);
    while let Err(error) = station.setup.holds.hold(&stage, hold.clone()).await {
        let why = error.to_string();
        station.observe(&Event::StoreFailed { what: "hold", why });
        sleep(DURABLE_RETRY).await;
    }
    let reason = hold.reason;
    station.observe(&Event::StageHeld { stage, reason });
}
