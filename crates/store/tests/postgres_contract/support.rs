//! A bench of its own for a test, and the few words that every test says.

use crate::bench::{Bench, Leader, holder};
use crate::database;
use domain::flow::{Flows, Stage};
use domain::names::{FlowName, Kind, StageName, Version};
use domain::oops::Scene;
use domain::ports::{Action, Answer, Clock, Desk, Listing, Order, Sort};
use domain::record::{Arrived, Said, Started};
use domain::ticket::{Lineage, Name, Payload, Ticket, TicketId};
use domain::wait::{Condition, Wait};
use std::collections::BTreeMap;
use std::sync::Arc;
use testkit::clock::TestClock;
use testkit::partners::or_skip;
use testkit::partners::postgres::PostgresServer;

pub(crate) fn stage(name: &str) -> StageName {
    StageName::new(name).unwrap()
}

/// A flow `ci` of `build` and `test`.
pub(crate) fn flows() -> Flows {
    let stages = ["build", "test"].map(|name| Stage::new(stage(name)));
    let stops = ["build", "test"].map(stage).to_vec();
    let ci = (FlowName::new("ci").unwrap(), stops);
    Flows::new(stages.to_vec(), BTreeMap::from([ci])).unwrap()
}

/// A bench on this server, with a database of its own.
pub(crate) fn bench_on(server: &PostgresServer) -> Arc<Bench> {
    let clock = Arc::new(TestClock::new(1));
    clock.stop();
    Arc::new(Bench::new(Arc::new(flows()), clock, database(server)))
}

/// A bench on the server that all tests share, if there is one.
pub(crate) fn bench() -> Option<Arc<Bench>> {
    let server = or_skip(PostgresServer::shared())?;
    let bench = bench_on(&server);
    bench.keep(server);
    Some(bench)
}

impl Bench {
    pub(crate) fn ticket(&self, at: &str) -> Ticket {
        let id = self.clock.ticket_id();
        Ticket {
            name: Name::first(id),
            kind: Kind::unnamed(),
            flow: None,
            stage: stage(at),
            key: None,
            payload: Payload::untyped("work"),
            deadline: None,
            created_at: self.clock.now(),
            lineage: Lineage::root(id),
            trace: None,
        }
    }

    pub(crate) async fn submit(self: &Arc<Self>, ticket: Ticket) -> TicketId {
        let id = ticket.id();
        let Leader { store, .. } = self.leader().await;
        store.submit(vec![ticket]).await.unwrap();
        self.pump().await;
        id
    }

    pub(crate) fn scene() -> Arc<Scene> {
        Arc::new(Scene {
            holder: holder(),
            hostname: "stand".into(),
            version: Version::new("1.2").unwrap(),
        })
    }

    pub(crate) fn started(&self, ticket: &Ticket) -> Said {
        Said::Started(Box::new(Started {
            name: ticket.name,
            stage: ticket.stage.clone(),
            scene: Self::scene(),
            ticket: None,
            claimed: false,
        }))
    }

    pub(crate) fn wait(&self, condition: Condition) -> Wait {
        Wait {
            condition,
            since: self.clock.now(),
            because: "a test says so".into(),
            oops: None,
        }
    }

    /// The ticket waits so.
    pub(crate) fn arrived(&self, ticket: &Ticket, condition: Condition) -> Said {
        Said::Arrived(Box::new(Arrived {
            ticket: ticket.clone(),
            name: ticket.name.charged(),
            wait: self.wait(condition),
        }))
    }

    pub(crate) fn order(&self, ticket: TicketId, action: Action) -> Order {
        Order {
            ticket,
            action,
            by: "ada".into(),
            at: self.clock.now(),
        }
    }

    pub(crate) async fn carry_out(&self, orders: Vec<Order>) -> Vec<Answer> {
        self.leader().await.store.carry_out(orders).await.unwrap()
    }

    pub(crate) fn listing(&self, query: &str) -> Listing {
        Listing {
            query: query.parse().unwrap(),
            limit: Listing::LIMIT_MAX,
            sort: Sort::OldestFirst,
            now: self.clock.now(),
        }
    }

    /// Each sum that is kept is what the rows say.
    pub(crate) fn audit(&self) {
        let kept = "SELECT stage, what, sum(n) FROM goaround.counts \
                    WHERE what IN (2, 3) OR what >= 10 \
                    GROUP BY 1, 2 HAVING sum(n) <> 0 ORDER BY 1, 2";
        let counted = "SELECT CASE WHEN state IN (3, 4) THEN '' ELSE stage END, \
                       CASE state WHEN 0 THEN 10 WHEN 5 THEN 10 WHEN 1 THEN 11 \
                         WHEN 2 THEN 20 + reason WHEN 3 THEN 2 ELSE 3 END, count(*) \
                       FROM goaround.places GROUP BY 1, 2 ORDER BY 1, 2";
        assert_eq!(self.sql(kept), self.sql(counted));
    }
}
