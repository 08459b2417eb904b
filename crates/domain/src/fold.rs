//! The books as a fold over what happened: what the events alone say about where the tickets are.
//!
//! Events do not name the tickets that a release makes runnable, so a ticket that waited counts
//! as waiting here until it starts. [`BooksFold::disagreement`] compares what both sides can know.

use crate::books::{Balance, State};
use crate::event::{Event, SettledAs};
use crate::ports::Observer;
use crate::ticket::TicketId;
use crate::time::Timestamp;
use crate::wait::Reason;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where the events last saw a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    Runnable,
    Running,
    Waiting(Reason),
    Ended(State),
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    spot: Spot,
    is_accepted: bool,
}

/// Folds events into the sums of the books. Keeps every ticket: for tests.
#[derive(Default)]
pub struct BooksFold {
    tickets: Mutex<BTreeMap<TicketId, Seen>>,
}

impl BooksFold {
    /// The sums as the events tell them.
    pub fn balance(&self) -> Balance {
        let mut balance = Balance::default();
        for seen in self.tickets().values() {
            balance.accepted += u64::from(seen.is_accepted);
            match seen.spot {
                Spot::Runnable => balance.runnable += 1,
                Spot::Running => balance.running += 1,
                Spot::Waiting(reason) => *balance.waiting.entry(reason).or_default() += 1,
                Spot::Ended(State::Done) => balance.done += 1,
                Spot::Ended(_) => balance.dropped += 1,
            }
        }
        balance
    }

    /// Where the events and the books of a store differ, in words; `None` when they agree.
    pub fn disagreement(&self, store: &Balance) -> Option<String> {
        let told = self.balance();
        let resting = |balance: &Balance| balance.runnable + balance.waiting_total();
        [
            ("accepted", told.accepted, store.accepted),
            ("running", told.running, store.running),
            ("resting", resting(&told), resting(store)),
            ("done", told.done, store.done),
            ("dropped", told.dropped, store.dropped),
        ]
        .into_iter()
        .find(|(_, told, kept)| told != kept)
        .map(|(what, told, kept)| format!("{what}: {told} by the events, {kept} in the store"))
    }

    fn tickets(&self) -> MutexGuard<'_, BTreeMap<TicketId, Seen>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see(&self, ticket: TicketId, spot: Spot) {
        let mut tickets = self.tickets();
        let seen = tickets.entry(ticket).or_insert(Seen {
            spot,
            is_accepted: false,
        });
        // The end is for ever: what is told later about it came too late.
        if !matches!(seen.spot, Spot::Ended(_)) {
            seen.spot = spot;
        }
    }
}

impl Observer for BooksFold {
    fn observe(&self, _at: Timestamp, event: &Event) {
        match event {
            Event::TicketAccepted { ticket, .. } => {
                let mut tickets = self.tickets();
                let seen = tickets.entry(*ticket).or_insert(Seen {
                    spot: Spot::Runnable,
                    is_accepted: true,
                });
                seen.is_accepted = true;
            }
            Event::AttemptStarted { name, .. } => self.see(name.ticket, Spot::Running),
            Event::TicketSettled { name, settled, .. } => {
                let spot = match settled {
                    SettledAs::Forwarded => Spot::Runnable,
                    SettledAs::Finished => Spot::Ended(State::Done),
                    SettledAs::Waiting(reason) => Spot::Waiting(*reason),
                };
                self.see(name.ticket, spot);
            }
            Event::TicketJudged { name, .. } => {
                self.see(name.ticket, Spot::Waiting(Reason::Backoff));
            }
            Event::OrderCarriedOut {
                ticket,
                action,
                ended,
            } => {
                let spot = match (*action, *ended) {
                    // It waits on.
                    ("start", false) => return,
                    ("complete", true) => Spot::Ended(State::Done),
                    (_, true) => Spot::Ended(State::Dropped),
                    (_, false) => Spot::Runnable,
                };
                self.see(*ticket, spot);
            }
            Event::AttemptBlocked { .. }
            | Event::AttemptEnded { .. }
            | Event::OopsRecorded { .. }
            | Event::SettlementStale { .. }
            | Event::TicketsReleased { .. }
            | Event::StageHeld { .. }
            | Event::StageUnheld { .. }
            | Event::SupervisorStarted { .. }
            | Event::SupervisorLost { .. }
            | Event::SubscriptionEnded { .. }
            | Event::StoreFailed { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::StageName;
    use crate::ticket::Name;

    fn stage() -> StageName {
        StageName::new("build").unwrap()
    }

    fn fold(events: &[Event]) -> BooksFold {
        let fold = BooksFold::default();
        for event in events {
            fold.observe(Timestamp::EPOCH, event);
        }
        fold
    }

    fn accepted(name: Name) -> Event {
        Event::TicketAccepted {
            ticket: name.ticket,
            stage: stage(),
        }
    }

    fn started(name: Name) -> Event {
        Event::AttemptStarted {
            name,
            stage: stage(),
            waited: None,
        }
    }

    fn settled(name: Name, settled: SettledAs) -> Event {
        Event::TicketSettled {
            name,
            stage: stage(),
            settled,
        }
    }

    #[test]
    fn every_ticket_is_counted_in_one_place() {
        let [a, b, c, d] = [1, 2, 3, 4].map(|n| Name::first(TicketId::from_bytes([n; 16])));
        let fold = fold(&[
            accepted(a),
            accepted(b),
            accepted(c),
            accepted(d),
            started(a),
            settled(a, SettledAs::Finished),
            started(b),
            started(c),
            settled(c, SettledAs::Waiting(Reason::Backoff)),
        ]);
        let balance = fold.balance();
        assert!(balance.is_balanced(), "{balance:?}");
        assert_eq!((balance.done, balance.running, balance.runnable), (1, 1, 1));
        assert_eq!(fold.disagreement(&balance), None);
    }

    #[test]
    fn a_ticket_that_is_missing_in_the_store_is_named_by_its_place() {
        let name = Name::first(TicketId::from_bytes([1; 16]));
        let fold = fold(&[accepted(name)]);
        let store = Balance {
            accepted: 1,
            ..Balance::default()
        };
        assert_eq!(
            fold.disagreement(&store).as_deref(),
            Some("resting: 1 by the events, 0 in the store")
        );
    }

    #[test]
    fn the_end_is_for_ever() {
        let name = Name::first(TicketId::from_bytes([1; 16]));
        let order = Event::OrderCarriedOut {
            ticket: name.ticket,
            action: "cancel",
            ended: true,
        };
        let fold = fold(&[accepted(name), order, settled(name, SettledAs::Forwarded)]);
        assert_eq!(fold.balance().dropped, 1);
    }
}
