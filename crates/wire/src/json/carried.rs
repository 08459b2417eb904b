//! What a request carries for a handler: JSON, text or base64, with or without a name for it.

use super::complaint;
use super::payload::is_json;
use super::text::Text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::ticket::Payload;
use serde_json::value::RawValue;

/// Longest `content_type` that is kept, in bytes; longer ones are refused.
const CONTENT_TYPE_BYTES_MAX: usize = 256;

/// The three fields in which a request carries something.
pub(super) struct Carried<'a> {
    pub(super) payload: Option<&'a RawValue>,
    pub(super) base64: Option<&'a str>,
    pub(super) content_type: Option<&'a str>,
}

impl Carried<'_> {
    /// Whether there is anything at all.
    pub(super) const fn is_nothing(&self) -> bool {
        self.payload.is_none() && self.base64.is_none()
    }

    /// What is carried. A string is its bytes, any other JSON is its text.
    pub(super) fn payload(&self) -> Result<Payload, String> {
        let named = self.content_type.map(checked_type).transpose()?;
        let payload = match (self.payload, self.base64) {
            (Some(_), Some(_)) => {
                return Err("payload: expected payload or payload_base64, got both".into());
            }
            (None, None) => Payload {
                bytes: Bytes::new(),
                content_type: named,
            },
            (None, Some(text)) => Payload {
                bytes: decoded(text)?,
                content_type: named,
            },
            (Some(raw), None) => from_raw(raw, named)?,
        };
        check_promise(payload)
    }
}

fn checked_type(named: &str) -> Result<String, String> {
    let fits = (1..=CONTENT_TYPE_BYTES_MAX).contains(&named.len());
    if fits && named.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        return Ok(named.to_owned());
    }
    let got: String = named.chars().take(80).collect();
    let max = CONTENT_TYPE_BYTES_MAX;
    Err(format!(
        "content_type: expected 1 to {max} printable ASCII characters, got {got:?}"
    ))
}

fn from_raw(raw: &RawValue, named: Option<String>) -> Result<Payload, String> {
    let json = raw.get();
    if json.starts_with('"') {
        let text: Text = serde_json::from_str(json).map_err(|error| complaint(&error))?;
        return Ok(Payload {
            bytes: text.into_owned().into(),
            content_type: named,
        });
    }
    let bytes = Bytes::copy_from_slice(json.as_bytes());
    Ok(match named {
        Some(named) => Payload {
            bytes,
            content_type: Some(named),
        },
        None => Payload::json(bytes),
    })
}

/// What is called JSON must be JSON: a handler may rely on it.
fn check_promise(payload: Payload) -> Result<Payload, String> {
    let promised = payload.content_type.as_deref().is_some_and(is_json);
    if !promised || payload.bytes.is_empty() {
        return Ok(payload);
    }
    match serde_json::from_slice::<&RawValue>(&payload.bytes) {
        Ok(_) => Ok(payload),
        Err(error) => Err(format!(
            "payload: expected JSON, as content_type says, got a text with an error at {}",
            complaint(&error)
        )),
    }
}

fn decoded(text: &str) -> Result<Bytes, String> {
    match STANDARD.decode(text) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(format!(
            "payload_base64: expected base64 with padding, got {error}"
        )),
    }
}
