//! One grammar to pick tickets and reports by, for the command line, the API and the viewer.
//!
//! ```text
//! query  = term *( space term )              all of them must hold
//! term   = ["-"] ( key op values / free / group )
//! op     = ":" / ":>" / ":>=" / ":<" / ":<="
//! values = value *( "," value )              one of them must hold
//! value  = word / quoted / word"*" / quoted"*" / word".."word
//! free   = word / quoted                     text that occurs somewhere
//! group  = "(" query *( "OR" query ) ")"     one of them must hold
//! ```
//!
//! Inside quotes, `\"` and `\\` stand for the quote and the backslash. A key that is not known is
//! an error that names the nearest one, never silently free text.

mod check;
mod compare;
mod facts;
mod parse;
mod print;
#[cfg(test)]
mod tests;

pub use compare::{parse_since, version_order};
pub use facts::{Facts, Rows};
pub use parse::BadQuery;

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
    /// How deep negations and groups may nest.
    pub const DEPTH_MAX: usize = 8;

    /// The query that picks everything.
    pub const fn everything() -> Self {
        Self { all: Vec::new() }
    }

    /// The first field that such rows never have. A condition on it would hold for none of them,
    /// and its negation for all, which nobody can have meant.
    pub fn unfit(&self, rows: Rows) -> Option<Field> {
        self.all.iter().find_map(|term| term.unfit(rows))
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
    /// The text occurs somewhere: in type, value, trace and log tail of a report; in id, kind, key
    /// and payload of a ticket. Case does not matter.
    Free(String),
}

impl Term {
    fn unfit(&self, rows: Rows) -> Option<Field> {
        match self {
            Self::Not(inner) => inner.unfit(rows),
            Self::Any(queries) => queries.iter().find_map(|query| query.unfit(rows)),
            Self::Field { field, .. } => Some(*field).filter(|field| !rows.have(*field)),
            Self::Free(_) => None,
        }
    }
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
}

/// What can be asked about a ticket or a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// `is:` a state, a wait's reason or an outcome: `is:waiting`, `is:backoff`, `is:crashed`,
    /// `is:live` (not ended), `is:ended`.
    Is,
    /// `id:` of the ticket, or of the report.
    Id,
    /// `ticket:` the report's ticket, or the ticket itself.
    Ticket,
    /// `stage:`
    Stage,
    /// `flow:`
    Flow,
    /// `kind:`
    Kind,
    /// `key:`
    Key,
    /// `type:` the report's error class.
    Type,
    /// `value:` the report's message.
    Value,
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
    /// `src:` who told of it: worker, supervisor, launcher, controller.
    Src,
}

/// How the values of a field compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// One of a closed set of words; only equality.
    Words,
    /// The id of a ticket or a report, kept in its canonical spelling; equality and prefixes.
    Ids,
    /// Text that the user chose; equality and prefixes.
    Text,
    /// Numbers, in their order.
    Numbers,
    /// Points in time, in their order; see [`Pattern::period`].
    Times,
    /// Dotted numbers in semantic order, anything else as text.
    Versions,
}

impl Scale {
    /// Whether `<`, `>` and ranges mean something.
    pub const fn is_ordered(self) -> bool {
        match self {
            Self::Numbers | Self::Times | Self::Versions => true,
            Self::Words | Self::Ids | Self::Text => false,
        }
    }
}

impl Field {
    /// All of them, in the order in which help shows them.
    pub const ALL: [Self; 18] = [
        Self::Is,
        Self::Id,
        Self::Ticket,
        Self::Stage,
        Self::Flow,
        Self::Kind,
        Self::Key,
        Self::Type,
        Self::Value,
        Self::Version,
        Self::Host,
        Self::Worker,
        Self::Trace,
        Self::Attempts,
        Self::Created,
        Self::Since,
        Self::Seen,
        Self::Src,
    ];

    /// The key that users write before the colon.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Is => "is",
            Self::Id => "id",
            Self::Ticket => "ticket",
            Self::Stage => "stage",
            Self::Flow => "flow",
            Self::Kind => "kind",
            Self::Key => "key",
            Self::Type => "type",
            Self::Value => "value",
            Self::Version => "version",
            Self::Host => "host",
            Self::Worker => "worker",
            Self::Trace => "trace",
            Self::Attempts => "attempts",
            Self::Created => "created",
            Self::Since => "since",
            Self::Seen => "seen",
            Self::Src => "src",
        }
    }

    /// The field that users call by this key.
    pub fn parse(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.key() == key)
    }

    /// How its values compare.
    pub const fn scale(self) -> Scale {
        match self {
            Self::Is | Self::Src => Scale::Words,
            Self::Id | Self::Ticket => Scale::Ids,
            Self::Stage
            | Self::Flow
            | Self::Kind
            | Self::Key
            | Self::Type
            | Self::Value
            | Self::Host
            | Self::Worker
            | Self::Trace => Scale::Text,
            Self::Version => Scale::Versions,
            Self::Attempts => Scale::Numbers,
            Self::Created | Self::Since | Self::Seen => Scale::Times,
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
