//! A socket to one thread of the spawner, used by whoever waits for an attempt there.

use bytes::{Bytes, BytesMut};
use std::io::{self, Write};
use std::os::unix::net::UnixStream as IdleStream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use wire::child::{BadFrame, Event, Frames, Reply, SpawnerEvent};

/// How much room is made for reads at once; enough for a usual reply.
const READ_BYTES: usize = 4 * 1024;

/// Below this, the room is too little to read into.
const ROOM_BYTES_MIN: usize = 1024;

/// The socket, while it belongs to the current runtime.
pub(crate) struct Slot {
    socket: UnixStream,
    frames: Frames,
    /// An invocation, and a stop at most.
    unsent: Vec<Bytes>,
}

impl Slot {
    /// Begins to use it on the current runtime, with a frame to be sent. That is sent at once as
    /// far as there is room: a runtime that has just got a socket must look before it writes.
    pub(crate) fn new(mut socket: IdleStream, mut frame: Bytes) -> io::Result<Self> {
        let sent = socket.write(&frame).unwrap_or(0);
        drop(frame.split_to(sent));
        let unsent = (!frame.is_empty()).then_some(frame);
        Ok(Self {
            socket: UnixStream::from_std(socket)?,
            frames: Frames::default(),
            unsent: unsent.into_iter().collect(),
        })
    }

    /// Takes it off the runtime, so that any other may use it; nothing when it is of no use.
    pub(crate) fn into_idle(self) -> Option<IdleStream> {
        let is_usable = self.frames.is_empty() && self.unsent.is_empty();
        is_usable.then(|| self.socket.into_std().ok()).flatten()
    }

    /// Sends at once what the socket takes; [`Slot::flush`] sends the rest.
    pub(crate) fn send(&mut self, mut frame: Bytes) {
        if self.unsent.is_empty() {
            let sent = self.socket.try_write(&frame).unwrap_or(0);
            drop(frame.split_to(sent));
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
        while let Some(frame) = self.unsent.first_mut() {
            if self.socket.write_buf(frame).await.is_err() {
                self.unsent.clear();
                return;
            }
            if frame.is_empty() {
                self.unsent.remove(0);
            }
        }
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
            match fill(&mut self.socket, self.frames.buffer()).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Ok(None),
            }
        }
    }
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
