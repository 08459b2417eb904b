//! One grammar to pick tickets and reports by, for the command line, the API and the viewer.
//!
//! ```text
//! query  = term *( space term )              all of them must hold
//! term   = ["-"] ( key op values / free / group )
//! op     = ":" / ":>" / ":>=" / ":<" / ":<="
//! values = value *( "," value )              one of them must hold
//! value  = word / quoted / word"*" / quoted"*" / word".."word / "~"quoted
//! free   = word / quoted                     text that occurs somewhere
//! group  = "(" query *( "OR" query ) ")"     one of them must hold
//! ```
//!
//! Inside quotes, `\"` and `\\` stand for the quote and the backslash; before anything else a
//! backslash is one. What follows `~` is a regular expression, see [`Regex`]. A key that is not
//! known is an error that names the nearest one, never silently free text.

mod check;
mod compare;
mod data_path;
mod facts;
mod parse;
mod print;
mod regex;
mod rows;
#[cfg(test)]
mod tests;

pub use compare::{parse_since, version_order};
pub use data_path::DataPath;
pub use facts::Facts;
pub use parse::BadQuery;
pub use regex::Regex;
pub use rows::{Rows, Unfit};

/// A parsed filter. The empty one picks everything.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Query {
    /// All of these must hold.
    pub all: Vec<Term>,
}

impl Query {
    /// The longest text of a query, in bytes.
    pub const BYTES_MAX: usize = 4_096;
    /// The most conditions in one query; each value of a list counts.
    pub const TERMS_MAX: usize = 64;
    /// The most regular expressions in one query.
    pub const REGEXES_MAX: usize = 8;
    /// How deep negations and groups may nest.
    pub const DEPTH_MAX: usize = 8;

    /// The query that picks everything.
    pub const fn everything() -> Self {
        Self { all: Vec::new() }
    }

    /// The words that it wants of the field, each where it wants just that one.
    pub fn words_of(&self, wanted: Field) -> impl Iterator<Item = &str> {
        self.all.iter().filter_map(move |term| match term {
            Term::Field {
                field,
                op: Op::Is,
                values,
            } if *field == wanted => match values.as_slice() {
                [Pattern::Exact(word)] => Some(word.as_str()),
                _ => None,
            },
            _ => None,
        })
    }
}

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    /// The inner condition must not hold.
    Not(Box<Term>),
    /// At least one of these must hold; each is a conjunction.
    /// A group without alternatives, which only code can make, holds for nothing.
    Any(Vec<Query>),
    /// A field compares so with at least one of the values.
    Field {
        /// Which field.
        field: Field,
        /// How it compares.
        op: Op,
        /// With which values; at least one.
        values: Vec<Pattern>,
    },
    /// What a ticket carries compares so, at this place, with at least one of the values.
    Data {
        /// Where.
        path: DataPath,
        /// How it compares.
        op: Op,
        /// With which values; at least one.
        values: Vec<Pattern>,
    },
    /// The text occurs somewhere: in type, value, trace and log tail of a report; in id, kind, key
    /// and payload of a ticket. Case does not matter.
    Free(String),
}

/// How a field compares with a value. Anything but [`Op::Is`] is for numbers, times and versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `key:value`
    Is,
    /// `key:>value`
    Over,
    /// `key:>=value`
    AtLeast,
    /// `key:<value`
    Under,
    /// `key:<=value`
    AtMost,
}

/// A value to compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// The whole value; case matters.
    Exact(String),
    /// `word*`: what begins so; `*` alone is any value that is there.
    Prefix(String),
    /// `a..b`: between the two, both included; for numbers, times and versions.
    Range(String, String),
    /// `~"…"`: what the expression finds something in; for text and versions.
    Regex(Regex),
}

/// What can be asked about a ticket or a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// `is:` of a ticket its state or why it waits: `is:waiting`, `is:backoff`, `is:live` (not
    /// ended), `is:ended`. Of a report how the attempt ended: `is:crashed`, `is:panic`,
    /// `is:handled` (the handler said so itself).
    Is,
    /// `id:` of the ticket, or of the report.
    Id,
    /// `ticket:` the report's ticket, or the ticket itself.
    Ticket,
    /// `group:` the signature of a report; of a ticket the one that it is held for. `signature:`
    /// is read as well.
    Group,
    /// `stage:`, whose queue has the same name, so that `queue:` is read as well.
    Stage,
    /// `flow:`; `pipeline:` is read as well.
    Flow,
    /// `kind:`
    Kind,
    /// `key:`
    Key,
    /// `type:` the report's error class.
    Type,
    /// `value:` the report's message.
    Value,
    /// `frame:` a function of the report's trace, `app::work`, in the root cause or any other.
    Frame,
    /// `file:` of such a function, by its name or its whole path.
    File,
    /// `version:` of the component that last had it.
    Version,
    /// `host:`
    Host,
    /// `worker:` the process that had it.
    Worker,
    /// `trace:` the trace id.
    Trace,
    /// `attempts:` how many.
    Attempts,
    /// `created:` when it was accepted: `created:-1h` (in the last hour), `created:>2026-11-01`,
    /// `created:2026-11-01..2026-11-03`.
    Created,
    /// `since:` when it came to where it is; for a report, when it happened.
    Since,
    /// `seen:` the same as `since`.
    Seen,
    /// `parked:` since when the ticket is parked.
    Parked,
    /// `by:` whom the ticket was dropped.
    By,
    /// `src:` who told of it: worker, supervisor, launcher, controller.
    Src,
}

/// How the values of a field compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// One of a closed set of words; only equality.
    Words,
    /// The id of a ticket, a report or a group, kept in its canonical spelling; equality and
    /// prefixes.
    Ids,
    /// Text that the user chose; equality and prefixes.
    Text,
    /// Numbers, in their order.
    Numbers,
    /// Points in time, in their order; see [`Pattern::period`].
    Times,
    /// Dotted numbers in semantic order, anything else as text.
    Versions,
    /// What a ticket carries: as text, and where an order is asked for as numbers.
    Data,
}

impl Scale {
    /// Whether `<`, `>` and ranges mean something.
    pub const fn is_ordered(self) -> bool {
        match self {
            Self::Numbers | Self::Times | Self::Versions | Self::Data => true,
            Self::Words | Self::Ids | Self::Text => false,
        }
    }
}

impl Field {
    /// All of them, in the order in which help shows them.
    pub const ALL: [Self; 23] = [
        Self::Is,
        Self::Id,
        Self::Ticket,
        Self::Group,
        Self::Stage,
        Self::Flow,
        Self::Kind,
        Self::Key,
        Self::Type,
        Self::Value,
        Self::Frame,
        Self::File,
        Self::Version,
        Self::Host,
        Self::Worker,
        Self::Trace,
        Self::Attempts,
        Self::Created,
        Self::Since,
        Self::Seen,
        Self::Parked,
        Self::By,
        Self::Src,
    ];

    /// The key that users write before the colon.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Is => "is",
            Self::Id => "id",
            Self::Ticket => "ticket",
            Self::Group => "group",
            Self::Stage => "stage",
            Self::Flow => "flow",
            Self::Kind => "kind",
            Self::Key => "key",
            Self::Type => "type",
            Self::Value => "value",
            Self::Frame => "frame",
            Self::File => "file",
            Self::Version => "version",
            Self::Host => "host",
            Self::Worker => "worker",
            Self::Trace => "trace",
            Self::Attempts => "attempts",
            Self::Created => "created",
            Self::Since => "since",
            Self::Seen => "seen",
            Self::Parked => "parked",
            Self::By => "by",
            Self::Src => "src",
        }
    }

    /// The field that users call by this key, or by another name that it has.
    pub fn parse(key: &str) -> Option<Self> {
        match key {
            "pipeline" => Some(Self::Flow),
            "queue" => Some(Self::Stage),
            "signature" => Some(Self::Group),
            _ => Self::ALL.into_iter().find(|field| field.key() == key),
        }
    }

    /// How its values compare.
    pub const fn scale(self) -> Scale {
        match self {
            Self::Is | Self::Src => Scale::Words,
            Self::Id | Self::Ticket | Self::Group => Scale::Ids,
            Self::Stage
            | Self::Flow
            | Self::Kind
            | Self::Key
            | Self::Type
            | Self::Value
            | Self::Frame
            | Self::File
            | Self::Host
            | Self::Worker
            | Self::Trace
            | Self::By => Scale::Text,
            Self::Version => Scale::Versions,
            Self::Attempts => Scale::Numbers,
            Self::Created | Self::Since | Self::Seen | Self::Parked => Scale::Times,
        }
    }
}

impl Op {
    /// What stands between key and value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Is => ":",
            Self::Over => ":>",
            Self::AtLeast => ":>=",
            Self::Under => ":<",
            Self::AtMost => ":<=",
        }
    }
}
