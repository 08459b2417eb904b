//! Every way in which a handler can die, on one machine and on servers: its ticket comes back and
//! lands, one report names the cause, the others go on, and no process is left (US-07).

use acceptance::audit::{assert_histories_agree, oopses};
use acceptance::eventually;
use acceptance::field::Field;
use acceptance::line::Line;
use acceptance::teller::Teller;
use serde_json::Value;

/// How a handler dies at its first attempt, by what its ticket carries. `NUMBER` is in whatever it
/// leaves behind: in its environment, and where it has none in its command line.
const HANDLER: &str = "#!/bin/sh
ulimit -c 0
read -r way
echo \"$way $GOAROUND_ATTEMPT\" >> begun
case $way/$GOAROUND_ATTEMPT in
error/1) echo 'no recipe for gcc' >&2; exit 1 ;;
abort/1) kill -ABRT $$ ;;
killed/1) kill -KILL $$ ;;
group/1) sleep 600.NUMBER & kill -KILL 0 ;;
frozen/1) kill -STOP $$ ;;
deaf/1) trap '' TERM; while :; do sleep 600.NUMBER; done ;;
forks/1)
  setsid sh -c 'trap \"\" HUP TERM; echo $$ > forked; exec sleep 600.NUMBER' &
  while [ ! -s forked ]; do sleep 0.01; done
  exit 1 ;;
hides/1)
  env -i setsid sh -c 'echo $$ > hidden; cd /; exec sleep 600.NUMBER' <&- >&- 2>&- &
  while [ ! -s hidden ]; do sleep 0.01; done
  exit 1 ;;
lingers/1) exec >&- 2>&-; while [ ! -e go ]; do sleep 0.05; done; exit 1 ;;
leaves/1)
  setsid sh -c 'echo $$ > left; exec sleep 600.NUMBER' &
  while [ ! -s left ]; do sleep 0.01; done
  exit 0 ;;
role/1) exec sleep 600.NUMBER ;;
*/1) [ \"$way\" = good ] || exec DYING \"$way\" ;;
esac
";

const CONFIG: &str = r#"
[flow.work]
stages = ["work"]
[flow.short]
stages = ["short"]
[stage.work]
run = ["./handler.sh"]
env = { MARK = "NUMBER" }
concurrency = 4
memory_bytes_max = "256MiB"
retry = { first = "50ms", max = "200ms" }
[stage.short]
run = ["./handler.sh"]
env = { MARK = "NUMBER" }
concurrency = 3
deadline = "2s"
stop_grace = "300ms"
retry = { first = "50ms", max = "200ms" }
"#;

/// A way to die, and what its report says.
struct Way {
    name: &'static str,
    flow: &'static str,
    /// The outcome, the class of the error.
    is: [&'static str; 2],
    /// Words of the one line that says what happened.
    says: &'static str,
}

const fn way(
    name: &'static str,
    flow: &'static str,
    is: [&'static str; 2],
    says: &'static str,
) -> Way {
    Way {
        name,
        flow,
        is,
        says,
    }
}

const FAILED: [&str; 2] = ["failed", "ExitStatus"];
const CRASHED: [&str; 2] = ["crashed", "Signal"];
const OUT_OF_MEMORY: [&str; 2] = ["crashed", "MemoryLimit"];
const TIMED_OUT: [&str; 2] = ["timed_out", "DeadlineExceeded"];

const WAYS: [Way; 15] = [
    way("error", "work", FAILED, "no recipe for gcc"),
    way("panic", "work", FAILED, "no recipe for gcc"),
    way("destructor", "work", FAILED, "the destructor gives up"),
    way("destructor_in_panic", "work", CRASHED, "signal 6 (SIGABRT)"),
    way("abort", "work", CRASHED, "signal 6 (SIGABRT)"),
    way("stack", "work", CRASHED, "stack overflow"),
    way(
        "memory",
        "work",
        OUT_OF_MEMORY,
        "its memory limit of 256.0 MiB",
    ),
    way("killed", "work", CRASHED, "signal 9 (SIGKILL)"),
    way("group", "work", CRASHED, "signal 9 (SIGKILL)"),
    way("forks", "work", FAILED, "exit status 1"),
    way("hides", "work", FAILED, "exit status 1"),
    way("lingers", "work", FAILED, "exit status 1"),
    way("endless", "short", TIMED_OUT, "the deadline passed"),
    way("deaf", "short", TIMED_OUT, "the deadline passed"),
    way("frozen", "short", TIMED_OUT, "the deadline passed"),
];

/// Healthy tickets beside them.
const GOOD: usize = 12;

/// A number that nobody else has, for what is told by it.
fn number() -> String {
    uuid::Uuid::now_v7().as_u128().to_string()
}

/// The files of a line whose processes bear this number.
fn scripted(number: &str) -> (String, String) {
    let dying = acceptance::program().with_file_name("dying");
    assert!(dying.exists(), "{} is missing", dying.display());
    let handler = HANDLER.replace("DYING", &dying.display().to_string());
    let of = |text: &str| text.replace("NUMBER", number);
    (of(CONFIG), of(&handler))
}

#[test]
fn however_a_handler_dies_its_ticket_lands_and_one_report_names_the_cause() {
    let number = number();
    let (config, handler) = scripted(&number);
    dies_in_every_way(Line::of_one(&config, &[("handler.sh", &handler)]), &number);
}

#[test]
fn rabbitmq_however_a_handler_dies_its_ticket_lands_and_one_report_names_the_cause() {
    let number = number();
    let (config, handler) = scripted(&number);
    let Some(field) = Field::shared(&config) else {
        return;
    };
    let line = Line::of_servers(field, &[("handler.sh", &handler)], 1);
    dies_in_every_way(line, &number);
}

fn dies_in_every_way(line: Line, number: &str) {
    let ask = line.teller();
    let ways = WAYS.iter().map(|way| (way.flow, way.name.to_owned()));
    let good = (0..GOOD).map(|_| ("work", "good".to_owned()));
    let left = [("work", "leaves".to_owned())];
    let tickets: Vec<_> = ways.chain(good).chain(left).collect();
    let ids = line.submit(&tickets);
    let (bad, good) = ids.split_at(WAYS.len());
    others_go_on_meanwhile(&line, bad, good);
    let all = ids.len();
    let books = line.books_until("all of them", |books| books["done"] == all);
    assert_eq!(books["balanced"], true, "{books}");
    let reports = oopses(&ask);
    for (way, id) in WAYS.iter().zip(bad) {
        assert_told_once(&ask, way, id, &reports);
    }
    assert_eq!(reports.len(), WAYS.len(), "nobody else died: {reports:?}");
    assert_histories_agree(&ask, &reports);
    for forked in ["forked", "hidden", "left"] {
        assert_ne!(line.file(forked), "", "nothing was left behind to be found");
    }
    assert_nothing_runs(number);
    survives_the_death_of_its_role(&line, number);
    line.stop();
}

/// One of the dying lives on with its pipes closed until it is allowed to go.
fn others_go_on_meanwhile(line: &Line, bad: &[String], good: &[String]) {
    let ask = line.teller();
    let state = |id: &String| {
        let ticket = ask.json(&["ticket", "show", id, "-o", "json"]);
        ticket["state"].as_str().unwrap_or_default().to_owned()
    };
    for id in good {
        let done = eventually(|| (state(id) == "done").then_some(()));
        assert!(done.is_some(), "{id} stands still:\n{}", line.logs());
        let attempt = &ask.json(&["ticket", "show", id, "-o", "json"])["attempt"];
        assert_eq!(attempt, 1, "nothing is charged to {id}");
    }
    let lingers = WAYS.iter().position(|way| way.name == "lingers");
    let lingers = &bad[lingers.expect("one of them")];
    assert_eq!(state(lingers), "running");
    std::fs::write(line.path().join("go"), "").expect("ours");
}

fn assert_told_once(ask: &Teller, way: &Way, id: &str, reports: &[Value]) {
    let name = way.name;
    let told: Vec<&Value> = reports.iter().filter(|it| it["ticket"] == *id).collect();
    let [oops] = told[..] else {
        panic!("{name}: {told:?}");
    };
    let oops = oops["id"].as_str().unwrap_or_default();
    let oops = ask.json(&["oops", "show", oops, "-o", "json"]);
    assert_eq!([&oops["outcome"], &oops["type"]], way.is, "{name}: {oops}");
    let said = oops["value"].as_str().unwrap_or_default();
    assert!(said.contains(way.says), "{name}: {said:?} in {oops}");
    assert_eq!(oops["attempt"], 1, "{name}: {oops}");
    let ticket = ask.json(&["ticket", "show", id, "-o", "json"]);
    assert_eq!(ticket["attempt"], 2, "{name}: {ticket}");
    let history = ask.json(&["ticket", "history", id, "-o", "json"]);
    let lines = history.as_array().into_iter().flatten();
    let ends: Vec<&Value> = lines
        .filter(|line| line["what"] == "attempted")
        .map(|line| &line["outcome"])
        .collect();
    assert_eq!(ends, [way.is[0], "done"], "{name}: {history}");
}

/// What works dies with a ticket in hand.
fn survives_the_death_of_its_role(line: &Line, number: &str) {
    let ask = line.teller();
    let id = &line.submit(&[("work", "role".to_owned())])[0];
    line.file_until("begun", "its first attempt", |begun| {
        begun.contains("role 1\n")
    });
    let runs = eventually(|| Some(processes(number)).filter(|found| !found.is_empty()));
    assert!(runs.is_some(), "what is looked for can be found");
    line.kill_role();
    let all = WAYS.len() + GOOD + 2;
    line.books_until("it is done", |books| books["done"] == all);
    line.submit(&[("work", "good".to_owned())]);
    line.books_until("work goes on", |books| books["done"] == all + 1);
    let reports = oopses(&ask);
    let told: Vec<&Value> = reports.iter().filter(|it| it["ticket"] == **id).collect();
    let [oops] = told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(oops["outcome"], "crashed", "{oops}");
    let said = oops["value"].as_str().unwrap_or_default();
    assert!(said.contains("signal 9 (SIGKILL)"), "{oops}");
    assert_eq!(reports.len(), WAYS.len() + 1, "{reports:?}");
    assert_histories_agree(&ask, &reports);
    let ticket = ask.json(&["ticket", "show", id, "-o", "json"]);
    assert_eq!(ticket["attempt"], 2, "{ticket}");
    assert_nothing_runs(number);
}

/// Nothing that a handler has started is left.
fn assert_nothing_runs(number: &str) {
    let left = processes(number);
    assert!(left.is_empty(), "still running: {left:?}");
}

/// The processes that bear the number.
fn processes(number: &str) -> Vec<String> {
    let bears = |pid: &str| {
        let facts = ["environ", "cmdline"].map(|name| format!("/proc/{pid}/{name}"));
        let facts = facts.map(|file| std::fs::read(file).unwrap_or_default());
        facts.map(|text| acceptance::text(&text).replace('\0', " "))
    };
    let pids = std::fs::read_dir("/proc").expect("there are processes");
    let pids = pids.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.parse::<u32>().ok().map(|_| name)
    });
    pids.filter_map(|pid| {
        let [environment, command] = bears(&pid);
        let is_ours = environment.contains(number) || command.contains(number);
        is_ours.then(|| format!("{pid}: {command}"))
    })
    .collect()
}
