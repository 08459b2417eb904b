//! Where broker or store is: in the data folder, or a server at a URL whose password never shows.

use super::mask::{HIDDEN, names_secret};
use std::fmt;

/// Where a broker or store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// In the data folder.
    Embedded,
    /// A server.
    Server(ServerUrl),
}

/// The URL of a server. Shows itself without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(String);

impl ServerUrl {
    /// A URL of one of these schemes; `None` when it is not.
    pub(super) fn new(text: &str, schemes: &[&str]) -> Option<Self> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://")?;
        let fits = schemes.contains(&scheme) && !rest.is_empty();
        let is_clean = text.chars().all(|c| !c.is_control() && c != ' ');
        (fits && is_clean).then(|| Self(text.into()))
    }

    /// The whole URL, for the one place that connects.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The same with this password in place of any other.
    #[must_use]
    pub(super) fn with_password(&self, password: &str) -> Self {
        let (scheme, user, _, rest) = self.parts();
        let user = if user.is_empty() { "postgres" } else { user };
        Self(format!("{scheme}://{user}:{}@{rest}", encoded(password)))
    }

    /// Scheme, user, password if there is one, and everything after the `@`.
    fn parts(&self) -> (&str, &str, Option<&str>, &str) {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        match rest[..authority].rfind('@') {
            None => (scheme, "", None, rest),
            Some(at) => {
                let (who, rest) = (&rest[..at], &rest[at + 1..]);
                match who.split_once(':') {
                    Some((user, password)) => (scheme, user, Some(password), rest),
                    None => (scheme, who, None, rest),
                }
            }
        }
    }
}

/// Percent-encodes whatever could be taken for a part of the URL.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// What is behind the user, without what a query has that is a secret: `?password=…`.
fn shown(rest: &str) -> String {
    let Some((place, query)) = rest.split_once('?') else {
        return rest.to_owned();
    };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        // A name may be encoded as well.
        Some((name, _)) if names_secret(name) || name.contains('%') => format!("{name}={HIDDEN}"),
        _ => pair.to_owned(),
    });
    format!("{place}?{}", pairs.collect::<Vec<_>>().join("&"))
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            // A password with a `/`, `?` or `#` in it ends early for us, and not for everybody.
            (scheme, _, _, rest) if rest.contains('@') => write!(f, "{scheme}://{HIDDEN}"),
            (scheme, "", None, rest) => write!(f, "{scheme}://{}", shown(rest)),
            (scheme, user, None, rest) => write!(f, "{scheme}://{user}@{}", shown(rest)),
            (scheme, user, Some(_), rest) => {
                write!(f, "{scheme}://{user}:{HIDDEN}@{}", shown(rest))
            }
        }
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Server(url) => fmt::Display::fmt(url, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ServerUrl {
        ServerUrl::new(text, &["amqp", "postgres"]).unwrap()
    }

    #[test]
    fn a_password_never_shows() {
        for text in [
            "amqp://ann:hunter2@host/vhost",
            "amqp://ann:hun@ter2@host",
            "postgres://host/db?user=ann&password=hunter2",
            "amqp://:hunter2@host",
            "amqp://ann:1/hunter2@host",
            "postgres://ann:1?hunter2@host",
            "postgres://host/db?Pass%77ord=hunter2",
        ] {
            let shown = format!("{} {:?}", url(text), Backend::Server(url(text)));
            assert!(!shown.contains("ter2"), "{shown}");
        }
    }

    #[test]
    fn all_but_the_password_shows() {
        for (text, shown) in [
            ("amqp://ann:x@host/v", "amqp://ann:(hidden)@host/v"),
            (
                "postgres://host/db?password=x&sslmode=require",
                "postgres://host/db?password=(hidden)&sslmode=require",
            ),
        ] {
            assert_eq!(url(text).to_string(), shown);
        }
    }

    #[test]
    fn a_password_from_a_file_takes_the_place_of_any_other() {
        let given = url("amqp://ann:old@host:5672/%2f").with_password("p@ss/word");
        assert_eq!(given.reveal(), "amqp://ann:p%40ss%2Fword@host:5672/%2f");
        let given = url("postgres://ann@host/db").with_password("x");
        assert_eq!(given.reveal(), "postgres://ann:x@host/db");
    }

    #[test]
    fn other_schemes_and_plain_words_are_refused() {
        for text in ["http://host", "host:5672", "amqp://", "amqp://ho st"] {
            assert_eq!(ServerUrl::new(text, &["amqp"]), None, "{text}");
        }
    }
}
