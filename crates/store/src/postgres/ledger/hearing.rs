//! What each word of the journal does to the tickets that a transaction has in mind.

use crate::codes::Count;
use crate::postgres::keys;
use crate::postgres::repairs::{self, Repairs};
use crate::postgres::rows::{self, Barrier, Placed};
use crate::postgres::working::{Steer, Working};
use domain::books::{Fact, Line, Stale, State};
use domain::breaker::End;
use domain::flow::{Flows, Journal};
use domain::hearing::{Heard, Position, Spot, found, hear};
use domain::names::{Holder, StageName};
use domain::outcome::OutcomeKind;
use domain::plan::TicketEnd;
use domain::ports::Applied;
use domain::record::{Arrived, Fate, Parted, Record, Said, Started};
use domain::settlement::Ended;
use domain::signature::SignatureId;
use domain::ticket::{Name, Ticket, TicketId};
use domain::time::Timestamp;
use domain::trial::ends_trial;
use domain::wait::{Condition, Reason, Wait};
use std::collections::HashSet;

/// What the history says of a copy that went back unstarted.
pub(super) const HANDED_BACK: &str = "handed back";
const CHANGED: &str = "the handler of its stage may have changed";
const CLAIMED: &str = "a worker serves its stage now";
const IN_DOUBT: &str = "whether it was handed on is not known; it goes on under a new generation";

/// A group of records that is being heard.
pub(super) struct Hearing<'a> {
    pub(super) working: Working,
    pub(super) applied: Applied,
    pub(super) flows: &'a Flows,
    /// Attempts whose end was told.
    pub(super) told: HashSet<Name>,
    pub(super) now: Timestamp,
    pub(super) repairs: Repairs<'a>,
}

impl Hearing<'_> {
    /// Takes a record in.
    pub(super) fn hear(&mut self, record: &Record) {
        match &record.said {
            Said::Hold(stage, hold) => {
                self.working
                    .steer(Steer::Hold(stage.clone(), (**hold).clone()));
                self.applied.applied += 1;
            }
            Said::Unhold(stage) => {
                self.working.steer(Steer::Unhold(stage.clone()));
                let held = (stage, Reason::Held);
                self.working.release(held, self.now, CHANGED);
                self.applied.applied += 1;
            }
            Said::Beat(beat) => {
                for stage in beat.stages.keys() {
                    let kinds = beat.kinds.get(stage).cloned();
                    self.working.claim((stage, kinds), self.now, CLAIMED);
                }
            }
            Said::Gone { .. } | Said::Marker(_) => {}
            said => self.hear_of_ticket(record, said),
        }
    }

    fn hear_of_ticket(&mut self, record: &Record, said: &Said) {
        let Some(name) = said.name() else { return };
        let books = self.working.get(name.ticket).map(Placed::position);
        let heard = hear(books.as_ref(), said);
        match &heard {
            Heard::Stale(_) => self.applied.stale += 1,
            Heard::Noted | Heard::Moves(_) => self.applied.applied += 1,
        }
        match said {
            Said::Arrived(arrived) => self.arrived(arrived, &heard),
            Said::Started(started) => self.started(record, started, &heard),
            Said::Ended(parted) => self.ended(record, parted, &heard),
            Said::Suspect(ticket) => self.suspect(record, ticket, &heard),
            _ => {}
        }
        if matches!(said, Said::Ended(_) | Said::Fenced { .. }) {
            self.let_go(name.ticket);
        }
    }

    /// A copy of it is nobody's any more: one that was ended meanwhile gives its key up.
    fn let_go(&mut self, id: TicketId) {
        let ended = self.working.get_mut(id).filter(|placed| placed.is_ended());
        if let Some(placed) = ended {
            placed.lock_key = None;
        }
    }

    fn arrived(&mut self, arrived: &Arrived, heard: &Heard) {
        if let Heard::Moves(position) = heard {
            self.wait(position.name, &arrived.ticket, arrived.wait.clone());
        }
    }

    fn started(&mut self, record: &Record, started: &Started, heard: &Heard) {
        let Started { name, stage, .. } = started;
        if let Some(ticket) = &started.ticket {
            self.working.show(ticket);
        }
        if self.opens(name, heard) {
            let opened = (*name, stage);
            self.working
                .open(opened, &started.scene, record.at, started.claimed);
        }
        if let Heard::Moves(position) = heard {
            let mut placed = self.place(position, stage, record.at);
            placed.holder = Some(started.scene.holder.clone());
            placed.version = Some(started.scene.version.clone());
            placed.is_claimed = started.claimed;
            placed.avoid.clear();
            self.repairs.started(stage, &started.scene.holder, *name);
            self.working.put(placed);
        }
    }

    /// Whether this word about a beginning opens the attempt: a ghost's does, one that is read
    /// again after the end was told does not.
    fn opens(&self, name: &Name, heard: &Heard) -> bool {
        match heard {
            Heard::Moves(_) | Heard::Noted => true,
            Heard::Stale(Stale::Passed(..) | Stale::Terminal(State::Done)) => false,
            Heard::Stale(_) => !self.told.contains(name),
        }
    }

    fn ended(&mut self, record: &Record, parted: &Parted, heard: &Heard) {
        let was_open = self.working.close(&parted.name);
        let is_news = !matches!(heard, Heard::Stale(_));
        let mut held_by = None;
        if let Some(ended) = &parted.ended {
            if is_news {
                self.count(&parted.stage, ended.outcome);
                held_by = self.tried(parted, ended);
            }
            if is_news || was_open {
                self.tell(parted, ended);
            }
        } else if is_news && !was_open {
            self.never_ran(record, parted);
        }
        if let Heard::Moves(position) = heard {
            if parted.ended.is_none() {
                let names = (parted.name, position.name);
                self.repairs.renamed(&parted.stage, names);
                self.unclaimed(parted);
            }
            self.moved_on(record, parted, (position, held_by));
        }
        for ticket in &parted.emits {
            self.found(ticket, false);
        }
        if let Fate::Doubted(copies) = &parted.to {
            let others = copies.iter().filter(|copy| copy.id() != parted.name.ticket);
            for ticket in others {
                self.found(ticket, true);
            }
        }
    }

    /// Breakers hear of the attempt, and the plan that had let its ticket go. Returns the signature
    /// that the ticket is to wait for.
    fn tried(&mut self, parted: &Parted, ended: &Ended) -> Option<SignatureId> {
        let attempt = repairs::attempt(parted.name, ended);
        if let Some(placed) = self.working.get_mut(parted.name.ticket) {
            self.repairs.tell_plan(placed, (&attempt.end).into());
            placed.avoid.clear();
        }
        self.repairs.ended(&parted.stage, &attempt)
    }

    /// Whoever hands a copy back does not know whether the word of its start got through. It may
    /// still come, after this one; then it opens nothing.
    fn never_ran(&mut self, record: &Record, parted: &Parted) {
        self.told.insert(parted.name);
        let why = match &parted.to {
            Fate::Waits(arrived) => arrived.wait.because.as_str(),
            _ => "it had not run",
        };
        let at = (parted.name, parted.stage.clone());
        self.working
            .tell(keys::note(at, record.at, (HANDED_BACK, why)));
    }

    /// If nobody here takes its kind, it is not for the plan that had let it go to wait for it, and
    /// whoever takes it may have it.
    fn unclaimed(&mut self, parted: &Parted) {
        let Fate::Waits(arrived) = &parted.to else {
            return;
        };
        if arrived.wait.condition.reason() == Reason::Unclaimed
            && let Some(placed) = self.working.get_mut(parted.name.ticket)
        {
            self.repairs.tell_plan(placed, TicketEnd::Undecided);
            placed.avoid.clear();
        }
    }

    fn moved_on(
        &mut self,
        record: &Record,
        parted: &Parted,
        (position, held_by): (&Position, Option<SignatureId>),
    ) {
        let at = parted
            .ended
            .as_ref()
            .map_or(record.at, |ended| ended.span.ended_at);
        match &parted.to {
            Fate::Waits(arrived) => {
                let at = (position.name, &arrived.ticket.stage);
                let wait = (arrived.wait.clone(), held_by);
                let wait = repairs::held(&mut self.working, at, wait);
                repairs::note_parking(&mut self.working, at, &wait);
                self.wait(position.name, &arrived.ticket, wait);
            }
            Fate::Doubted(copies) => match copies.first() {
                Some(next) if next.id() == parted.name.ticket => self.doubted(next, position),
                _ => self.working.put(self.place(position, &parted.stage, at)),
            },
            Fate::Forwarded(stage) => self.working.put(self.place(position, stage, at)),
            Fate::Finished => self.working.put(self.place(position, &parted.stage, at)),
        }
        if let Some(ended) = &parted.ended
            && let Some(placed) = self.working.get_mut(parted.name.ticket)
        {
            note_end(placed, ended, &parted.to);
        }
    }

    fn suspect(&mut self, record: &Record, ticket: &Ticket, heard: &Heard) {
        let Heard::Moves(position) = heard else {
            return;
        };
        let open = self.working.open_attempt(&ticket.name);
        let holder = open.map_or_else(Holder::unknown, |open| open.holder.clone());
        let wait = Wait {
            because: format!("{holder} had it and did not settle it"),
            condition: Condition::Suspect {
                started_at: open.map(|open| open.started_at),
                holder,
            },
            since: record.at,
            oops: None,
        };
        self.wait(position.name, ticket, wait);
        self.applied.suspects.push(position.name);
    }

    /// A ticket that another's record carries.
    fn found(&mut self, ticket: &Ticket, in_doubt: bool) {
        let books = self.working.get(ticket.id()).map(Placed::position);
        match found(books.as_ref(), ticket.name, in_doubt) {
            Heard::Moves(position) if in_doubt => self.doubted(ticket, &position),
            Heard::Moves(position) => {
                let placed = self.place(&position, &ticket.stage, self.now);
                self.working.put(placed);
                self.working.show(ticket);
            }
            // The books may have heard its name only.
            Heard::Stale(_) | Heard::Noted => self.working.show(ticket),
        }
    }

    /// It goes on under a new generation, behind a barrier.
    fn doubted(&mut self, ticket: &Ticket, position: &Position) {
        let wait = Wait {
            condition: Condition::NotNow { until: self.now },
            since: self.now,
            because: IN_DOUBT.into(),
            oops: None,
        };
        self.wait(position.name, ticket, wait);
        if let Some(placed) = self.working.get_mut(ticket.id()) {
            placed.barrier = Some(Barrier::New);
        }
        let fence = Steer::Fence(ticket.id(), position.name.generation);
        self.working.steer(fence);
    }

    fn wait(&mut self, name: Name, ticket: &Ticket, wait: Wait) {
        let mut placed = match self.working.get(ticket.id()) {
            Some(placed) => placed.clone(),
            None => Placed::runnable(name, ticket.stage.clone(), wait.since),
        };
        if placed.stage != ticket.stage {
            placed.lock_key = None;
        }
        placed.stage = ticket.stage.clone();
        placed.put_waiting(name, wait);
        self.working.put(placed);
        self.working.show(ticket);
    }

    /// The ticket's place at this position; what only a move of its own changes stays.
    fn place(&self, position: &Position, stage: &StageName, since: Timestamp) -> Placed {
        let state = match position.spot {
            Spot::Running => rows::RUNNING,
            Spot::Done => rows::DONE,
            Spot::Dropped => rows::DROPPED,
            Spot::Publishing => rows::PUBLISHING,
            Spot::Runnable | Spot::Waiting(_) => rows::RUNNABLE,
        };
        let mut placed = match self.working.get(position.name.ticket) {
            Some(placed) => placed.clone(),
            None => Placed::runnable(position.name, stage.clone(), since),
        };
        placed.let_go(position.name, state, since);
        if placed.is_ended() || placed.stage != *stage {
            placed.lock_key = None;
        }
        placed.stage = stage.clone();
        placed
    }

    fn count(&mut self, stage: &StageName, outcome: OutcomeKind) {
        if let Some(count) = Count::of_end(outcome) {
            self.working.count(stage.as_str(), count, 1);
        }
    }

    fn tell(&mut self, parted: &Parted, ended: &Ended) {
        let rules = self.flows.stage(&parted.stage);
        let is_full = rules.is_none_or(|rules| rules.journal == Journal::Full);
        if ended.outcome == OutcomeKind::Done && !is_full {
            return;
        }
        self.working.tell(Line {
            at: ended.span.ended_at,
            name: parted.name,
            stage: parted.stage.clone(),
            fact: Fact::Attempted {
                started_at: ended.span.started_at,
                outcome: ended.outcome,
                version: ended.scene.version.clone(),
                holder: ended.scene.holder.clone(),
                oops: ended.oops,
                usage: ended.usage,
            },
        });
    }
}

/// What the place keeps of how its last attempt ended: how it failed, and whether it is tried alone
/// from now on. Only an end in order shows that it does not take its process along.
fn note_end(placed: &mut Placed, ended: &Ended, to: &Fate) {
    placed.version = Some(ended.scene.version.clone());
    match End::of(ended.outcome, ended.signature) {
        End::Landed | End::Rejected => placed.signature = None,
        End::Failed(signature) => placed.signature = signature,
        // It crashed in company: that is the newest word about it, and is laid to nobody.
        End::Nothing if ended.outcome == OutcomeKind::Crashed => placed.signature = None,
        End::Nothing | End::NotRun => {}
    }
    let waits_for = match to {
        Fate::Waits(arrived) => Some(&arrived.wait.condition),
        Fate::Forwarded(_) | Fate::Finished | Fate::Doubted(_) => None,
    };
    // Its breaker may hold it instead.
    placed.is_alone |= matches!(waits_for, Some(Condition::Trial { .. }));
    if ends_trial(ended.outcome, waits_for) {
        placed.is_alone = false;
    }
}
