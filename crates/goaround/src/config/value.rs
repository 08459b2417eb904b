//! The values that keys may have, and how they are read from a file, the environment or a flag.

use super::backend::{Backend, ServerUrl};
use super::mask;
use super::secret::Secret;
use super::size;
use domain::names;
use domain::time::{parse_duration, show_duration};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A version, as a component announces itself.
    Version,
    /// On or off; on also by a section, with these keys.
    Switch(&'static [&'static str]),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number, both ends included.
    Integer(u64, u64),
    /// A number, both ends included.
    Number(f64, f64),
    /// A length of time, both ends included.
    Duration(Duration, Duration),
    /// A size in bytes, both ends included.
    Size(u64, u64),
    /// An address and port to listen on.
    Address,
    /// A file, relative to the folder of the configuration.
    Path,
    /// Names of stages.
    Stages,
    /// Kinds of tickets.
    Kinds,
    /// A program and its arguments.
    Command,
    /// Variables of the environment: set, or inherited by name.
    Environment,
    /// Where broker or store is: `embedded`, or a URL of one of these schemes.
    Backend(&'static [&'static str]),
    /// A URL of one of these schemes.
    Url(&'static [&'static str]),
    /// A word that names of queues begin with.
    Prefix,
    /// A secret; never in the file.
    Secret,
}

/// What a variable of a handler's environment is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// This text; it may be a secret, so that it is never shown.
    Is(Secret),
    /// Whatever it is in the environment of `goaround` itself, if it is set there.
    Inherited,
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A word or text.
    Text(String),
    /// On or off.
    Switch(bool),
    /// A whole number.
    Integer(u64),
    /// A number.
    Number(f64),
    /// A length of time.
    Duration(Duration),
    /// A number of bytes.
    Size(u64),
    /// An address and port.
    Address(SocketAddr),
    /// A file.
    Path(PathBuf),
    /// Texts in order.
    List(Vec<String>),
    /// Variables.
    Environment(BTreeMap<String, Variable>),
    /// Where broker or store is.
    Backend(Backend),
    /// A secret.
    Secret(Secret),
}

impl fmt::Display for Value {
    /// As it would stand in the file, without what is or may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", quoted(mask::text(text))),
            Self::Switch(is_on) => write!(f, "{is_on}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number:?}"),
            Self::Duration(length) => write!(f, "{}", quoted(&show_duration(*length))),
            Self::Size(bytes) => write!(f, "{}", quoted(&size::show(*bytes))),
            Self::Address(address) => write!(f, "\"{address}\""),
            Self::Path(path) => write!(f, "{}", quoted(mask::text(&path.to_string_lossy()))),
            Self::List(texts) => {
                let texts: Vec<String> = mask::texts(texts).into_iter().map(quoted).collect();
                write!(f, "[{}]", texts.join(", "))
            }
            Self::Environment(variables) => {
                let shown = variables.iter().map(|(name, variable)| match variable {
                    Variable::Is(secret) => format!("{name} = \"{secret}\""),
                    Variable::Inherited => format!("{name} = true"),
                });
                write!(f, "{{ {} }}", shown.collect::<Vec<_>>().join(", "))
            }
            Self::Backend(backend) => write!(f, "{}", quoted(&backend.to_string())),
            Self::Secret(secret) => write!(f, "\"{secret}\""),
        }
    }
}

impl Value {
    /// As JSON: what is a number, a switch or a list in the file is one there too, and all else a
    /// text as it would stand in the file, without its quotes, and as little a secret.
    pub fn json(&self) -> Json {
        match self {
            Self::Switch(is_on) => (*is_on).into(),
            Self::Integer(number) => (*number).into(),
            Self::Number(number) => (*number).into(),
            Self::List(texts) => mask::texts(texts).into(),
            Self::Environment(variables) => {
                let shown = variables.iter().map(|(name, variable)| match variable {
                    Variable::Is(secret) => (name.clone(), Json::from(secret.to_string())),
                    Variable::Inherited => (name.clone(), true.into()),
                });
                Json::Object(shown.collect())
            }
            Self::Text(text) => mask::text(text).into(),
            Self::Duration(length) => show_duration(*length).into(),
            Self::Size(bytes) => size::show(*bytes).into(),
            Self::Address(address) => address.to_string().into(),
            Self::Path(path) => mask::text(&path.to_string_lossy()).into(),
            Self::Backend(backend) => backend.to_string().into(),
            Self::Secret(secret) => secret.to_string().into(),
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A value before it is understood.
#[derive(Clone, Copy)]
pub(super) enum Raw<'a, 'i> {
    /// From the file.
    Toml(&'a DeValue<'i>),
    /// From a variable or a flag.
    Text(&'a str),
}

impl Kind {
    /// What the key takes, in words.
    pub fn expected(&self) -> String {
        match self {
            Self::Version => "a version, 1 to 128 bytes without control characters".into(),
            Self::Switch(keys) => {
                format!("true or false, or a section with {}", keys.join(" and "))
            }
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Integer(min, max) => format!("{min}..={max}"),
            Self::Number(min, max) => format!("a number in {min}..={max}"),
            Self::Duration(min, max) => {
                let bounds = format!("in {}..={}", show_duration(*min), show_duration(*max));
                format!("a length of time such as 500ms, 30s, 5m, 2h or 7d {bounds}")
            }
            Self::Size(min, max) => {
                let bounds = format!("in {}..={}", size::show(*min), size::show(*max));
                format!("a size such as 64KiB, 1MiB or 2GiB {bounds}")
            }
            Self::Address => "an address and port such as \"127.0.0.1:7878\"".into(),
            Self::Path => "the path of a file".into(),
            Self::Stages => "a list of stages such as [\"build\", \"test\"]".into(),
            Self::Kinds => "a list of kinds such as [\"rust\", \"docs\"]".into(),
            Self::Command => {
                "a program and its arguments such as [\"./build.sh\", \"--quick\"]".into()
            }
            Self::Environment => {
                "variables such as { CI = \"1\", PATH = true } or names to inherit: [\"PATH\"]"
                    .into()
            }
            Self::Backend(schemes) => {
                let urls = schemes.iter().map(|scheme| format!("{scheme}://…"));
                format!("embedded or {}", urls.collect::<Vec<_>>().join(" or "))
            }
            Self::Url(schemes) => format!("a URL that begins with {}://", schemes.join(":// or ")),
            Self::Prefix => amqp::Names::PREFIX_IS.into(),
            Self::Secret => "no secret in the file; name a file that holds it".into(),
        }
    }

    /// Reads a value.
    ///
    /// # Errors
    /// What was expected, in words.
    pub(super) fn read(&self, raw: Raw<'_, '_>) -> Result<Value, String> {
        self.read_plain(raw).ok_or_else(|| self.expected())
    }

    fn read_plain(&self, raw: Raw<'_, '_>) -> Option<Value> {
        match self {
            Self::Switch(_) => switch(raw).map(Value::Switch),
            Self::Integer(min, max) => integer(raw)
                .filter(|number| (min..=max).contains(&number))
                .map(Value::Integer),
            Self::Number(min, max) => number(raw)
                .filter(|number| (min..=max).contains(&number))
                .map(Value::Number),
            Self::Size(min, max) => bytes(raw)
                .filter(|bytes| (min..=max).contains(&bytes))
                .map(Value::Size),
            Self::Stages => list(raw)
                .filter(|names| names.iter().all(|name| names::StageName::new(name).is_ok()))
                .map(Value::List),
            Self::Kinds => list(raw)
                .filter(|names| !names.is_empty())
                .filter(|names| names.iter().all(|name| names::Kind::new(name).is_ok()))
                .map(Value::List),
            Self::Command => list(raw)
                .filter(|words| words.first().is_some_and(|program| !program.is_empty()))
                .filter(|words| words.iter().all(|word| !word.contains('\0')))
                .map(Value::List),
            Self::Environment => environment(raw).map(Value::Environment),
            _ => self.read_text(text(raw)?, raw),
        }
    }

    fn read_text(&self, text: &str, raw: Raw<'_, '_>) -> Option<Value> {
        match self {
            Self::Duration(min, max) => {
                let length = parse_duration(text).ok()?;
                (min..=max)
                    .contains(&&length)
                    .then_some(Value::Duration(length))
            }
            Self::Address => address(text).map(Value::Address),
            Self::Version => {
                let version = names::Version::new(text).ok()?;
                Some(Value::Text(version.as_str().into()))
            }
            Self::Choice(words) => words.contains(&text).then(|| Value::Text(text.into())),
            Self::Backend(_) if text == "embedded" => Some(Value::Backend(Backend::Embedded)),
            Self::Backend(schemes) => {
                ServerUrl::new(text, schemes).map(|url| Value::Backend(Backend::Server(url)))
            }
            Self::Url(schemes) => {
                let url = ServerUrl::new(text, schemes)?;
                Some(Value::Text(url.reveal().trim_end_matches('/').into()))
            }
            Self::Prefix => {
                let names = amqp::Names::new(text).ok()?;
                Some(Value::Text(names.prefix().into()))
            }
            Self::Path => (!text.is_empty()).then(|| Value::Path(text.into())),
            Self::Secret => match raw {
                Raw::Text(text) if !text.is_empty() => Some(Value::Secret(Secret::new(text))),
                _ => None,
            },
            _ => None,
        }
    }
}

fn text<'a>(raw: Raw<'a, '_>) -> Option<&'a str> {
    match raw {
        Raw::Toml(value) => value.as_str(),
        Raw::Text(text) => Some(text.trim()),
    }
}

fn switch(raw: Raw<'_, '_>) -> Option<bool> {
    match raw {
        Raw::Toml(value) => value.as_bool(),
        Raw::Text(text) => text.trim().parse().ok(),
    }
}

fn integer(raw: Raw<'_, '_>) -> Option<u64> {
    match raw {
        Raw::Toml(value) => {
            let digits = value.as_integer()?;
            u64::from_str_radix(digits.as_str().trim_start_matches('+'), digits.radix()).ok()
        }
        Raw::Text(text) => text.trim().parse().ok(),
    }
}

fn number(raw: Raw<'_, '_>) -> Option<f64> {
    let exact: f64 = match raw {
        Raw::Toml(DeValue::Float(digits)) => digits.as_str().parse().ok()?,
        Raw::Toml(DeValue::Integer(digits)) => digits.as_str().parse().ok()?,
        Raw::Toml(_) => return None,
        Raw::Text(text) => text.trim().parse().ok()?,
    };
    exact.is_finite().then_some(exact)
}

fn bytes(raw: Raw<'_, '_>) -> Option<u64> {
    integer(raw).or_else(|| size::parse(text(raw)?))
}

fn address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}").parse().ok(),
        None => text.parse().ok(),
    }
}

/// A list of texts; from a variable also without brackets: `build,test`.
fn list(raw: Raw<'_, '_>) -> Option<Vec<String>> {
    match raw {
        Raw::Toml(value) => {
            let items = value.as_array()?.iter();
            items
                .map(|item| item.get_ref().as_str().map(str::to_owned))
                .collect()
        }
        Raw::Text(text) if text.trim_start().starts_with('[') => {
            let value = DeValue::parse(text.trim()).ok()?;
            list(Raw::Toml(value.get_ref()))
        }
        Raw::Text(text) => Some(
            text.split(',')
                .map(|item| item.trim().to_owned())
                .filter(|item| !item.is_empty())
                .collect(),
        ),
    }
}

fn environment(raw: Raw<'_, '_>) -> Option<BTreeMap<String, Variable>> {
    match raw {
        Raw::Toml(DeValue::Table(table)) => variables(table),
        Raw::Text(text) if text.trim_start().starts_with('{') => {
            let value = DeValue::parse(text.trim()).ok()?;
            environment(Raw::Toml(value.get_ref()))
        }
        _ => list(raw)?
            .into_iter()
            .map(|name| is_variable(&name).then_some((name, Variable::Inherited)))
            .collect(),
    }
}

fn variables(table: &DeTable<'_>) -> Option<BTreeMap<String, Variable>> {
    let variable = |(name, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
        let name = name.get_ref().as_ref();
        let value = match value.get_ref() {
            DeValue::String(text) if !text.contains('\0') => Variable::Is(Secret::new(&**text)),
            DeValue::Boolean(true) => Variable::Inherited,
            _ => return None,
        };
        is_variable(name).then(|| (name.to_owned(), value))
    };
    table.iter().map(variable).collect()
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !name.chars().any(char::is_control)
}
