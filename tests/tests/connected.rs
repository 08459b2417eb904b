//! Connected but idle (US-10): however a subscription ends, work goes on within 30 seconds, nobody
//! restarts anything, and no ticket is settled by another's tag.

use acceptance::audit::{Audit, oopses};
use acceptance::field::{Broker, Field};
use acceptance::foreign::Foreign;
use acceptance::process::Process;
use acceptance::{eventually, eventually_every};
use serde_json::json;
use std::time::{Duration, Instant};
use testkit::partners::proxy::{Mode, Proxy};
use testkit::partners::rabbitmq::{Options, Version};

const AGAIN_MAX: Duration = Duration::from_secs(30);
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
        let (before, begun) = (self.field.effects().runs.len(), Instant::now());
        self.ids
            .extend(self.field.submit(&self.controller, "ci", 3));
        let again = eventually_every(Duration::from_millis(50), AGAIN_MAX, || {
            (self.field.effects().runs.len() >= before + 3).then_some(())
        });
        assert!(again.is_some(), "it is idle:\n{}", self.field.logs());
        println!("working again after {:?}", begun.elapsed());
        assert_eq!(self.worker.pid(), pid, "nobody restarted it");
        assert!(self.worker.is_running());
    }

    /// Everything was done, each ticket by itself, and the worker counts how often it had to
    /// subscribe again.
    fn assert_clean(&mut self, subscriptions: u64) {
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
        let ended = page.lines().find_map(|line| {
            let count = line.strip_prefix("goaround_consumer_stream_ended_total{stage=\"work\"} ");
            count?.parse::<f64>().ok()
        });
        assert!(
            ended >= Some(subscriptions as f64),
            "{ended:?} ends are counted\n{}",
            self.worker.log_tail()
        );
    }

    fn queue(&self) -> String {
        format!("{}.stage.work", self.field.prefix())
    }
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
    stand.assert_clean(2);
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
    stand.assert_clean(2);
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
    // is given up.
    proxy.set(Mode::Stall);
    std::thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    let before = proxy.accepted();
    let gave_up = eventually_every(Duration::from_millis(100), AGAIN_MAX, || {
        (proxy.accepted() >= before + 3).then_some(begun.elapsed())
    });
    println!("half-open connections are given up after {gave_up:?}");
    assert!(gave_up.is_some(), "{}", stand.field.logs());
    proxy.set(Mode::Pass);
    stand.assert_consumes_again(pid);
    stand.assert_clean(2);
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
    stand.assert_consumes_again(pid);
    if let Broker::Own(broker) = &mut stand.field.broker {
        broker.restart_node(2);
        broker.kill_node(1);
    }
    stand.assert_consumes_again(pid);
    stand.assert_clean(0);
}
