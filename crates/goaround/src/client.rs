//! Talks to a running Goaround over its HTTP API, one blocking call at a time.

use crate::config::Secret;
use serde_json::Value as Json;
use std::time::Duration;
use ureq::http;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one call may take as a whole; thousands of tickets take well under a second.
const CALL: Duration = Duration::from_secs(60);
/// The longest answer that is read: 10,000 rows with a payload of some kilobytes each.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Where the server is, and as whom to come.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The address, for example `http://127.0.0.1:7878`.
    pub url: String,
    /// What it asks for, if it asks.
    pub token: Option<Secret>,
    /// Who acts; written into the history.
    pub by: String,
}

/// A call that has no good answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The address cannot be one.
    #[error("--url: expected {expected}, got {got:?}")]
    BadUrl {
        /// The form in words.
        expected: &'static str,
        /// What was given.
        got: String,
    },
    /// Nobody answers there.
    #[error("cannot reach {url}: {why}")]
    Unreachable {
        /// Where.
        url: String,
        /// What the network said.
        why: String,
    },
    /// The connection was lost after the call was sent: it may or may not have been carried out.
    #[error("no answer from {url}: {why}")]
    Unanswered {
        /// Where.
        url: String,
        /// What the network said.
        why: String,
    },
    /// No answer in time.
    #[error("{url} did not answer within {}", domain::time::show_duration(CALL))]
    TimedOut {
        /// Where.
        url: String,
    },
    /// The server says no.
    #[error("{}", .0.detail)]
    Problem(Problem),
    /// An answer that is not one of Goaround's.
    #[error("{url} gave an answer that is not Goaround's: {what}; is it the right address?")]
    Foreign {
        /// Where.
        url: String,
        /// What was seen.
        what: String,
    },
}

/// A problem document of the server (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The stable name of the problem.
    pub kind: String,
    /// What is wrong, in words.
    pub detail: String,
    /// What would make it possible, if the server knows.
    pub remedy: Option<String>,
    /// The whole document; it may tell more, for example what was accepted all the same.
    pub members: Json,
}

/// What a call carries.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// Nothing.
    Empty,
    /// One JSON document.
    Json(&'a str),
    /// JSON documents, one a line.
    Lines(&'a [u8]),
}

/// A client with its pool of connections; clones share the pool.
#[derive(Clone, Debug)]
pub struct Client {
    agent: ureq::Agent,
    connection: Connection,
}

impl Client {
    /// A client for this connection; nothing is sent yet.
    ///
    /// # Errors
    /// [`CallError::BadUrl`] when the address cannot be one.
    pub fn new(connection: Connection) -> Result<Self, CallError> {
        check_url(&connection.url)?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(CALL))
            .max_redirects(0)
            .max_redirects_will_error(false)
            // The server is ours and mostly on this machine: a proxy of the environment, which
            // ureq takes by default, would see the token.
            .proxy(None)
            .user_agent(concat!("goaround/", env!("CARGO_PKG_VERSION")));
        Ok(Self {
            agent: config.build().into(),
            connection,
        })
    }

    /// Where it calls.
    pub fn url(&self) -> &str {
        &self.connection.url
    }

    /// Gets a document; `path` begins after `/api/v1/`.
    ///
    /// # Errors
    /// [`CallError`] when there is no good answer.
    pub fn get(&self, path: &str) -> Result<Json, CallError> {
        self.call("GET", path, Body::Empty)
    }

    /// Sends a document and reads the answer; `path` begins after `/api/v1/`.
    ///
    /// # Errors
    /// [`CallError`] when there is no good answer.
    pub fn post(&self, path: &str, body: Body<'_>) -> Result<Json, CallError> {
        self.call("POST", path, body)
    }

    /// Any call; `path` begins after `/api/v1/`.
    ///
    /// # Errors
    /// [`CallError`] when there is no good answer.
    pub fn call(&self, method: &str, path: &str, body: Body<'_>) -> Result<Json, CallError> {
        let text = self.raw(method, path, body)?;
        serde_json::from_str(&text).map_err(|error| CallError::Foreign {
            url: self.connection.url.clone(),
            what: format!("expected JSON, {error}"),
        })
    }

    /// Any call, with the answer as it came; a `path` that begins with a slash is the server's own,
    /// with or without `/api/v1` in it.
    ///
    /// # Errors
    /// [`CallError`] when there is no good answer.
    pub fn raw(&self, method: &str, path: &str, body: Body<'_>) -> Result<String, CallError> {
        let sent = match body {
            Body::Empty if method == "GET" || method == "HEAD" => {
                self.agent.run(self.request(method, path, None, ())?)
            }
            Body::Empty => self.send(method, path, None, b"")?,
            Body::Json(text) => {
                self.send(method, path, Some("application/json"), text.as_bytes())?
            }
            Body::Lines(lines) => self.send(method, path, Some("application/x-ndjson"), lines)?,
        };
        let mut answer = sent.map_err(|error| self.unheard(&error))?;
        let status = answer.status().as_u16();
        let reader = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let text = reader
            .read_to_string()
            .map_err(|error| self.unheard(&error))?;
        if (200..300).contains(&status) {
            return Ok(text);
        }
        Err(self.problem(status, &text))
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<Result<http::Response<ureq::Body>, ureq::Error>, CallError> {
        let request = self.request(method, path, content_type, body)?;
        Ok(self.agent.run(request))
    }

    fn request<B>(
        &self,
        method: &str,
        path: &str,
        content_type: Option<&str>,
        body: B,
    ) -> Result<http::Request<B>, CallError> {
        let url = self.connection.url.trim_end_matches('/');
        let uri = match path.starts_with('/') {
            true => format!("{url}{path}"),
            false => format!("{url}/api/v1/{path}"),
        };
        let mut request = http::Request::builder().method(method).uri(&uri);
        request = request.header("Accept", "application/json, application/problem+json");
        request = request.header("Goaround-By", header_text(&self.connection.by));
        if let Some(content_type) = content_type {
            request = request.header("Content-Type", content_type);
        }
        if let Some(token) = &self.connection.token {
            request = request.header("Authorization", format!("Bearer {}", token.reveal()));
        }
        // The error would repeat a header that may hold the token.
        request.body(body).map_err(|_| CallError::BadUrl {
            expected: "an address, a method, a path and a token that HTTP can carry",
            got: format!("{method} {uri}"),
        })
    }

    fn unheard(&self, error: &ureq::Error) -> CallError {
        let url = self.connection.url.clone();
        let why = error.to_string();
        match error {
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve)
            | ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed => CallError::Unreachable { url, why },
            ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
                CallError::Unreachable { url, why }
            }
            ureq::Error::Timeout(_) => CallError::TimedOut { url },
            ureq::Error::Io(_) => CallError::Unanswered { url, why },
            _ => CallError::Foreign { url, what: why },
        }
    }

    fn problem(&self, status: u16, text: &str) -> CallError {
        let json: Json = serde_json::from_str(text).unwrap_or_default();
        let member = |name: &str| json[name].as_str().map(str::to_owned);
        // `why` is the detail without the remedy in it.
        let detail = member("why").or_else(|| member("detail"));
        let Some(detail) = detail.or_else(|| member("title")) else {
            return CallError::Foreign {
                url: self.connection.url.clone(),
                what: format!(
                    "HTTP status {status} without a problem document, {:?}",
                    text.lines()
                        .next()
                        .unwrap_or_default()
                        .chars()
                        .take(120)
                        .collect::<String>()
                ),
            };
        };
        CallError::Problem(Problem {
            status,
            kind: member("type").unwrap_or_default(),
            detail,
            remedy: member("remedy"),
            members: json,
        })
    }
}

fn check_url(url: &str) -> Result<(), CallError> {
    let bad = |expected| {
        let got = url.chars().take(120).collect();
        Err(CallError::BadUrl { expected, got })
    };
    if url.starts_with("https://") {
        return bad("an address that begins with http://; https is not available in this version");
    }
    let parsed = url.parse::<http::Uri>();
    let is_good = url.starts_with("http://")
        && parsed.is_ok_and(|uri| uri.query().is_none() && uri.authority().is_some());
    match is_good {
        true => Ok(()),
        false => bad("an address such as http://127.0.0.1:7878"),
    }
}

/// What a header can carry of a name.
fn header_text(text: &str) -> String {
    let shown = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ');
    shown.take(64).collect()
}

/// Writes one segment of a path, or one value of a query, so that nothing in it has a meaning.
pub fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_one_is_refused_before_anything_is_sent() {
        for url in [
            "127.0.0.1:7878",
            "ftp://x",
            "http://",
            "http://a b",
            "",
            "https://x",
        ] {
            assert!(check_url(url).is_err(), "{url}");
        }
        assert_eq!(check_url("http://127.0.0.1:7878"), Ok(()));
        assert_eq!(check_url("http://box/base/"), Ok(()));
    }

    #[test]
    fn nothing_in_a_value_has_a_meaning() {
        assert_eq!(
            encode("is:waiting -key:a&b/ü"),
            "is%3Awaiting%20-key%3Aa%26b%2F%C3%BC"
        );
    }

    #[test]
    fn a_name_is_made_fit_for_a_header() {
        assert_eq!(header_text("ana\r\nX: y ü"), "anaX: y ");
    }
}
