//! One thread a file that writes. It takes whatever is asked of it meanwhile into one
//! transaction, so that many callers share one fsync; each is answered only after it.

use crate::error::{Fault, closed};
use domain::ports::StoreError;
use rusqlite::Connection;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a writer waits at a time for those whom it has just answered to ask again. A commit
/// costs several times as much, and they would all wait for the next one.
const LINGER: Duration = Duration::from_micros(50);
/// How often it waits so.
const LINGERS_MAX: u32 = 4;
/// A group of this weight is worth a commit of its own.
const WEIGHT_WORTH: usize = 64;

/// What a writer thread does. One transaction is `apply` for each request, then `finish`, then
/// either `committed` or `undone` and `refuse`.
pub(crate) trait Work: Send + 'static {
    /// What it is asked; carries its own way to answer.
    type Request: Send + 'static;

    /// How much of a transaction the request fills.
    fn weight(request: &Self::Request) -> usize;
    /// Whether there is something to write that nobody asks for; `finish` writes it.
    fn has_more(&self) -> bool {
        false
    }
    /// Does what is asked and keeps the answer in the request. May be called again after `undone`.
    fn apply(&mut self, db: &Connection, request: &mut Self::Request) -> Result<(), Fault>;
    /// Writes what is written once a transaction.
    fn finish(&mut self, db: &Connection) -> Result<(), Fault>;
    /// The transaction is durable: tells everybody.
    fn committed(&mut self, group: Vec<Self::Request>);
    /// The transaction was rolled back: forgets what it had in mind.
    fn undone(&mut self);
    /// Tells the one who asked that nothing was changed.
    fn refuse(request: Self::Request, error: StoreError);
}

enum Message<R> {
    Request(R),
    /// There is something to do that nobody asks for: the end, or more work.
    Wake,
}

/// The handle of a writer thread.
pub(crate) struct Writer<W: Work> {
    inbox: mpsc::Sender<Message<W::Request>>,
    stopping: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The limits of a writer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Requests that wait.
    pub(crate) requests_max: usize,
    /// Weight of a transaction.
    pub(crate) weight_max: usize,
}

impl<W: Work> Writer<W> {
    /// Starts the thread `name` over the connection to `file`.
    pub(crate) fn start(
        file: &'static str,
        work: W,
        db: Connection,
        limits: Limits,
    ) -> std::io::Result<Self> {
        let (inbox, requests) = mpsc::channel(limits.requests_max);
        let stopping = Arc::new(AtomicBool::new(false));
        let desk = Desk {
            file,
            work,
            db,
            requests,
            stopping: Arc::clone(&stopping),
            weight_max: limits.weight_max,
            last_requests: 0,
        };
        let thread = std::thread::Builder::new()
            .name(format!("write {file}"))
            .spawn(move || desk.run())?;
        Ok(Self {
            inbox,
            stopping,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Hands a request in; waits for room. Gives it back when the writer is gone.
    pub(crate) async fn ask(&self, request: W::Request) -> Result<(), W::Request> {
        let sent = self.inbox.send(Message::Request(request)).await;
        sent.map_err(|unsent| match unsent.0 {
            Message::Request(request) => request,
            Message::Wake => unreachable!("a request was sent"),
        })
    }

    /// Wakes the thread, so that it sees that there is more to do.
    pub(crate) fn bell(&self) -> impl Fn() + Send + Sync + 'static {
        let inbox = self.inbox.downgrade();
        move || {
            if let Some(inbox) = inbox.upgrade() {
                // A full inbox wakes it by itself, and one that is closed has nobody to wake.
                inbox.try_send(Message::Wake).ok();
            }
        }
    }

    /// Whether the thread still writes, or was closed.
    ///
    /// # Errors
    /// Why nothing can be written any more.
    pub(crate) fn alive(&self, file: &str) -> Result<(), String> {
        let slot = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.as_ref() {
            Some(thread) if thread.is_finished() => Err(format!(
                "the writer of {file} has ended by a panic: nothing is accepted or settled any \
                 more; restart goaround, and report what it logged"
            )),
            _ => Ok(()),
        }
    }

    /// Does what was asked so far, then ends the thread. Everything later is refused.
    pub(crate) fn close(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        // A full inbox wakes the thread by itself, so a message that finds no room is not needed.
        self.inbox.try_send(Message::Wake).ok();
        let mut slot = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = slot.take()
            && thread.join().is_err()
        {
            tracing::error!("a writer of the store had panicked before it was closed");
        }
    }
}

impl<W: Work> Drop for Writer<W> {
    fn drop(&mut self) {
        self.close();
    }
}

struct Desk<W: Work> {
    file: &'static str,
    work: W,
    db: Connection,
    requests: mpsc::Receiver<Message<W::Request>>,
    stopping: Arc<AtomicBool>,
    weight_max: usize,
    last_requests: usize,
}

impl<W: Work> Desk<W> {
    fn run(mut self) {
        while let Some(first) = self.requests.blocking_recv() {
            let group = self.gather(first);
            // Only now: the word that it is to stop may have been gathered with the others.
            if self.stopping.load(Ordering::SeqCst) {
                self.requests.close();
            }
            if !group.is_empty() || self.work.has_more() {
                self.carry_out(group);
            }
        }
    }

    fn gather(&mut self, first: Message<W::Request>) -> Vec<W::Request> {
        let mut group = Vec::with_capacity(self.last_requests);
        let mut weight = 0;
        let mut next = Some(first);
        let mut lingers = 0;
        let mut seen = 0;
        loop {
            match next.take() {
                Some(Message::Request(request)) => {
                    weight += W::weight(&request).max(1);
                    group.push(request);
                }
                Some(Message::Wake) => {}
                // As many as last time are likely on their way; alone, nobody is waited for.
                None if weight >= WEIGHT_WORTH || group.len() * 4 >= self.last_requests * 3 => {
                    break;
                }
                None if lingers == LINGERS_MAX || (lingers > 0 && seen == group.len()) => break,
                None => {
                    lingers += 1;
                    seen = group.len();
                    std::thread::sleep(LINGER);
                }
            }
            // Before the next is taken: what is taken must be carried out.
            if weight >= self.weight_max {
                break;
            }
            next = self.requests.try_recv().ok();
        }
        self.last_requests = group.len();
        group
    }

    fn carry_out(&mut self, mut group: Vec<W::Request>) {
        match self.transact(&mut group) {
            Ok(()) => self.work.committed(group),
            // One request that cannot be carried out must not stop its neighbours.
            Err(fault) if group.len() > 1 && fault.is_of_request() => {
                for request in group {
                    self.carry_out(vec![request]);
                }
            }
            Err(fault) => {
                let error = fault.into_store_error(self.file);
                if group.is_empty() {
                    tracing::warn!(
                        file = self.file,
                        "{error}; tried again with the next request"
                    );
                }
                for request in group {
                    W::refuse(request, error.clone());
                }
            }
        }
    }

    fn transact(&mut self, group: &mut [W::Request]) -> Result<(), Fault> {
        let done = self.attempt(group);
        if done.is_err() {
            if !self.db.is_autocommit()
                && let Err(error) = self.db.execute_batch("ROLLBACK")
            {
                tracing::error!(file = self.file, "a transaction cannot be undone: {error}");
            }
            self.work.undone();
        }
        done
    }

    fn attempt(&mut self, group: &mut [W::Request]) -> Result<(), Fault> {
        self.db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for request in group {
            self.work.apply(&self.db, request)?;
        }
        self.work.finish(&self.db)?;
        self.db.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}

/// A question to a writer, with room for the answer and the way to send it.
pub(crate) struct Ask<I, A> {
    /// What is asked.
    pub(crate) input: I,
    /// What will be answered once it is durable.
    pub(crate) answer: Option<A>,
    reply: tokio::sync::oneshot::Sender<Result<A, StoreError>>,
}

/// Where the answer will come.
pub(crate) type Reply<A> = tokio::sync::oneshot::Receiver<Result<A, StoreError>>;

impl<I, A> Ask<I, A> {
    pub(crate) fn new(input: I) -> (Self, Reply<A>) {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let ask = Self {
            input,
            answer: None,
            reply,
        };
        (ask, answer)
    }

    /// Sends the answer. A caller that is gone no longer wants it.
    pub(crate) fn answer(self) {
        let answer = self.answer.ok_or_else(closed);
        self.reply.send(answer).ok();
    }

    /// Says that nothing was changed.
    pub(crate) fn refuse(self, error: StoreError) {
        self.reply.send(Err(error)).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Clumsy;

    impl Work for Clumsy {
        type Request = ();

        fn weight((): &()) -> usize {
            1
        }

        fn apply(&mut self, _: &Connection, (): &mut ()) -> Result<(), Fault> {
            panic!("a bug");
        }

        fn finish(&mut self, _: &Connection) -> Result<(), Fault> {
            Ok(())
        }

        fn committed(&mut self, _: Vec<()>) {}

        fn undone(&mut self) {}

        fn refuse((): (), _: StoreError) {}
    }

    #[test]
    fn a_writer_that_is_woken_just_before_it_is_closed_ends_all_the_same() {
        for _ in 0..300 {
            let db = Connection::open_in_memory().unwrap();
            let limits = Limits {
                requests_max: 8,
                weight_max: 8,
            };
            let writer = Writer::start("books.db", Clumsy, db, limits).unwrap();
            writer.bell()();
            writer.close();
        }
    }

    #[tokio::test]
    async fn a_writer_that_has_ended_by_a_panic_says_so() {
        let db = Connection::open_in_memory().unwrap();
        let limits = Limits {
            requests_max: 1,
            weight_max: 1,
        };
        let writer = Writer::start("books.db", Clumsy, db, limits).unwrap();
        assert_eq!(writer.alive("books.db"), Ok(()));
        writer.ask(()).await.unwrap();
        // It drops its inbox when it ends, and only then.
        writer.inbox.closed().await;
        let said = loop {
            match writer.alive("books.db") {
                Ok(()) => std::thread::yield_now(),
                Err(said) => break said,
            }
        };
        assert!(
            said.contains("the writer of books.db has ended by a panic"),
            "{said}"
        );
    }
}
