//! Log lines. Each reads alone; never payloads, secrets or addresses.

use domain::event::Event;
use domain::ports::Observer;
use domain::time::Timestamp;
use std::str::FromStr;
use tracing::{debug, error, info, warn};
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Whether log lines are coloured; the caller knows whether anybody would see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Escape sequences in every line.
    Always,
    /// Plain text.
    Never,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("expected text or json, got {other:?}")),
        }
    }
}

/// Starts logging to stderr. `filter` is in the syntax of `RUST_LOG`, for example `info`.
///
/// # Errors
/// When the filter cannot be read, or logging was started before.
pub fn start(filter: &str, format: Format, colour: Colour) -> Result<(), String> {
    start_to(filter, format, colour, std::io::stderr)
}

/// The same to another place: `place` is asked for each line, which is written at once.
///
/// # Errors
/// When the filter cannot be read, or logging was started before.
pub fn start_to<W: std::io::Write>(
    filter: &str,
    format: Format,
    colour: Colour,
    place: impl Fn() -> W + Send + Sync + 'static,
) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colour == Colour::Always)
        .with_writer(place);
    let started = match format {
        Format::Text => lines.with_target(false).try_init(),
        Format::Json => lines.json().try_init(),
    };
    started.map_err(|error| error.to_string())
}

/// Tells the log what happens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Logs;

impl Observer for Logs {
    fn observe(&self, _: Timestamp, event: &Event) {
        match event {
            Event::TicketAccepted { ticket, stage } => {
                debug!(ticket.id = %ticket, %stage, "ticket {ticket} accepted for stage {stage}");
            }
            Event::AttemptStarted { name, stage, .. } => {
                debug!(ticket.id = %name.ticket, %stage, "attempt {} at ticket {} started", name.attempt, name.ticket);
            }
            Event::AttemptEnded {
                name,
                stage,
                outcome,
                took,
            } => {
                let duration_ms = took.as_millis();
                debug!(ticket.id = %name.ticket, %stage, duration_ms, "attempt {} at ticket {} ended: {outcome}", name.attempt, name.ticket);
            }
            Event::OopsRecorded { oops, name, stage } => {
                warn!(ticket.id = %name.ticket, %stage, oops.id = %oops, "attempt {} at ticket {} went wrong at stage {stage}: see {oops}", name.attempt, name.ticket);
            }
            Event::TicketSettled {
                name,
                stage,
                settled,
            } => {
                debug!(ticket.id = %name.ticket, %stage, "ticket {} settled: {settled:?}", name.ticket);
            }
            Event::TicketJudged {
                name,
                stage,
                oops: Some(oops),
            } => {
                warn!(ticket.id = %name.ticket, %stage, oops.id = %oops, "attempt {} at ticket {} died at stage {stage}: see {oops}; it goes around", name.attempt, name.ticket);
            }
            other => tell_rare(other),
        }
    }
}

fn tell_rare(event: &Event) {
    match event {
        Event::AttemptBlocked { name, stage } => {
            error!(ticket.id = %name.ticket, %stage, "the handler of ticket {} blocks its thread and did not end at its deadline; it keeps its slot, the others of stage {stage} go on on another thread; the ticket stays until the handler lets go or this process is restarted", name.ticket);
        }
        Event::SettlementStale { name, stage } => {
            info!(ticket.id = %name.ticket, %stage, "the outcome of attempt {} at ticket {} came too late and changes nothing", name.attempt, name.ticket);
        }
        Event::TicketJudged { name, stage, .. } => {
            info!(ticket.id = %name.ticket, %stage, "ticket {} had not been started; it is released, nothing is charged", name.ticket);
        }
        Event::TicketsReleased { count } => debug!(count, "{count} waiting tickets released"),
        Event::OrderCarriedOut { ticket, action, .. } => {
            info!(ticket.id = %ticket, action, "{action} of ticket {ticket} carried out");
        }
        Event::StageHeld { stage, reason } => {
            error!(%stage, "stage {stage} is on hold until its handler changes: {reason}");
        }
        Event::StageUnheld { stage, version } => {
            info!(%stage, %version, "stage {stage} goes on with version {version}");
        }
        Event::SupervisorStarted { stage, .. } => info!(%stage, "stage {stage} is supervised"),
        Event::SupervisorLost { stage, why } => {
            error!(%stage, why = why.as_str(), "the supervisor of stage {stage} was lost ({}) and is started again; its attempts go on", why.as_str());
        }
        Event::SubscriptionEnded { stage, reason, why } => {
            warn!(%stage, reason = reason.as_str(), "the subscription to stage {stage} ended and is taken up again: {why}");
        }
        Event::StoreFailed { what, why } => {
            error!(
                operation = what,
                "{what} could not be done and is tried again; nothing has moved: {why}"
            );
        }
        Event::TicketAccepted { .. }
        | Event::AttemptStarted { .. }
        | Event::AttemptEnded { .. }
        | Event::OopsRecorded { .. }
        | Event::TicketSettled { .. } => {}
    }
}
