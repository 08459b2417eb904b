//! The worker's end of the socket to its spawner: requests go out, replies come in, and what is out
//! is known until nothing of it runs any more.

use crate::places::Place;
use crate::processes::{Brood, Mark};
use bytes::{Bytes, BytesMut};
use rustix::process::Pid;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, oneshot};
use wire::child::{
    BadFrame, End, Event, Frames, Invocation, PROTOCOL, Request, SpawnerEvent, SpawnerRequest, Stop,
};

/// How much room is made for reads at once; enough for many usual replies.
const READ_BYTES: usize = 64 * 1024;

/// Below this, the room is too little to read into.
const ROOM_BYTES_MIN: usize = 4 * 1024;

/// What became of an attempt.
#[derive(Debug)]
pub(crate) enum Word {
    /// The spawner says how it ended.
    End(End),
    /// The spawner died, and everything of the attempt was killed.
    SpawnerDied(Arc<str>),
    /// It was never sent, since it does not fit into a frame.
    Unsendable(BadFrame),
    /// We are going down, and everything of the attempt was killed.
    Closed,
}

/// A connection to one life of the spawner.
pub(crate) struct Link {
    writer: OwnedWriteHalf,
    outbox: Mutex<BytesMut>,
    outbox_filled: Notify,
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
    word: oneshot::Receiver<Word>,
    has_ended: bool,
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
            outbox: Mutex::default(),
            outbox_filled: Notify::new(),
            attempts: Mutex::new(Some(HashMap::new())),
        };
        (link, reader)
    }

    /// Sends an attempt out.
    ///
    /// # Errors
    /// [`Dead`] when the spawner is; nothing was sent.
    pub(crate) fn begin(
        self: &Arc<Self>,
        id: u64,
        mark: Mark,
        frame: &[u8],
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
        self.send(frame);
        Ok(Attempt {
            link: Arc::clone(self),
            id,
            word,
            has_ended: false,
        })
    }

    /// Sends at once what the socket takes; the rest is sent by [`Link::pump`]. What waits is
    /// bounded by the attempts that may be out: an invocation and a stop or two for each.
    fn send(&self, frame: &[u8]) {
        let mut outbox = lock(&self.outbox);
        let sent = match outbox.is_empty() {
            true => self.writer.try_write(frame).unwrap_or(0),
            false => 0,
        };
        if sent < frame.len() {
            outbox.extend_from_slice(&frame[sent..]);
            self.outbox_filled.notify_one();
        }
    }

    fn stop(&self, id: u64, grace_ms: u64) {
        let request = SpawnerRequest {
            request: Some(Request::Stop(Stop { id, grace_ms })),
        };
        if let Ok(frame) = wire::child::encode(&request) {
            self.send(&frame);
        }
    }

    /// Sends what could not be sent at once, until the spawner is dead.
    pub(crate) async fn pump(&self) -> io::Error {
        loop {
            self.outbox_filled.notified().await;
            if let Err(error) = self.flush().await {
                return error;
            }
        }
    }

    async fn flush(&self) -> io::Result<()> {
        loop {
            self.writer.writable().await?;
            let mut outbox = lock(&self.outbox);
            if outbox.is_empty() {
                // What one burst needed is not kept for ever.
                *outbox = BytesMut::new();
                return Ok(());
            }
            match self.writer.try_write(&outbox) {
                Ok(sent) => drop(outbox.split_to(sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Hands out replies until the spawner is dead; says why it is.
    pub(crate) async fn listen(&self, reader: &mut OwnedReadHalf) -> String {
        let mut frames = Frames::default();
        let mut was_greeted = false;
        loop {
            loop {
                match frames.take::<SpawnerEvent>() {
                    Ok(Some(event)) => match self.hear(event) {
                        Ok(()) => was_greeted = true,
                        Err(why) => return why,
                    },
                    Ok(None) => break,
                    Err(error) => return format!("it talks nonsense: {error}"),
                }
            }
            match fill(reader, frames.buffer()).await {
                Ok(0) => return epitaph(was_greeted, &frames),
                Ok(_) => {}
                Err(error) => return format!("its socket broke: {error}"),
            }
        }
    }

    fn hear(&self, event: SpawnerEvent) -> Result<(), String> {
        match event.event {
            Some(Event::Hello(hello)) if hello.protocol == PROTOCOL => {}
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
                let mut attempts = lock(&self.attempts);
                let out = attempts.as_mut().and_then(|all| all.remove(&reply.id));
                drop(attempts);
                if let (Some(out), Some(end)) = (out, reply.end) {
                    out.place.give_back();
                    // Nobody waits any more for an attempt whose future was dropped.
                    out.word.send(Word::End(end)).ok();
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

    /// Nothing of the attempts runs any more: tells everyone who waits for one.
    pub(crate) fn conclude(&self, word: impl Fn() -> Word) {
        let attempts = lock(&self.attempts).take();
        for out in attempts.into_iter().flat_map(HashMap::into_values) {
            out.word.send(word()).ok();
        }
    }

    /// Ends the conversation, whereupon the spawner kills everything and exits.
    pub(crate) fn hang_up(&self) {
        // One that is dead already has hung up itself.
        rustix::net::shutdown(self.writer.as_ref(), rustix::net::Shutdown::Write).ok();
    }
}

async fn fill(reader: &mut OwnedReadHalf, buffer: &mut BytesMut) -> io::Result<usize> {
    if buffer.capacity() - buffer.len() < ROOM_BYTES_MIN {
        buffer.reserve(READ_BYTES);
    }
    match reader.read_buf(buffer).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
        read => read,
    }
}

fn epitaph(was_greeted: bool, frames: &Frames) -> String {
    match (was_greeted, frames.finish()) {
        (false, _) => "it ended before it said hello: is it the right program?".into(),
        (true, Ok(())) => "it ended, or was killed".into(),
        (true, Err(error)) => format!("it ended in the middle of a reply: {error}"),
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
    /// Waits for how it ended.
    ///
    /// # Cancel safety
    /// Safe: the word is kept until it was returned.
    pub(crate) async fn ended(&mut self) -> Word {
        let word = (&mut self.word).await;
        self.has_ended = true;
        // The link lets go of a sender only after a word, or when the whole runtime goes down.
        word.unwrap_or(Word::Closed)
    }

    /// Asks it to end, and makes it after `grace_ms`.
    pub(crate) fn stop(&self, grace_ms: u64) {
        self.link.stop(self.id, grace_ms);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.has_ended {
            self.link.stop(self.id, 0);
        }
    }
}
