//! The incoming half of the socket, which all idle threads watch at once.
//!
//! The watch is edge-triggered and shared, so that a request wakes exactly one thread: the one that
//! runs it. Who leaves something unread passes the watch on.

use super::house::lock;
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard};
use wire::child::{Frames, Request, SpawnerRequest};

/// How much is read from the socket at once.
const READ_BYTES: usize = 64 * 1024;

/// Requests, as they come in.
pub(super) struct Inbox {
    watch: OwnedFd,
    more: OwnedFd,
    reader: Mutex<Reader>,
}

/// What has come in so far. Whoever has it reads alone.
pub(super) struct Reader {
    socket: UnixStream,
    frames: Frames,
    chunk: Box<[u8]>,
    is_socket_empty: bool,
}

/// What a look into the inbox shows.
#[expect(
    clippy::large_enum_variant,
    reason = "short-lived, and the large variant is the usual one"
)]
pub(super) enum Seen {
    Request(Request),
    /// Nothing yet.
    Nothing,
    /// The worker is gone.
    End,
}

impl Inbox {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let more = eventfd(0, EventfdFlags::CLOEXEC)?;
        let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&watch, &socket, epoll::EventData::new_u64(0), edge)?;
        epoll::add(&watch, &more, epoll::EventData::new_u64(1), edge)?;
        let reader = Reader {
            socket,
            frames: Frames::default(),
            chunk: vec![0; READ_BYTES].into(),
            is_socket_empty: true,
        };
        Ok(Self {
            watch,
            more,
            reader: Mutex::new(reader),
        })
    }

    /// Sleeps until there may be something for this thread, and opens the inbox for it.
    pub(super) fn open(&self) -> MutexGuard<'_, Reader> {
        let nothing = epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        };
        while epoll::wait(&self.watch, &mut [nothing], None) == Err(Errno::INTR) {}
        lock(&self.reader)
    }

    /// Lets the next thread read what this one leaves. It has to have closed the inbox, or the
    /// next one would wake up only to wait for that.
    pub(super) fn pass_on(&self) {
        // The counter is far from its end, so this can neither block nor fail.
        rustix::io::write(&self.more, &1u64.to_ne_bytes()).ok();
    }
}

impl Reader {
    /// Whether there may be more than was looked at.
    pub(super) fn leaves_some(&self) -> bool {
        !(self.is_socket_empty && self.frames.is_empty())
    }

    /// Takes the next request out.
    ///
    /// # Errors
    /// When the worker talks nonsense.
    pub(super) fn look(&mut self) -> io::Result<Seen> {
        loop {
            match self.frames.take::<SpawnerRequest>() {
                Ok(Some(SpawnerRequest {
                    request: Some(request),
                })) => return Ok(Seen::Request(request)),
                // A kind of request that only a newer worker knows.
                Ok(Some(SpawnerRequest { request: None })) => continue,
                Ok(None) => {}
                Err(error) => return Err(io::Error::other(error)),
            }
            let room = &mut self.chunk[..];
            match recv(&self.socket, room, RecvFlags::DONTWAIT) {
                Ok((0, _)) | Err(Errno::CONNRESET) => return Ok(Seen::End),
                Ok((read, _)) => {
                    // What comes after a chunk that was not filled is a new edge.
                    self.is_socket_empty = read < self.chunk.len();
                    self.frames.buffer().extend_from_slice(&self.chunk[..read]);
                }
                Err(Errno::AGAIN) => {
                    self.is_socket_empty = true;
                    return Ok(Seen::Nothing);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
