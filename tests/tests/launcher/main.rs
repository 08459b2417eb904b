//! The process above: it says how its child died, starts it again, and never outlives its purpose.

mod ends;

use acceptance::audit::{assert_histories_agree, oopses};
use acceptance::field::Field;
use acceptance::{Site, Up, eventually, show, signal_to, text};
use rustix::process::Signal;
use serde_json::Value;
use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A launcher's own memory: what it has written itself. The pages of the program are its child's
/// as well.
const OWN_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Hangs in the first attempts, as many as the file `hangs` says, and leaves a line about each. One
/// that finds an earlier one still running says so.
const HANDLER: &str = "#!/bin/sh
for running in running.*; do
  [ -e \"$running\" ] && kill -0 \"$(cat \"$running\")\" 2>/dev/null && echo \"$running\" >> beside
done
if [ \"$GOAROUND_ATTEMPT\" -le \"$(cat hangs)\" ]; then
  echo $$ > new && mv new \"running.$GOAROUND_ATTEMPT\"
  exec sleep 600
fi
";

const CONFIG: &str = "[stage.work]
run = [\"./handler.sh\"]
retry = { first = \"50ms\", max = \"100ms\" }
";

fn site(hangs: u32) -> Site {
    let site = Site::new(CONFIG);
    site.script("handler.sh", HANDLER);
    site.write("hangs", &hangs.to_string());
    site
}

/// Waits until this attempt's handler runs.
fn running(site: &Site, attempt: u32) -> u32 {
    let file = site.path().join(format!("running.{attempt}"));
    // One process an attempt, and each of them shall have said so much.
    let is_up = || site.log().matches("is up: http").count() >= attempt as usize;
    eventually(|| is_up().then_some(())).expect("it is up");
    let pid = eventually(|| std::fs::read_to_string(&file).ok());
    let pid = pid.unwrap_or_else(|| panic!("attempt {attempt} never runs:\n{}", site.log_tail()));
    pid.trim().parse().expect("a process id")
}

fn is_gone(pid: u32) -> bool {
    let process = format!("/proc/{pid}");
    eventually(|| (!std::path::Path::new(&process).exists()).then_some(())).is_some()
}

/// The reports, each with everything that is known.
fn reports(site: &Site) -> Vec<Value> {
    let listed = site.json(&["oops", "list", "-o", "json"]);
    let listed = listed.as_array().cloned().unwrap_or_default();
    let id = |oops: &Value| oops["id"].as_str().unwrap_or_default().to_owned();
    let whole = |oops: &Value| site.json(&["oops", "show", &id(oops), "-o", "json"]);
    listed.iter().map(whole).collect()
}

/// The report tells of a process that was killed.
fn assert_tells_of_the_kill(oops: &Value) {
    let said = oops["value"].as_str().unwrap_or_default();
    assert!(said.contains("the process died while"), "{oops}");
    assert!(said.contains("signal 9 (SIGKILL)"), "{oops}");
    assert_eq!(oops["signal"], 9, "{oops}");
    assert_eq!(oops["outcome"], "crashed", "{oops}");
    assert_eq!(oops["source"], "launcher", "{oops}");
    assert!(oops["memory_bytes_max"].as_u64() > Some(1 << 20), "{oops}");
    let log = oops["log_tail"].as_str().unwrap_or_default();
    assert!(log.contains("is up: http"), "its last lines: {oops}");
}

#[test]
fn a_process_that_is_killed_comes_back_by_itself_and_the_one_oops_tells_how_it_died() {
    let site = site(1);
    let mut up = site.up();
    let id = site.ok(&["submit", "--stage", "work"]).trim().to_owned();
    let handler = running(&site, 1);
    let killed = up.role();
    up.kill_role();
    let books = site.books_until("it is done", |books| books["done"] == 1);
    assert_eq!(books["balanced"], true, "{books}");
    assert!(up.is_running() && up.role() != killed);
    assert!(is_gone(handler), "no handler outlives its process");
    let ticket = site.json(&["ticket", "show", &id, "-o", "json"]);
    assert_eq!(ticket["attempt"], 2, "{ticket}");
    let reports = reports(&site);
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0]["ticket"], id);
    assert_tells_of_the_kill(&reports[0]);
    assert!(site.log().contains("the process died of signal 9"));
    assert!(up.stop().success());
}

#[test]
fn each_of_several_deaths_in_a_row_is_told_once_and_the_pauses_grow() {
    const DEATHS: u32 = 4;
    let site = site(DEATHS);
    let up = site.up();
    site.ok(&["submit", "--stage", "work"]);
    for attempt in 1..=DEATHS {
        running(&site, attempt);
        up.kill_role();
    }
    site.books_until("it is done", |books| books["done"] == 1);
    let reports = reports(&site);
    assert_eq!(reports.len(), DEATHS as usize, "{reports:?}");
    reports.iter().for_each(assert_tells_of_the_kill);
    let log = site.log();
    for pause in ["100ms", "200ms", "400ms", "800ms"] {
        assert!(log.contains(&format!("started again in {pause}")), "{log}");
    }
    assert!(up.stop().success());
}

/// The spawner, which ends the handlers of a dead worker, is killed at the same moment.
#[test]
fn no_handler_runs_beside_its_next_attempt_even_if_nobody_is_left_to_end_it() {
    let site = site(1);
    let up = site.up();
    site.ok(&["submit", "--stage", "work"]);
    let handler = running(&site, 1);
    let spawners = up.children();
    let role = up.role().expect("it runs");
    // Stopped first, so that neither sees the other's end.
    for pid in spawners.iter().chain([&role]) {
        signal_to(*pid, Signal::STOP);
    }
    for pid in spawners.iter().chain([&role]) {
        signal_to(*pid, Signal::KILL);
    }
    site.books_until("it is done", |books| books["done"] == 1);
    assert!(is_gone(handler));
    let beside = std::fs::read_to_string(site.path().join("beside"));
    assert!(beside.is_err(), "{beside:?}");
    assert!(up.stop().success());
}

#[test]
fn a_stop_finishes_what_is_in_hand_and_is_no_death() {
    let site = Site::new("[stage.work]\nrun = [\"./slow.sh\"]\n");
    site.script("slow.sh", "#!/bin/sh\ntouch started\nsleep 1\n");
    let up = site.up();
    site.ok(&["submit", "--stage", "work"]);
    let started = site.path().join("started");
    eventually(|| started.exists().then_some(())).expect("it runs");
    let (role, spawner) = (up.role().expect("it runs"), up.children());
    assert_eq!(up.stop().code(), Some(0), "{}", site.log_tail());
    for pid in spawner.into_iter().chain([role]) {
        assert!(is_gone(pid));
    }
    assert!(!site.path().join("data/obituaries").exists());
    let up = site.up();
    let books = site.books();
    assert_eq!(books["done"], 1, "{books}");
    assert_eq!(reports(&site), Vec::<Value>::new());
    assert!(up.stop().success());
}

#[test]
fn a_stop_is_heard_also_while_it_waits_to_start_again() {
    let site = site(0);
    let mut up = site.up();
    for _ in 0..5 {
        let killed = eventually(|| up.role()).expect("it comes back");
        up.kill_role();
        eventually(|| (up.role() != Some(killed)).then_some(())).expect("it is dead");
    }
    // The pause is 1.6 s by now.
    let waits = eventually(|| site.log().contains("started again in 1.6s").then_some(()));
    assert!(waits.is_some(), "{}", site.log());
    let asked = Instant::now();
    up.signal();
    let ended = eventually(|| (!up.is_running()).then(|| asked.elapsed()));
    assert!(ended < Some(Duration::from_secs(1)), "{ended:?}");
    assert_eq!(up.end_code(), Some(128 + 9), "how its child has ended");
}

#[test]
fn a_configuration_that_is_wrong_is_told_once_and_nothing_is_started_again() {
    let site = Site::new("[stage.work]\nrun = 7\n");
    let output = site.up_command().output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(2), "{}", show(&output));
    let said = text(&output.stderr);
    assert_eq!(said.matches("stage.work.run").count(), 1, "{said}");
    assert!(!said.contains("started again"), "{said}");
}

#[test]
fn whatever_becomes_of_the_launcher_nothing_outlives_it() {
    let site = site(1);
    let up = site.up();
    site.ok(&["submit", "--stage", "work"]);
    let handler = running(&site, 1);
    let mut all = up.children();
    all.extend(up.role());
    assert_eq!(all.len(), 2, "spawner and role: {all:?}");
    all.push(handler);
    signal_to(up.pid(), Signal::KILL);
    for pid in all {
        assert!(is_gone(pid), "{pid} goes on");
    }
    drop(up);
    // Nobody could tell more; it is one report all the same.
    let up = site.up();
    site.books_until("it is done", |books| books["done"] == 1);
    let reports = reports(&site);
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0]["source"], "controller");
    assert!(up.stop().success());
}

#[test]
fn a_standard_error_that_nobody_reads_any_more_stops_nothing() {
    let site = site(0);
    let mut command = site.up_command();
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stderr = child.stderr.take().expect("a pipe");
    let mut first = [0; 1];
    stderr.read_exact(&mut first).expect("it says something");
    drop(stderr);
    let up = Up::from(child);
    let url = format!("http://{}/readyz", site.listen());
    eventually(|| ureq::get(&url).call().ok()).expect("it is ready");
    site.ok(&["submit", "--stage", "work"]);
    up.kill_role();
    site.books_until("it is done", |books| books["done"] == 1);
    assert!(up.stop().success());
}

#[test]
fn a_role_without_a_launcher_is_one_process() {
    let site = site(0);
    let mut command = site.up_command();
    let child = command
        .arg("--no-launcher")
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let up = Up::from(child);
    let url = format!("http://{}/readyz", site.listen());
    eventually(|| ureq::get(&url).call().ok()).expect("it is ready");
    // Its only child is the spawner, which has none.
    assert_eq!(up.children(), Vec::<u32>::new());
    let mut up = up;
    signal_to(up.pid(), Signal::KILL);
    eventually(|| (!up.is_running()).then_some(())).expect("nobody starts it again");
}

#[test]
fn a_launcher_is_small_and_the_last_to_be_killed_when_memory_runs_out() {
    let site = site(0);
    let up = site.up();
    let status =
        |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let field = |status: &str, name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.and_then(|text| text.parse().ok()).unwrap_or(0) * 1024
    };
    let launcher = status(up.pid());
    let (all, file) = (field(&launcher, "VmRSS:"), field(&launcher, "RssFile:"));
    let own = field(&launcher, "RssAnon:") + field(&launcher, "RssShmem:");
    println!("launcher: VmRSS {all} bytes: {own} its own, {file} of the program's file");
    assert!(own > 0 && own < OWN_BYTES_MAX, "{launcher}");
    let score = |pid: u32| -> i32 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj"));
        text.expect("it runs").trim().parse().expect("a number")
    };
    let role = up.role().expect("it runs");
    assert!(score(up.pid()) < score(role));
    assert!(up.stop().success());
}

#[test]
fn rabbitmq_report_about_a_killed_worker_tells_how_it_died() {
    let config = CONFIG.replace(
        "[stage.work]",
        "[flow.ci]\nstages = [\"work\"]\n[stage.work]",
    );
    let Some(field) = Field::shared(&config) else {
        return;
    };
    field.script("handler.sh", HANDLER);
    field.write("hangs", "1");
    let controller = field.controller("controller");
    let mut worker = field.worker("worker");
    worker.await_ready();
    let ask = field.ask(&controller);
    let id = ask.ok(&["submit", "--flow", "ci"]).trim().to_owned();
    let begun = field.path().join("running.1");
    eventually(|| begun.exists().then_some(())).expect("it begins");
    worker.kill_child();
    field.books_until(&controller, "it is done", |books| books["done"] == 1);
    let listed = oopses(&ask);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["ticket"], id);
    assert_histories_agree(&ask, &listed);
    let oops = listed[0]["id"].as_str().unwrap_or_default();
    let oops = ask.json(&["oops", "show", oops, "-o", "json"]);
    assert_tells_of_the_kill(&oops);
    assert!(worker.stop().success());
}
