//! A PostgreSQL of the test's own, and tickets and records for it.

use domain::delivery::Ended;
use domain::flow::{Flows, Stage, Unique};
use domain::names::{Holder, Key, Kind, StageName, Version};
use domain::oops::{Scene, Span};
use domain::outcome::{OutcomeKind, Usage};
use domain::ports::{Catalog, Clock, Desk, Due, Election, Ledger, Sent};
use domain::record::{Arrived, Fate, Parted, Record, Said, Started};
use domain::ticket::{Lineage, Name, Payload, Ticket, TicketId};
use domain::time::Timestamp;
use domain::wait::{Condition, Wait};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use store::{Postgres, PostgresConfig};
use testkit::clock::TestClock;
use testkit::partners::or_skip;
use testkit::partners::postgres::PostgresServer;

pub(crate) const MANY: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// A database of its own on the shared server.
pub(crate) struct Bench {
    pub(crate) server: Arc<PostgresServer>,
    pub(crate) database: String,
    pub(crate) url: String,
    pub(crate) clock: Arc<TestClock>,
}

/// `None` after it was said that the test is skipped.
pub(crate) fn bench() -> Option<Bench> {
    static DATABASES: AtomicU32 = AtomicU32::new(0);
    let server = or_skip(PostgresServer::shared())?;
    let database = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    Some(Bench {
        url: server.create_database(&database),
        server,
        database,
        clock: Arc::new(TestClock::new(7)),
    })
}

pub(crate) fn stage(name: &str) -> StageName {
    StageName::new(name).unwrap()
}

pub(crate) fn holder(name: &str) -> Holder {
    Holder::new(name).unwrap()
}

/// A stage with breakers.
pub(crate) fn frail() -> Stage {
    Stage {
        breaker: Some(domain::breaker::Rules::default()),
        ..Stage::new(stage("frail"))
    }
}

/// The stages `build` and `test`, `deploy`, which lets each key in once, and `frail`.
pub(crate) fn flows() -> Arc<Flows> {
    let mut deploy = Stage::new(stage("deploy"));
    deploy.unique = Unique::ByKey;
    let stages = vec![
        Stage::new(stage("build")),
        Stage::new(stage("test")),
        deploy,
        frail(),
    ];
    Arc::new(Flows::new(stages, BTreeMap::new()).unwrap())
}

impl Bench {
    pub(crate) async fn open(&self, name: &str) -> Postgres {
        let mut config = PostgresConfig::new(&*self.url);
        config.pool_max = 4;
        config.statement_timeout = Duration::from_secs(10);
        let clock: Arc<dyn Clock> = self.clock.clone();
        Postgres::open(config, flows(), clock, holder(name))
            .await
            .unwrap()
    }

    /// A store that leads.
    pub(crate) async fn leading(&self) -> (Postgres, Arc<dyn Ledger>) {
        let store = self.open("controller/1").await;
        let ledger = store.lead().await.unwrap();
        (store, ledger)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn ticket(&self, at: &str) -> Ticket {
        let id = self.clock.ticket_id();
        Ticket {
            name: Name::first(id),
            kind: Kind::unnamed(),
            flow: None,
            stage: stage(at),
            key: None,
            payload: Payload::json("{\"n\":1}"),
            deadline: None,
            created_at: self.now(),
            lineage: Lineage::root(id),
            trace: None,
        }
    }

    pub(crate) fn keyed(&self, key: &str) -> Ticket {
        let mut ticket = self.ticket("deploy");
        ticket.key = Some(Key::new(key).unwrap());
        ticket
    }

    pub(crate) fn sql(&self, statement: &str) -> String {
        let statement = format!("SET search_path = goaround; {statement}");
        self.server.sql(&self.database, &statement)
    }

    pub(crate) fn count(&self, from: &str) -> u64 {
        self.sql(&format!("SELECT count(*) FROM {from}"))
            .parse()
            .unwrap()
    }

    /// The sums agree with each other and with the rows.
    pub(crate) async fn assert_balanced(&self, store: &Postgres) {
        let balance = store.balance(None).await.unwrap();
        assert!(balance.is_balanced(), "{balance:?}");
        let rows = |which: &str| self.count(&format!("places WHERE {which}"));
        assert_eq!(balance.runnable, rows("state IN (0, 5)"), "{balance:?}");
        assert_eq!(balance.running, rows("state = 1"), "{balance:?}");
        assert_eq!(balance.waiting_total(), rows("state = 2"), "{balance:?}");
    }

    /// Submits a ticket and publishes it.
    pub(crate) async fn published(&self, store: &Postgres, ledger: &Arc<dyn Ledger>) -> Ticket {
        let ticket = self.ticket("build");
        store.submit(vec![ticket.clone()]).await.unwrap();
        publish(ledger, ticket.name).await;
        ticket
    }

    pub(crate) fn record(&self, by: &str, said: Said) -> Record {
        Record {
            by: holder(by),
            at: self.now(),
            said,
        }
    }

    /// It waits for somebody who takes it.
    pub(crate) fn unclaimed(&self, ticket: &Ticket) -> Arrived {
        Arrived {
            ticket: ticket.clone(),
            name: ticket.name.renewed(),
            wait: Wait {
                condition: Condition::Unclaimed,
                since: self.now(),
                because: "nobody takes it".into(),
                oops: None,
            },
        }
    }

    pub(crate) fn started(&self, by: &str, ticket: &Ticket) -> Record {
        let started = Started {
            name: ticket.name,
            stage: ticket.stage.clone(),
            scene: scene(by),
            ticket: None,
            claimed: false,
        };
        self.record(by, Said::Started(Box::new(started)))
    }

    pub(crate) fn claimed(&self, by: &str, ticket: &Ticket) -> Record {
        let started = Started {
            name: ticket.name,
            stage: ticket.stage.clone(),
            scene: scene(by),
            ticket: Some(Box::new(ticket.clone())),
            claimed: true,
        };
        self.record(by, Said::Started(Box::new(started)))
    }

    pub(crate) fn ended(
        &self,
        by: &str,
        ticket: &Ticket,
        outcome: OutcomeKind,
        to: Fate,
    ) -> Record {
        let now = self.now();
        let ended = Ended {
            span: Span {
                started_at: now,
                ended_at: now,
            },
            outcome,
            oops: None,
            usage: Usage::default(),
            scene: scene(by),
            signature: None,
        };
        let parted = Parted {
            name: ticket.name,
            stage: ticket.stage.clone(),
            ended: Some(ended),
            to,
            emits: Vec::new(),
        };
        self.record(by, Said::Ended(Box::new(parted)))
    }

    pub(crate) fn finished(&self, by: &str, ticket: &Ticket) -> Record {
        self.ended(by, ticket, OutcomeKind::Done, Fate::Finished)
    }

    /// A copy that its holder gives back, as far as it knows unstarted.
    pub(crate) fn handed_back(&self, by: &str, ticket: &Ticket) -> Record {
        let now = self.now();
        let arrived = Arrived {
            ticket: ticket.clone(),
            name: ticket.name.renewed(),
            wait: Wait {
                condition: Condition::NotNow { until: now },
                since: now,
                because: "handed back before it was started".into(),
                oops: None,
            },
        };
        let parted = Parted {
            name: ticket.name,
            stage: ticket.stage.clone(),
            ended: None,
            to: Fate::Waits(Box::new(arrived)),
            emits: Vec::new(),
        };
        self.record(by, Said::Ended(Box::new(parted)))
    }

    pub(crate) fn failed(&self, by: &str, ticket: &Ticket) -> Record {
        let wait = Wait {
            condition: Condition::Backoff {
                until: self.now().plus(Duration::from_secs(60)),
            },
            since: self.now(),
            because: "attempt 1 failed: X: y".into(),
            oops: None,
        };
        let arrived = Arrived {
            ticket: ticket.clone(),
            name: ticket.name.charged(),
            wait,
        };
        let to = Fate::Waits(Box::new(arrived));
        self.ended(by, ticket, OutcomeKind::Failed, to)
    }
}

pub(crate) fn scene(by: &str) -> Arc<Scene> {
    Arc::new(Scene {
        holder: holder(by),
        hostname: "host".into(),
        version: Version::new("1.0").unwrap(),
    })
}

/// A ticket's next copy, at another stage.
pub(crate) fn next(ticket: &Ticket, at: &str) -> Ticket {
    let mut next = ticket.named(ticket.name.handed_on());
    next.stage = stage(at);
    next
}

pub(crate) async fn publish(ledger: &Arc<dyn Ledger>, name: Name) {
    for sent in [Sent::Begun, Sent::Confirmed] {
        ledger.sent(vec![(name, sent)]).await.unwrap();
    }
}

/// What the leader before was publishing is in doubt from now on.
pub(crate) async fn doubt_stranded((store, ledger): (&Postgres, &Arc<dyn Ledger>)) {
    let stranded = store.stranded().await.unwrap();
    let doubtful = stranded
        .into_iter()
        .map(|name| (name, Sent::Doubtful))
        .collect();
    ledger.sent(doubtful).await.unwrap();
}

pub(crate) async fn due(ledger: &Arc<dyn Ledger>, now: Timestamp) -> Vec<Due> {
    ledger.due(now, MANY).await.unwrap().due
}

pub(crate) async fn generation(store: &Postgres, id: TicketId) -> u32 {
    let entry = store.ticket(id).await.unwrap().unwrap();
    entry.ticket.name.generation.0
}
