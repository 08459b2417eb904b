//! The one table of keys: validation, defaults, schema, documentation and example come from it.

use super::value::Kind;
use std::time::Duration;

/// What holds when nobody sets a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// This value.
    Is(&'static str),
    /// Nothing; the text says what that means.
    Nothing(&'static str),
    /// It must be set.
    Required,
}

/// A key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its sections and its name with dots between; `*` stands for a name that the user chooses.
    pub path: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds when nobody sets it.
    pub preset: Preset,
    /// A value for the example, as it stands in the file.
    pub example: &'static str,
    /// What it is for.
    pub doc: &'static str,
}

const ZERO: Duration = Duration::ZERO;
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// More rows than this do not fit on a disk that somebody has.
const ROWS_MAX: u64 = 1_000_000_000;

/// All keys, section by section.
pub const KEYS: &[Key] = &[
    Key {
        path: "broker.url",
        kind: Kind::Backend(&["amqp", "amqps"]),
        preset: Preset::Is("embedded"),
        example: "\"embedded\"",
        doc: "Where the queues are. `embedded`: in the data folder; `amqp://…` or `amqps://…`: \
              on RabbitMQ 3.10 or newer, with the store on PostgreSQL.",
    },
    Key {
        path: "broker.password_file",
        kind: Kind::Path,
        preset: Preset::Nothing("the password of `broker.url`, if it has one"),
        example: "\"broker-password.txt\"",
        doc: "A file that holds the password for the broker.",
    },
    Key {
        path: "broker.prefix",
        kind: Kind::Prefix,
        preset: Preset::Is("goaround"),
        example: "\"goaround\"",
        doc: "What the names of exchanges and queues begin with, that of `oopses` only if it is not \
              `goaround`. Several installations can share a virtual host.",
    },
    Key {
        path: "broker.ack_timeout",
        kind: Kind::Duration(SECOND, YEAR),
        preset: Preset::Is("30m"),
        example: "\"30m\"",
        doc: "The broker's own acknowledgement time-out (`consumer_timeout`). Work that may take \
              longer than half of it is claimed, so that the broker's clock does not matter.",
    },
    Key {
        path: "broker.publish_timeout",
        kind: Kind::Duration(SECOND, HOUR),
        preset: Preset::Is("10s"),
        example: "\"10s\"",
        doc: "How long the broker may take to confirm; after that it is in doubt whether a ticket \
              has landed, and it goes on under a new generation.",
    },
    Key {
        path: "broker.tls.ca_file",
        kind: Kind::Path,
        preset: Preset::Nothing("the certificates that the system trusts"),
        example: "\"ca.pem\"",
        doc: "The certificates (PEM) that the broker's own must be signed by.",
    },
    Key {
        path: "broker.tls.cert_file",
        kind: Kind::Path,
        preset: Preset::Nothing("no client certificate"),
        example: "\"client.pem\"",
        doc: "The certificate (PEM) to show to the broker.",
    },
    Key {
        path: "broker.tls.key_file",
        kind: Kind::Path,
        preset: Preset::Nothing("no client certificate"),
        example: "\"client.key\"",
        doc: "The key (PEM) of that certificate.",
    },
    Key {
        path: "store.url",
        kind: Kind::Backend(&["postgres", "postgresql"]),
        preset: Preset::Is("embedded"),
        example: "\"embedded\"",
        doc: "Where the books are. `embedded`: in the data folder; `postgres://…`: on PostgreSQL, \
              with the broker on RabbitMQ.",
    },
    Key {
        path: "store.password_file",
        kind: Kind::Path,
        preset: Preset::Nothing("the password of `store.url`, if it has one"),
        example: "\"store-password.txt\"",
        doc: "A file that holds the password for the store.",
    },
    Key {
        path: "store.connections_max",
        kind: Kind::Integer(3, 1_000),
        preset: Preset::Is("10"),
        example: "10",
        doc: "How many connections to PostgreSQL a process opens at most.",
    },
    Key {
        path: "store.retention",
        kind: Kind::Duration(SECOND, CENTURY),
        preset: Preset::Is("30d"),
        example: "\"30d\"",
        doc: "How long tickets that are done or dropped are kept for reading.",
    },
    Key {
        path: "store.tickets_max",
        kind: Kind::Integer(1, ROWS_MAX),
        preset: Preset::Is("2000000"),
        example: "2000000",
        doc: "How many tickets that are done or dropped are kept at most; the oldest go first.",
    },
    Key {
        path: "store.oops_retention",
        kind: Kind::Duration(SECOND, CENTURY),
        preset: Preset::Is("90d"),
        example: "\"90d\"",
        doc: "How long OOPSes are kept.",
    },
    Key {
        path: "store.oopses_max",
        kind: Kind::Integer(1, ROWS_MAX),
        preset: Preset::Is("200000"),
        example: "200000",
        doc: "How many OOPSes are kept at most; the oldest go first.",
    },
    Key {
        path: "http.listen",
        kind: Kind::Address,
        preset: Preset::Is("127.0.0.1:7878"),
        example: "\"127.0.0.1:7878\"",
        doc: "Where the API and the viewer listen. Anything but loopback needs a token.",
    },
    Key {
        path: "http.url",
        kind: Kind::Url(&["http", "https"]),
        preset: Preset::Nothing("`http.listen`"),
        example: "\"http://goaround.example:7878\"",
        doc: "Where handlers reach the API from wherever they run, for `GOAROUND_CALLBACK_URL`.",
    },
    Key {
        path: "http.token_file",
        kind: Kind::Path,
        preset: Preset::Nothing("no token is asked for"),
        example: "\"token.txt\"",
        doc: "A file that holds the token which clients must send: as `Authorization: Bearer`, or \
              with HTTP Basic as the password of any user, as browsers ask for it.",
    },
    Key {
        path: "http.token",
        kind: Kind::Secret,
        preset: Preset::Nothing("the token of `http.token_file`, if that is set"),
        example: "",
        doc: "The token itself, only as `GOAROUND_TOKEN` or `GOAROUND__HTTP__TOKEN`, \
              never in the file.",
    },
    Key {
        path: "limits.payload_bytes_max",
        kind: Kind::Size(1, 64 * MIB),
        preset: Preset::Is("1MiB"),
        example: "\"1MiB\"",
        doc: "The biggest payload that may be submitted, also by a call-back; with RabbitMQ at most \
              15MiB. What a handler hands on is bounded by its stage's `stdout_bytes_max`, or \
              `result_bytes_max`.",
    },
    Key {
        path: "shutdown.drain",
        kind: Kind::Duration(ZERO, HOUR),
        preset: Preset::Is("20s"),
        example: "\"20s\"",
        doc: "How long running handlers may go on after a stop is asked for; \
              what is not finished then is handed back and runs again.",
    },
    Key {
        path: "flow.*.stages",
        kind: Kind::Stages,
        preset: Preset::Required,
        example: "[\"build\", \"test\", \"publish\"]",
        doc: "The stages that a ticket of this flow goes through, in order.",
    },
    Key {
        path: "stage.*.run",
        kind: Kind::Command,
        preset: Preset::Required,
        example: "[\"./build.sh\", \"--quick\"]",
        doc: "The handler: a program and its arguments. It runs in the folder of this file; \
              a program that is named with a slash is looked for from there.",
    },
    Key {
        path: "stage.*.env",
        kind: Kind::Environment,
        preset: Preset::Nothing("the handler sees only `GOAROUND_*` and `TRACEPARENT`"),
        example: "{ CI = \"1\", PATH = true }",
        doc: "The handler's environment: `NAME = \"text\"` sets, `NAME = true` inherits; \
              a list of names inherits all of them. Nothing else is inherited. Without `PATH` \
              it has the usual one.",
    },
    Key {
        path: "stage.*.concurrency",
        kind: Kind::Integer(1, domain::flow::Stage::CONCURRENCY_MAX as u64),
        preset: Preset::Is("1"),
        example: "2",
        doc: "How many tickets are worked on at once.",
    },
    Key {
        path: "stage.*.deadline",
        kind: Kind::Duration(MILLISECOND, YEAR),
        preset: Preset::Is("30m"),
        example: "\"30m\"",
        doc: "How long an attempt may take. Then the handler is asked to stop.",
    },
    Key {
        path: "stage.*.stop_grace",
        kind: Kind::Duration(ZERO, HOUR),
        preset: Preset::Is("10s"),
        example: "\"10s\"",
        doc: "How long a handler that was asked to stop (TERM) may take before it is killed.",
    },
    Key {
        path: "stage.*.version",
        kind: Kind::Version,
        preset: Preset::Nothing("a hash of the handler's file: replacing the file is a deployment"),
        example: "\"1.4.2\"",
        doc: "The version of the handler, as OOPSes and history show it.",
    },
    Key {
        path: "stage.*.kinds",
        kind: Kind::Kinds,
        preset: Preset::Nothing("all kinds"),
        example: "[\"rust\", \"docs\"]",
        doc: "The kinds of tickets that the stage takes; others wait as `unclaimed`.",
    },
    Key {
        path: "stage.*.unique",
        kind: Kind::Choice(&["none", "key"]),
        preset: Preset::Is("none"),
        example: "\"key\"",
        doc: "`key`: one ticket per key is at work; the newest waits behind it, others are dropped.",
    },
    Key {
        path: "stage.*.journal",
        kind: Kind::Choice(&["full", "exceptions"]),
        preset: Preset::Is("full"),
        example: "\"full\"",
        doc: "Which attempts the history tells of: all, or only those that did not end in done.",
    },
    Key {
        path: "stage.*.memory_bytes_max",
        kind: Kind::Size(MIB, 1024 * GIB),
        preset: Preset::Nothing("no limit but the machine's"),
        example: "\"512MiB\"",
        doc: "The most memory that each process of the handler may allocate.",
    },
    Key {
        path: "stage.*.stdout_bytes_max",
        kind: Kind::Size(KIB, 64 * MIB),
        preset: Preset::Is("1MiB"),
        example: "\"1MiB\"",
        doc: "The most that a handler may write to its standard output, the next payload; with \
              RabbitMQ at most 15MiB, since it takes no message above its `max_message_size`, \
              16 MiB since 4.0.",
    },
    Key {
        path: "stage.*.stderr_bytes_max",
        kind: Kind::Size(KIB, 64 * MIB),
        preset: Preset::Is("64KiB"),
        example: "\"64KiB\"",
        doc: "How much of the end of a handler's standard error is kept for the OOPS.",
    },
    Key {
        path: "stage.*.result_bytes_max",
        kind: Kind::Size(KIB, 64 * MIB),
        preset: Preset::Is("1MiB"),
        example: "\"1MiB\"",
        doc: "The most that a handler may write into the file `GOAROUND_RESULT`; with RabbitMQ at \
              most 15MiB.",
    },
    Key {
        path: "stage.*.retry.first",
        kind: Kind::Duration(ZERO, YEAR),
        preset: Preset::Is("1s"),
        example: "\"1s\"",
        doc: "The wait after the first failed attempt.",
    },
    Key {
        path: "stage.*.retry.factor",
        kind: Kind::Number(1.0, 1_000.0),
        preset: Preset::Is("2.0"),
        example: "2.0",
        doc: "What each further wait is multiplied by.",
    },
    Key {
        path: "stage.*.retry.max",
        kind: Kind::Duration(ZERO, YEAR),
        preset: Preset::Is("5m"),
        example: "\"5m\"",
        doc: "The longest wait.",
    },
    Key {
        path: "stage.*.retry.jitter",
        kind: Kind::Number(0.0, 1.0),
        preset: Preset::Is("0.2"),
        example: "0.2",
        doc: "The share of a wait that is left to chance, so that tickets that failed together \
              do not come back together.",
    },
    Key {
        path: "stage.*.retry.attempts",
        kind: Kind::Integer(0, u32::MAX as u64),
        preset: Preset::Is("0"),
        example: "0",
        doc: "After how many failed attempts a ticket is parked until a person decides; \
              0 tries for ever.",
    },
    Key {
        path: "stage.*.breaker",
        kind: Kind::Switch(&["failures", "probe"]),
        preset: Preset::Is("true"),
        example: "false",
        doc: "Whether tickets that keep failing in the same way wait for a repair: they are held \
              without running, one of them alone is tried now and then, and at once when a new \
              version of the handler is there; when it lands, all are released in steps. \
              `false`: each of them only backs off.",
    },
    Key {
        path: "stage.*.breaker.failures",
        kind: Kind::Integer(1, domain::breaker::Rules::FAILURES_MAX as u64),
        preset: Preset::Is("5"),
        example: "5",
        doc: "After how many failures of the same kind in a row its tickets are held. The stage \
              as a whole is held after as many tickets in a row, but at least 20.",
    },
    Key {
        path: "stage.*.breaker.probe",
        kind: Kind::Duration(MILLISECOND, YEAR),
        preset: Preset::Is("1m"),
        example: "\"1m\"",
        doc: "How long it takes at least from one ticket that is tried to the next, unless a new \
              version of the handler comes.",
    },
];

/// What the design has and this version does not: refused by name, never accepted and ignored.
pub(super) const LATER: &[&str] = &[
    "oops",
    "source",
    "trigger",
    "schedule",
    "surge",
    "pager",
    "stage.*.http",
    "stage.*.grpc",
    "stage.*.page",
    "stage.*.batch",
    "stage.*.order",
];

impl Key {
    /// The section that the key is in, for example `stage.*`.
    pub fn section(&self) -> &'static str {
        let segments = if self.path.contains('*') { 2 } else { 1 };
        let end = self.path.match_indices('.').nth(segments - 1);
        end.map_or(self.path, |(at, _)| &self.path[..at])
    }

    /// The key inside its section, for example `retry.first`.
    pub fn name(&self) -> &'static str {
        &self.path[self.section().len() + 1..]
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::Raw;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_default_and_every_example_is_a_value_that_the_key_takes() {
        for key in KEYS {
            if let Preset::Is(preset) = key.preset {
                assert!(key.kind.read(Raw::Text(preset)).is_ok(), "{}", key.path);
            }
            if key.example.is_empty() {
                continue;
            }
            let value = toml::de::DeValue::parse(key.example).unwrap();
            let read = key.kind.read(Raw::Toml(value.get_ref()));
            assert!(read.is_ok(), "{}: {read:?}", key.path);
        }
    }

    #[test]
    fn no_key_is_there_twice_and_each_is_explained() {
        let paths: BTreeSet<_> = KEYS.iter().map(|key| key.path).collect();
        assert_eq!(paths.len(), KEYS.len());
        assert!(KEYS.iter().all(|key| key.doc.ends_with('.')));
        assert!(LATER.iter().all(|later| !paths.contains(later)));
    }

    #[test]
    fn a_key_knows_its_section() {
        let key = KEYS.iter().find(|key| key.path == "stage.*.retry.first");
        let key = key.unwrap();
        assert_eq!((key.section(), key.name()), ("stage.*", "retry.first"));
    }
}
