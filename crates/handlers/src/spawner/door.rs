//! Where the worker hands in the sockets on which it will ask for commands, one for each command
//! that is to run at once.

use super::files_limit;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// What comes with a socket: the number of the attempt that it was made for.
const NOTE_BYTES: usize = size_of::<u64>();

/// The room that the kernel needs to pass one socket.
const ROOM_BYTES: usize = rustix::cmsg_space!(ScmRights(1));

/// A socket that was handed in.
pub(super) struct Caller {
    /// The attempt that it was made for.
    pub(super) id: u64,
    /// Nothing when there was no room for one more open file.
    pub(super) socket: Option<UnixStream>,
}

/// Waits for the next socket; `None` when the worker is gone.
///
/// # Errors
/// When the worker talks nonsense.
pub(super) fn answer(door: &UnixStream) -> io::Result<Option<Caller>> {
    let mut calls = [PollFd::new(door, PollFlags::IN)];
    while poll(&mut calls, None) == Err(Errno::INTR) {}
    // The kernel drops a socket that it finds no number for, so there has to be one before; and as
    // long as nobody called, others could have taken it.
    files_limit::raised_for(|| door.try_clone()).map(drop).ok();
    let mut note = [0; NOTE_BYTES];
    let mut room = [MaybeUninit::uninit(); ROOM_BYTES];
    let mut passed = RecvAncillaryBuffer::new(&mut room);
    let read = loop {
        let notes = &mut [IoSliceMut::new(&mut note)];
        match recvmsg(door, notes, &mut passed, RecvFlags::CMSG_CLOEXEC) {
            Ok(message) => break message.bytes,
            Err(Errno::CONNRESET) => break 0,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    if read == 0 {
        return Ok(None);
    }
    if read < NOTE_BYTES {
        let why = format!("socket: expected a note of {NOTE_BYTES} bytes, got {read}");
        return Err(io::Error::other(why));
    }
    Ok(Some(Caller {
        id: u64::from_be_bytes(note),
        socket: passed.drain().find_map(first).map(UnixStream::from),
    }))
}

fn first(message: RecvAncillaryMessage<'_>) -> Option<OwnedFd> {
    match message {
        RecvAncillaryMessage::ScmRights(mut passed) => passed.next(),
        _ => None,
    }
}

/// Hands a socket in. This is what the worker does.
///
/// # Errors
/// Why it could not be handed in.
pub(crate) fn hand_in(door: impl AsFd, id: u64, socket: impl AsFd) -> io::Result<()> {
    let sockets = [socket.as_fd()];
    let mut room = [MaybeUninit::uninit(); ROOM_BYTES];
    let mut passed = SendAncillaryBuffer::new(&mut room);
    passed.push(SendAncillaryMessage::ScmRights(&sockets));
    let note = id.to_be_bytes();
    // Such a short message is sent as a whole, or not at all.
    sendmsg(
        door,
        &[IoSlice::new(&note)],
        &mut passed,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use std::fs::File;
    use std::time::Duration;

    #[test]
    fn a_socket_is_not_lost_when_the_last_number_is_taken_while_nobody_calls() {
        let (worker, door) = UnixStream::pair().unwrap();
        let (_ours, theirs) = UnixStream::pair().unwrap();
        let answers = std::thread::spawn(move || answer(&door).unwrap().unwrap());
        // It waits for a call by now; if not, it has an easier time.
        std::thread::sleep(Duration::from_millis(100));
        let limit = getrlimit(Resource::Nofile);
        let low = Rlimit {
            current: Some(64),
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, low).unwrap();
        let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        assert!(taken.len() < 64);
        hand_in(&worker, 7, &theirs).unwrap();
        let caller = answers.join().unwrap();
        assert!(
            caller.id == 7 && caller.socket.is_some(),
            "the socket was dropped"
        );
    }
}
