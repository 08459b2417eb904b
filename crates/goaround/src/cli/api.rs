//! `goaround api`: any call, for what has no verb of its own.

use super::failure::{Code, Failure};
use super::terminal::Terminal;
use crate::client::{Body, Client};
use clap::Args;
use std::borrow::Cow;
use std::io::Read;
use std::process::ExitCode;

/// The longest body that is read from standard input.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// Call the HTTP API and print the answer as it comes
#[derive(Args)]
#[command(before_help = "Example:\n  goaround api GET books\n  goaround api GET /metrics")]
pub(super) struct Api {
    /// GET, POST and so on
    #[arg(value_parser = method)]
    method: String,
    /// The path, with or without /api/v1/; or /metrics, /openapi.json, /livez, /readyz
    path: String,
    /// A JSON body; - reads it from standard input
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    data: Option<String>,
}

/// The methods that HTTP has for calls like ours; the server says which it takes where.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

fn method(text: &str) -> Result<String, String> {
    let method = text.to_uppercase();
    match METHODS.contains(&&*method) {
        true => Ok(method),
        false => Err(format!("expected one of {}", METHODS.join(", "))),
    }
}

impl Api {
    pub(super) fn run(self, client: &Client, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        let method = self.method;
        let path = served_at(&self.path);
        if self.data.is_some() && matches!(method.as_str(), "GET" | "HEAD") {
            let message =
                format!("--data: expected POST or another method with a body, got {method}");
            return Err(Failure::new(Code::Usage, message));
        }
        let body = match self.data.as_deref() {
            Some("-") => Some(standard_input()?),
            Some(text) => Some(text.to_owned()),
            None => None,
        };
        let body = body.as_deref().map_or(Body::Empty, Body::Json);
        let answer = client.raw(&method, &path, body)?;
        terminal.print(answer.trim_end_matches('\n'))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Where a path leads: what begins with `/api/`, or is served beside the API, is taken as it is;
/// anything else, with a slash before it or without, is the API's.
fn served_at(path: &str) -> Cow<'_, str> {
    let is_api = path.trim_start_matches('/').starts_with("api/");
    let place = path.split(['?', '#']).next().unwrap_or_default();
    match path.strip_prefix('/') {
        Some(_) if is_api || web::is_beside_api(place) => path.into(),
        None if is_api => format!("/{path}").into(),
        Some(_) | None => path.trim_start_matches('/').into(),
    }
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    let limited = std::io::stdin().lock().take(BODY_BYTES_MAX + 1);
    let mut limited = limited;
    limited.read_to_string(&mut text)?;
    if text.len() as u64 > BODY_BYTES_MAX {
        let message = format!("--data: expected at most {BODY_BYTES_MAX} bytes, got more");
        return Err(Failure::new(Code::Usage, message));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_apis_unless_it_says_where_it_is() {
        for (path, expected) in [
            ("books", "books"),
            ("/books", "books"),
            ("tickets?filter=is:live", "tickets?filter=is:live"),
            ("/tickets?filter=/metrics", "tickets?filter=/metrics"),
            ("openapi.json", "openapi.json"),
            ("api/v1/books", "/api/v1/books"),
            ("/api/v1/books", "/api/v1/books"),
            ("/api/v2/books", "/api/v2/books"),
            ("/openapi.json", "/openapi.json"),
            ("/metrics?x=1", "/metrics?x=1"),
            ("/livez", "/livez"),
            ("/readyz", "/readyz"),
            ("/", "/"),
        ] {
            assert_eq!(served_at(path), expected, "{path}");
        }
    }
}
