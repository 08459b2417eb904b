//! The URL of a broker: read, or refused with the part of it that is wrong. Never its password.

use crate::config::BadConfig;
use lapin::uri::AMQPUri;

/// What the URL of a broker looks like.
const URL: &str = "amqp://USER:PASSWORD@HOST:PORT/VHOST or amqps://..., the vhost / written as %2f";
/// What may stand behind its `?`.
const PARAMETERS: &str = "no parameter but auth_mechanism, channel_max, frame_max and heartbeat";
const MECHANISMS: [&str; 5] = [
    "amqplain",
    "anonymous",
    "external",
    "plain",
    "rabbit-cr-demo",
];
/// The longest part that is repeated, in characters.
const SHOWN_MAX: usize = 60;

/// Reads the URL of a broker. No virtual host means `/`.
///
/// # Errors
/// [`BadConfig`] with the part that is wrong.
pub(crate) fn parse(url: &str) -> Result<AMQPUri, BadConfig> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    let Some("amqp" | "amqps") = scheme else {
        let scheme = scheme.filter(|scheme| scheme.bytes().all(|byte| byte.is_ascii_alphabetic()));
        let got = scheme.map_or("no scheme".into(), |scheme| format!("\"{scheme}://...\""));
        return Err(bad(URL, got));
    };
    let parts = Parts::of(url);
    if let Some((expected, got)) = parts.flaw() {
        return Err(bad(expected, parts.shown(got)));
    }
    let mut uri: AMQPUri = url.parse().map_err(|_| {
        let got = "one that cannot be read; write special characters of user and password as %XX";
        bad(URL, got.into())
    })?;
    if let Some(host) = parts.bracketed_host() {
        uri.authority.host = host.to_owned();
    }
    // `amqp://host/` names a virtual host without a name, which nobody has; they mean the default.
    if uri.vhost.is_empty() {
        uri.vhost = "/".to_owned();
    }
    Ok(uri)
}

fn bad(expected: &'static str, got: String) -> BadConfig {
    BadConfig {
        key: "broker.url",
        expected,
        got,
    }
}

/// The pieces of a URL, as they stand there.
struct Parts<'a> {
    /// Whether there is an `@` before the host.
    has_user: bool,
    /// Host and port.
    place: &'a str,
    /// What is behind host and port.
    rest: &'a str,
}

/// What was expected, and what was found instead.
type Flaw<'a> = (&'static str, &'a str);

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Self {
        let (_, after) = url.split_once("://").unwrap_or_default();
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        let (authority, rest) = after.split_at(end);
        let (has_user, place) = match authority.rsplit_once('@') {
            Some((_, place)) => (true, place),
            None => (false, authority),
        };
        Self {
            has_user,
            place,
            rest,
        }
    }

    /// A part that is wrong. Where one is not, the library may still say that it is.
    fn flaw(&self) -> Option<Flaw<'a>> {
        let (before, fragment) = cut(self.rest, '#');
        let (path, query) = cut(before, '?');
        let vhost = path.strip_prefix('/').unwrap_or_default();
        let is_nowhere = self.place.is_empty() && !self.has_user; // The library takes localhost.
        if self.host().is_empty() && !is_nowhere {
            Some(("a host before port and virtual host", ""))
        } else if let Some(port) = self.port().filter(|port| !is_positive(port)) {
            Some(("a port of 1 to 65535 behind the host", port))
        } else if fragment.is_some() {
            Some(("no #, which is written as %23", "#"))
        } else if !is_encoded(vhost) {
            Some(("a virtual host with % only as in %2f", vhost))
        } else {
            query?.split('&').find_map(parameter)
        }
    }

    fn host(&self) -> &'a str {
        let bracketed = self.bracketed_host();
        bracketed.unwrap_or_else(|| cut(self.place, ':').0)
    }

    fn port(&self) -> Option<&'a str> {
        let after_host = match self.place.split_once(']') {
            Some((_, after)) => after,
            None => self.place,
        };
        let (_, port) = after_host.split_once(':')?;
        (!port.is_empty()).then_some(port)
    }

    /// An IPv6 address, which lapin's parser takes for no host at all and replaces by localhost.
    fn bracketed_host(&self) -> Option<&'a str> {
        let (host, _) = self.place.strip_prefix('[')?.split_once(']')?;
        Some(host)
    }

    /// A part as a message repeats it. What looks like a port, a virtual host or a parameter can be
    /// the password: it ends early at a `/`, `?` or `#` that is not encoded, and without an `@`
    /// `USER:PASSWORD` looks like `HOST:PORT`.
    fn shown(&self, part: &str) -> String {
        if self.rest.contains('@') {
            return "(hidden); write / ? # and @ of user and password as %2f %3f %23 and %40"
                .into();
        }
        let is_number = part.len() <= 5 && part.bytes().all(|byte| byte.is_ascii_digit());
        let may_be_password = !self.has_user && self.port() == Some(part) && !is_number;
        match may_be_password {
            true => "(hidden)".into(),
            false => format!("{:?}", part.chars().take(SHOWN_MAX).collect::<String>()),
        }
    }
}

/// What is before the first `at`, and what is behind it if it is there.
fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn is_positive(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Whether each `%` has two hexadecimal digits behind it.
fn is_encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        let digits = after.bytes().take(2);
        digits.filter(u8::is_ascii_hexdigit).count() == 2
    })
}

/// What is wrong with one `name=value` of the query.
fn parameter(pair: &str) -> Option<Flaw<'_>> {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    let (is_fine, expected) = match name {
        "heartbeat" => (
            is_positive(value),
            "a heartbeat of 1 to 65535 s: without one nobody notices a broker that is cut off",
        ),
        "channel_max" => (value.parse::<u16>().is_ok(), "a channel_max of 0 to 65535"),
        "frame_max" => (
            value.parse::<u32>().is_ok(),
            "a frame_max of 0 to 4294967295 bytes",
        ),
        "auth_mechanism" => (
            MECHANISMS.contains(&value.to_lowercase().as_str()),
            "an auth_mechanism of plain, amqplain, external, anonymous or rabbit-cr-demo",
        ),
        // Only the name: its value may be a password.
        _ => return Some((PARAMETERS, name)),
    };
    (!is_fine).then_some((expected, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(url: &str) -> String {
        parse(url).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_the_url_of_a_broker_is_refused_without_showing_the_password() {
        for url in [
            "",
            "localhost",
            "http://u:geheim@h/",
            "u:geheim://h",
            "amqp:geheim",
            "amqp://u:geheim@h:notaport/",
            "amqp://u:geheim@h:99999",
            "amqp://u:geheim@",
            "amqp://u:geheim@/vhost",
            "amqp://u:geheim",
            "amqp://u:geheim/1@h",
            "amqp://u:1/%geheim@h",
            "amqp://u:1?geheim@h",
            "amqp://u:1?heartbeat=geheim@h",
            "amqp://u:1#geheim@h",
            "amqp://u:geheim@h^/",
            "amqp://u:geheim@h/?password=geheim",
            "amqp://u:geheim@h/?heartbeats=3",
            "amqp://u:geheim@h/?heartbeat=0",
            "amqp://u:geheim@h/?heartbeat=often",
            "u:geheim@h",
        ] {
            let error = said(url);
            assert!(error.starts_with("broker.url: expected "), "{error}");
            assert!(!error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn the_part_that_is_wrong_is_named_and_shown() {
        for (url, says) in [
            (
                "amqp://u:p@h:x",
                "a port of 1 to 65535 behind the host, got \"x\"",
            ),
            (
                "amqp://h:99999",
                "a port of 1 to 65535 behind the host, got \"99999\"",
            ),
            (
                "amqp://u:p@[::1]:0/v",
                "a port of 1 to 65535 behind the host, got \"0\"",
            ),
            (
                "amqp://u:p@h:1/v#w",
                "no #, which is written as %23, got \"#\"",
            ),
            (
                "amqp://u:p@/v",
                "a host before port and virtual host, got \"\"",
            ),
            ("amqp://:1/v", "a host before port"),
            (
                "amqp://h/%zz",
                "a virtual host with % only as in %2f, got \"%zz\"",
            ),
            (
                "amqp://h/a%2",
                "a virtual host with % only as in %2f, got \"a%2\"",
            ),
            (
                "amqp://h?heartbeat=abc",
                "nobody notices a broker that is cut off, got \"abc\"",
            ),
            ("amqp://h?bogus=1", "and heartbeat, got \"bogus\""),
            (
                "amqp://h?channel_max=70000",
                "a channel_max of 0 to 65535, got \"70000\"",
            ),
            (
                "amqp://h/v?auth_mechanism=magic",
                "or rabbit-cr-demo, got \"magic\"",
            ),
            (
                "amqp://u:a/b@h",
                "got (hidden); write / ? # and @ of user and password as %2f",
            ),
            ("rabbit:5672", "as %2f, got no scheme"),
            ("http://h", "as %2f, got \"http://...\""),
        ] {
            let error = said(url);
            assert!(error.contains(says), "{url}: {error}");
        }
    }

    #[test]
    fn what_a_virtual_host_and_a_parameter_may_be_is_taken() {
        for url in [
            "amqp://u:p%40@h:1/%2f?heartbeat=5&channel_max=9&frame_max=131072",
            "amqps://h:/a%20b?auth_mechanism=EXTERNAL",
            "amqp://h/team@home",
        ] {
            assert!(parse(url).is_ok(), "{url}");
        }
    }
}
