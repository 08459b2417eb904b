//! A few threads that answer questions, so that a long one delays neither writers nor arbiters.

use crate::error::{Fault, closed};
use crate::schema::Schema;
use domain::ports::{Depth, StoreError};
use rusqlite::{Connection, InterruptHandle};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// The most questions that wait for a reader; further callers wait for room.
const QUESTIONS_MAX: usize = 64;
/// After how many steps of SQLite's machine a question is broken off; some seconds of work.
const STEPS_MAX: u32 = 100_000_000;
/// How many steps are made between two looks at the budget.
const STEPS_BETWEEN: u16 = 10_000;

/// How long a question may take whose asker is patient, and waits in line with others like it.
const PATIENCE: Duration = Duration::from_secs(20);

type Question = Box<dyn FnOnce(&mut Connection) + Send>;

/// How much a question may cost.
#[derive(Clone, Copy)]
enum Budget {
    Steps,
    Time,
}

/// The handle of the reader threads of one file.
pub(crate) struct Readers {
    file: &'static str,
    questions: Mutex<Option<mpsc::Sender<Question>>>,
    threads: Mutex<Vec<(InterruptHandle, JoinHandle<()>)>>,
    /// Held by the patient: one at a time, so that the others have a reader.
    patient: tokio::sync::Mutex<()>,
}

impl Readers {
    /// Starts `count` threads.
    pub(crate) fn start(schema: &Schema, folder: &Path, count: usize) -> Result<Self, Fault> {
        let (questions, inbox) = mpsc::channel(QUESTIONS_MAX);
        let inbox = Arc::new(Mutex::new(inbox));
        let mut threads = Vec::new();
        for _ in 0..count.max(1) {
            let db = schema.open_reader(folder)?;
            let interrupt = db.get_interrupt_handle();
            let inbox = Arc::clone(&inbox);
            let thread = std::thread::Builder::new()
                .name(format!("read {}", schema.name))
                .spawn(move || run(db, &inbox))
                .map_err(|error| Fault::row("no thread for a reader", error))?;
            threads.push((interrupt, thread));
        }
        Ok(Self {
            file: schema.name,
            questions: Mutex::new(Some(questions)),
            threads: Mutex::new(threads),
            patient: tokio::sync::Mutex::default(),
        })
    }

    /// Breaks off what is being answered and ends the threads. Whoever writes closes its file
    /// after this, so that the last connection to it leaves it whole and without a log.
    pub(crate) fn close(&self) {
        let questions = &self.questions;
        drop(
            questions
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let threads = &self.threads;
        let mut threads = threads.lock().unwrap_or_else(PoisonError::into_inner);
        for (interrupt, thread) in threads.drain(..) {
            interrupt.interrupt();
            if thread.join().is_err() {
                tracing::error!(
                    "a reader of {} had panicked before it was closed",
                    self.file
                );
            }
        }
    }

    /// Asks a question in one read transaction, so that all of its answer is of one moment.
    ///
    /// # Cancel safety
    /// Safe: nobody hears the answer.
    pub(crate) async fn ask<T, F>(&self, question: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        self.put(question, Budget::Steps).await
    }

    /// The same for a question that takes the longer the more there is.
    ///
    /// # Cancel safety
    /// Safe: nobody hears the answer.
    pub(crate) async fn ask_patiently<T, F>(&self, question: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let _turn = self.patient.lock().await;
        self.put(question, Budget::Time).await
    }

    /// The same for a look of this depth.
    ///
    /// # Cancel safety
    /// Safe: nobody hears the answer.
    pub(crate) async fn look<T, F>(&self, depth: Depth, question: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        match depth {
            Depth::Usual => self.ask(question).await,
            Depth::Deep => self.ask_patiently(question).await,
        }
    }

    async fn put<T, F>(&self, question: F, budget: Budget) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let question: Question = Box::new(move |db| {
            // A caller that is gone no longer wants the answer.
            reply.send(answered(db, question, budget)).ok();
        });
        let questions = {
            let questions = self.questions.lock();
            questions.unwrap_or_else(PoisonError::into_inner).clone()
        };
        let questions = questions.ok_or_else(closed)?;
        questions.send(question).await.map_err(|_| closed())?;
        drop(questions);
        let answer = answer.await.map_err(|_| closed())?;
        answer.map_err(|fault| fault.into_store_error(self.file))
    }
}

fn run(mut db: Connection, inbox: &Mutex<mpsc::Receiver<Question>>) {
    loop {
        let next = inbox
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv();
        match next {
            Some(question) => question(&mut db),
            None => return,
        }
    }
}

fn answered<T>(
    db: &mut Connection,
    question: impl FnOnce(&Connection) -> Result<T, Fault>,
    budget: Budget,
) -> Result<T, Fault> {
    let mut looks_left = STEPS_MAX / u32::from(STEPS_BETWEEN);
    let began = Instant::now();
    let is_spent = move || {
        looks_left = looks_left.saturating_sub(1);
        match budget {
            Budget::Steps => looks_left == 0,
            Budget::Time => began.elapsed() > PATIENCE,
        }
    };
    db.progress_handler(i32::from(STEPS_BETWEEN), Some(is_spent))?;
    let moment = db.transaction()?;
    let answer = question(&moment);
    moment.finish()?;
    answer
}

/// Whether a question was broken off because it cost too much.
pub(crate) fn is_broken_off(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted)
}
