//! Reads the journal into the books, as the only one: a term of leading from its beginning to its
//! end.
//!
//! The order is what makes it safe. A group is applied, then the fleet hears it, then it is done
//! with; only then are markers written, so that a marker that comes back proves that everything
//! before it was applied. Read again after a crash, a group changes nothing.

use super::announcing::Announcing;
use super::hearsay;
use super::leading::Shared;
use super::term::Term;
use domain::control::Change;
use domain::fleet::Ask;
use domain::flow::{Flows, Unique};
use domain::names::Holder;
use domain::oops::Report;
use domain::ports::{Inbox, OopsError, Sent, StoreError, StreamEnded};
use domain::record::{Fate, Record, Said};
use domain::ticket::Name;
use domain::time::Timestamp;
use futures_util::future::join;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The most records that are applied in one transaction: enough for the largest group that a stage
/// starts and for its ends. A start and its end in one transaction are one row that is written, in
/// two they are two.
const GROUP_MAX: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// An idle leader asks the books so often whether it still leads.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Beats call the controller no more often.
const BEAT_NEWS_EVERY: Duration = Duration::from_secs(1);

/// How long to wait after a report about the dead was refused.
const REPORT_REST: Duration = Duration::from_secs(1);

/// Thoughts that time alone brings come no closer together.
const THINK_REST: Duration = Duration::from_millis(20);

/// Stands for election, and leads once chosen. Returns why it does not lead any more.
pub(crate) async fn lead(shared: &Shared) -> String {
    let Err(why) = try_lead(shared).await;
    why
}

async fn try_lead(shared: &Shared) -> Result<Infallible, String> {
    let parts = &shared.parts;
    let ledger = parts.election.lead().await;
    let ledger = ledger.map_err(told("this controller could not stand for election"))?;
    let stages: Vec<_> = parts
        .flows
        .stages()
        .iter()
        .map(|s| s.name.clone())
        .collect();
    let declared = parts.road.declare(&stages).await;
    declared.map_err(told("the stages' queues could not be declared"))?;
    let inbox = parts.road.journal().await;
    let inbox = inbox.map_err(told("the journal could not be opened"))?;
    let expected = parts.election.holders().await;
    let expected = expected.map_err(told("the books did not say who is at work"))?;
    let stranded = parts.election.stranded().await;
    let stranded = stranded.map_err(told("the books did not say what was being published"))?;
    // A revision of its own: every worker that is alive answers it, and one that has lost the
    // desired state is seen to be behind.
    let called = parts.desk.change(Change::RollCall).await;
    called.map_err(told("the workers could not be called"))?;
    let term = Arc::new(Term::new(ledger, expected, parts.clock.now()));
    let _installed = shared.install(&term);
    tracing::info!("this controller leads from now on");
    let reading = Reading {
        shared,
        term: &term,
        inbox,
        owed: Owed::default(),
        stranded,
        announcing: Announcing::new(),
        asked_at: Instant::now(),
        beat_news_at: Instant::now(),
    };
    reading.read_on().await
}

fn told(what: &'static str) -> impl Fn(StoreError) -> String {
    move |error| format!("{what}: {error}")
}

struct Reading<'a> {
    shared: &'a Shared,
    term: &'a Term,
    inbox: Box<dyn Inbox<Record>>,
    owed: Owed,
    /// What the leader before was publishing.
    stranded: Vec<Name>,
    announcing: Announcing,
    /// When the books were last asked anything.
    asked_at: Instant,
    /// When the controller was last called because of a beat.
    beat_news_at: Instant,
}

/// What is still to be done about the dead.
#[derive(Default)]
struct Owed {
    burials: BTreeSet<Holder>,
    /// A report was refused; it is not tried again before.
    rests_until: Option<Instant>,
}

enum News {
    Records(Vec<Record>),
    /// Time has passed, or there is a new question.
    Thought,
}

impl Reading<'_> {
    async fn read_on(mut self) -> Result<Infallible, String> {
        loop {
            match self.next().await? {
                News::Records(records) => self.take(records).await?,
                News::Thought => self.probe().await?,
            }
            self.think().await?;
            self.announce().await;
        }
    }

    async fn next(&mut self) -> Result<News, String> {
        let now = self.now();
        let probe = PROBE_EVERY.saturating_sub(self.asked_at.elapsed());
        let wake = self
            .term
            .wakes_at()
            .map_or(probe, |at| at.since(now).min(probe));
        let wake = Instant::now() + wake.max(THINK_REST);
        let announces = self.announcing.wakes_at();
        let wake = announces.map_or(wake, |at| at.min(wake));
        tokio::select! {
            biased;
            why = self.term.over() => Err(why),
            records = self.inbox.next(GROUP_MAX) => match records {
                Ok(records) => Ok(News::Records(records)),
                Err(StreamEnded { why, .. }) => Err(format!("the journal ended: {why}")),
            },
            () = self.term.question.notified() => Ok(News::Thought),
            () = sleep_until(wake) => Ok(News::Thought),
        }
    }

    async fn take(&mut self, records: Vec<Record>) -> Result<(), String> {
        let applied = self.term.ledger.apply(records.clone()).await;
        let applied = applied.map_err(told("the journal could not be written into the books"))?;
        self.asked_at = Instant::now();
        hearsay::tell(&*self.shared.parts.listener, &records);
        let now = self.now();
        let is_answered = self.term.read(&records, &applied.suspects, now);
        self.hear_beats(&records, now);
        let done = self.inbox.done().await;
        done.map_err(told("the journal did not take the acknowledgement"))?;
        if applied.control {
            self.shared.herald.notify_one();
        }
        let flows = &self.shared.parts.flows;
        let has_changed = applied.applied > 0;
        let moves = has_changed && records.iter().any(|record| may_move(record, flows));
        if moves
            || (has_changed && self.is_beat_news(&records))
            || is_answered
            || !applied.suspects.is_empty()
        {
            self.shared.news.notify_one();
        }
        Ok(())
    }

    /// A beat that names a new stage releases what waited for it; beats are many, and that is rare.
    fn is_beat_news(&mut self, records: &[Record]) -> bool {
        let mut said = records.iter().map(|record| &record.said);
        let is_news = self.beat_news_at.elapsed() >= BEAT_NEWS_EVERY
            && said.any(|said| matches!(said, Said::Beat(_)));
        if is_news {
            self.beat_news_at = Instant::now();
        }
        is_news
    }

    fn hear_beats(&mut self, records: &[Record], now: Timestamp) {
        let mut is_news = false;
        let mut crew = crate::station::lock(&self.shared.crew);
        let mut obituaries = crate::station::lock(&self.shared.obituaries);
        for record in records {
            match &record.said {
                Said::Beat(beat) => is_news |= crew.hear(beat, now),
                Said::Gone { .. } => {
                    obituaries.hear(record);
                    is_news = true;
                }
                _ => {}
            }
        }
        if is_news {
            self.announcing.is_stale();
        }
    }

    /// Tells the books who serves the stages, if that is another than before. Nobody's ticket is
    /// lost while they do not take it, so it is only tried again.
    async fn announce(&mut self) {
        let Some(serving) = self.announcing.news(self.term) else {
            return;
        };
        let now = self.now();
        let told = self.term.ledger.serving(serving.clone(), now).await;
        self.announcing.tried(serving, told.is_ok());
        match told {
            Ok(()) => {
                self.term.is_due(now);
                self.shared.news.notify_one();
            }
            Err(error) => self.shared.ears.tell_failed("announce", &error),
        }
    }

    /// Asks for what would answer the open questions, and draws the conclusions of those that are
    /// answered.
    async fn think(&mut self) -> Result<(), String> {
        let mut asks = self.term.asks(self.now());
        let dead = self.term.dead(self.now());
        if !dead.is_empty() {
            self.announcing.is_stale();
        }
        if self.has_victim(&dead) && !asks.contains(&Ask::RollCall) {
            asks.push(self.term.call());
        }
        self.owed.burials.extend(dead);
        // While the books bury the dead, whoever lives answers.
        let (asked, buried) = join(ask(self.shared, asks), self.bury()).await;
        asked.and(buried)?;
        self.doubt_stranded().await?;
        if self.term.has_answer(self.now()) {
            self.shared.news.notify_one();
        }
        Ok(())
    }

    /// Whether somebody was killed at work, by its launcher's word. Who goes by itself leaves
    /// nothing that becomes suspect, and hundreds may go one by one when a new version is rolled
    /// out; nor does who dies before its first beat, as hundreds may that crash at each start.
    fn has_victim(&self, dead: &[Holder]) -> bool {
        let crew = crate::station::lock(&self.shared.crew);
        let obituaries = crate::station::lock(&self.shared.obituaries);
        let mut dead = dead.iter().filter(|holder| crew.has(holder));
        dead.any(|holder| obituaries.of(holder).is_some())
    }

    /// What the leader before was publishing, and nobody has told of, may have landed or not. What
    /// the journal did tell of is no longer being published, and is left alone.
    async fn doubt_stranded(&mut self) -> Result<(), String> {
        if self.stranded.is_empty() || !self.term.hears_all() {
            return Ok(());
        }
        let stranded = std::mem::take(&mut self.stranded);
        for group in stranded.chunks(GROUP_MAX.get()) {
            let doubtful = group.iter().map(|name| (*name, Sent::Doubtful));
            let noted = self.term.ledger.sent(doubtful.collect()).await;
            noted.map_err(told(
                "what the leader before was publishing could not be doubted",
            ))?;
        }
        self.shared.herald.notify_one();
        self.shared.news.notify_one();
        Ok(())
    }

    /// What the dead had claimed becomes suspect, and each attempt of theirs that nobody will speak
    /// for gets its report. A burial is over only when the reports are durable.
    async fn bury(&mut self) -> Result<(), String> {
        if self
            .owed
            .rests_until
            .is_some_and(|until| Instant::now() < until)
        {
            return Ok(());
        }
        while let Some(holder) = self.owed.burials.first().cloned() {
            let reports = self.open_grave(&holder).await?;
            let count = reports.len();
            if let Err(error) = self.report(reports).await {
                // Nobody's ticket waits for it.
                self.shared.ears.tell_failed("report", error);
                self.owed.rests_until = Some(Instant::now() + REPORT_REST);
                return Ok(());
            }
            if count > 0 {
                // Now that they are told, the books can close these attempts.
                self.open_grave(&holder).await?;
            }
            tracing::warn!(
                %holder,
                reports = count,
                "worker {holder} is silent and counts as dead; what it had in hand is judged"
            );
            self.owed.burials.remove(&holder);
            self.shared.news.notify_one();
        }
        Ok(())
    }

    async fn open_grave(&self, holder: &Holder) -> Result<Vec<Report>, String> {
        let owed = self.term.ledger.bury(holder, self.now()).await;
        let mut owed = owed.map_err(told("the books could not bury a dead worker"))?;
        let obituary = crate::station::lock(&self.shared.obituaries).of(holder);
        if let Some(obituary) = obituary {
            let reports = owed.into_iter();
            owed = reports.map(|report| obituary.told_in(report)).collect();
        }
        Ok(owed)
    }

    async fn report(&self, reports: Vec<Report>) -> Result<(), OopsError> {
        for report in reports {
            self.shared.parts.reporter.record(report).await?;
        }
        Ok(())
    }

    /// A term may be over without a word: whoever is idle asks.
    async fn probe(&mut self) -> Result<(), String> {
        if self.asked_at.elapsed() < PROBE_EVERY {
            return Ok(());
        }
        let asked = self.term.ledger.due(self.now(), NonZeroUsize::MIN).await;
        let asked = asked.map_err(told("the books do not answer this leader any more"))?;
        if !asked.due.is_empty() {
            // Breakers and plans may have released it just now, for whoever asks.
            self.shared.news.notify_one();
        }
        self.asked_at = Instant::now();
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.shared.parts.clock.now()
    }
}

/// Asks what would answer the open questions.
async fn ask(shared: &Shared, asks: Vec<Ask>) -> Result<(), String> {
    for ask in asks {
        match ask {
            Ask::Marker(number) => {
                let marker = shared.record(Said::Marker(number));
                let written = shared.parts.road.write(vec![marker]).await;
                written.map_err(told("a marker could not be written into the journal"))?;
            }
            Ask::RollCall => {
                let called = shared.parts.desk.change(Change::RollCall).await;
                called.map_err(told("the workers could not be called"))?;
                shared.herald.notify_one();
            }
        }
    }
    Ok(())
}

/// Whether a record can make a ticket due, or a case. Most cannot: on the happy path the controller
/// has nothing to do.
fn may_move(record: &Record, flows: &Flows) -> bool {
    match &record.said {
        Said::Started(_) | Said::Fenced { .. } | Said::Beat(_) => false,
        Said::Marker(_) | Said::Hold(..) => false,
        Said::Arrived(_) | Said::Suspect(_) | Said::Gone { .. } | Said::Unhold(_) => true,
        Said::Ended(parted) => match &parted.to {
            Fate::Forwarded(_) | Fate::Finished => {
                let rules = flows.stage(&parted.stage);
                rules.is_none_or(|rules| rules.unique == Unique::ByKey)
            }
            Fate::Waits(_) | Fate::Doubted(_) => true,
        },
    }
}
