//! Who may ask. Three questions, in this order: is it our host name (or a page that has rebound a
//! name to us), is it our own page that wants to change something, and does the client know the
//! token.

use crate::config::{Config, Token};
use crate::problem::{Kind, Problem};
use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderName};
use actix_web::http::{Method, uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::ports::Clock;
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;

/// What is served to everybody: whether we live says nothing about anybody's work.
const OPEN: [&str; 2] = ["/livez", "/readyz"];
/// What is served to those who still have to give the token.
const OPEN_TO_LOG_IN: [&str; 2] = ["/login", "/assets/"];

/// The cookie that stands for the token in a browser.
pub(crate) const COOKIE: &str = "goaround_session";

/// Who may ask.
pub(crate) struct Gate {
    listen: IpAddr,
    token: Option<Hash>,
    session: String,
    form: String,
}

type Hash = [u8; 32];

impl Gate {
    pub(crate) fn new(config: &Config, clock: &dyn Clock) -> Self {
        let secret = config.token.as_ref().map_or(&b""[..], Token::expose);
        // Two ids have 148 random bits, more than anybody guesses while we run.
        let chance = [clock.ticket_id().to_string(), clock.ticket_id().to_string()].concat();
        Self {
            listen: config.listen.ip(),
            token: config.token.as_ref().map(|token| hash(&[token.expose()])),
            session: hex(&hash(&[b"goaround session", secret])),
            form: hex(&hash(&[b"goaround form", secret, chance.as_bytes()])),
        }
    }

    /// Lets the request pass, or says why not.
    pub(crate) fn admit(&self, request: &HttpRequest) -> Result<(), Problem> {
        if OPEN.contains(&request.path()) {
            return Ok(());
        }
        if self.token.is_none() {
            self.check_host(request)?;
        }
        check_origin(request)?;
        if OPEN_TO_LOG_IN
            .iter()
            .any(|open| request.path().starts_with(open))
        {
            return Ok(());
        }
        self.check_token(request)
    }

    /// Whether a token must be given at all.
    pub(crate) const fn is_locked(&self) -> bool {
        self.token.is_some()
    }

    /// The cookie's value for a client that gave this token, if it is the right one.
    pub(crate) fn session_for(&self, token: &str) -> Option<&str> {
        let expected = self.token.as_ref()?;
        is_same(expected, &hash(&[token.as_bytes()])).then_some(self.session.as_str())
    }

    /// What our own forms carry, so that nobody else's can be sent in their place.
    pub(crate) fn form_token(&self) -> &str {
        &self.form
    }

    /// Whether a form is one of ours.
    pub(crate) fn check_form(&self, token: &str) -> Result<(), Problem> {
        if is_same(&hash(&[token.as_bytes()]), &hash(&[self.form.as_bytes()])) {
            return Ok(());
        }
        let why = "the form is from before the last restart or from another site; go back, \
            load the page again and send it once more";
        Err(Problem::new(Kind::CrossSite, why))
    }

    /// Without a token, only a name that cannot be anybody else's: a page on the web could make its
    /// own name lead to us (DNS rebinding), but cannot change what the browser says in `Host`.
    fn check_host(&self, request: &HttpRequest) -> Result<(), Problem> {
        let said = text(request, &header::HOST).unwrap_or_default();
        let name = host_name(said);
        let is_ours = match name.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback() || ip == self.listen,
            Err(_) => name.eq_ignore_ascii_case("localhost"),
        };
        if is_ours {
            return Ok(());
        }
        let said: String = said.chars().take(80).collect();
        let why = format!(
            "expected a loopback address or localhost in the Host header, got {said:?}; to be \
            reached under other names, configure a token"
        );
        Err(Problem::new(Kind::HostNotAllowed, why))
    }

    fn check_token(&self, request: &HttpRequest) -> Result<(), Problem> {
        let Some(expected) = &self.token else {
            return Ok(());
        };
        let given = text(request, &header::AUTHORIZATION).and_then(given);
        let by_header = given.is_some_and(|it| is_same(expected, &hash(&[&it])));
        let by_cookie = cookie(request)
            .is_some_and(|it| is_same(&hash(&[it.as_bytes()]), &hash(&[self.session.as_bytes()])));
        match by_header || by_cookie {
            true => Ok(()),
            false => Err(Problem::new(
                Kind::Unauthorized,
                "expected the header Authorization: Bearer with the configured token, or Basic \
                 with the token as the password of any user",
            )),
        }
    }
}

/// Browsers say where a request comes from; other clients say nothing and are let pass, since
/// nobody can make them ask behind their owner's back.
fn check_origin(request: &HttpRequest) -> Result<(), Problem> {
    let reads_only = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if reads_only {
        return Ok(());
    }
    let site = text(request, &HeaderName::from_static("sec-fetch-site"));
    let host = text(request, &header::HOST).unwrap_or_default();
    let is_foreign = match text(request, &header::ORIGIN) {
        Some(origin) => !is_origin_of(origin, host),
        None => false,
    };
    if site != Some("cross-site") && !is_foreign {
        return Ok(());
    }
    let why = "the request comes from a page of another site; use the viewer or the command line";
    Err(Problem::new(Kind::CrossSite, why))
}

fn is_origin_of(origin: &str, host: &str) -> bool {
    let Ok(origin) = origin.parse::<uri::Uri>() else {
        return false;
    };
    origin
        .authority()
        .is_some_and(|authority| authority.as_str().eq_ignore_ascii_case(host))
}

/// The host without its port: `[::1]:80` is `::1`.
fn host_name(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

fn text<'r>(request: &'r HttpRequest, name: &HeaderName) -> Option<&'r str> {
    request.headers().get(name)?.to_str().ok()
}

/// The token that the header gives: as it is, or as the password of any user.
fn given(value: &str) -> Option<Vec<u8>> {
    let (scheme, said) = value.split_once(' ')?;
    let said = said.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(said.into());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = STANDARD.decode(said).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(pair[colon + 1..].to_vec())
}

fn cookie(request: &HttpRequest) -> Option<&str> {
    let headers = request.headers().get_all(header::COOKIE);
    let mut pairs = headers
        .filter_map(|value| value.to_str().ok())
        .flat_map(|it| it.split(';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    })
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Takes the same time wherever the first difference is.
fn is_same(left: &Hash, right: &Hash) -> bool {
    let difference = left.iter().zip(right).fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
