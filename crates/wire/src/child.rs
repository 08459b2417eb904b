//! What passes between a worker process and its spawner: frames of a length and a protobuf
//! message, over a Unix socket. The messages are in `proto/goaround/v1/handler.proto`.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

pub use crate::proto::ended::Exit;
pub use crate::proto::reply::End;
pub use crate::proto::spawner_event::Event;
pub use crate::proto::spawner_request::Request;
pub use crate::proto::{
    Ended, Hello, Invocation, InvocationLimits, NotStarted, Reply, ResultFile, Spawned,
    SpawnerEvent, SpawnerRequest, Stop, UsageSum, Variable,
};

/// The version of the conversation, said in [`Hello`].
pub const PROTOCOL: u32 = 2;

/// The longest message of a frame. A payload that does not fit can not be given to a command.
pub const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;

const LENGTH_BYTES: usize = size_of::<u32>();

/// A frame that cannot be sent, or bytes that are not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// It is over the limit.
    #[error("frame: expected at most {FRAME_BYTES_MAX} bytes, got {0}")]
    TooLarge(usize),
    /// Its bytes are not the message.
    #[error("frame: expected a message of protocol {PROTOCOL}, got bytes that are not: {0}")]
    Garbage(String),
    /// The stream ended in the middle of it.
    #[error("frame: expected {expected} more bytes, got the end of the stream")]
    Truncated {
        /// How many were missing at least.
        expected: usize,
    },
}

/// Makes a frame of a message.
///
/// # Errors
/// [`BadFrame::TooLarge`] when the message is over [`FRAME_BYTES_MAX`].
pub fn encode<M: Message>(message: &M) -> Result<Bytes, BadFrame> {
    let bytes = message.encoded_len();
    let length = match u32::try_from(bytes) {
        Ok(length) if bytes <= FRAME_BYTES_MAX => length,
        _ => return Err(BadFrame::TooLarge(bytes)),
    };
    let mut frame = BytesMut::with_capacity(LENGTH_BYTES + bytes);
    frame.put_u32(length);
    // The buffer grows by itself, so encoding into it cannot run out of room.
    message
        .encode(&mut frame)
        .map_err(|error| BadFrame::Garbage(error.to_string()))?;
    Ok(frame.freeze())
}

/// Cuts a stream of bytes into messages.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: BytesMut,
}

impl Frames {
    /// Where the bytes of the stream go, in their order.
    pub const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether there is nothing left, not even a part of a message.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Takes the next message out, if all of it is there.
    ///
    /// # Errors
    /// [`BadFrame`] when the stream makes no sense; nothing after it will.
    pub fn take<M: Message + Default>(&mut self) -> Result<Option<M>, BadFrame> {
        let Some(missing) = self.missing()? else {
            return Ok(None);
        };
        if missing > 0 {
            self.buffer.reserve(missing);
            return Ok(None);
        }
        let length = self.buffer.get_u32() as usize;
        let message = self.buffer.split_to(length).freeze();
        M::decode(message)
            .map(Some)
            .map_err(|error| BadFrame::Garbage(error.to_string()))
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// [`BadFrame::Truncated`] when that was in the middle of a frame.
    pub fn finish(&self) -> Result<(), BadFrame> {
        match self.missing()? {
            None if self.buffer.is_empty() => Ok(()),
            None => Err(BadFrame::Truncated {
                expected: LENGTH_BYTES - self.buffer.len(),
            }),
            Some(expected) => Err(BadFrame::Truncated { expected }),
        }
    }

    /// How many bytes of the first frame are missing, once its length is known.
    fn missing(&self) -> Result<Option<usize>, BadFrame> {
        let Some(length) = self.buffer.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(BadFrame::TooLarge(length));
        }
        Ok(Some(
            (LENGTH_BYTES + length).saturating_sub(self.buffer.len()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(id: u64, grace_ms: u64) -> SpawnerRequest {
        SpawnerRequest {
            request: Some(Request::Stop(Stop { id, grace_ms })),
        }
    }

    fn fed(bytes: &[u8]) -> Frames {
        let mut frames = Frames::default();
        frames.buffer().extend_from_slice(bytes);
        frames
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_on_both_sides() {
        let huge = SpawnerRequest {
            request: Some(Request::Invocation(Invocation {
                stdin: vec![0; FRAME_BYTES_MAX + 1].into(),
                ..Invocation::default()
            })),
        };
        assert!(matches!(encode(&huge), Err(BadFrame::TooLarge(_))));
        let mut frames = fed(&u32::MAX.to_be_bytes());
        let said = frames.take::<SpawnerRequest>().unwrap_err();
        assert_eq!(said, BadFrame::TooLarge(u32::MAX as usize));
    }

    #[test]
    fn garbage_is_not_taken_for_a_message() {
        let mut frames = fed(&[0, 0, 0, 3, 0xff, 0xff, 0xff]);
        assert!(matches!(
            frames.take::<SpawnerRequest>(),
            Err(BadFrame::Garbage(_))
        ));
    }

    #[test]
    fn a_frame_that_was_cut_anywhere_is_waited_for_and_missed_at_the_end() {
        let frame = encode(&stop(300, 10_000)).unwrap();
        for cut in 0..frame.len() {
            let mut frames = fed(&frame[..cut]);
            assert_eq!(frames.take::<SpawnerRequest>(), Ok(None), "cut at {cut}");
            assert_eq!(frames.finish().is_ok(), cut == 0, "cut at {cut}");
            frames.buffer().extend_from_slice(&frame[cut..]);
            assert_eq!(frames.take(), Ok(Some(stop(300, 10_000))), "cut at {cut}");
            assert_eq!(frames.finish(), Ok(()), "cut at {cut}");
        }
    }

    #[test]
    fn frames_that_come_at_once_are_taken_one_by_one() {
        let both = [stop(1, 0), stop(2, 0)].map(|stop| encode(&stop).unwrap());
        let mut frames = fed(&both.concat());
        assert_eq!(frames.take(), Ok(Some(stop(1, 0))));
        assert_eq!(frames.take(), Ok(Some(stop(2, 0))));
        assert_eq!(frames.take::<SpawnerRequest>(), Ok(None));
    }

    #[test]
    fn the_bytes_of_a_frame_are_those_of_the_first_release() {
        let golden = b"\x00\x00\x00\x08\x12\x06\x08\xac\x02\x10\x90\x4e";
        assert_eq!(&encode(&stop(300, 10_000)).unwrap()[..], golden);
    }

    #[test]
    fn the_bytes_of_an_invocation_are_those_of_the_first_release() {
        let request = SpawnerRequest {
            request: Some(Request::Invocation(Invocation {
                id: 7,
                program: Bytes::from_static(b"/bin/cat"),
                args: vec![Bytes::from_static(b"-")],
                folder: Bytes::from_static(b"/"),
                env: vec![Variable {
                    name: Bytes::from_static(b"A"),
                    value: Bytes::from_static(b"b"),
                }],
                stdin: Bytes::from_static(b"in"),
                limits: Some(InvocationLimits {
                    stdout_bytes_max: 1,
                    stderr_bytes_max: 2,
                    result_bytes_max: 3,
                    memory_bytes_max: Some(0),
                }),
                result_path: Bytes::from_static(b"r"),
                progress_path: Bytes::from_static(b"p"),
            })),
        };
        let golden: &[u8] = b"\x00\x00\x00\x30\x0a\x2e\x08\x07\x12\x08/bin/cat\x1a\x01-\x22\x01/\
            \x2a\x06\x0a\x01A\x12\x01b\x32\x02in\x3a\x08\x08\x01\x10\x02\x18\x03\x20\x00\
            \x42\x01r\x4a\x01p";
        assert_eq!(&encode(&request).unwrap()[..], golden);
        assert_eq!(fed(golden).take(), Ok(Some(request)));
    }
}
