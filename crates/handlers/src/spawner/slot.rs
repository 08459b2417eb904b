//! One thread's own line to the worker: a request to run a command comes in, maybe one to stop it,
//! and a reply goes out. When the line ends, its command is killed.

use super::Order;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;
use wire::child::{Event, Frames, Invocation, Request, SpawnerEvent, SpawnerRequest};

/// How much is read from the socket at once.
const READ_BYTES: usize = 16 * 1024;

/// The line, as its thread has it.
pub(super) struct Slot {
    socket: Arc<UnixStream>,
    frames: Frames,
    chunk: Box<[u8]>,
    has_ended: bool,
}

impl Slot {
    pub(super) fn new(socket: Arc<UnixStream>) -> Self {
        Self {
            socket,
            frames: Frames::default(),
            chunk: vec![0; READ_BYTES].into(),
            has_ended: false,
        }
    }

    /// Waits for a command to run; `None` when there will be none any more.
    ///
    /// # Errors
    /// When the worker talks nonsense.
    pub(super) fn next(&mut self) -> io::Result<Option<Invocation>> {
        loop {
            match self.take()? {
                Some(Request::Invocation(invocation)) => {
                    if self.frames.is_empty() {
                        // What one long request needed is not kept for ever.
                        self.frames = Frames::default();
                    }
                    return Ok(Some(invocation));
                }
                // It crossed with the reply that it came too late for.
                Some(Request::Stop(_)) => continue,
                None if self.has_ended => return Ok(None),
                None => {
                    self.wait();
                    self.fill()?;
                }
            }
        }
    }

    /// Waits until there is something to read. A read that blocks would be woken for nothing as
    /// well, each time when the worker has taken a reply.
    fn wait(&self) {
        let mut polled = [PollFd::new(&*self.socket, PollFlags::IN)];
        // Whatever else ends it is found by reading.
        poll(&mut polled, None).unwrap_or(0);
    }

    /// What the running command's socket is watched for; `None` when it has ended.
    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        (!self.has_ended).then(|| self.socket.as_fd())
    }

    /// What is to happen to the command that runs, once its socket was seen to be ready.
    pub(super) fn order(&mut self, id: u64) -> Option<Order> {
        let order = self.fill().and_then(|()| self.stop(id));
        match order {
            Ok(None) if !self.has_ended => None,
            Ok(Some(order)) if !self.has_ended => Some(order),
            Ok(_) => Some(Order::Kill),
            Err(why) => {
                eprintln!("goaround spawner: attempt {id} is killed: {why}");
                self.has_ended = true;
                Some(Order::Kill)
            }
        }
    }

    fn stop(&mut self, id: u64) -> io::Result<Option<Order>> {
        let mut order = None;
        while let Some(request) = self.take()? {
            match request {
                Request::Stop(stop) if stop.id == id => {
                    order = Some(match stop.grace_ms {
                        0 => Order::Kill,
                        grace_ms => Order::Ask(Duration::from_millis(grace_ms)),
                    });
                }
                Request::Stop(_) => {}
                Request::Invocation(_) => {
                    let why = "expected a stop while a command runs, got the next command";
                    return Err(io::Error::other(why));
                }
            }
        }
        Ok(order)
    }

    fn take(&mut self) -> io::Result<Option<Request>> {
        loop {
            match self.frames.take::<SpawnerRequest>() {
                // A kind of request that only a newer worker knows.
                Ok(Some(SpawnerRequest { request: None })) => {}
                Ok(request) => return Ok(request.and_then(|request| request.request)),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        match recv(&*self.socket, &mut self.chunk[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) | Err(Errno::CONNRESET) => self.has_ended = true,
            Ok((read, _)) => self.frames.buffer().extend_from_slice(&self.chunk[..read]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Says something to whoever waits for the command. Returns how many bytes that took.
    pub(super) fn tell(&self, event: Event) -> usize {
        let event = SpawnerEvent { event: Some(event) };
        match wire::child::encode(&event) {
            Ok(frame) => {
                // Who does not hear it is gone, and that is noticed by reading.
                (&*self.socket).write_all(&frame).unwrap_or(());
                frame.len()
            }
            Err(error) => {
                eprintln!("goaround spawner: a reply could not be sent: {error}");
                0
            }
        }
    }
}
