//! The spawner as a worker has it: one process, started again when it dies.

use crate::link::{self, Attempt, Dead, Link, Word};
use crate::places::{Place, Places};
use crate::processes::{self, Mark};
use crate::spawner::{ATTEMPTS_MAX, shim};
use rustix::process::Pid;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wire::child::Invocation;

/// How long the first restart waits, and how long any waits at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// A spawner that lived this long was fine, and its death is the first of a new row.
const FINE_AFTER: Duration = Duration::from_secs(10);

/// How the spawner is started: a program whose `main` calls [`crate::spawner::main`].
#[derive(Clone, Debug)]
pub struct SpawnerCommand {
    /// Its path; looked up nowhere.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// The small process that starts the commands of this one. Clones are the same spawner; when the
/// last one is dropped, it kills what runs and ends.
#[derive(Clone)]
pub struct Spawner {
    shared: Arc<Shared>,
    keeper: Arc<Mutex<JoinSet<()>>>,
}

struct Shared {
    command: SpawnerCommand,
    line: watch::Sender<Line>,
    closing: watch::Sender<bool>,
    places: Places,
    next_id: AtomicU64,
}

/// How the spawner is at the moment.
#[derive(Clone)]
enum Line {
    Up(Arc<Link>),
    /// It died, and is about to be started again.
    Down,
    /// It died, and could not be started again; that will be tried again.
    Broken(Arc<str>),
    Closed,
}

/// One life of the spawner's process.
struct Life {
    child: Child,
    link: Arc<Link>,
    reader: OwnedReadHalf,
    since: Instant,
}

impl Spawner {
    /// Starts the process, and watches over it on the current runtime, which has to live as long.
    /// Makes this process the one that adopts orphans, should the spawner die.
    ///
    /// # Errors
    /// When the program cannot be started.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn start(command: SpawnerCommand) -> io::Result<Self> {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let life = Life::begin(&command)?;
        let shared = Arc::new(Shared {
            command,
            line: watch::Sender::new(Line::Up(Arc::clone(&life.link))),
            closing: watch::Sender::new(false),
            places: Places::new(ATTEMPTS_MAX),
            next_id: AtomicU64::new(1),
        });
        let mut keeper = JoinSet::new();
        keeper.spawn(keep(Arc::clone(&shared), life));
        Ok(Self {
            shared,
            keeper: Arc::new(Mutex::new(keeper)),
        })
    }

    /// Kills what still runs and ends the process. What runs is told that it was abandoned.
    pub async fn close(&self) {
        self.shared.closing.send_replace(true);
        let mut line = self.shared.line.subscribe();
        // The keeper says so last; when it is gone without, there is nothing to wait for.
        line.wait_for(|line| matches!(line, Line::Closed))
            .await
            .ok();
        let mut keeper =
            std::mem::take(&mut *self.keeper.lock().unwrap_or_else(PoisonError::into_inner));
        while keeper.join_next().await.is_some() {}
    }

    /// A place for an attempt, once there is one.
    ///
    /// # Cancel safety
    /// Safe: a place that was not returned was not taken.
    pub(crate) async fn place(&self) -> Result<Place, Word> {
        let place = self.shared.places.take();
        place.await.map_err(|_| Word::Closed)
    }

    /// Sends an attempt out, once there is a spawner.
    ///
    /// # Errors
    /// The attempt's last word, when it never began.
    ///
    /// # Cancel safety
    /// Safe: what was not returned was not sent.
    pub(crate) async fn begin(
        &self,
        mut invocation: Invocation,
        mark: Mark,
        mut place: Place,
    ) -> Result<Attempt, Word> {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        invocation.id = id;
        let frame = link::frame(invocation).map_err(Word::Unsendable)?;
        let mut line = self.shared.line.subscribe();
        loop {
            let now = line.borrow_and_update().clone();
            match now {
                Line::Up(link) => match link.begin(id, mark.clone(), place) {
                    Ok(mut attempt) => {
                        attempt.send(frame).await;
                        return Ok(attempt);
                    }
                    Err((Dead, unused)) => place = unused,
                },
                Line::Down => {}
                Line::Broken(why) => return Err(Word::SpawnerDied(why)),
                Line::Closed => return Err(Word::Closed),
            }
            line.changed().await.map_err(|_| Word::Closed)?;
        }
    }
}

impl Life {
    fn begin(command: &SpawnerCommand) -> io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let child = Command::new(&command.program)
            .args(&command.args)
            // A spawner must not take itself for a shim of some other one, whose command we are.
            .env_remove(shim::MEMORY)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()?;
        let (link, reader) = Link::new(UnixStream::from_std(ours)?);
        Ok(Self {
            child,
            link: Arc::new(link),
            reader,
            since: Instant::now(),
        })
    }

    /// Talks with it until one of them has enough; says why.
    async fn talk(&mut self, closing: &mut watch::Receiver<bool>) -> String {
        let why = tokio::select! {
            why = self.link.listen(&mut self.reader) => Some(why),
            why = self.link.complaint() => return why,
            () = closed(closing) => {
                self.link.hang_up();
                None
            }
        };
        match why {
            Some(why) => why,
            // What it said before it stopped to listen still counts.
            None => self.link.listen(&mut self.reader).await,
        }
    }

    /// Makes sure that it and everything of its attempts is gone.
    async fn bury(self) -> Arc<Link> {
        let Self {
            mut child, link, ..
        } = self;
        let broods = link.broods();
        let session = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let burial = tokio::task::spawn_blocking(move || {
            // One that talks nonsense may still live. Its orphans come to us when it is reaped.
            child.kill().ok();
            child.wait().ok();
            processes::bury(session, &broods)
        });
        match burial.await {
            Ok(0) => {}
            Ok(buried) => tracing::warn!(buried, "{buried} processes of dead attempts were killed"),
            Err(error) => tracing::error!("orphans of the spawner may still run: {error}"),
        }
        link
    }
}

/// Keeps a spawner alive until it is closed.
async fn keep(shared: Arc<Shared>, first: Life) {
    let mut closing = shared.closing.subscribe();
    let mut life = first;
    let mut backoff = BACKOFF.0;
    loop {
        let why: Arc<str> = life.talk(&mut closing).await.into();
        let is_closing = *closing.borrow();
        if !is_closing {
            tracing::error!("the spawner died and is started again: {why}");
            shared.line.send_replace(Line::Down);
        }
        if life.since.elapsed() >= FINE_AFTER {
            backoff = BACKOFF.0;
        }
        let link = life.bury().await;
        link.conclude(|| match is_closing {
            true => Word::Closed,
            false => Word::SpawnerDied(Arc::clone(&why)),
        });
        match revive(&shared, &mut closing, &mut backoff).await {
            Some(next) => life = next,
            None => break,
        }
    }
    shared.line.send_replace(Line::Closed);
}

/// Starts it again, however often that takes; `None` when it is not wanted any more.
async fn revive(
    shared: &Shared,
    closing: &mut watch::Receiver<bool>,
    backoff: &mut Duration,
) -> Option<Life> {
    loop {
        if tokio::time::timeout(*backoff, closed(closing))
            .await
            .is_ok()
        {
            return None;
        }
        *backoff = (*backoff * 2).min(BACKOFF.1);
        match Life::begin(&shared.command) {
            Ok(life) => {
                shared.line.send_replace(Line::Up(Arc::clone(&life.link)));
                return Some(life);
            }
            Err(error) => {
                let program = shared.command.program.display();
                let why = format!("the spawner {program} cannot be started: {error}");
                tracing::error!("{why}; it is tried again in {backoff:?}");
                shared.line.send_replace(Line::Broken(why.into()));
            }
        }
    }
}

async fn closed(closing: &mut watch::Receiver<bool>) {
    // The sender lives in what the keeper itself holds, so this cannot fail.
    closing.wait_for(|closing| *closing).await.ok();
}
