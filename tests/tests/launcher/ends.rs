//! Ends that nobody asked for and that look like ends by oneself, and launchers that do not start
//! anything again.

use super::{CONFIG, HANDLER, is_gone, reports, running, site};
use acceptance::audit::{assert_histories_agree, oopses};
use acceptance::field::Field;
use acceptance::{Site, Up, eventually, show, signal_to, text};
use rustix::process::Signal;
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Makes a process that has it loaded leave at once when it is told so, as if it had finished.
const LEAVER: &str = "#include <signal.h>
#include <unistd.h>
static void leave(int signal) { (void)signal; _exit(0); }
__attribute__((constructor)) static void begin(void) { signal(SIGUSR2, leave); }
";

fn leaver(folder: &Path) -> PathBuf {
    std::fs::write(folder.join("leaver.c"), LEAVER).expect("the scratch folder can be written");
    let built = Command::new("cc")
        .current_dir(folder)
        .args(["-shared", "-fPIC", "-o", "leaver.so", "leaver.c"])
        .output();
    let built = built.expect("there is a compiler, or the product could not be built");
    assert!(built.status.success(), "{}", show(&built));
    folder.join("leaver.so")
}

/// Starts it with its log where the site has it; it need not become ready.
fn start(site: &Site, command: &mut Command) -> Up {
    let log = File::options()
        .create(true)
        .append(true)
        .open(site.path().join("up.log"));
    let log = log.expect("the scratch folder can be written");
    Up::from(command.stderr(log).spawn().expect("the binary starts"))
}

fn once_restarted(up: &Up, site: &Site, last: u32) -> u32 {
    let next = eventually(|| up.role().filter(|role| *role != last));
    next.unwrap_or_else(|| panic!("it is not started again:\n{}", site.log()))
}

fn assert_tells_of_the_leaving(oops: &Value) {
    let said = oops["value"].as_str().unwrap_or_default();
    assert!(said.contains("the process died while"), "{oops}");
    let cause = "exit status 0, which nobody had asked for";
    assert!(said.contains(cause), "{oops}");
    assert_eq!(oops["exit"], 0, "{oops}");
    assert_eq!(oops["outcome"], "crashed", "{oops}");
    assert_eq!(oops["source"], "launcher", "{oops}");
}

#[test]
fn a_role_that_stops_although_nobody_asked_its_launcher_is_started_again_and_that_is_told() {
    let site = site(0);
    let up = site.up();
    let role = up.role().expect("it runs");
    signal_to(role, Signal::TERM);
    once_restarted(&up, &site, role);
    assert!(
        site.log()
            .contains("the process died of exit status 0, which nobody had asked for"),
        "{}",
        site.log()
    );
    assert!(site.path().join("data/obituaries").exists());
    eventually(|| {
        site.cli(&["submit", "--stage", "work"])
            .status
            .success()
            .then_some(())
    });
    site.books_until("it is done", |books| books["done"] == 1);
    assert_eq!(reports(&site), Vec::<Value>::new(), "nothing was in hand");
    assert!(up.stop().success());
}

#[test]
fn a_role_that_exits_with_0_in_the_middle_of_a_ticket_has_died() {
    let site = site(1);
    let so = leaver(site.path());
    let up = start(&site, site.up_command().env("LD_PRELOAD", so));
    eventually(|| site.log().contains("is up: http").then_some(())).expect("it is up");
    let id = site.ok(&["submit", "--stage", "work"]).trim().to_owned();
    let handler = running(&site, 1);
    let role = up.role().expect("it runs");
    signal_to(role, Signal::USR2);
    let books = site.books_until("it is done", |books| books["done"] == 1);
    assert_eq!(books["balanced"], true, "{books}");
    assert!(is_gone(handler), "no handler outlives its process");
    let reports = reports(&site);
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0]["ticket"], id);
    assert_tells_of_the_leaving(&reports[0]);
    assert!(up.stop().success());
}

#[test]
fn rabbitmq_worker_that_exits_with_0_in_the_middle_of_a_ticket_has_died() {
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
    let mut command = Command::new(acceptance::program());
    command
        .current_dir(field.path())
        .args(["worker", "--listen", "127.0.0.1:0", "--data", "data-worker"])
        .env("LD_PRELOAD", leaver(field.path()))
        .stderr(File::create(field.path().join("worker.log")).expect("ours"));
    let up = Up::from(command.spawn().expect("the binary starts"));
    let ask = field.ask(&controller);
    let id = ask.ok(&["submit", "--flow", "ci"]).trim().to_owned();
    let begun = field.path().join("running.1");
    eventually(|| begun.exists().then_some(())).expect("it begins");
    signal_to(up.role().expect("it runs"), Signal::USR2);
    field.books_until(&controller, "it is done", |books| books["done"] == 1);
    let listed = oopses(&ask);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["ticket"], id);
    assert_histories_agree(&ask, &listed);
    let oops = listed[0]["id"].as_str().unwrap_or_default();
    assert_tells_of_the_leaving(&ask.json(&["oops", "show", oops, "-o", "json"]));
    assert!(up.stop().success());
}

/// The end of standard error says what to do, after what the role has said.
fn assert_cannot_begin(output: &Output, code: i32, reason: &str) {
    assert_eq!(output.status.code(), Some(code), "{}", show(output));
    let said = text(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("cannot begin"), "{said}");
    assert!(last.contains(&format!("exit status {code}")), "{said}");
    assert!(last.contains("put that right"), "{said}");
    assert_eq!(said.matches(reason).count(), 1, "{said}");
    assert!(!said.contains("started again"), "{said}");
}

#[test]
fn what_cannot_begin_is_told_like_a_death_and_ends_with_its_own_status() {
    let site = site(0);
    assert!(site.up().stop().success());
    let obituaries = site.path().join("data/obituaries");
    assert!(!obituaries.exists());
    site.write("goaround.toml", "[stage.work]\nrun = 7\n");
    let output = site.up_command().output().expect("the binary starts");
    assert_cannot_begin(&output, 2, "stage.work.run");
    let told = std::fs::read(&obituaries).expect("it is told").len();
    site.write("goaround.toml", CONFIG);
    let _taken = std::net::TcpListener::bind(site.listen()).expect("the port is free");
    let output = site.up_command().output().expect("the binary starts");
    assert_cannot_begin(&output, 1, "another goaround");
    assert!(std::fs::read(&obituaries).expect("both are").len() > told);
}

#[test]
fn rabbitmq_worker_with_a_bad_password_cannot_begin_and_is_not_tried_for_ever() {
    let Some(field) = Field::shared(CONFIG) else {
        return;
    };
    let url = field.broker.url();
    let (_, place) = url.split_once('@').expect("it has a user");
    let differs = [("broker.url", &*format!("amqp://guest:wrong@{place}"))];
    let mut worker = field.start("worker", "worker", &differs);
    let ended = worker.await_end().expect("it ends");
    assert_eq!(ended.code(), Some(1), "{}", worker.log());
    let log = worker.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(
        last.contains("cannot begin") && last.contains("put that right"),
        "{log}"
    );
    assert!(
        log.contains("password") && !log.contains("started again"),
        "{log}"
    );
}

#[test]
fn what_cannot_begin_where_nothing_ever_ran_leaves_nothing_behind() {
    let site = Site::new("[stage.work]\nrun = 7\n");
    let output = site.up_command().output().expect("the binary starts");
    assert_cannot_begin(&output, 2, "stage.work.run");
    assert!(!site.path().join("data").exists());
}

#[test]
fn what_was_at_work_before_is_tried_until_it_can_begin_again() {
    let site = site(0);
    let up = site.up();
    site.write("goaround.toml", "[stage.work]\nrun = 7\n");
    up.kill_role();
    let told = "the process died of exit status 2";
    let tried = eventually(|| (site.log().matches(told).count() >= 2).then_some(()));
    assert!(tried.is_some(), "{}", site.log());
    assert!(!site.log().contains("cannot begin"), "{}", site.log());
    site.write("goaround.toml", CONFIG);
    eventually(|| {
        site.cli(&["submit", "--stage", "work"])
            .status
            .success()
            .then_some(())
    });
    site.books_until("it is done", |books| books["done"] == 1);
    assert!(up.stop().success());
}

#[test]
fn a_launcher_that_is_not_to_restart_ends_as_its_child_did_and_the_report_tells_all_the_same() {
    let site = site(1);
    let up = start(&site, site.up_command().args(["--restart", "never"]));
    eventually(|| site.log().contains("is up: http").then_some(())).expect("it is up");
    site.ok(&["submit", "--stage", "work"]);
    let handler = running(&site, 1);
    up.kill_role();
    assert_eq!(up.end_code(), Some(128 + 9));
    assert!(is_gone(handler));
    let log = site.log();
    assert!(log.contains("not started again from here"), "{log}");
    let up = site.up();
    site.books_until("it is done", |books| books["done"] == 1);
    let reports = reports(&site);
    assert_eq!(reports.len(), 1, "{reports:?}");
    super::assert_tells_of_the_kill(&reports[0]);
    assert!(up.stop().success());
}

#[test]
fn an_end_that_nobody_asked_for_is_no_success_for_a_service_manager() {
    let site = site(0);
    let up = start(&site, site.up_command().args(["--restart", "never"]));
    eventually(|| site.log().contains("is up: http").then_some(())).expect("it is up");
    signal_to(up.role().expect("it runs"), Signal::TERM);
    assert_eq!(up.end_code(), Some(1), "{}", site.log());
}

#[test]
fn a_stop_that_reaches_every_process_of_a_service_at_once_is_a_stop() {
    let site = site(0);
    let up = site.up();
    for pid in up.role().into_iter().chain([up.pid()]) {
        signal_to(pid, Signal::TERM);
    }
    assert_eq!(up.end_code(), Some(0), "{}", site.log());
    assert!(!site.path().join("data/obituaries").exists());
}

#[test]
fn the_last_progress_of_a_command_that_ran_is_in_the_report() {
    let site = site(1);
    let progress = "echo '1 of 7' >> \"$GOAROUND_PROGRESS\"
echo '3 of 7' >> \"$GOAROUND_PROGRESS\"\n";
    site.script(
        "handler.sh",
        &HANDLER.replace("  exec", &format!("{progress}  exec")),
    );
    let up = site.up();
    let id = site.ok(&["submit", "--stage", "work"]).trim().to_owned();
    let handler = running(&site, 1);
    let waits = || (comm(handler) == "sleep").then_some(());
    eventually(waits).expect("it has said so");
    up.kill_role();
    site.books_until("it is done", |books| books["done"] == 1);
    let reports = reports(&site);
    assert_eq!(reports.len(), 1, "{reports:?}");
    super::assert_tells_of_the_kill(&reports[0]);
    let log = reports[0]["log_tail"].as_str().unwrap_or_default();
    let told = log.lines().last().unwrap_or_default();
    assert!(
        told.contains(&id) && told.ends_with("last progress: 3 of 7"),
        "{log}"
    );
    assert!(up.stop().success());
}

/// What the process runs.
fn comm(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
    name.unwrap_or_default().trim().to_owned()
}
