//! The first words of a broker, which tell its product and version.
//!
//! lapin keeps neither, and a handshake that it has begun cannot be called off: a peer that
//! accepts and then says nothing would cost a thread each time. So whoever was unreachable before
//! has to answer this first.

use crate::config::Config;
use crate::error::Error;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use lapin::tcp::AMQPUriTcpExt;
use std::time::Duration;

/// What a broker says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// For example `RabbitMQ`.
    pub product: String,
    /// For example `3.10.8`.
    pub version: String,
}

/// A broker that does not say a word for so long is as good as gone.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first frame of RabbitMQ has about 500 bytes.
const FRAME_BYTES_MAX: usize = 64 * 1024;
const FRAME_HEADER_BYTES: usize = 7;
const METHOD_FRAME: u8 = 1;
const PROTOCOL: &[u8; 8] = b"AMQP\x00\x00\x09\x01";

/// Connects, listens to the first words, and hangs up.
///
/// # Errors
/// [`Error::Unreachable`] or [`Error::Tls`].
pub async fn greet(config: &Config) -> Result<Greeting, Error> {
    match tokio::time::timeout(PATIENCE, first_words(config)).await {
        Ok(Ok(frame)) => Ok(read(&frame)),
        Ok(Err(error)) => Err(Error::of_socket(&error, config)),
        Err(_) => Err(Error::Unreachable(format!(
            "{} accepts connections but has not said a word for {} s: it hangs, or something \
             between swallows what is sent; look at the broker and at the network",
            config.place(),
            PATIENCE.as_secs()
        ))),
    }
}

async fn first_words(config: &Config) -> std::io::Result<Vec<u8>> {
    let runtime = lapin::runtime::default_runtime().map_err(std::io::Error::other)?;
    let tls = config.tls();
    let mut stream = config
        .uri()
        .connect_with_config_async(tls.as_ref(), &runtime)
        .await?;
    stream.write_all(PROTOCOL).await?;
    stream.flush().await?;
    let mut header = [0; FRAME_HEADER_BYTES];
    stream.read_exact(&mut header).await?;
    let size = u32::from_be_bytes([header[3], header[4], header[5], header[6]]);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if header[0] != METHOD_FRAME || size > FRAME_BYTES_MAX {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "its first words are not AMQP 0-9-1",
        ));
    }
    let mut frame = vec![0; size];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

fn read(frame: &[u8]) -> Greeting {
    let property = |name| property(frame, name).unwrap_or_else(|| "unknown".to_owned());
    Greeting {
        product: property("product"),
        version: property("version"),
    }
}

/// A text property of the table in the frame. The names are looked for as they are written there:
/// length, name, `S`, length, text.
fn property(frame: &[u8], name: &str) -> Option<String> {
    let mut key = vec![u8::try_from(name.len()).ok()?];
    key.extend_from_slice(name.as_bytes());
    key.push(b'S');
    let at = frame.windows(key.len()).position(|window| window == key)? + key.len();
    let length: [u8; 4] = frame.get(at..at + 4)?.try_into().ok()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    let text = frame.get(at + 4..at.checked_add(4)?.checked_add(length)?)?;
    Some(String::from_utf8_lossy(text).chars().take(80).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_that_is_cut_or_strange_tells_nothing_and_breaks_nothing() {
        for frame in [
            &b""[..],
            b"\x07versionS\x00\x00",
            b"\x07versionS\xff\xff\xff\xffx",
        ] {
            assert_eq!(read(frame).version, "unknown");
        }
    }

    #[test]
    fn a_greeting_tells_product_and_version() {
        let frame = b"..\x07productS\x00\x00\x00\x08RabbitMQ\x07versionS\x00\x00\x00\x063.10.8..";
        let greeting = read(frame);
        assert_eq!(greeting.product, "RabbitMQ");
        assert_eq!(greeting.version, "3.10.8");
    }
}
