//! A way to a file that may be slow, blocked or closed, for those who must not be.

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The most bytes that wait for a reader. Past it what comes is lost, and the reader is told how
/// much: somebody who does not read must not stop the work.
const WAITING_BYTES_MAX: usize = 1024 * 1024;
/// Written at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// The thread has little to do.
const STACK_BYTES: usize = 128 * 1024;
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Where bytes go in; a thread of its own takes them out, in order.
pub(super) struct Outlet {
    shared: Arc<Shared>,
}

/// Writes what is ours between what others write; each write comes out in one piece.
#[derive(Clone)]
pub struct Pen {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<u8>,
    /// How many bytes were lost since the last that was taken in.
    lost: u64,
    is_writing: bool,
    /// Nobody will ever read, or nobody will write any more.
    is_closed: bool,
}

impl Outlet {
    /// The way to this file. Nothing else about the file is changed: others may have it, too.
    ///
    /// # Errors
    /// When there is no thread.
    pub(super) fn to(file: OwnedFd) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            news: Condvar::new(),
        });
        let ours = Arc::clone(&shared);
        // Nobody waits for its end: it may hang in a write for as long as it likes.
        std::thread::Builder::new()
            .name("stderr".into())
            .stack_size(STACK_BYTES)
            .spawn(move || ours.write_all(&file))?;
        Ok(Self { shared })
    }

    /// Takes the bytes; never waits.
    pub(super) fn put(&self, bytes: &[u8]) {
        self.shared.put(bytes);
    }

    /// A way in for somebody else.
    pub(super) fn pen(&self) -> Pen {
        Pen {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Waits until everything is written, or it has taken too long.
    pub(super) async fn flush(&self, patience: Duration) {
        let until = Instant::now() + patience;
        while !self.shared.is_idle() && Instant::now() < until {
            sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.news.notify_all();
    }
}

impl io::Write for Pen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.shared.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, bytes: &[u8]) {
        let mut state = self.lock();
        if !state.is_closed {
            state.put(bytes);
            self.news.notify_all();
        }
    }

    fn is_idle(&self) -> bool {
        let state = self.lock();
        state.is_closed || (state.waiting.is_empty() && !state.is_writing)
    }

    fn write_all(&self, file: &OwnedFd) {
        let mut chunk = Vec::new();
        while self.take(&mut chunk) {
            let written = write(file, &chunk);
            let mut state = self.lock();
            state.is_writing = false;
            if written.is_err() {
                state.is_closed = true;
                state.waiting = VecDeque::new();
                return;
            }
        }
    }

    /// Waits for the next bytes; false when none will come.
    fn take(&self, chunk: &mut Vec<u8>) -> bool {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.is_closed {
                return false;
            }
            state = self
                .news
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let length = state.waiting.len().min(CHUNK_BYTES);
        chunk.clear();
        chunk.extend(state.waiting.drain(..length));
        state.is_writing = true;
        true
    }
}

impl State {
    fn put(&mut self, bytes: &[u8]) {
        let room = WAITING_BYTES_MAX - self.waiting.len();
        // With a mark between every two lines there would be more marks than lines.
        if self.lost > 0 && room > WAITING_BYTES_MAX / 2 {
            let lost = std::mem::take(&mut self.lost);
            let mark = format!("\n[goaround: {lost} bytes are missing here, nobody took them]\n");
            self.waiting.extend(mark.as_bytes());
        }
        let room = WAITING_BYTES_MAX - self.waiting.len();
        let fits = if self.lost > 0 {
            0
        } else {
            bytes.len().min(room)
        };
        self.waiting.extend(&bytes[..fits]);
        self.lost += (bytes.len() - fits) as u64;
    }
}

fn write(file: &OwnedFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            // Whoever started us may have made it so.
            Err(Errno::AGAIN) => {
                let mut ready = [PollFd::new(file, PollFlags::OUT)];
                match rustix::event::poll(&mut ready, None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
