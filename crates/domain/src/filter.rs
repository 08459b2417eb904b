//! One grammar to pick tickets and reports by, for the command line, the API and the viewer.

/// A parsed filter. The empty one picks everything.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Query {
    /// All of these must hold.
    pub all: Vec<Term>,
}

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    /// The inner condition must not hold.
    Not(Box<Term>),
    /// At least one of these must hold; each is a conjunction.
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
    /// `word*`: what begins so.
    Prefix(String),
    /// `a..b`: between the two, both included.
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
    /// `src:` who told of it: worker, supervisor, controller.
    Src,
}
