//! The spawner as a worker has it: one process, started again when it dies.

mod alone;

pub(crate) use alone::Alone;

use crate::environment;
use crate::link::{self, Attempt, Dead, Death, Farewell, Link, Word};
use crate::places::{Place, Places};
use crate::processes::{self, Mark};
use crate::spawner::{ATTEMPTS_MAX, shim, stand_in, tide};
use domain::outcome::Exit;
use rustix::process::Pid;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use wire::child::Invocation;

/// How long the first restart waits, and how long any waits at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// A spawner that lived this long was fine, and its death is the first of a new row.
const FINE_AFTER: Duration = Duration::from_secs(10);

/// How the spawner is started: a program whose `main` calls [`crate::spawner::main`]; or
/// [`stand_in::main`], when it is called with [`stand_in::VERB`] before these arguments.
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
    /// Of it, and of those that are there for one attempt alone.
    keepers: Arc<Mutex<JoinSet<()>>>,
}

struct Shared {
    command: SpawnerCommand,
    /// Where the keepers live, however long those do who ask for attempts.
    runtime: Handle,
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

/// How long one may take to end that was asked to. It has nothing to wait for but the deaths of
/// what it kills; one that somebody has stopped would take for ever.
const END_MAX: Duration = Duration::from_secs(5);

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
            runtime: Handle::current(),
            line: watch::Sender::new(Line::Up(Arc::clone(&life.link))),
            closing: watch::Sender::new(false),
            places: Places::new(ATTEMPTS_MAX),
            next_id: AtomicU64::new(1),
        });
        let mut keepers = JoinSet::new();
        keepers.spawn(keep(Arc::clone(&shared), life));
        Ok(Self {
            shared,
            keepers: Arc::new(Mutex::new(keepers)),
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
        let mut keepers =
            std::mem::take(&mut *self.keepers.lock().unwrap_or_else(PoisonError::into_inner));
        while keepers.join_next().await.is_some() {}
    }

    /// Waits until it is being closed.
    pub(crate) async fn closing(&self) {
        closed(&mut self.shared.closing.subscribe()).await;
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
                Line::Broken(why) => return Err(Word::NoSpawner(why)),
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
            .env_remove(stand_in::PID)
            // Nor be taken for a command, when we are one.
            .env_remove(environment::RESULT)
            .envs(tide::THRIFT)
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

    /// Talks with it until one of them has enough.
    async fn talk(&mut self, closing: &mut watch::Receiver<bool>) -> Farewell {
        tokio::select! {
            farewell = self.link.listen(&mut self.reader) => return farewell,
            why = self.link.complaint() => return Farewell::Unfit(why),
            () = closed(closing) => self.link.hang_up(),
        }
        // What it said before it stopped to listen still counts.
        let rest = timeout(END_MAX, self.link.listen(&mut self.reader)).await;
        rest.unwrap_or_else(|_| Farewell::Unfit("it did not end when it was to".into()))
    }

    /// Is with it to its end, and tells everyone whose attempt ended with it; `None` when it was
    /// closed.
    async fn spend(
        mut self,
        line: &watch::Sender<Line>,
        closing: &mut watch::Receiver<bool>,
    ) -> Option<Death> {
        let farewell = self.talk(closing).await;
        let is_closing = *closing.borrow();
        line.send_replace(Line::Down);
        let (link, exit) = self.bury().await;
        if is_closing {
            link.conclude(|_| Word::Closed);
            return None;
        }
        let death = Death::of(farewell, exit);
        link.conclude(|beside| Word::SpawnerDied {
            death: death.clone(),
            beside,
        });
        Some(death)
    }

    /// Makes sure that it and everything of its attempts is gone, and learns how it ended.
    async fn bury(self) -> (Arc<Link>, Option<Exit>) {
        let Self {
            mut child, link, ..
        } = self;
        let broods = link.broods();
        let session = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let burial = tokio::task::spawn_blocking(move || {
            // One that talks nonsense may still live. One that hung up is on its way out, and this
            // does not change how it ended. Its orphans come to us when it is reaped.
            child.kill().ok();
            let status = child.wait().ok();
            (processes::bury(session, &broods), status)
        });
        let status = match burial.await {
            Ok((0, status)) => status,
            Ok((buried, status)) => {
                tracing::warn!(buried, "{buried} processes of dead attempts were killed");
                status
            }
            Err(error) => {
                tracing::error!("orphans of the spawner may still run: {error}");
                None
            }
        };
        (link, status.map(exit))
    }
}

fn exit(status: ExitStatus) -> Exit {
    let signal = || Exit::Signal(status.signal().unwrap_or_default());
    status.code().map_or_else(signal, Exit::Status)
}

/// Keeps a spawner alive until it is closed.
async fn keep(shared: Arc<Shared>, first: Life) {
    let mut closing = shared.closing.subscribe();
    let mut life = first;
    let mut backoff = BACKOFF.0;
    loop {
        let since = life.since;
        if let Some(death) = life.spend(&shared.line, &mut closing).await {
            let why = death.why;
            tracing::error!("the spawner died and is started again: {why}");
        }
        if since.elapsed() >= FINE_AFTER {
            backoff = BACKOFF.0;
        }
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
        if timeout(*backoff, closed(closing)).await.is_ok() {
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
