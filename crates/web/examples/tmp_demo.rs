#![allow(warnings)]
//! Demo: a desk, books and reports in memory that fail on demand.

use async_trait::async_trait;
use domain::books::{Balance, Entry, Fact, Line, Place, StageCounts};
use domain::control::{Change, Snapshot};
use domain::names::{FlowName, Holder, Kind, StageName, Version};
use domain::oops::{OopsId, OopsPrefix, Report, Scene, Span};
use domain::outcome::{Failure, OutcomeKind};
use domain::ports::*;
use domain::retry::Chance;
use domain::ticket::{Lineage, Name, Payload, Ticket, TicketId};
use domain::time::Timestamp;
use domain::wait::{Condition, Wait};
use std::collections::BTreeMap;
use std::sync::{Arc,Mutex};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;


use domain::flow::*;
use domain::control::Hold;
use domain::wait::Reason;
use domain::event::*;
const NOW: Timestamp = Timestamp::from_micros(1_795_269_802_120_000);

fn stage(name: &str) -> StageName {
    StageName::new(name).unwrap()
}

fn id(n: u8) -> TicketId {
    TicketId::from_bytes([n; 16])
}

/// A ticket at stage `test` that carries `hello`.
fn ticket(n: u8) -> Ticket {
    Ticket {
        name: Name::first(id(n)),
        kind: Kind::new("build").unwrap(),
        flow: Some(FlowName::new("ci").unwrap()),
        stage: stage("test"),
        key: None,
        payload: Payload::untyped("hello"),
        deadline: None,
        created_at: NOW.minus(Duration::from_secs(60)),
        lineage: Lineage::root(id(n)),
        trace: None,
    }
}

fn waiting(n: u8) -> Entry {
    let wait = Wait {
        condition: Condition::Backoff {
            until: NOW.plus(Duration::from_secs(5)),
        },
        since: NOW.minus(Duration::from_secs(30)),
        because: "attempt 1 failed: ExitStatus: 3".into(),
        oops: None,
    };
    Entry {
        ticket: ticket(n),
        place: Place::Waiting(wait),
        version: None,
        oopses: Vec::new(),
    }
}

fn report(n: u8, failure: Failure) -> Report {
    let scene = Scene {
        holder: Holder::new("w1").unwrap(),
        hostname: "host".into(),
        version: Version::new("1.0").unwrap(),
    };
    let span = Span {
        started_at: NOW.minus(Duration::from_secs(2)),
        ended_at: NOW,
    };
    Report::new(&ticket(n), OutcomeKind::Failed, failure, &scene, span)
}

fn noted(n: u8, what: &str) -> Line {
    let fact = Fact::Noted {
        what: what.into(),
        why: "by a test".into(),
    };
    Line {
        at: NOW,
        name: Name::first(id(n)),
        stage: stage("test"),
        fact,
    }
}

#[derive(Default)]
struct State {
    entries: BTreeMap<TicketId, Entry>,
    reports: Vec<Report>,
    history: Vec<Line>,
    snapshot: Snapshot,
    counts: Vec<StageCounts>,
    findings: Vec<Finding>,
    orders: Vec<Order>,
    refuse: Option<(String, String)>,
    /// What every call answers from now on.
    fault: Option<StoreError>,
    /// What the desk answers after so many groups.
    full_after: Option<usize>,
    groups: Vec<usize>,
    panics: bool,
}

/// A store in memory that fails on demand.
#[derive(Default)]
struct Fake {
    state: Mutex<State>,
    ids: AtomicU64,
}

impl Fake {
    fn up(&self) -> Result<std::sync::MutexGuard<'_, State>, StoreError> {
        let state = self.state.lock().unwrap();
        match &state.fault {
            Some(fault) => Err(fault.clone()),
            None => Ok(state),
        }
    }
}

impl Clock for Fake {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason="demo")]
        Timestamp::from_micros(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as i64)
    }

    fn chance(&self) -> Chance {
        Chance::new(0.5)
    }

    fn ticket_id(&self) -> TicketId {
        let n = self.ids.fetch_add(1, Ordering::SeqCst);
        TicketId::from_bytes((u128::from(n) + 1).to_be_bytes())
    }
}

#[async_trait]
impl Desk for Fake {
    async fn submit(&self, tickets: Vec<Ticket>) -> Result<Vec<Accepted>, StoreError> {
        let mut state = self.up()?;
        if state.full_after == Some(state.groups.len()) {
            return Err(StoreError::Full("no space left".into()));
        }
        state.groups.push(tickets.len());
        let accept = |ticket: Ticket| {
            let (id, place) = (ticket.id(), Place::Runnable { since: NOW });
            let entry = Entry {
                ticket,
                place,
                version: None,
                oopses: Vec::new(),
            };
            match state.entries.contains_key(&id) {
                true => Accepted::Known(id),
                false => {
                    state.entries.insert(id, entry);
                    Accepted::New(id)
                }
            }
        };
        Ok(tickets.into_iter().map(accept).collect())
    }

    async fn carry_out(&self, orders: Vec<Order>) -> Result<Vec<Answer>, StoreError> {
        let mut state = self.up()?;
        let mut answers = Vec::new();
        for order in orders {
            answers.push(match (&state.refuse, state.entries.get(&order.ticket)) {
                (_, None) => Answer::NotFound,
                (Some((why, remedy)), _) => Answer::Refused {
                    why: why.clone(),
                    remedy: remedy.clone(),
                },
                (None, Some(entry)) => Answer::Done(Box::new(entry.clone())),
            });
            state.orders.push(order);
        }
        Ok(answers)
    }

    async fn change(&self, _: Change) -> Result<Snapshot, StoreError> {
        Ok(self.up()?.snapshot.clone())
    }
}

#[async_trait]
impl Catalog for Fake {
    async fn ticket(&self, id: TicketId) -> Result<Option<Entry>, StoreError> {
        Ok(self.up()?.entries.get(&id).cloned())
    }

    async fn tickets(&self, listing: Listing) -> Result<Page<Entry>, StoreError> {
        let state = self.up()?;
        let matches = |entry: &&Entry| listing.query.matches(*entry, listing.now);
        let mut rows: Vec<Entry> = state.entries.values().filter(matches).cloned().collect();
        if listing.sort == Sort::NewestFirst {
            rows.reverse();
        }
        let more = rows.len() > listing.limit;
        rows.truncate(listing.limit);
        Ok(Page { rows, more })
    }

    async fn history(&self, _: TicketId) -> Result<Vec<Line>, StoreError> {
        Ok(self.up()?.history.clone())
    }

    async fn balance(&self) -> Result<Balance, StoreError> {
        let state = self.up()?;
        assert!(!state.panics, "a bug in the store");
        let accepted = state.entries.len() as u64;
        Ok(Balance {
            accepted,
            runnable: accepted,
            ..Balance::default()
        })
    }

    async fn stages(&self) -> Result<Vec<StageCounts>, StoreError> {
        Ok(self.up()?.counts.clone())
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(self.up()?.snapshot.clone())
    }

    async fn check(&self) -> Result<Vec<Finding>, StoreError> {
        Ok(self.up()?.findings.clone())
    }
}

#[async_trait]
impl Oopses for Fake {
    async fn record(&self, report: Report) -> Result<OopsId, OopsError> {
        Ok(report.id)
    }

    async fn find(&self, prefix: OopsPrefix) -> Result<Vec<Report>, StoreError> {
        let state = self.up()?;
        let begins = |report: &&Report| (prefix.low..=prefix.high).contains(&report.id);
        Ok(state
            .reports
            .iter()
            .filter(begins)
            .take(2)
            .cloned()
            .collect())
    }

    async fn list(&self, listing: Listing) -> Result<Page<Report>, StoreError> {
        let state = self.up()?;
        let matches = |report: &&Report| listing.query.matches(*report, listing.now);
        let rows = state.reports.iter().filter(matches).cloned().collect();
        Ok(Page { rows, more: false })
    }

    async fn retain(&self, _: Retention) -> Result<u64, StoreError> {
        Ok(0)
    }
}

struct NullDesk;
#[async_trait]
impl Desk for NullDesk {
    async fn submit(&self, tickets: Vec<Ticket>) -> Result<Vec<Accepted>, StoreError> {
        Ok(tickets.iter().map(|t| Accepted::New(t.id())).collect())
    }
    async fn carry_out(&self, orders: Vec<Order>) -> Result<Vec<Answer>, StoreError> { Ok(vec![Answer::NotFound]) }
    async fn change(&self, _: Change) -> Result<Snapshot, StoreError> { Ok(Snapshot::default()) }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let fake = Arc::new(Fake::default());
    let null = std::env::args().nth(1).as_deref() == Some("null");
    let now = fake.now();
    {
        let mut s = fake.state.lock().unwrap();
        for n in 1..=9u8 {
            let mut e = waiting(n);
            e.ticket.name.ticket = TicketId::from_bytes([1,0x9a,0xb4,0x5c,n,3,0x70,1,0x80,2,n,4,5,6,7,n]);
            e.ticket.payload = Payload::json("{\n  \"package\": \"rust\",\n  \"branch\": \"f42\"\n}");
            e.ticket.stage = stage(["build","test","publish"][(n%3) as usize]);
            if n % 4 == 0 { e.place = Place::Running { since: now, holder: Holder::new("w1").unwrap() }; }
            if n % 4 == 1 { e.place = Place::Done { at: now }; }
            if n % 4 == 2 { e.place = Place::Runnable { since: now }; }
            if let Place::Waiting(w) = &mut e.place { w.condition = Condition::Backoff { until: now.plus(Duration::from_secs(300)) }; }
            let mut f = Failure::new("ExitStatus", "the handler ended with exit status 3: assertion failed in test_parser");
            f.log_tail = "running 12 tests\nFAIL test_parser\n  expected 4, got \u{1b}[31m5\u{1b}[0m\n".into();
            f.trace = "at parser.c:42\nat main.c:7".into();
            f.exit = Some(domain::outcome::Exit::Signal(6));
            let mut r = report(n, f); r.name = e.ticket.name; r.id = OopsId::of(&r.name); r.time = now; r.source = domain::oops::Source::Supervisor;
            e.oopses.push(r.id);
            if n < 6 { s.reports.push(r); }
            s.entries.insert(e.ticket.id(), e);
        }
        s.history = vec![noted(1, "accepted")];
        s.snapshot.holds.insert(stage("publish"), Hold { since: now, reason: "./publish.sh: not executable".into(), by: "supervisor".into(), version: None, oops: None });
        for n in ["build","test","publish"] { s.counts.push(StageCounts { stage: stage(n), ready: 12345, running: 2, waiting: BTreeMap::from([(Reason::Backoff, 4)]), done: 99123, failed: 12, oldest_ready: Some(now) }); }
    }
    let stops = ["build", "test", "publish"].map(stage);
    let flows = Flows::new(stops.clone().map(Stage::new).into(), BTreeMap::from([(FlowName::new("ci").unwrap(), stops.to_vec())])).unwrap();
    let live = ::web::Live::new();
    let l2 = live.clone();
    let parts = ::web::Parts {
        desk: if null { Arc::new(NullDesk) as Arc<dyn Desk> } else { fake.clone() }, catalog: fake.clone(), oopses: fake.clone(), flows: Arc::new(flows), clock: fake.clone(),
        handlers: Arc::new(|| ["build","test"].into_iter().map(|s| (stage(s), Inspection { version: Version::new("sha256:4f1bc0a77e90b2").unwrap(), obstacle: None })).collect()),
        metrics: Arc::new(|| Box::pin(async { String::new() })), ready: Arc::new(|| Ok(())), live,
    };
    std::thread::spawn(move || loop {
        std::thread::sleep(Duration::from_millis(300));
        let at = Timestamp::from_micros(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as i64);
        l2.observe(at, &Event::TicketSettled { name: Name::first(id(1)), stage: stage("test"), settled: SettledAs::Finished });
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:17878").unwrap();
    let config = ::web::Config::new("127.0.0.1:17878".parse().unwrap());
    ::web::serve(listener, config, parts).await.unwrap().await.unwrap();
}
