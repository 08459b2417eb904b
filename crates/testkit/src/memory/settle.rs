//! What a settlement does to the books.

use super::queue::{Lease, Queued};
use super::state::State;
use domain::books::{Fact, Place, Stale};
use domain::breaker::{Attempt, End};
use domain::delivery::{Disposition, Ended, Settlement};
use domain::flow::Journal;
use domain::outcome::OutcomeKind;
use domain::ports::Settled;
use domain::ticket::{Name, TicketId};
use domain::time::Timestamp;
use domain::wait::{Condition, Reason, Wait};

impl State {
    pub(super) fn settle(&mut self, settlement: &Settlement, now: Timestamp) -> Settled {
        let lease = self.leases.remove(&settlement.tag());
        let queued = lease.map(|Lease { queued, .. }| queued);
        let is_ghost = queued.as_ref().is_some_and(|queued| queued.is_ghost);
        let heard = self.hear(settlement, is_ghost);
        match heard {
            Ok(()) => {
                self.apply(settlement, now);
                Settled::Applied
            }
            Err(stale) => {
                self.pass_by(settlement, stale, queued.as_ref(), now);
                self.free_key(settlement.ticket(), now);
                Settled::Stale
            }
        }
    }

    fn hear(&self, settlement: &Settlement, is_ghost: bool) -> Result<(), Stale> {
        let name = settlement.ticket().name;
        let Some(standing) = self.standing(name.ticket) else {
            // Forgotten, so it had ended.
            return Err(Stale::Terminal(domain::books::State::Done));
        };
        standing.accepts(&name)?;
        // A pending or suspected ticket waits under the name of the attempt that brought it
        // there: that attempt has been settled, and its copy is nobody's word.
        if is_ghost && standing.name == name {
            return Err(Stale::Passed(name.hop, name.attempt));
        }
        Ok(())
    }

    /// Carries out a settlement that counts.
    pub(super) fn apply(&mut self, settlement: &Settlement, now: Timestamp) {
        let was = settlement.ticket();
        let id = was.id();
        if let Some(ended) = settlement.ended() {
            self.write_attempt(id, was.name, ended);
            self.tried(id, (ended.outcome, settlement.disposition().waits_for()));
        }
        match settlement.disposition() {
            Disposition::Forward(copy) => {
                if let Some(row) = self.rows.get_mut(&id) {
                    row.entry.ticket = (**copy).clone();
                }
                self.arrive(id, now);
            }
            Disposition::Finish => {
                if let Some(row) = self.rows.get_mut(&id) {
                    row.entry.place = Place::Done { at: now };
                }
            }
            Disposition::Wait { name, wait } => {
                self.wait(*name, wait.clone());
                if let Some(why) = wait.parked_because() {
                    self.note(id, wait.since, Reason::Parked.as_str(), why);
                }
            }
        }
        for emit in settlement.emits() {
            self.accept(emit.clone(), now, &format!("sent by ticket {id}"));
        }
        self.free_key(was, now);
        if let Some(ended) = settlement.ended() {
            let attempt = Attempt {
                name: was.name,
                version: ended.scene.version.clone(),
                span: ended.span,
                end: End::of(ended.outcome, ended.signature),
            };
            self.heard(&was.stage, &attempt, now);
        }
    }

    /// The ticket waits under this name.
    pub(super) fn wait(&mut self, name: Name, wait: Wait) {
        let Some(row) = self.rows.get_mut(&name.ticket) else {
            return;
        };
        row.entry.ticket.name = name;
        row.blame(wait.oops);
        if matches!(wait.condition, Condition::Suspect { .. }) {
            let fact = Fact::Noted {
                what: "suspected".into(),
                why: wait.because.clone(),
                oops: None,
            };
            row.write(wait.since, name, fact);
            row.beside = 0;
        }
        row.is_on_trial |= matches!(wait.condition, Condition::Trial { .. });
        row.entry.place = Place::Waiting(wait);
        self.attention = true;
    }

    fn write_attempt(&mut self, id: TicketId, name: Name, ended: &Ended) {
        let Some(row) = self.rows.get_mut(&id) else {
            return;
        };
        let stage = row.entry.ticket.stage.clone();
        let rules = self.flows.stage(&stage);
        let is_exception = ended.outcome != OutcomeKind::Done;
        row.blame(ended.oops);
        row.entry.version = Some(ended.scene.version.clone());
        if is_exception || rules.is_none_or(|rules| rules.journal == Journal::Full) {
            let fact = Fact::Attempted {
                started_at: ended.span.started_at,
                outcome: ended.outcome,
                version: ended.scene.version.clone(),
                holder: ended.scene.holder.clone(),
                oops: ended.oops,
                usage: ended.usage,
            };
            row.write(ended.span.ended_at, name, fact);
        }
        let tally = self.tallies.entry(stage).or_default();
        tally.done += u64::from(ended.outcome == OutcomeKind::Done);
        tally.failed += u64::from(ended.outcome.went_wrong());
    }

    /// A settlement that changes nothing is kept and shown.
    fn pass_by(
        &mut self,
        settlement: &Settlement,
        stale: Stale,
        queued: Option<&Queued>,
        now: Timestamp,
    ) {
        let ticket = settlement.ticket();
        if let Some(row) = self.rows.get_mut(&ticket.id()) {
            row.blame(settlement.ended().and_then(|ended| ended.oops));
            let fact = Fact::Noted {
                what: "ignored".into(),
                why: format!("a result came too late: {stale}"),
                oops: None,
            };
            row.write(now, ticket.name, fact);
        }
        let Some(doubt) = queued.filter(|q| !q.is_ghost).and_then(|q| q.doubt.clone()) else {
            return;
        };
        if let Some(started_at) = doubt.started_at {
            self.orphan(ticket, (doubt.holder, started_at), 0, now);
        }
    }
}
