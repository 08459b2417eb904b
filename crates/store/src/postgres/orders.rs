//! An operator's orders: carried out, or refused with the reason and what would make it possible.
//!
//! A ticket that waits is in the books alone, so an order moves it and that is all. One that was
//! published may be in somebody's hand: its end puts up a fence, below which nothing of it runs any
//! more, and its key stays locked until whoever has it has let go.

mod completing;

use super::Postgres;
use super::catalog;
use super::fault::Fault;
use super::keys;
use super::partitions::HISTORY;
use super::repairs::{self, Repairs};
use super::rows::{self, ENTRIES, PUBLISHING, Placed, RUNNABLE, RUNNING};
use super::submit::{notify, shard};
use super::working::{Steer, Working};
use crate::permits::{self, Refusal, refusal};
use deadpool_postgres::Transaction;
use domain::books::{Entry, Fact, Line};
use domain::flow::Flows;
use domain::oops::OopsId;
use domain::plan::TicketEnd;
use domain::ports::{Action, Answer, Order, StoreError};
use domain::retry::Chance;
use domain::signature::SignatureId;
use domain::ticket::{Generation, Ticket, TicketId};
use domain::time::Timestamp;
use domain::wait::{Condition, Reason, Wait};
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

/// The tickets that orders are about, and whether the books have what each carries: whatever
/// brought one into a wait showed it.
const SUBJECTS: &str = ", t.payload IS NOT NULL AS has_body FROM";

/// An order, and the report about the outcome that it brings, which is durable already.
pub(super) struct Ordered {
    pub(super) order: Order,
    pub(super) oops: Option<OopsId>,
    /// How the attempt failed that it ends, by that report.
    pub(super) signature: Option<SignatureId>,
}

type Outcomes = Result<Result<(), Refusal>, Fault>;

/// A ticket as it was when the transaction began, but for its reports, which are added to.
struct Subject {
    ticket: Ticket,
    oopses: Vec<OopsId>,
    has_body: bool,
}

/// A transaction that carries orders out.
struct Desk<'a> {
    tx: &'a Transaction<'a>,
    flows: &'a Flows,
    chance: Chance,
    now: Timestamp,
    working: Working,
    subjects: HashMap<TicketId, Subject>,
    repairs: Repairs<'a>,
}

impl Postgres {
    /// Carries a group out in one transaction. A ticket that cannot be read must not keep the
    /// others from it: then each order is carried out for itself.
    pub(super) async fn carry_out_group(
        &self,
        group: &[Ordered],
    ) -> Result<Vec<Answer>, StoreError> {
        let damage = match self.call_again(|| self.carry_out_once(group)).await {
            Err(StoreError::Damaged(why)) => why,
            done => return done,
        };
        if group.len() == 1 {
            let remedy = "its rows in the tables tickets, places and attempts make no sense: \
                          mend them, or restore a backup";
            let (why, remedy) = (damage, remedy.to_owned());
            return Ok(vec![Answer::Refused { why, remedy }]);
        }
        let mut answers = Vec::with_capacity(group.len());
        for one in group {
            let alone = std::slice::from_ref(one);
            answers.extend(Box::pin(self.carry_out_group(alone)).await?);
        }
        Ok(answers)
    }

    async fn carry_out_once(&self, group: &[Ordered]) -> Result<Vec<Answer>, Fault> {
        let shared = &self.shared;
        let now = shared.clock.now();
        let mut client = self.client().await?;
        let times = group.iter().map(|one| one.order.at);
        shared.days.cover(&client, HISTORY, times, now).await?;
        let tx = client.transaction().await?;
        if shared
            .flows
            .stages()
            .iter()
            .any(|stage| keys::is_unique(&shared.flows, &stage.name))
        {
            keys::lock(&tx).await?;
        }
        let ids: Vec<TicketId> = group.iter().map(|one| one.order.ticket).collect();
        let (working, repairs) = self.in_hand(&tx, group, &ids).await?;
        let mut desk = Desk {
            tx: &tx,
            flows: &shared.flows,
            chance: shared.clock.chance(),
            now,
            working,
            subjects: subjects(&tx, &ids).await?,
            repairs,
        };
        let mut answers = Vec::with_capacity(group.len());
        for ordered in group {
            answers.push(desk.carry_out(ordered).await?);
        }
        let Desk {
            mut working,
            repairs,
            ..
        } = desk;
        keys::pass_on(&tx, &mut working, now).await?;
        working.write(&tx, shard(&shared.holder)).await?;
        repairs.finish(&tx).await?;
        notify(&tx).await?;
        tx.commit().await?;
        Ok(answers)
    }

    /// The tickets, and the breakers of their stages if anything there may hear of the orders.
    async fn in_hand<'s>(
        &'s self,
        tx: &Transaction<'_>,
        group: &[Ordered],
        ids: &[TicketId],
    ) -> Result<(Working, Repairs<'s>), Fault> {
        let setting = self.setting();
        let brings_an_end = |one: &Ordered| matches!(one.order.action, Action::Complete(..));
        let is_quiet = repairs::alert(tx).await?.is_quiet();
        if is_quiet && !group.iter().any(brings_an_end) {
            let working = Working::load(tx, ids.to_vec()).await?;
            return Ok((working, Repairs::none(setting)));
        }
        let mut repairs = Repairs::take(tx, setting, BTreeSet::new()).await?;
        let working = Working::load(tx, ids.to_vec()).await?;
        let stages = ids.iter().filter_map(|id| working.get(*id));
        let stages = stages.map(|placed| placed.stage.clone()).collect();
        repairs.load_more(tx, stages).await?;
        Ok((working, repairs))
    }
}

async fn subjects(
    tx: &Transaction<'_>,
    ids: &[TicketId],
) -> Result<HashMap<TicketId, Subject>, Fault> {
    let ids: Vec<Uuid> = ids.iter().map(TicketId::uuid).collect();
    let query = format!(
        "{} WHERE t.id = ANY($1)",
        ENTRIES.replacen(" FROM", SUBJECTS, 1)
    );
    let (mut entries, mut bodies) = (Vec::new(), Vec::new());
    for row in tx.query(&query, &[&ids]).await? {
        entries.push(rows::entry(&row)?);
        bodies.push(row.try_get("has_body")?);
    }
    catalog::add_reports(&**tx, &mut entries).await?;
    let subject = |(entry, has_body): (Entry, bool)| {
        let subject = Subject {
            ticket: entry.ticket,
            oopses: entry.oopses,
            has_body,
        };
        (subject.ticket.id(), subject)
    };
    Ok(entries.into_iter().zip(bodies).map(subject).collect())
}

impl Desk<'_> {
    async fn carry_out(&mut self, ordered: &Ordered) -> Result<Answer, Fault> {
        let order = &ordered.order;
        let Some(entry) = self.entry(order.ticket) else {
            return Ok(Answer::NotFound);
        };
        let done = match &order.action {
            Action::Retry => self.retry(&entry, order),
            Action::Cancel => self.end(&entry, order, ("cancelled", "cancelled")),
            Action::Drop(reason) => self.end(&entry, order, ("dropped", reason)),
            Action::Start(generation) => self.start(&entry, order, *generation),
            Action::Complete(generation, outcome) => {
                let call_back = (*generation, outcome);
                self.complete(&entry, ordered, call_back).await?
            }
        };
        if let Err(Refusal { why, remedy }) = done {
            let remedy = remedy.to_owned();
            return Ok(Answer::Refused { why, remedy });
        }
        let now = self.entry(order.ticket);
        Ok(now.map_or(Answer::NotFound, |entry| Answer::Done(Box::new(entry))))
    }

    /// The ticket as it is by now.
    fn entry(&self, id: TicketId) -> Option<Entry> {
        let placed = self.working.get(id)?;
        let subject = self.subjects.get(&id)?;
        let mut ticket = subject.ticket.named(placed.name);
        ticket.stage = placed.stage.clone();
        Some(Entry {
            ticket,
            place: placed.place(),
            version: placed.version.clone(),
            oopses: subject.oopses.clone(),
        })
    }

    fn note(&mut self, entry: &Entry, order: &Order, told: (&str, &str), oops: Option<OopsId>) {
        self.working.tell(Line {
            at: order.at,
            name: entry.ticket.name,
            stage: entry.ticket.stage.clone(),
            fact: Fact::Noted {
                what: told.0.into(),
                why: told.1.into(),
                oops,
            },
        });
    }

    /// It is due at once, under a new name; behind the barrier that it was behind before.
    fn retry(&mut self, entry: &Entry, order: &Order) -> Result<(), Refusal> {
        permits::retry(entry, order.at)?;
        let id = order.ticket;
        if self
            .subjects
            .get(&id)
            .is_none_or(|subject| !subject.has_body)
        {
            return Err(refusal(
                "the books were not shown what it carries",
                "wait until whoever has it hands it in, or cancel it and submit it again",
            ));
        }
        let by = format!("by {}", order.by);
        self.note(entry, order, ("retried", &by), None);
        self.repairs.taken_away(&entry.ticket.stage, id);
        if let Some(placed) = self.working.get_mut(id) {
            let barrier = placed.barrier;
            placed.put_waiting(
                placed.name.renewed(),
                due(order.at, format!("retried {by}")),
            );
            placed.barrier = barrier;
        }
        Ok(())
    }

    /// Who says it again, or need not say it, has changed nothing.
    fn start(
        &mut self,
        entry: &Entry,
        order: &Order,
        generation: Generation,
    ) -> Result<(), Refusal> {
        let Some(wait) = permits::start(entry, generation, order.at)? else {
            return Ok(());
        };
        if let Some(placed) = self.working.get_mut(order.ticket) {
            placed.wait = Some(wait);
        }
        self.note(entry, order, ("started", &format!("by {}", order.by)), None);
        Ok(())
    }

    fn end(
        &mut self,
        entry: &Entry,
        order: &Order,
        (what, why): (&str, &str),
    ) -> Result<(), Refusal> {
        permits::end(&entry.place)?;
        let id = order.ticket;
        let is_open = self.working.has_open_attempt(id);
        let has_key = |placed: &Placed| placed.state == PUBLISHING && placed.lock_key.is_some();
        if self.working.get(id).is_some_and(has_key) {
            // Nobody would ever say that it has let its key go, if it did not land.
            return Err(refusal(
                "whether it has reached the broker is being found out",
                "try again in some seconds",
            ));
        }
        self.repairs.taken_away(&entry.ticket.stage, id);
        if let Some(placed) = self.working.get_mut(id) {
            let is_out = matches!(placed.state, RUNNABLE | RUNNING | PUBLISHING);
            let may_be_out = is_out || is_open || placed.reason() == Some(Reason::Suspect);
            let lock_key = placed.lock_key.take();
            self.repairs.tell_plan(placed, TicketEnd::Undecided);
            placed.drop_for((why.to_owned(), order.by.clone()), order.at);
            // The next one with its key must wait until this one is let go.
            placed.lock_key = lock_key.filter(|_| is_out || is_open);
            let lowest = placed.name.generation.next();
            if may_be_out {
                self.working.steer(Steer::Fence(id, lowest));
            }
        }
        let told = format!("by {}: {why}", order.by);
        self.note(entry, order, (what, &told), None);
        Ok(())
    }
}

/// To be published at once.
const fn due(at: Timestamp, because: String) -> Wait {
    Wait {
        condition: Condition::NotNow { until: at },
        since: at,
        because,
        oops: None,
    }
}
