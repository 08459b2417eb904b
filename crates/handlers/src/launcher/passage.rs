//! The way of a child's standard error to ours, as it was written and at once.
//!
//! One pipe serves all children, one after the other, and we keep its entrance: it never ends, so
//! the last words of one that is dead are read without waiting for whoever has inherited it. What
//! errands say comes by another one, since they are on their way before all of that is heard.

use super::last_words::LastWords;
use super::outlet::{Outlet, Pen};
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::unix::pipe::Receiver;
use tokio::task::JoinSet;

/// What a pipe usually holds.
const CHUNK_BYTES: usize = 64 * 1024;
/// After so many chunks others get their turn. It is as much as the largest pipe holds, so what was
/// written before is carried then.
const CHUNKS_MAX: usize = 16;
/// How long a reader of our standard error may take over the last of it.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// The way out for children, and for errands beside them.
pub(super) struct Passage {
    children: Lane,
    errands: Lane,
    outlet: Arc<Outlet>,
}

/// One pipe, and who carries what comes through it.
struct Lane {
    entrance: PipeWriter,
    way: Arc<Way>,
    _porter: JoinSet<()>,
}

struct Way {
    exit: PipeReader,
    last_words: Mutex<LastWords>,
    outlet: Arc<Outlet>,
}

impl Passage {
    /// The way to our own standard error.
    ///
    /// # Errors
    /// When there is no pipe or no thread.
    pub(super) fn open() -> io::Result<Self> {
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        let outlet = Arc::new(Outlet::to(stderr)?);
        Ok(Self {
            children: Lane::open(Arc::clone(&outlet))?,
            errands: Lane::open(Arc::clone(&outlet))?,
            outlet,
        })
    }

    /// An entrance for a new child, whose words are the first.
    ///
    /// # Errors
    /// When there are no file descriptors.
    pub(super) fn begin(&self) -> io::Result<Stdio> {
        self.children.way.carry_now();
        *self.children.way.heard() = LastWords::default();
        self.children.entrance()
    }

    /// An entrance for an errand.
    ///
    /// # Errors
    /// When there are no file descriptors.
    pub(super) fn of_errand(&self) -> io::Result<Stdio> {
        self.errands.entrance()
    }

    /// What the child wrote last. To be asked when it is dead.
    pub(super) fn last_words(&self) -> String {
        self.children.way.carry_now();
        self.children.way.heard().text()
    }

    /// Writes to our standard error, behind everything that came through before.
    pub(super) fn pen(&self) -> Pen {
        self.outlet.pen()
    }

    /// Carries the rest, and waits until it is read.
    pub(super) async fn close(self) {
        self.children.way.carry_now();
        self.errands.way.carry_now();
        self.outlet.flush(FLUSH_MAX).await;
    }
}

impl Lane {
    fn open(outlet: Arc<Outlet>) -> io::Result<Self> {
        let (exit, entrance) = io::pipe()?;
        let receiver = Receiver::from_owned_fd(exit.try_clone()?.into())?;
        let way = Arc::new(Way {
            exit,
            last_words: Mutex::default(),
            outlet,
        });
        let mut porter = JoinSet::new();
        porter.spawn(carry(Arc::clone(&way), receiver));
        Ok(Self {
            entrance,
            way,
            _porter: porter,
        })
    }

    fn entrance(&self) -> io::Result<Stdio> {
        Ok(self.entrance.try_clone()?.into())
    }
}

async fn carry(way: Arc<Way>, receiver: Receiver) {
    // Both ends are ours, so there is no error to expect; after one the pipe is still emptied
    // whenever somebody asks.
    while receiver.readable().await.is_ok() {
        way.carry(|chunk| receiver.try_read(chunk));
        tokio::task::yield_now().await;
    }
}

impl Way {
    fn heard(&self) -> MutexGuard<'_, LastWords> {
        self.last_words
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries what is in the pipe, or as much as a pipe can hold. It asks the kernel itself: the
    /// runtime may not know yet that there is something.
    fn carry_now(&self) {
        self.carry(|chunk| Ok(rustix::io::read(&self.exit, chunk)?));
    }

    fn carry(&self, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) {
        let mut chunk = vec![0; CHUNK_BYTES];
        for _ in 0..CHUNKS_MAX {
            match read(&mut chunk) {
                Ok(0) => return,
                Ok(length) => {
                    self.heard().hear(&chunk[..length]);
                    self.outlet.put(&chunk[..length]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It is empty.
                Err(_) => return,
            }
        }
    }
}
