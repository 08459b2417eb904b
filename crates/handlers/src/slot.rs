//! A socket to one thread of the spawner, used by whoever waits for an attempt there.

use bytes::{Buf, Bytes, BytesMut};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, Interest};
use tokio::runtime::{Handle, Id};
use wire::child::{BadFrame, Event, Frames, Reply, SpawnerEvent};

/// How much room is made for reads at once; enough for a usual reply.
const READ_BYTES: usize = 4 * 1024;

/// Below this, the room is too little to read into.
const ROOM_BYTES_MIN: usize = 1024;

/// The socket, which belongs to the runtime that it was made on.
pub(crate) struct Slot {
    /// Watched for replies only: that the spawner has taken a request is no reason to wake up.
    socket: AsyncFd<UnixStream>,
    runtime: Id,
    frames: Frames,
    /// An invocation, and a stop at most.
    unsent: Vec<Bytes>,
}

impl Slot {
    /// Begins to use a socket on the current runtime.
    pub(crate) fn new(socket: UnixStream) -> io::Result<Self> {
        Ok(Self {
            socket: watched(socket, Interest::READABLE)?,
            runtime: Handle::current().id(),
            frames: Frames::default(),
            unsent: Vec::new(),
        })
    }

    /// Whether it belongs to this runtime, the only one that it can be used on.
    pub(crate) fn is_of(&self, runtime: Id) -> bool {
        self.runtime == runtime
    }

    /// Whether nothing is half said.
    pub(crate) fn is_idle(&self) -> bool {
        self.frames.is_empty() && self.unsent.is_empty()
    }

    /// Sends at once what the socket takes; [`Slot::flush`] sends the rest.
    pub(crate) fn send(&mut self, mut frame: Bytes) {
        if self.unsent.is_empty() {
            let sent = self.socket.get_ref().write(&frame).unwrap_or(0);
            frame.advance(sent);
        }
        if !frame.is_empty() {
            self.unsent.push(frame);
        }
    }

    /// Sends what could not be sent at once. That there is nobody to read it shows when the reply
    /// is read.
    ///
    /// # Cancel safety
    /// Safe: it goes on where it was.
    pub(crate) async fn flush(&mut self) {
        if !self.unsent.is_empty() && self.send_rest().await.is_err() {
            self.unsent.clear();
        }
    }

    /// Watches for room as well, which few invocations need.
    async fn send_rest(&mut self) -> io::Result<()> {
        let socket = self.socket.get_ref().try_clone()?;
        let socket = watched(socket, Interest::WRITABLE)?;
        while let Some(frame) = self.unsent.first_mut() {
            let write = |mut socket: &UnixStream| socket.write(frame);
            let sent = socket.async_io(Interest::WRITABLE, write).await?;
            frame.advance(sent);
            if frame.is_empty() {
                self.unsent.remove(0);
            }
        }
        Ok(())
    }

    /// Waits for the reply; there is none when the other end is closed before.
    ///
    /// # Cancel safety
    /// Safe: what was read is kept.
    pub(crate) async fn reply(&mut self) -> Result<Option<Reply>, BadFrame> {
        self.flush().await;
        loop {
            while let Some(event) = self.frames.take::<SpawnerEvent>()? {
                if let Some(Event::Reply(reply)) = event.event {
                    return Ok(Some(reply));
                }
            }
            match self.fill().await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Ok(None),
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        let mut room = [0; READ_BYTES];
        loop {
            let mut ready = self.socket.readable().await?;
            let Ok(read) = ready.try_io(|socket| socket.get_ref().read(&mut room)) else {
                continue;
            };
            let read = read?;
            if read < room.len() {
                // All there was; the next look can wait until there is more.
                ready.clear_ready();
            }
            self.frames.buffer().extend_from_slice(&room[..read]);
            return Ok(read);
        }
    }
}

#[expect(
    deprecated,
    reason = "only because of types that lie about their descriptor, which a socket does not; the \
              other name is unsafe"
)]
fn watched(socket: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    AsyncFd::with_interest(socket, interest)
}

/// Reads what there is; nothing at the end.
pub(crate) async fn fill(
    socket: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> io::Result<usize> {
    if buffer.capacity() - buffer.len() < ROOM_BYTES_MIN {
        buffer.reserve(READ_BYTES);
    }
    match socket.read_buf(buffer).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
        read => read,
    }
}
