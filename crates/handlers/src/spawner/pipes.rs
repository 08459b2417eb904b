//! The three pipes of a command: what it is fed, what it says, and the end of what it complains.

use bytes::Bytes;
use rustix::event::PollFlags;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How much is read at once; what a pipe usually holds.
const READ_BYTES: usize = 64 * 1024;

/// What is written before a command begins: this much fits into every pipe.
const FED_AT_ONCE_BYTES_MAX: usize = 4 * 1024;

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?)
}

fn bounded(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// What is written to a command's standard input.
pub(super) struct Feed {
    pipe: OwnedFd,
    rest: Bytes,
}

impl Feed {
    /// The end for the command, and what is left to feed it with once it runs.
    pub(super) fn new(rest: Bytes) -> io::Result<(Option<Self>, OwnedFd)> {
        let (end, pipe) = pipe()?;
        if rest.len() <= FED_AT_ONCE_BYTES_MAX {
            rustix::io::write(&pipe, &rest)?;
            return Ok((None, end));
        }
        // Only our end: the command finds its standard input as it expects it.
        rustix::fs::fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        Ok((Some(Self { pipe, rest }), end))
    }

    pub(super) fn pipe(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Writes as much as there is room for; `None` when there is no more to write, or when nobody
    /// will read it, which is the command's own affair.
    pub(super) fn go_on(mut self) -> Option<Self> {
        loop {
            match rustix::io::write(&self.pipe, &self.rest) {
                Ok(written) if written < self.rest.len() => drop(self.rest.split_to(written)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Some(self),
                Ok(_) | Err(_) => return None,
            }
        }
    }
}

/// A pipe that is read until it ends. Our copy of the command's end keeps it from ending before
/// the command does, which would wake us for nothing.
struct Listener {
    ours: Option<OwnedFd>,
    theirs: Option<OwnedFd>,
}

impl Listener {
    /// The listener, and the end for the command.
    fn new() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = pipe()?;
        let end = theirs.try_clone()?;
        let listener = Self {
            ours: Some(ours),
            theirs: Some(theirs),
        };
        Ok((listener, end))
    }

    /// Reads once, if there is something, and hands it over.
    fn read(&mut self, ready: PollFlags, take: impl FnOnce(&[u8])) {
        let Some(pipe) = &self.ours else { return };
        if ready.contains(PollFlags::IN) {
            let mut chunk = [0; READ_BYTES];
            match rustix::io::read(pipe, &mut chunk) {
                Ok(0) => self.ours = None,
                Ok(read) => take(&chunk[..read]),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => self.ours = None,
            }
        } else if !ready.is_empty() {
            // Hung up, with nothing left in it.
            self.ours = None;
        }
    }
}

/// Standard output: all of it, up to a limit.
pub(super) struct Capture {
    listener: Listener,
    said: Vec<u8>,
    bytes_max: usize,
    has_overflowed: bool,
}

impl Capture {
    /// The capture, and the end for the command.
    pub(super) fn new(bytes_max: u64) -> io::Result<(Self, OwnedFd)> {
        let (listener, end) = Listener::new()?;
        let capture = Self {
            listener,
            said: Vec::new(),
            bytes_max: bounded(bytes_max),
            has_overflowed: false,
        };
        Ok((capture, end))
    }

    /// From now on it ends when nobody holds the command's end any more.
    pub(super) fn let_end(&mut self) {
        self.listener.theirs = None;
    }

    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.listener.ours.as_ref().map(AsFd::as_fd)
    }

    pub(super) const fn is_open(&self) -> bool {
        self.listener.ours.is_some()
    }

    pub(super) const fn has_overflowed(&self) -> bool {
        self.has_overflowed
    }

    pub(super) fn read(&mut self, ready: PollFlags) {
        self.listener.read(ready, |chunk| {
            let room = self.bytes_max - self.said.len();
            self.has_overflowed |= chunk.len() > room;
            self.said.extend_from_slice(&chunk[..chunk.len().min(room)]);
        });
    }

    /// What it said; nothing when that was too much, since a part of it is of no use.
    pub(super) fn into_bytes(self) -> Bytes {
        match self.has_overflowed {
            true => Bytes::new(),
            false => self.said.into(),
        }
    }
}

/// Standard error: its last bytes, however much came before.
pub(super) struct Tail {
    listener: Listener,
    last: VecDeque<u8>,
    bytes_max: usize,
    bytes_seen: u64,
}

impl Tail {
    /// The tail, and the end for the command.
    pub(super) fn new(bytes_max: u64) -> io::Result<(Self, OwnedFd)> {
        let (listener, end) = Listener::new()?;
        let tail = Self {
            listener,
            last: VecDeque::new(),
            bytes_max: bounded(bytes_max),
            bytes_seen: 0,
        };
        Ok((tail, end))
    }

    /// From now on it ends when nobody holds the command's end any more.
    pub(super) fn let_end(&mut self) {
        self.listener.theirs = None;
    }

    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.listener.ours.as_ref().map(AsFd::as_fd)
    }

    pub(super) const fn is_open(&self) -> bool {
        self.listener.ours.is_some()
    }

    pub(super) const fn bytes_seen(&self) -> u64 {
        self.bytes_seen
    }

    pub(super) fn read(&mut self, ready: PollFlags) {
        self.listener.read(ready, |chunk| {
            self.bytes_seen += chunk.len() as u64;
            let kept = &chunk[chunk.len().saturating_sub(self.bytes_max)..];
            let over = (self.last.len() + kept.len()).saturating_sub(self.bytes_max);
            self.last.drain(..over);
            self.last.extend(kept);
        });
    }

    pub(super) fn into_bytes(self) -> Bytes {
        Vec::from(self.last).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn write(end: OwnedFd, text: &[u8]) {
        std::fs::File::from(end).write_all(text).unwrap();
    }

    #[test]
    fn output_over_the_limit_is_noticed_and_not_handed_on() {
        let (mut capture, end) = Capture::new(4).unwrap();
        write(end, b"12345");
        capture.read(PollFlags::IN);
        assert!(capture.has_overflowed());
        assert!(capture.into_bytes().is_empty());
    }

    #[test]
    fn output_of_exactly_the_limit_is_fine_and_ends_with_its_pipe() {
        let (mut capture, end) = Capture::new(4).unwrap();
        write(end, b"1234");
        capture.read(PollFlags::IN);
        assert!(capture.is_open());
        capture.read(PollFlags::HUP);
        assert!(!capture.is_open() && !capture.has_overflowed());
        assert_eq!(&capture.into_bytes()[..], b"1234");
    }

    #[test]
    fn of_complaints_the_end_is_kept_and_all_are_counted() {
        let (mut tail, end) = Tail::new(4).unwrap();
        let end = std::fs::File::from(end);
        for text in [&b"ab"[..], b"cde", b"fghijkl"] {
            (&end).write_all(text).unwrap();
            tail.read(PollFlags::IN);
        }
        assert_eq!(tail.bytes_seen(), 12);
        assert_eq!(&tail.into_bytes()[..], b"ijkl");
    }

    #[test]
    fn a_feed_waits_for_room_and_ends_when_nobody_reads() {
        let (feed, end) = Feed::new(vec![b'x'; 1 << 20].into()).unwrap();
        let feed = feed.and_then(Feed::go_on);
        let feed = feed.expect("a pipe does not hold a mebibyte");
        assert!(feed.rest.len() < 1 << 20);
        drop(end);
        assert!(feed.go_on().is_none());
    }
}
