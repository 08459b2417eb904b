//! One attempt at one ticket, from the worker's start to the settler's door.

use crate::grip::{AtWork, Carried, Grip, Load};
use crate::settler::Settle;
use crate::station::{Room, Station};
use crate::worker::{Abandon, Perform, Worker};
use actix::{Actor, Addr};
use domain::control::Hold;
use domain::deadline::{self, Deadline};
use domain::delivery::{Delivery, Performed, Reported, Started, Unreported};
use domain::event::Event;
use domain::flow::Stage;
use domain::outcome::{Attempted, Failure, Outcome};
use domain::ports::{Context, LetsGo, StopReason, StopSignal};
use domain::ticket::Ticket;
use domain::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How much longer than its grace a handler may take before that is worth a line in the log.
const GRACE_MARGIN: Duration = Duration::from_secs(5);

/// Waits between tries to make something durable: the world may need time, the ticket has it.
pub(crate) const DURABLE_RETRY: Duration = Duration::from_millis(500);

/// Runs one attempt to its end. The slot is given back as soon as the handler has let go; the
/// ticket is then on its way to being settled.
pub(crate) async fn run(station: Arc<Station>, carried: Carried) {
    let grip = &carried.0;
    let silence = perform(&station, grip).await;
    station.hands.let_go(grip);
    // Nothing is left to do if this thread did not answer for so long that another has taken over:
    // then what was said is for that one.
    if let Some(load) = grip.unload() {
        part(station, Arc::clone(grip), load, silence).await;
    }
}

/// Ends one that was taken over from a thread that does not answer. If nothing was said or decided
/// there, it goes around, and nothing is charged.
pub(crate) async fn take_over(station: Arc<Station>, grip: Arc<Grip>, load: Load) {
    let reason = grip.stop.reason().unwrap_or(StopReason::Cancelled);
    part(station, grip, load, Silence::Stopped(reason)).await;
}

/// Ends as was decided while its handler did not let go, else as the handler has said.
async fn part(station: Arc<Station>, grip: Arc<Grip>, load: Load, silence: Silence) {
    let verdict = grip.verdict().cloned().map(Outcome::TimedOut);
    let attempted = verdict.map(Attempted::from).or_else(|| grip.said());
    let attempted = attempted.unwrap_or_else(|| silence.meaning(grip.deadline(&station.rules)));
    let Load {
        delivery,
        slot,
        trial,
    } = load;
    let performed = ended(&station, delivery, attempted);
    // The window bounds what is not durable yet; without a permit the slot stays taken.
    let Ok(settling) = Arc::clone(&station.settling).acquire_owned().await else {
        return; // Never closed while the station lives.
    };
    drop(slot);
    finish(station, performed, Room::new(settling, trial), Some(grip)).await;
}

/// Reports an attempt if it went wrong, and hands it to the settler.
pub(crate) async fn finish(
    station: Arc<Station>,
    performed: Delivery<Performed>,
    room: Room,
    grip: Option<Arc<Grip>>,
) {
    let reported = match performed.nothing_to_report() {
        Ok(reported) => reported,
        // On the heap, so that the happy path does not carry a report's room around.
        Err(performed) => Box::pin(tell(&station, performed, grip)).await,
    };
    station.settler().do_send(Settle { reported, room });
}

async fn tell(
    station: &Station,
    performed: Delivery<Performed>,
    grip: Option<Arc<Grip>>,
) -> Delivery<Reported> {
    let reported = report(station, performed).await;
    // Announced already, if that was done while its handler did not let go.
    if let Some(oops) = reported.oops()
        && grip.is_none_or(|grip| grip.is_first_to_tell())
    {
        station.told(reported.ticket().name, oops);
    }
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

/// Has the handler run until it has let go, unless it is too late for its ticket; what it says is
/// in its grip. Returns what it means if it says nothing.
async fn perform(station: &Arc<Station>, grip: &Arc<Grip>) -> Silence {
    let rules = &station.rules;
    let (ticket, stop) = (&grip.ticket, &grip.stop);
    let now = station.setup.clock.now();
    if deadline::has_passed(ticket, now) {
        warn_of_lateness(rules, ticket, now);
        grip.say(deadline::expired().into());
        return Silence::Dead; // It is not silent.
    }
    let length = Deadline::of(ticket, rules, now).length();
    let worker = Worker.start();
    let context = Context {
        deadline: now.plus(length),
        grace: rules.grace,
        stop: Arc::clone(grip) as Arc<dyn StopSignal>,
        alone: grip.is_alone,
    };
    let reply = worker.send(Perform(AtWork {
        grip: Arc::clone(grip),
        handler: Arc::clone(&station.handler),
        context: Some(context),
    }));
    tokio::pin!(reply);
    let worker = Lent(Some(worker));
    let reason = tokio::select! {
        biased;
        // Nothing is left to abandon: without an address the worker ends by itself.
        _ = &mut reply => return worker.returned(Silence::Dead),
        // Before its own deadline: that one may have passed because another had the thread.
        reason = stop.stopped() => reason,
        () = sleep_until(Instant::now() + length) => {
            stop.fire(StopReason::Deadline);
            StopReason::Deadline
        }
    };
    let silence = Silence::Stopped(reason);
    if station.handler.lets_go() == LetsGo::WhenStopped {
        // However long that takes: while something of it may still run, the ticket must not move.
        loop {
            match timeout(rules.grace + GRACE_MARGIN, &mut reply).await {
                Ok(_) => return worker.returned(silence),
                Err(_) => warn_of_lingering(rules, ticket),
            }
        }
    }
    drop(worker);
    // The reply is an error once the worker has dropped the handler: only now it has let go.
    reply.await.ok();
    silence
}

/// With the time that it is here: where clocks differ, that is what is to be looked at.
fn warn_of_lateness(rules: &Stage, ticket: &Ticket, now: Timestamp) {
    let own = ticket.deadline.unwrap_or(now);
    tracing::warn!(
        ticket.id = %ticket.id(),
        stage = %rules.name,
        "ticket {} is not run: its own deadline was {own}, and by the clock of this machine it is {now}",
        ticket.id()
    );
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
    fn returned(mut self, silence: Silence) -> Silence {
        self.0 = None;
        silence
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(worker) = self.0.take() {
            worker.do_send(Abandon);
        }
    }
}

/// Why a handler that has let go may have said nothing.
#[derive(Clone, Copy)]
enum Silence {
    /// Its worker has died.
    Dead,
    /// It was stopped.
    Stopped(StopReason),
}

impl Silence {
    fn meaning(self, deadline: Deadline) -> Attempted {
        match self {
            Self::Dead => {
                let failure = Failure::new("WorkerDied", "the worker died without a word");
                Outcome::Crashed(failure).into()
            }
            Self::Stopped(StopReason::Drain | StopReason::Cancelled) => Outcome::Abandoned.into(),
            Self::Stopped(StopReason::Deadline) => {
                let late = deadline.in_words();
                let message = format!("the handler was not done {late} and was stopped");
                Outcome::TimedOut(Failure::new("DeadlineExceeded", message)).into()
            }
        }
    }
}

/// Makes the report durable, however long that takes: the ticket must not move before.
async fn report(station: &Station, performed: Delivery<Performed>) -> Delivery<Reported> {
    let mut performed = performed;
    loop {
        match performed.report(&*station.setup.reporter).await {
            Ok(reported) => return reported,
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
