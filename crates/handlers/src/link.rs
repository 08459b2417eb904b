//! The worker's side of its spawner. What is out is known until nothing of it runs any more.
//!
//! Each attempt that is out has a slot, a socket to a thread of the spawner: an invocation goes
//! out, a reply comes in, and whoever waits for the attempt does both itself. Slots are used again.
//! The one socket beside them hands the new ones over, and brings what concerns nobody's slot.

mod death;

pub(crate) use death::{Death, Farewell};
use death::{is_hang_up, nonsense};

use crate::places::Place;
use crate::processes::{Brood, Mark};
use crate::slot::{Slot, fill};
use crate::spawner::{door, files_limit};
use bytes::Bytes;
use rustix::process::Pid;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use wire::child::{
    BadFrame, End, Event, Frames, Invocation, NotStarted, PROTOCOL, Reply, Request, SpawnerEvent,
    SpawnerRequest, Stop,
};

/// The most slots that are kept while nobody uses them; each is a thread of the spawner.
pub(crate) const SLOTS_IDLE_MAX: usize = 128;

/// What became of an attempt.
#[derive(Debug)]
pub(crate) enum Word {
    /// The spawner says how it ended.
    End(End),
    /// The spawner died, and everything of the attempt was killed.
    SpawnerDied {
        /// How.
        death: Death,
        /// How many other attempts it took along.
        beside: u32,
    },
    /// There is no spawner to send it to, and there may be none for a while.
    NoSpawner(Arc<str>),
    /// It was never sent, since it does not fit into a frame.
    Unsendable(BadFrame),
    /// We are going down, and everything of the attempt was killed.
    Closed,
}

/// A connection to one life of the spawner.
pub(crate) struct Link {
    writer: OwnedWriteHalf,
    was_greeted: Notify,
    /// In the order in which they became so.
    idle: Mutex<VecDeque<Slot>>,
    complaint: Mutex<Option<String>>,
    has_complaint: Notify,
    /// The attempts that are out; `None` once the spawner is dead and all of them have their word.
    attempts: Mutex<Option<HashMap<u64, Out>>>,
}

/// An attempt that is out.
struct Out {
    word: oneshot::Sender<Word>,
    brood: Brood,
    place: Place,
}

/// An attempt that somebody waits for. Dropped, everything of it is killed.
#[must_use = "a dropped attempt is killed"]
pub(crate) struct Attempt {
    link: Arc<Link>,
    id: u64,
    slot: Option<Slot>,
    word: oneshot::Receiver<Word>,
    state: State,
}

/// How far an attempt has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The spawner has not seen all of it, and so will not begin it.
    Unsent,
    Sent,
    Ended,
}

/// Nobody is at the other end any more.
#[derive(Debug)]
pub(crate) struct Dead;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can be left half done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// A link, and the half of the socket that [`Link::listen`] reads.
    pub(crate) fn new(socket: UnixStream) -> (Self, OwnedReadHalf) {
        let (reader, writer) = socket.into_split();
        let link = Self {
            writer,
            was_greeted: Notify::new(),
            idle: Mutex::default(),
            complaint: Mutex::default(),
            has_complaint: Notify::new(),
            attempts: Mutex::new(Some(HashMap::new())),
        };
        (link, reader)
    }

    /// Makes an attempt known, which is then to be sent.
    ///
    /// # Errors
    /// [`Dead`] when the spawner is.
    pub(crate) fn begin(
        self: &Arc<Self>,
        id: u64,
        mark: Mark,
        place: Place,
    ) -> Result<Attempt, (Dead, Place)> {
        let (sender, word) = oneshot::channel();
        let out = Out {
            word: sender,
            brood: Brood { group: None, mark },
            place,
        };
        match lock(&self.attempts).as_mut() {
            Some(attempts) => attempts.insert(id, out),
            None => return Err((Dead, out.place)),
        };
        Ok(Attempt {
            link: Arc::clone(self),
            id,
            slot: None,
            word,
            state: State::Unsent,
        })
    }

    /// An idle slot of this runtime, or a new one that is handed to the spawner.
    async fn slot(&self, id: u64) -> io::Result<Slot> {
        if let Some(slot) = self.idle_slot() {
            return Ok(slot);
        }
        let (ours, theirs) = files_limit::raised_for(StdStream::pair)?;
        ours.set_nonblocking(true)?;
        let door: &UnixStream = self.writer.as_ref();
        let hand_in = || door::hand_in(door, id, &theirs);
        match door.async_io(Interest::WRITABLE, hand_in).await {
            Ok(()) => {}
            // Its end is noticed by whoever listens; until then the other end of this is closed.
            Err(error) if is_hang_up(&error) => {}
            Err(error) => return Err(error),
        }
        Slot::new(ours)
    }

    fn idle_slot(&self) -> Option<Slot> {
        let runtime = Handle::current().id();
        let mut idle = lock(&self.idle);
        let last = idle.iter().rposition(|slot| slot.is_of(runtime))?;
        idle.remove(last)
    }

    /// Keeps a slot for the next attempt. Of too many the oldest goes: its runtime may be gone.
    fn keep(&self, slot: Slot) {
        if !slot.is_idle() {
            return;
        }
        let mut idle = lock(&self.idle);
        idle.push_back(slot);
        let oldest = (idle.len() > SLOTS_IDLE_MAX).then(|| idle.pop_front());
        drop(idle);
        drop(oldest);
    }

    fn forget(&self, id: u64) -> Option<Out> {
        lock(&self.attempts).as_mut()?.remove(&id)
    }

    /// Nothing that the spawner says can be believed any more.
    fn complain(&self, why: String) {
        *lock(&self.complaint) = Some(why);
        self.has_complaint.notify_one();
    }

    /// Waits until the spawner has said nonsense to somebody; says which.
    pub(crate) async fn complaint(&self) -> String {
        self.has_complaint.notified().await;
        lock(&self.complaint).take().unwrap_or_default()
    }

    /// Waits until the spawner has said hello; for one only who waits.
    pub(crate) async fn greeted(&self) {
        self.was_greeted.notified().await;
    }

    /// Hears what concerns nobody's slot until the spawner is dead, or as good as that.
    pub(crate) async fn listen(&self, reader: &mut OwnedReadHalf) -> Farewell {
        let mut frames = Frames::default();
        let mut was_greeted = false;
        loop {
            loop {
                match frames.take::<SpawnerEvent>() {
                    Ok(Some(event)) => match self.hear(event) {
                        Ok(()) => was_greeted = true,
                        Err(why) => return Farewell::Unfit(why),
                    },
                    Ok(None) => break,
                    Err(error) => return Farewell::Unfit(nonsense(&error)),
                }
            }
            match fill(reader, frames.buffer()).await {
                Ok(0) => return Farewell::ended(was_greeted, &frames),
                Ok(_) => {}
                Err(error) => return Farewell::Unfit(format!("its socket broke: {error}")),
            }
        }
    }

    fn hear(&self, event: SpawnerEvent) -> Result<(), String> {
        match event.event {
            Some(Event::Hello(hello)) if hello.protocol == PROTOCOL => {
                self.was_greeted.notify_one();
            }
            Some(Event::Hello(hello)) => {
                return Err(format!(
                    "it speaks protocol {}, expected {PROTOCOL}: the program was replaced while \
                     it ran, restart it",
                    hello.protocol
                ));
            }
            Some(Event::Spawned(spawned)) => {
                let mut attempts = lock(&self.attempts);
                if let Some(out) = attempts.as_mut().and_then(|all| all.get_mut(&spawned.id)) {
                    out.brood.group = i32::try_from(spawned.pid).ok().and_then(Pid::from_raw);
                }
            }
            Some(Event::Reply(reply)) => {
                let out = self.forget(reply.id);
                if let Some(out) = out {
                    out.place.give_back();
                    if let Some(end) = reply.end {
                        // Nobody waits any more for an attempt whose future was dropped.
                        out.word.send(Word::End(end)).ok();
                    }
                }
            }
            None => {}
        }
        Ok(())
    }

    /// What is still known of the attempts that are out.
    pub(crate) fn broods(&self) -> Vec<Brood> {
        let attempts = lock(&self.attempts);
        let out = attempts.iter().flat_map(HashMap::values);
        out.map(|out| out.brood.clone()).collect()
    }

    /// Nothing of the attempts runs any more: tells everyone who waits for one. The word is made
    /// of how many others each of them was out with.
    pub(crate) fn conclude(&self, word: impl Fn(u32) -> Word) {
        let attempts = lock(&self.attempts).take().unwrap_or_default();
        lock(&self.idle).clear();
        let beside = u32::try_from(attempts.len().saturating_sub(1)).unwrap_or(u32::MAX);
        for out in attempts.into_values() {
            out.word.send(word(beside)).ok();
        }
    }

    /// Ends the conversation, whereupon the spawner kills everything and exits.
    pub(crate) fn hang_up(&self) {
        // One that is dead already has hung up itself.
        rustix::net::shutdown(self.writer.as_ref(), rustix::net::Shutdown::Write).ok();
    }
}

/// The frame of an invocation.
///
/// # Errors
/// [`BadFrame::TooLarge`] when the payload does not fit into a frame.
pub(crate) fn frame(invocation: Invocation) -> Result<Bytes, BadFrame> {
    wire::child::encode(&SpawnerRequest {
        request: Some(Request::Invocation(invocation)),
    })
}

impl Attempt {
    /// Sends it out.
    ///
    /// # Cancel safety
    /// Dropped before it returned, it has never begun.
    pub(crate) async fn send(&mut self, frame: Bytes) {
        let slot = match self.link.slot(self.id).await {
            Ok(slot) => self.slot.insert(slot),
            Err(error) => return self.never_began(&error),
        };
        slot.send(frame);
        slot.flush().await;
        self.state = State::Sent;
    }

    fn never_began(&mut self, error: &io::Error) {
        let Some(out) = self.link.forget(self.id) else {
            return;
        };
        out.place.give_back();
        let end = End::NotStarted(NotStarted {
            errno: error.raw_os_error().unwrap_or(0),
            message: format!("no socket to the spawner: {error}"),
        });
        // The other end of the channel is ours.
        out.word.send(Word::End(end)).ok();
        self.state = State::Sent;
    }

    /// Waits for how it ended.
    ///
    /// # Cancel safety
    /// Safe: the word is kept until it was returned.
    pub(crate) async fn ended(&mut self) -> Word {
        let reply = match self.slot.as_mut() {
            Some(slot) => slot.reply().await,
            None => Ok(None),
        };
        match reply {
            Ok(Some(reply)) => match self.take(reply) {
                Ok(end) => return Word::End(end),
                Err(why) => self.link.complain(why),
            },
            Ok(None) => {}
            Err(error) => self.link.complain(nonsense(&error)),
        }
        // What became of it is told when nothing of it runs any more.
        self.slot = None;
        let word = (&mut self.word).await;
        self.state = State::Ended;
        // The link lets go of a sender only after a word, or when the whole runtime goes down.
        word.unwrap_or(Word::Closed)
    }

    /// Whoever runs it does not answer any more: kills that, and everything that it runs.
    pub(crate) fn give_up(&self, why: &str) {
        self.link.complain(why.to_owned());
    }

    fn take(&mut self, reply: Reply) -> Result<End, String> {
        let (id, own) = (reply.id, self.id);
        let Some(end) = reply.end.filter(|_| id == own) else {
            return Err(format!(
                "expected the end of attempt {own}, got one of {id}"
            ));
        };
        self.state = State::Ended;
        if let Some(out) = self.link.forget(own) {
            out.place.give_back();
        }
        if let Some(slot) = self.slot.take() {
            self.link.keep(slot);
        }
        Ok(end)
    }

    /// Asks it to end, and makes it after `grace_ms`.
    pub(crate) fn stop(&mut self, grace_ms: u64) {
        let stop = Stop {
            id: self.id,
            grace_ms,
        };
        let request = SpawnerRequest {
            request: Some(Request::Stop(stop)),
        };
        if let (Some(slot), Ok(frame)) = (&mut self.slot, wire::child::encode(&request)) {
            slot.send(frame);
        }
    }
}

impl Drop for Attempt {
    /// The end of its slot is the order to kill it; whoever listens is told when that was done.
    fn drop(&mut self) {
        if self.state == State::Unsent
            && let Some(out) = self.link.forget(self.id)
        {
            out.place.give_back();
        }
    }
}
