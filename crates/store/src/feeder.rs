//! Reads the stages' queues ahead, on its own thread, so that neither writer nor arbiter does.

use crate::error::Fault;
use crate::lease::Loaded;
use crate::queue::StageQueue;
use crate::rows::{Shared, ticket_columns};
use crate::salvage;
use crate::schema::Schema;
use crate::trials::OnTrial;
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

/// The hot query of every delivery; a test looks at its plan.
pub(crate) const READ_AHEAD: &str = concat!(
    "SELECT ",
    ticket_columns!(),
    ", p.ready_seq FROM places p JOIN tickets t ON t.seq = p.seq JOIN stages s ON s.id = p.stage \
     WHERE p.state = 0 AND p.stage = (SELECT id FROM stages WHERE name = ?1) \
     AND p.ready_seq > ?2 ORDER BY p.ready_seq LIMIT ?3"
);

/// Where `p.ready_seq` is in [`READ_AHEAD`].
const READY_SEQ_AT: usize = 17;

/// The limits of the read-ahead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadAhead {
    pub(crate) tickets: usize,
    pub(crate) bytes_max: usize,
}

enum Wish {
    Read(Arc<StageQueue>),
    Stop,
}

/// Asks for a read. The channel needs no bound: each queue has at most one wish in it, and there
/// are as many queues as stages that somebody consumes.
#[derive(Clone)]
pub(crate) struct Feed(mpsc::Sender<Wish>);

/// The thread that reads.
pub(crate) struct Feeder {
    feed: Feed,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Feeder {
    /// Starts the thread.
    pub(crate) fn start(
        schema: &Schema,
        folder: &Path,
        on_trial: Arc<OnTrial>,
    ) -> Result<Self, Fault> {
        let db = schema.open_reader(folder)?;
        let (wishes, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("read ahead".into())
            .spawn(move || run(&db, &inbox, &on_trial))
            .map_err(|error| Fault::row("no thread to read ahead", error))?;
        Ok(Self {
            feed: Feed(wishes),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// A way to ask it.
    pub(crate) fn feed(&self) -> Feed {
        self.feed.clone()
    }

    /// Ends the thread.
    pub(crate) fn close(&self) {
        // A thread that is gone already needs no word.
        self.feed.0.send(Wish::Stop).ok();
        let mut slot = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = slot.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that reads ahead had panicked before it was closed");
        }
    }
}

impl Feed {
    /// Asks for a read into this queue; false when the store is closed.
    pub(crate) fn ask(&self, queue: &Arc<StageQueue>) -> bool {
        self.0.send(Wish::Read(Arc::clone(queue))).is_ok()
    }
}

fn run(db: &Connection, inbox: &mpsc::Receiver<Wish>, on_trial: &OnTrial) {
    while let Ok(Wish::Read(queue)) = inbox.recv() {
        let (cursor, latest) = queue.bounds();
        match read(db, &queue, cursor, on_trial) {
            Ok((rows, is_all)) => {
                let last = rows.last().map_or(cursor, |loaded| loaded.ready_seq);
                // What was durable before the read began was in it, unless a limit cut it.
                let complete_to = if is_all { last.max(latest) } else { last };
                queue.fill(rows, complete_to);
            }
            Err(fault) => queue.fail(format!("it cannot be read: {fault}")),
        }
    }
}

fn read(
    db: &Connection,
    queue: &StageQueue,
    cursor: i64,
    on_trial: &OnTrial,
) -> Result<(Vec<Loaded>, bool), Fault> {
    let limit = queue.read_ahead.tickets;
    let mut found = db.prepare_cached(READ_AHEAD)?;
    let mut rows = found.query((queue.stage.as_str(), cursor, limit as i64))?;
    let mut shared = Shared::default();
    let mut read = Vec::with_capacity(limit);
    let mut size_bytes = 0;
    while let Some(row) = rows.next()? {
        let (seq, ticket, unreadable) = salvage::ticket_or_rest(row, &queue.stage, &mut shared)?;
        size_bytes += ticket.payload.bytes.len();
        read.push(Loaded {
            seq,
            ready_seq: row.get(READY_SEQ_AT)?,
            ticket: Arc::new(ticket),
            had: None,
            unreadable,
            is_alone: on_trial.has(seq),
        });
        if size_bytes >= queue.read_ahead.bytes_max {
            return Ok((read, false));
        }
    }
    let is_all = read.len() < limit;
    Ok((read, is_all))
}

#[cfg(test)]
impl Feed {
    /// Wishes are taken, and nobody fulfils them.
    pub(crate) fn unheard() -> Self {
        let (wishes, inbox) = mpsc::channel();
        std::mem::forget(inbox);
        Self(wishes)
    }
}
