//! Connected but idle (US-10): however a subscription ends, work goes on within ten seconds, nobody
//! restarts anything, and no ticket is settled by another's tag.

use acceptance::audit::{Audit, oopses};
use acceptance::field::{Broker, Field};
use acceptance::foreign::Foreign;
use acceptance::process::Process;
use acceptance::{eventually, eventually_every};
use serde_json::json;
use std::time::{Duration, Instant};
use testkit::partners::proxy::Proxy;
use testkit::partners::rabbitmq::{Options, Version};

const AGAIN_MAX: Duration = Duration::from_secs(10);
/// A cluster has to elect leaders first, three of them on one machine.
const ELECTED_MAX: Duration = Duration::from_secs(30);
/// What a broker has sent down a dead line comes again once it has noticed, and is asked about.
const ASTRAY_MAX: Duration = Duration::from_secs(30);
const STAGES: [&str; 1] = ["work"];

/// Long enough that three are in work when it happens.
const CONFIG: &str = r#"
[flow.ci]
stages = ["work"]
[stage.work]
run = [EFFECT, "--sleep", "3"]
concurrency = 3
retry = { first = "50ms", max = "200ms" }
"#;

struct Stand {
    field: Field,
    controller: Process,
    worker: Process,
    ids: Vec<String>,
}

impl Stand {
    fn new(field: Field, differs: &[(&str, &str)]) -> Self {
        let controller = field.controller("controller");
        let mut worker = field.start("worker", "worker", differs);
        worker.await_ready();
        let ids = Vec::new();
        Self {
            field,
            controller,
            worker,
            ids,
        }
    }

    /// Submits three and waits until they are in work.
    fn three_in_work(&mut self) {
        let before = self.field.effects().runs.len();
        self.ids
            .extend(self.field.submit(&self.controller, "ci", 3));
        let are_in_work = || self.field.effects().runs.len() >= before + 3;
        eventually(|| are_in_work().then_some(())).expect("three are in work");
    }

    /// Three more are begun within the time, by the same process.
    fn assert_consumes_again(&mut self, pid: Option<u32>) {
        self.assert_consumes_within(AGAIN_MAX, pid);
    }

    fn assert_consumes_within(&mut self, limit: Duration, pid: Option<u32>) {
        let begun = Instant::now();
        let before = self.submit_three();
        self.assert_runs(before + 3, limit);
        println!("working again after {:?}", begun.elapsed());
        assert_eq!(self.worker.pid(), pid, "nobody restarted it");
        assert!(self.worker.is_running());
    }

    /// Submits three; returns how many runs there had been before.
    fn submit_three(&mut self) -> usize {
        let before = self.field.effects().runs.len();
        self.ids
            .extend(self.field.submit(&self.controller, "ci", 3));
        before
    }

    fn assert_runs(&self, count: usize, limit: Duration) {
        let again = eventually_every(Duration::from_millis(50), limit, || {
            (self.field.effects().runs.len() >= count).then_some(())
        });
        assert!(again.is_some(), "it is idle:\n{}", self.field.logs());
    }

    /// Everything was done, each ticket by itself, and the worker counts how often it had to
    /// subscribe again, and why.
    fn assert_clean(&mut self, ends: &[(&str, u64)]) {
        let all = self.ids.len();
        let books = self
            .field
            .books_until(&self.controller, "all", |books| books["done"] == all);
        assert_eq!(books["balanced"], true, "{books}");
        let reports = oopses(&self.field.ask(&self.controller));
        let audit = Audit::new(&[(&self.ids, &STAGES)], &self.field.effects(), &reports);
        audit.assert_clean();
        assert!(audit.repeated.is_empty(), "{audit:#?}");
        assert!(reports.is_empty(), "{reports:?}");
        let page = self.worker.metrics();
        for (reason, count) in ends {
            let labels = format!("{{reason=\"{reason}\",stage=\"work\"}}");
            let ended = value(
                &page,
                &format!("goaround_consumer_stream_ended_total{labels}"),
            );
            assert!(
                ended >= Some(*count),
                "{ended:?} ends are counted as {reason}\n{page}\n{}",
                self.worker.log_tail()
            );
        }
        self.assert_pages_tell_of_the_broker();
    }

    /// Every role that has connections to the broker shows them, and what it has met there.
    fn assert_pages_tell_of_the_broker(&self) {
        for page in [self.worker.metrics(), self.controller.metrics()] {
            for role in ["consume", "publish", "control"] {
                let connected = format!("goaround_amqp_connected{{role=\"{role}\"}}");
                assert_eq!(value(&page, &connected), Some(1), "{page}");
            }
            let clean = "goaround_broker_quarantined_total{reason=\"too_large\"}";
            assert_eq!(value(&page, clean), Some(0), "{page}");
            let adopted = "goaround_broker_deliveries_diverted_total{reason=\"adopted\"}";
            assert!(value(&page, adopted).is_some(), "{page}");
        }
    }

    fn queue(&self) -> String {
        format!("{}.stage.work", self.field.prefix())
    }
}

/// The value of a series.
fn value(page: &str, series: &str) -> Option<u64> {
    page.lines()
        .find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[test]
fn rabbitmq_that_closes_all_connections_while_three_are_in_work_gets_each_settled_by_its_own_tag() {
    let Some(field) = Field::with(Options::new(Version::V310), CONFIG) else {
        return;
    };
    let mut stand = Stand::new(field, &[]);
    let pid = stand.worker.pid();
    for _ in 0..2 {
        stand.three_in_work();
        stand.field.broker.ctl(&["close_all_connections", "a test"]);
        stand.assert_consumes_again(pid);
    }
    stand.assert_clean(&[("connection_closed", 2)]);
}

#[test]
fn rabbitmq_and_pika_queue_that_is_deleted_and_made_again_is_consumed_again() {
    let Some(field) = Field::shared(CONFIG) else {
        return;
    };
    let Some(mut foreign) = Foreign::start(&field.broker.url()) else {
        return;
    };
    let mut stand = Stand::new(field, &[]);
    let (pid, queue) = (stand.worker.pid(), stand.queue());
    stand.field.broker.ctl(&["delete_queue", &queue]);
    stand.assert_consumes_again(pid);
    let all = stand.ids.len();
    stand
        .field
        .books_until(&stand.controller, "all", |books| books["done"] == all);
    stand.field.broker.ctl(&["delete_queue", &queue]);
    // By somebody else, and otherwise; it may lose the race against the worker.
    foreign.publish(&json!({"key": queue, "declare": {}})).ok();
    stand.assert_consumes_again(pid);
    stand.assert_clean(&[("cancelled", 2)]);
}

#[test]
fn rabbitmq_whose_connection_is_cut_or_half_open_is_found_again() {
    let Some(mut field) = Field::with(Options::new(Version::V310), CONFIG) else {
        return;
    };
    let Broker::Own(_) = &mut field.broker else {
        panic!("it is our own");
    };
    let proxy = Proxy::start(field.broker.port());
    let url = field.url_through(proxy.port());
    let mut stand = Stand::new(field, &[("broker.url", &url)]);
    let pid = stand.worker.pid();
    stand.three_in_work();
    proxy.cut();
    stand.assert_consumes_again(pid);
    let all = stand.ids.len();
    stand
        .field
        .books_until(&stand.controller, "all", |books| books["done"] == all);
    // Half open: nothing arrives any more, and nobody says so, until each of the three connections
    // is given up and replaced.
    let begun = Instant::now();
    let before = proxy.accepted();
    proxy.half_open();
    let replaced = eventually_every(Duration::from_millis(50), AGAIN_MAX, || {
        (proxy.accepted() >= before + 3).then_some(begun.elapsed())
    });
    println!("half-open connections are replaced after {replaced:?}");
    assert!(replaced.is_some(), "{}", stand.field.logs());
    let runs = stand.submit_three();
    // The broker may not have noticed yet, and send some of them down the dead line.
    stand.assert_runs(runs + 1, AGAIN_MAX.saturating_sub(begun.elapsed()));
    println!("working again after {:?}", begun.elapsed());
    stand.assert_runs(runs + 3, ASTRAY_MAX);
    assert_eq!(stand.worker.pid(), pid, "nobody restarted it");
    stand.assert_clean(&[("connection_closed", 1), ("heartbeat_missed", 1)]);
}

#[test]
fn rabbitmq_cluster_that_loses_a_node_goes_on() {
    let options = Options::new(Version::V310).nodes(3);
    let Some(field) = Field::with(options, CONFIG) else {
        return;
    };
    let mut stand = Stand::new(field, &[]);
    let pid = stand.worker.pid();
    stand.three_in_work();
    // Not the one that everybody is connected to: a queue may have its leader there all the same.
    if let Broker::Own(broker) = &mut stand.field.broker {
        broker.kill_node(2);
    }
    stand.assert_consumes_within(ELECTED_MAX, pid);
    if let Broker::Own(broker) = &mut stand.field.broker {
        broker.restart_node(2);
        broker.kill_node(1);
    }
    stand.assert_consumes_within(ELECTED_MAX, pid);
    stand.assert_clean(&[]);
}
