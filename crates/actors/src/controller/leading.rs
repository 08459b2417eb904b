//! Leads, when it is chosen to: broker and store are two systems, and this is what moves waiting
//! tickets from the one to the other.
//!
//! To the actors that release and judge it is the `Waits` port. A controller that does not lead has
//! nothing to do for them, and they wait until it does.

use super::crew::Crew;
use super::obituaries::Obituaries;
use super::publisher;
use super::recorder;
use super::term::Term;
use super::{Deaths, Scenes};
use super::{herald, unclaimed};

use crate::kept::{Ears, keep};
use crate::station::lock;
use async_trait::async_trait;
use domain::fleet::Heartbeat;
use domain::flow::Flows;
use domain::names::{Holder, StageName};
use domain::ports::{
    Catalog, Clock, Desk, Election, Observer, Reporter, Retention, Road, Round, Serving,
    StoreError, Waits,
};
use domain::record::{Record, Said};
use domain::time::Timestamp;
use domain::verdict::{Case, Verdict};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// While a worker has still to be heard about a ticket, the controller looks again so often, should
/// nothing call it before.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// News of the store that come in a stream are gathered for so long.
const NEWS_REST: Duration = Duration::from_millis(10);

/// What leading needs from the world.
pub struct LeadingParts {
    /// Chooses who leads.
    pub election: Arc<dyn Election>,
    /// The broker.
    pub road: Arc<dyn Road>,
    /// Where the desired state gets its revisions.
    pub desk: Arc<dyn Desk>,
    /// Where the desired state is read.
    pub catalog: Arc<dyn Catalog>,
    /// Where reports about the dead are made durable.
    pub reporter: Arc<dyn Reporter>,
    /// What is configured.
    pub flows: Arc<Flows>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Hears everything.
    pub observer: Arc<dyn Observer>,
    /// Hears what the workers did, as the journal tells it.
    pub listener: Arc<dyn Observer>,
    /// Which process this is, with its incarnation.
    pub holder: Holder,
}

/// The waiting tickets of a broker and a store that are two systems. Clones share it.
#[derive(Clone)]
pub struct Leading {
    shared: Arc<Shared>,
}

/// The tasks that lead; dropped, they end, and somebody else is chosen.
pub struct AtLead {
    _tasks: JoinSet<()>,
}

pub(crate) struct Shared {
    pub(crate) parts: LeadingParts,
    pub(crate) ears: Ears,
    term: watch::Sender<Option<Arc<Term>>>,
    pub(crate) crew: Mutex<Crew>,
    pub(crate) obituaries: Mutex<Obituaries>,
    /// There is something new for the controller.
    pub(crate) news: Notify,
    /// The desired state has changed and must be spread.
    pub(crate) herald: Notify,
    /// The desired state may have changed.
    pub(crate) rumour: Notify,
}

impl Leading {
    /// Nothing leads yet; see [`Leading::start`].
    pub fn new(parts: LeadingParts) -> Self {
        let ears = Ears {
            clock: Arc::clone(&parts.clock),
            observer: Arc::clone(&parts.observer),
        };
        let shared = Shared {
            parts,
            ears,
            term: watch::Sender::new(None),
            crew: Mutex::default(),
            obituaries: Mutex::default(),
            news: Notify::new(),
            herald: Notify::new(),
            rumour: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Begins to stand for election, and to lead whenever chosen, on the current arbiter.
    pub fn start(&self) -> AtLead {
        let mut tasks = JoinSet::new();
        let ears = || self.shared.ears.clone();
        let shared = || Arc::clone(&self.shared);
        let leader = shared();
        tasks.spawn_local(keep("lead", ears(), async move || {
            recorder::lead(&leader).await
        }));
        let herald = shared();
        tasks.spawn_local(keep("spread", ears(), async move || {
            herald::run(&herald).await
        }));
        let porter = shared();
        tasks.spawn_local(keep("unclaimed", ears(), async move || {
            unclaimed::run(&porter).await
        }));
        let listener = shared();
        tasks.spawn_local(keep("attention", ears(), async move || {
            listen(&listener).await
        }));
        AtLead { _tasks: tasks }
    }

    /// Whether this process leads at the moment.
    pub fn leads(&self) -> bool {
        self.shared.current().is_some()
    }

    /// The workers that are alive, by what they last said of themselves; nobody is known to a
    /// controller that does not lead.
    pub fn workers(&self) -> Vec<Heartbeat> {
        let term = self.shared.current();
        term.map(|term| term.alive()).unwrap_or_default()
    }

    /// Who was at work where, for the reports about attempts that nobody speaks for.
    pub fn scenes(&self) -> Scenes {
        let shared = Arc::clone(&self.shared);
        Arc::new(move |holder: &Holder, stage: &StageName| lock(&shared.crew).scene(holder, stage))
    }

    /// How workers died, as far as their launchers have told this leader.
    pub fn deaths(&self) -> Deaths {
        let shared = Arc::clone(&self.shared);
        Arc::new(move |holder: &Holder| lock(&shared.obituaries).of(holder))
    }
}

/// Tells the controller what the store has news of.
async fn listen(shared: &Shared) -> String {
    loop {
        shared.parts.election.attention().await;
        shared.news.notify_one();
        shared.rumour.notify_one();
        sleep(NEWS_REST).await;
    }
}

impl Shared {
    /// The term, while this process leads.
    pub(crate) fn current(&self) -> Option<Arc<Term>> {
        self.term.borrow().clone()
    }

    /// Waits until this process leads.
    pub(crate) async fn leads(&self) -> Arc<Term> {
        let mut term = self.term.subscribe();
        loop {
            if let Ok(term) = term.wait_for(Option::is_some).await
                && let Some(term) = term.clone()
            {
                return term;
            }
            sleep(LOOK_AGAIN).await; // The sender is ours.
        }
    }

    /// Leads with this term until the answer is dropped.
    pub(crate) fn install(&self, term: &Arc<Term>) -> Installed<'_> {
        self.term.send_replace(Some(Arc::clone(term)));
        self.news.notify_one();
        self.herald.notify_one();
        Installed {
            shared: self,
            term: Arc::clone(term),
        }
    }

    /// A record of the controller's own.
    pub(crate) fn record(&self, said: Said) -> Record {
        Record {
            by: self.parts.holder.clone(),
            at: self.parts.clock.now(),
            said,
        }
    }
}

/// A term in force.
pub(crate) struct Installed<'a> {
    shared: &'a Shared,
    term: Arc<Term>,
}

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        self.shared.term.send_replace(None);
        self.term.end("this process does not lead any more");
    }
}

#[async_trait]
impl Waits for Leading {
    async fn release(&self, now: Timestamp, max: NonZeroUsize) -> Result<Round, StoreError> {
        match self.shared.current() {
            Some(term) => publisher::release(&self.shared, &term, now, max).await,
            None => Ok(Round {
                released: 0,
                next: None,
            }),
        }
    }

    /// Says in the journal that the stage is open; its tickets are released once that is read, so
    /// the answer is always that none was.
    async fn unhold(&self, stage: &StageName, _: Timestamp) -> Result<u64, StoreError> {
        let record = self.shared.record(Said::Unhold(stage.clone()));
        self.shared.parts.road.write(vec![record]).await?;
        Ok(0)
    }

    async fn cases(&self, now: Timestamp, max: NonZeroUsize) -> Result<Vec<Case>, StoreError> {
        let Some(term) = self.shared.current() else {
            return Ok(Vec::new());
        };
        let wanted = term.cases_wanted(max.get()).and_then(NonZeroUsize::new);
        let Some(wanted) = wanted else {
            return Ok(Vec::new());
        };
        let cases = term.ledger.cases(now, wanted).await?;
        let is_all = cases.len() < wanted.get();
        let mut decidable = term.decidable(cases, is_all, now);
        decidable.truncate(max.get());
        Ok(decidable)
    }

    async fn judge(&self, verdicts: Vec<Verdict>) -> Result<u64, StoreError> {
        let term = self.shared.current();
        let Some(term) = term.filter(|_| !verdicts.is_empty()) else {
            return Ok(0);
        };
        let count = term.ledger.judge(verdicts).await?;
        if count > 0 {
            self.shared.herald.notify_one();
        }
        Ok(count)
    }

    /// The recorder, which hears everybody, tells the books by itself.
    async fn serving(&self, _: Serving, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn attention(&self) {
        let has_questions = self
            .shared
            .current()
            .is_some_and(|term| term.has_questions());
        let look_again = async {
            match has_questions {
                true => sleep(LOOK_AGAIN).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.shared.news.notified() => {}
            () = look_again => {}
        }
    }

    async fn retain(&self, retention: Retention) -> Result<u64, StoreError> {
        match self.shared.current() {
            Some(term) => term.ledger.retain(retention).await,
            None => Ok(0),
        }
    }
}
