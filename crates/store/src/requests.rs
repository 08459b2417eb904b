//! What the writer of the books can be asked.

use crate::books::Books;
use crate::control::Control;
use crate::error::Fault;
use crate::judging;
use crate::orders::{self, Ordered};
use crate::planning::{self, Wanted};
use crate::queues::Queues;
use crate::repair;
use crate::settling::Statements;
use crate::submitting::Inserts;
use crate::sweep::{self, Sweep};
use crate::waiting;
use crate::writer::Ask;
use domain::breaker::Scope;
use domain::control::{Change, Snapshot};
use domain::delivery::Settlement;
use domain::names::StageName;
use domain::plan::Plan;
use domain::ports::{
    Accepted, Answer, PlanError, Retention, Round, Serving, Settled, StoreError, Unsettled,
};
use domain::ticket::{Name, Ticket};
use domain::time::Timestamp;
use domain::verdict::Verdict;
use rusqlite::Connection;
use std::sync::Arc;
use tokio::sync::oneshot;

/// One request; each is carried out wholly or not at all.
pub(crate) enum Request {
    Submit(Ask<Vec<Arc<Ticket>>, Vec<Accepted>>),
    Settle(Settle),
    CarryOut(Ask<Vec<Ordered>, Vec<Answer>>),
    Change(Ask<Change, Snapshot>),
    Release(Ask<(Timestamp, usize), Round>),
    Unhold(Ask<(StageName, Timestamp, usize), u64>),
    Judge(Ask<Vec<Verdict>, u64>),
    Serving(Ask<(Serving, Timestamp), ()>),
    Begun(Ask<(StageName, Name), ()>),
    Probe(Ask<(StageName, Scope), bool>),
    MakePlan(Ask<Wanted, Plan>),
    OrderPlan(Ask<planning::Ordered, Result<Plan, PlanError>>),
    Retain(Ask<Retention, u64>),
    Sweep(Ask<Sweep, u64>),
}

/// A group of settlements. It owns them, so that a caller who goes away meanwhile changes nothing:
/// their receipts come back only if the group was not durable.
pub(crate) struct Settle {
    pub(crate) settlements: Vec<Settlement>,
    pub(crate) rows: Vec<i64>,
    pub(crate) answers: Vec<Settled>,
    pub(crate) reply: oneshot::Sender<Result<Durable, Unsettled>>,
}

/// A group that is durable, with its receipts still to be spent.
pub(crate) struct Durable {
    pub(crate) settlements: Vec<Settlement>,
    pub(crate) answers: Vec<Settled>,
}

impl Request {
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Submit(ask) => ask.input.len(),
            Self::Settle(settle) => settle.settlements.len(),
            Self::CarryOut(ask) => ask.input.len(),
            Self::Judge(ask) => ask.input.len(),
            Self::Release(ask) => ask.input.1,
            Self::Unhold(ask) => ask.input.2,
            Self::Retain(_) | Self::Sweep(_) | Self::MakePlan(_) | Self::OrderPlan(_) => 512,
            Self::Change(_) | Self::Serving(_) | Self::Begun(_) | Self::Probe(_) => 1,
        }
    }

    pub(crate) fn apply(&mut self, books: &mut Books, db: &Connection) -> Result<(), Fault> {
        let flows = Arc::clone(&books.flows);
        books.boards.load(db, &flows)?;
        match self {
            Self::Submit(ask) => {
                let mut inserts = Inserts::prepare(db)?;
                let accept = |ticket| inserts.accept(books, db, ticket);
                ask.answer = Some(ask.input.iter().map(accept).collect::<Result<_, _>>()?);
            }
            Self::Settle(settle) => settle.apply(books, db)?,
            Self::CarryOut(ask) => {
                let carry_out = |ordered| orders::carry_out(books, db, ordered);
                ask.answer = Some(ask.input.iter().map(carry_out).collect::<Result<_, _>>()?);
            }
            Self::Change(ask) => books.control.change(&ask.input),
            Self::Release(ask) => ask.answer = Some(waiting::release(books, db, ask.input)?),
            Self::Unhold(ask) => ask.answer = Some(waiting::unhold(books, db, &ask.input)?),
            Self::Judge(ask) => ask.answer = Some(judging::judge(books, db, &ask.input)?),
            Self::Serving(ask) => ask.answer = Some(repair::serving(books, db, &ask.input)?),
            Self::Begun(ask) => ask.answer = Some(repair::begun(books, db, &ask.input)?),
            Self::Probe(ask) => ask.answer = Some(repair::ask(books, db, &ask.input)?),
            Self::MakePlan(ask) => ask.answer = Some(planning::make(books, db, &ask.input)?),
            Self::OrderPlan(ask) => ask.answer = Some(planning::order(books, db, &ask.input)?),
            Self::Sweep(ask) => ask.answer = Some(sweep::step(books, db, &ask.input)?),
            Self::Retain(ask) => {
                ask.answer = Some(crate::retention::forget(books, db, ask.input)?);
            }
        }
        Ok(())
    }

    /// The group is durable: what it settled is nobody's any more.
    pub(crate) fn give_up_leases(&self, queues: &Queues) {
        let Self::Settle(settle) = self else {
            return;
        };
        let by_stage = |a: &Settlement, b: &Settlement| a.ticket().stage == b.ticket().stage;
        for same in settle.settlements.chunk_by(by_stage) {
            let queue = same
                .first()
                .and_then(|one| queues.find(&one.ticket().stage));
            if let Some(queue) = queue {
                queue.settled(same.iter().map(Settlement::tag));
            }
        }
    }

    pub(crate) fn answer(self, control: &Control) {
        match self {
            Self::Submit(ask) => ask.answer(),
            Self::Settle(settle) => settle.answer(),
            Self::CarryOut(ask) => ask.answer(),
            Self::Change(mut ask) => {
                ask.answer = Some(control.snapshot().clone());
                ask.answer();
            }
            Self::Release(ask) => ask.answer(),
            Self::Unhold(ask) => ask.answer(),
            Self::Judge(ask) => ask.answer(),
            Self::Serving(ask) => ask.answer(),
            Self::Begun(ask) => ask.answer(),
            Self::Probe(ask) => ask.answer(),
            Self::MakePlan(ask) => ask.answer(),
            Self::OrderPlan(ask) => ask.answer(),
            Self::Retain(ask) => ask.answer(),
            Self::Sweep(ask) => ask.answer(),
        }
    }

    pub(crate) fn refuse(self, error: StoreError) {
        match self {
            Self::Submit(ask) => ask.refuse(error),
            Self::Settle(settle) => settle.refuse(error),
            Self::CarryOut(ask) => ask.refuse(error),
            Self::Change(ask) => ask.refuse(error),
            Self::Release(ask) => ask.refuse(error),
            Self::Unhold(ask) => ask.refuse(error),
            Self::Judge(ask) => ask.refuse(error),
            Self::Serving(ask) => ask.refuse(error),
            Self::Begun(ask) => ask.refuse(error),
            Self::Probe(ask) => ask.refuse(error),
            Self::MakePlan(ask) => ask.refuse(error),
            Self::OrderPlan(ask) => ask.refuse(error),
            Self::Retain(ask) => ask.refuse(error),
            Self::Sweep(ask) => ask.refuse(error),
        }
    }
}

impl Settle {
    fn apply(&mut self, books: &mut Books, db: &Connection) -> Result<(), Fault> {
        self.answers.clear();
        let mut statements = Statements::prepare(db)?;
        for (settlement, row) in self.settlements.iter().zip(&self.rows) {
            let settled = statements.settle(books, db, settlement, *row)?;
            self.answers.push(settled);
        }
        Ok(())
    }

    fn answer(self) {
        let durable = Durable {
            settlements: self.settlements,
            answers: self.answers,
        };
        // If nobody waits, the receipts are dropped here; their leases are gone already.
        self.reply.send(Ok(durable)).ok();
    }

    pub(crate) fn refuse(self, error: StoreError) {
        let unsettled = Unsettled {
            settlements: self.settlements,
            error,
        };
        self.reply.send(Err(unsettled)).ok();
    }
}
