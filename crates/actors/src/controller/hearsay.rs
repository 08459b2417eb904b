//! What the journal tells, as events: for those who look at the workers from here.

use domain::event::{Event, SettledAs};
use domain::ports::Observer;
use domain::record::{Fate, Parted, Record, Said};

/// Tells `observer` what happened elsewhere, at the times that the workers say.
pub(super) fn tell(observer: &dyn Observer, records: &[Record]) {
    for record in records {
        match &record.said {
            Said::Started(started) => observer.observe(
                record.at,
                &Event::AttemptStarted {
                    name: started.name,
                    stage: started.stage.clone(),
                    waited: None,
                },
            ),
            Said::Ended(parted) => ended(observer, record, parted),
            Said::Arrived(arrived) => observer.observe(
                record.at,
                &Event::TicketAccepted {
                    ticket: arrived.ticket.id(),
                    stage: arrived.ticket.stage.clone(),
                },
            ),
            Said::Suspect(_)
            | Said::Fenced { .. }
            | Said::Beat(_)
            | Said::Gone { .. }
            | Said::Marker(_)
            | Said::Hold(..)
            | Said::Unhold(_) => {}
        }
    }
}

fn ended(observer: &dyn Observer, record: &Record, parted: &Parted) {
    if let Some(ended) = &parted.ended {
        let event = Event::AttemptEnded {
            name: parted.name,
            stage: parted.stage.clone(),
            outcome: ended.outcome,
            took: ended.span.ended_at.since(ended.span.started_at),
        };
        observer.observe(record.at, &event);
    }
    let settled = match &parted.to {
        Fate::Forwarded(_) | Fate::Doubted(_) => SettledAs::Forwarded,
        Fate::Finished => SettledAs::Finished,
        Fate::Waits(arrived) => SettledAs::Waiting(arrived.wait.condition.reason()),
    };
    let event = Event::TicketSettled {
        name: parted.name,
        stage: parted.stage.clone(),
        settled,
    };
    observer.observe(record.at, &event);
}
