//! Broker, desk, waits and catalog in one: the data folder, open.

use crate::books::{Books, Parts};
use crate::config::Config;
use crate::control::Control;
use crate::effects::Commits;
use crate::error::{Fault, OpenError, closed};
use crate::feeder::{Feeder, ReadAhead};
use crate::folder::Ownership;
use crate::intents::{self, IntentFile};
use crate::oopses::OopsFile;
use crate::opening;
use crate::queues::Queues;
use crate::readers::Readers;
use crate::requests::Request;
use crate::schema::{BOOKS, OOPSES};
use crate::trials::OnTrial;
use crate::writer::{Ask, Limits, Reply, Work, Writer};
use domain::control::Snapshot;
use domain::flow::Flows;
use domain::names::Holder;
use domain::ports::{Clock, StoreError};
use rusqlite::Connection;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};

/// The open data folder. Clones share it; the last one that goes closes it.
///
/// The four ports that it implements are `Broker`, `Desk`, `Waits` and `Catalog`; the fifth,
/// `Oopses`, is [`Embedded::oopses`].
#[derive(Clone)]
pub struct Embedded {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) holder: Holder,
    pub(crate) queues: Arc<Queues>,
    pub(crate) writer: Writer<Books>,
    pub(crate) readers: Readers,
    feeder: Feeder,
    pub(crate) intents: Mutex<IntentFile>,
    pub(crate) control: watch::Receiver<Snapshot>,
    pub(crate) attention: Arc<Notify>,
    pub(crate) commits: Arc<Commits>,
    pub(crate) counted: tokio::sync::Mutex<Option<crate::counts::Counted>>,
    pub(crate) oopses: Arc<OopsFile>,
    ownership: Mutex<Option<Ownership>>,
}

impl Embedded {
    /// Opens the folder, makes what is missing, and puts right what the last process left behind.
    ///
    /// Blocks for as long as that takes: milliseconds, unless many tickets have to be moved.
    ///
    /// # Errors
    /// [`OpenError`] when the folder cannot be used; nothing in it was changed then.
    pub fn open(
        config: Config,
        flows: Arc<Flows>,
        clock: Arc<dyn Clock>,
        holder: Holder,
    ) -> Result<Self, OpenError> {
        let ownership = Ownership::take(&config.folder)?;
        // Both are looked at before one is changed: a refusal leaves the folder as it was.
        let (books, reports) = (BOOKS.look(&config.folder)?, OOPSES.look(&config.folder)?);
        let oopses = Arc::new(OopsFile::open(&config, reports)?);
        let file = BOOKS.file(&config.folder);
        let db = books.open()?;
        let bad = |fault: Fault| fault.into_open_error(&file);
        let left_behind = intents::left_behind(&config.folder)?;
        let numbers = opening::numbers(&db).map_err(bad)?;
        let read_ahead = ReadAhead {
            tickets: config.read_ahead_tickets.max(1),
            bytes_max: config.read_ahead_bytes_max,
        };
        let on_trial = Arc::new(OnTrial::default());
        let feeder = Feeder::start(&BOOKS, &config.folder, Arc::clone(&on_trial)).map_err(bad)?;
        let queues = Arc::new(Queues::new(feeder.feed(), read_ahead, numbers.1 - 1));
        let parts = Parts {
            flows,
            clock,
            holder: holder.clone(),
            queues: Arc::clone(&queues),
            control: Control::open(&db).map_err(bad)?,
            attention: Arc::new(Notify::new()),
            commits: Arc::new(Commits::default()),
            on_trial,
            retention_slice: config.retention_slice,
        };
        let control = parts.control.follow();
        let attention = Arc::clone(&parts.attention);
        let commits = Arc::clone(&parts.commits);
        let mut books = Books::new(parts, numbers);
        put_right(&mut books, &db, left_behind.as_ref()).map_err(bad)?;
        let intents = begin_intents(&config, &holder)?;
        let readers = Readers::start(&BOOKS, &config.folder, config.readers).map_err(bad)?;
        let writer = start_writer(&config, books, db).map_err(bad)?;
        queues.freed.hang(writer.bell());
        // Whatever waits since before is new to the controller of this process.
        attention.notify_one();
        let shared = Shared {
            config,
            holder,
            queues,
            writer,
            readers,
            feeder,
            intents: Mutex::new(intents),
            control,
            attention,
            commits,
            counted: tokio::sync::Mutex::new(None),
            oopses,
            ownership: Mutex::new(Some(ownership)),
        };
        let shared = Arc::new(shared);
        Ok(Self { shared })
    }

    /// The reports, in their own file.
    pub fn oopses(&self) -> Arc<OopsFile> {
        Arc::clone(&self.shared.oopses)
    }

    /// Whether both files can still be written, as far as their threads are concerned.
    ///
    /// # Errors
    /// Which writer has ended by a panic, and what to do.
    pub fn alive(&self) -> Result<(), String> {
        self.shared.writer.alive(BOOKS.name)?;
        self.shared.oopses.alive()
    }

    /// Makes everything durable that was asked so far, ends the writers and gives the folder up.
    /// Whatever is asked later is refused, and every subscription ends. Deliveries that are still
    /// out are found as suspects, or as fresh, by the next process.
    ///
    /// Blocks until the writers have ended: for one transaction each.
    pub fn close(&self) {
        self.shared.close();
    }
}

impl Shared {
    fn close(&self) {
        self.queues.close();
        self.feeder.close();
        self.readers.close();
        self.writer.close();
        self.oopses.close();
        let mut ownership = self
            .ownership
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *ownership = None;
    }

    /// Asks the writer, and waits for the answer.
    pub(crate) async fn ask<I, A>(
        &self,
        wrap: impl FnOnce(Ask<I, A>) -> Request,
        input: I,
    ) -> Result<A, StoreError> {
        let (ask, reply): (_, Reply<A>) = Ask::new(input);
        self.writer.ask(wrap(ask)).await.map_err(|_| closed())?;
        reply.await.map_err(|_| closed())?
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

fn put_right(
    books: &mut Books,
    db: &Connection,
    left_behind: Option<&wire::intent::Intents>,
) -> Result<(), Fault> {
    db.execute_batch("BEGIN IMMEDIATE")?;
    opening::put_right(books, db, left_behind)?;
    books.finish(db)?;
    db.execute_batch("COMMIT")?;
    books.committed(Vec::new());
    Ok(())
}

/// Only now, since what the old file told is in the books.
fn begin_intents(config: &Config, holder: &Holder) -> Result<IntentFile, OpenError> {
    let begun = IntentFile::begin(&config.folder, holder.clone(), config.intents_bytes_max);
    begun.map_err(|error| OpenError::Folder {
        folder: config.folder.clone(),
        error,
    })
}

fn start_writer(config: &Config, books: Books, db: Connection) -> Result<Writer<Books>, Fault> {
    let limits = Limits {
        requests_max: config.requests_max.max(1),
        weight_max: config.group_tickets_max.max(1),
    };
    Writer::start(BOOKS.name, books, db, limits)
        .map_err(|error| Fault::row("no thread for the writer", error))
}
