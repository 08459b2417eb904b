//! One ticket takes the process along in which twenty run: nobody else is charged for that. Each is
//! tried alone, the others land, and the one that did it is held until its handler is repaired.

use acceptance::audit::{assert_histories_agree, oopses};
use acceptance::eventually;
use acceptance::field::Field;
use acceptance::line::{Line, lines};
use acceptance::teller::Teller;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// In one process at once; one of them is the killer.
const TICKETS: usize = 20;
const KILLER: usize = 7;
/// After how many failures that are laid to it the killer is held.
const FAILURES: u64 = 5;
/// Healthy tickets of another stage, each time that some are sent.
const BESIDE: usize = 80;
/// So many of them run at once.
const BESIDE_AT_ONCE: usize = 2;

/// Probes come once an hour, so that whatever runs after the killer is held was called by its
/// repair.
const CONFIG: &str = r#"
[flow.ci]
stages = ["work"]
[flow.side]
stages = ["side"]
[stage.work]
run = ["./handler.sh"]
concurrency = 20
retry = { first = "50ms", max = "100ms" }
breaker = { failures = 5, probe = "1h" }
[stage.side]
run = ["./side.sh"]
concurrency = 2
"#;

/// All of them meet before the killer strikes, so that all are in hand. Whoever runs again waits
/// for a sign first, so that there is time to look at those that wait for their turn.
const HANDLER: &str = "#!/bin/sh
read -r what
me=\"work $GOAROUND_TICKET_ID $GOAROUND_GENERATION $GOAROUND_ATTEMPT\"
echo \"begun $me\" >> runs
if [ ! -e all ]; then
  : > \"met.$GOAROUND_TICKET_ID\"
  [ \"$what\" = killer ] || exec sleep 600
  until [ \"$(ls met.* | wc -l)\" -eq 20 ]; do sleep 0.02; done
  : > all
else
  until [ -e go ]; do sleep 0.02; done
  [ \"$what\" = killer ] || { echo \"ended $me\" >> runs; exit 0; }
fi
KILL
exec sleep 600
";

const REPAIRED: &str = "#!/bin/sh
me=\"work $GOAROUND_TICKET_ID $GOAROUND_GENERATION $GOAROUND_ATTEMPT\"
printf 'begun %s\\nended %s\\n' \"$me\" \"$me\" >> runs
";

const SIDE: &str = "#!/bin/sh
me=\"side $GOAROUND_TICKET_ID $GOAROUND_GENERATION $GOAROUND_ATTEMPT\"
echo \"begun $me\" >> runs
sleep 0.05
echo \"ended $me\" >> runs
";

/// The process that starts the handlers.
const SPAWNER: &str = "kill -KILL $PPID";

/// The process that does all the work, whose launcher starts it again.
const ROLE: &str = "role=$PPID
until tr '\\0' '\\n' < /proc/$role/cmdline | grep -q -x -e --launcher; do
  role=$(sed -n 's/^PPid:[[:space:]]*//p' /proc/$role/status)
  [ \"$role\" -gt 1 ] || exit 1
done
kill -KILL $role";

fn scripts(kill: &str) -> [(&'static str, String); 2] {
    [
        ("handler.sh", HANDLER.replace("KILL", kill)),
        ("side.sh", SIDE.to_owned()),
    ]
}

fn of_one(config: &str, scripts: &[(&'static str, String)]) -> Line {
    let scripts: Vec<_> = scripts.iter().map(|(name, it)| (*name, &**it)).collect();
    Line::of_one(config, &scripts)
}

fn of_servers(config: &str, scripts: &[(&'static str, String)]) -> Option<Line> {
    let scripts: Vec<_> = scripts.iter().map(|(name, it)| (*name, &**it)).collect();
    Some(Line::of_servers(Field::shared(config)?, &scripts, 1))
}

#[test]
fn who_kills_the_spawner_of_twenty_is_held_alone_and_nobody_else_is_charged() {
    only_the_killer_is_held(of_one(CONFIG, &scripts(SPAWNER)));
}

#[test]
fn who_kills_the_process_of_twenty_is_held_alone_and_nobody_else_is_charged() {
    only_the_killer_is_held(of_one(CONFIG, &scripts(ROLE)));
}

#[test]
fn rabbitmq_postgres_who_kills_the_spawner_of_twenty_is_held_alone_and_nobody_else_is_charged() {
    if let Some(line) = of_servers(CONFIG, &scripts(SPAWNER)) {
        only_the_killer_is_held(line);
    }
}

#[test]
fn rabbitmq_postgres_who_kills_the_worker_of_twenty_is_held_alone_and_nobody_else_is_charged() {
    if let Some(line) = of_servers(CONFIG, &scripts(ROLE)) {
        only_the_killer_is_held(line);
    }
}

fn only_the_killer_is_held(line: Line) {
    let ask = line.teller();
    let mut tickets = vec![("ci", "good".to_owned()); TICKETS - 1];
    tickets.insert(KILLER, ("ci", "killer".to_owned()));
    let mut beside = healthy(&line);
    let mut good = line.submit(&tickets);
    let killer = good.remove(KILLER);
    line.file_until("runs", "the first trial", |runs| {
        begun(runs, "work").len() > TICKETS
    });
    line.books_until("it answers again", |_| true);
    one_waits_for_its_turn(&ask);
    beside.extend(healthy(&line));
    // But for those that were in hand with the killer, and may have to wait for their trials: as
    // many as run at once, and those before them whose outcomes were not durable yet.
    let count = (beside.len() - 2 * BESIDE_AT_ONCE) as u64;
    let side_is_done = |books: &Value| books["done"].as_u64() >= Some(count);
    line.books_until("the other stage goes on", side_is_done);
    let runs = line.file("runs");
    assert_eq!(begun(&runs, "work").len(), TICKETS + 1, "one at a time");

    beside.extend(healthy(&line));
    std::fs::write(line.path().join("go"), "").expect("ours");
    let done = good.len() + beside.len();
    let are_tried = |books: &Value| books["done"] == done && books["waiting"]["held"] == 1;
    let books = line.books_until("the killer is held, and all others are done", are_tried);
    assert_eq!(books["balanced"], true, "{books}");
    for id in good.iter().chain(&beside) {
        assert_landed_uncharged(&ask, id);
    }
    assert_held(&line, &killer);
    assert_each_was_tried_alone(&line.file("runs"), &killer);
    assert_each_death_was_told_once(&line, &good, &killer);
    goes_on_beside_it(&line, done);
    lands_when_it_is_repaired(&line, &killer);
    line.stop();
}

/// Sends some tickets to a stage whose handler has nothing to do with any of this.
fn healthy(line: &Line) -> Vec<String> {
    line.submit(&vec![("side", "good".to_owned()); BESIDE])
}

/// Of so many one is out; the others know what they wait for.
fn one_waits_for_its_turn(ask: &Teller) {
    let waiting = ["ticket", "list", "--filter", "stage:work is:trial"];
    let waiting = [&waiting[..], &["--limit", "100", "-o", "json"]].concat();
    let all = eventually(|| {
        let all = ask.json(&waiting).as_array().cloned().unwrap_or_default();
        (all.len() == TICKETS - 1).then_some(all)
    });
    let all = all.unwrap_or_else(|| panic!("19 on trial: {}", ask.json(&waiting)));
    for ticket in &all {
        assert_eq!(ticket["attempt"], 1, "{ticket}");
    }
    let id = all[0]["id"].as_str().unwrap_or_default();
    let told = ask.json(&["ticket", "explain", id, "-o", "json"]);
    assert_eq!(told["reason"], "trial", "{told}");
    assert_says(&told["waits_for"], "tried alone");
    assert_says(&told["waits_for"], "none is charged");
    assert_says(&told["then"], "it runs alone");
}

fn assert_says(text: &Value, says: &str) {
    let is_said = text.as_str().is_some_and(|it| it.contains(says));
    assert!(is_said, "{says:?} is missing in {text}");
}

fn assert_landed_uncharged(ask: &Teller, id: &str) {
    let ticket = ask.json(&["ticket", "show", id, "-o", "json"]);
    assert_eq!(ticket["state"], "done", "{ticket}");
    assert_eq!(ticket["attempt"], 1, "nothing is charged: {ticket}");
}

/// It waits for its repair, and says so.
fn assert_held(line: &Line, killer: &str) {
    let ask = line.teller();
    let ticket = ask.json(&["ticket", "show", killer, "-o", "json"]);
    assert_eq!(ticket["reason"], "held", "{ticket}");
    assert_eq!(ticket["attempt"], FAILURES + 1, "{ticket}");
    let breaker = line.breaker("work");
    assert_eq!(breaker["state"], "open", "{breaker}");
    assert_eq!(breaker["held"], 1, "{breaker}");
    let told = ask.json(&["ticket", "explain", killer, "-o", "json"]);
    assert_eq!(told["reason"], "held", "{told}");
    let signature = breaker["signature"].as_str().unwrap_or_default();
    assert_says(&told["waits_for"], signature);
    assert_says(&told["waits_for"], "SIGKILL");
    assert_says(&told["then"], "at once when a new version serves the stage");
    assert_tells_of_the_deaths(&ask, &line.history(killer));
}

/// The first one was laid to nobody, the others to it.
fn assert_tells_of_the_deaths(ask: &Teller, history: &[Value]) {
    let deaths = history.iter().filter_map(|line| line["oops"].as_str());
    let deaths: Vec<Value> = deaths
        .map(|id| ask.json(&["oops", "show", id, "-o", "json"]))
        .collect();
    let Some((first, others)) = deaths.split_first() else {
        panic!("it never died: {history:?}");
    };
    assert_says(
        &first["value"],
        "none is charged until each was tried alone",
    );
    let attempts: Vec<_> = others
        .iter()
        .filter_map(|it| it["attempt"].as_u64())
        .collect();
    assert_eq!(attempts, (1..=FAILURES).collect::<Vec<_>>(), "{history:?}");
    for death in others {
        let said = death["value"].as_str().unwrap_or_default();
        assert!(!said.contains("none is charged"), "{death}");
        assert_says(&death["value"], "SIGKILL");
    }
    let is_turn = |line: &&&Value| {
        let why = line["why"].as_str().unwrap_or_default();
        why.contains("turn to be tried alone")
    };
    let released = lines(history, "released", "");
    let turns = released.iter().filter(is_turn).count() as u64;
    assert_eq!(turns, FAILURES, "{history:?}");
    assert_eq!(lines(history, "held", "").len(), 1, "{history:?}");
}

/// A run of a handler, as it wrote it down itself: what it was at, and which generation and
/// attempt of which ticket.
type Run<'a> = (&'a str, &'a str, u64, u64);

fn run(line: &str) -> (&str, Run<'_>) {
    let words: Vec<&str> = line.split(' ').collect();
    let [what, stage, ticket, generation, attempt] = words[..] else {
        panic!("no handler writes {line:?}");
    };
    let number = |word: &str| word.parse().expect("a number");
    (what, (stage, ticket, number(generation), number(attempt)))
}

/// Whole lines only: the last one may be half written.
fn told<'a>(runs: &'a str, stage: &'a str) -> impl Iterator<Item = (&'a str, Run<'a>)> {
    let whole = runs.rfind('\n').map_or("", |end| &runs[..end]);
    whole
        .lines()
        .map(run)
        .filter(move |(_, run)| run.0 == stage)
}

fn begun<'a>(runs: &'a str, stage: &'a str) -> Vec<Run<'a>> {
    let begun = told(runs, stage).filter(|(what, _)| *what == "begun");
    begun.map(|(_, run)| run).collect()
}

fn died<'a>(runs: &'a str, stage: &'a str) -> BTreeSet<Run<'a>> {
    let mut open = BTreeSet::new();
    for (what, run) in told(runs, stage) {
        match what {
            "begun" => open.insert(run),
            _ => open.remove(&run),
        };
    }
    open
}

/// After the death of them all no two of the stage ran at once: whoever begins has ended, or has
/// killed, before the next one begins. The killer was tried again and again, and only it.
fn assert_each_was_tried_alone(runs: &str, killer: &str) {
    let after: Vec<_> = told(runs, "work").skip(TICKETS).collect();
    let mut times: BTreeMap<&str, u64> = BTreeMap::new();
    for (at, (what, run)) in after.iter().enumerate() {
        if *what == "begun" {
            *times.entry(run.1).or_default() += 1;
            let next = after.get(at + 1).copied();
            let is_over = run.1 == killer || next == Some(("ended", *run));
            assert!(is_over, "{next:?} comes while {run:?} runs");
        }
    }
    assert_eq!(times.remove(killer), Some(FAILURES), "{after:?}");
    assert!(times.values().all(|count| *count == 1), "{times:?}");
    assert_eq!(times.len(), TICKETS - 1, "{times:?}");
}

/// Every attempt that died has its own report, the uncharged ones included. At the other stage one
/// may have died unseen: before its first word, or after its last.
fn assert_each_death_was_told_once(line: &Line, good: &[String], killer: &str) {
    let reports = oopses(&line.teller());
    let mut names: BTreeMap<(&str, &str, u64, u64), usize> = BTreeMap::new();
    for oops in &reports {
        let text = |field: &str| oops[field].as_str().unwrap_or_default();
        let number = |field: &str| oops[field].as_u64().unwrap_or_default();
        let name = (number("generation"), number("attempt"));
        *names
            .entry((text("stage"), text("ticket"), name.0, name.1))
            .or_default() += 1;
        assert_eq!(oops["outcome"], "crashed", "{oops}");
    }
    assert!(names.values().all(|count| *count == 1), "{names:?}");
    let names: BTreeSet<_> = names.into_keys().collect();
    let runs = line.file("runs");
    let at_work = names.iter().copied().filter(|name| name.0 == "work");
    assert_eq!(at_work.collect::<BTreeSet<_>>(), died(&runs, "work"));
    let untold: Vec<_> = died(&runs, "side").difference(&names).copied().collect();
    assert!(untold.is_empty(), "{untold:?}");
    let of = |id: &str| names.iter().filter(|name| name.1 == id).count() as u64;
    for id in good {
        assert_eq!(of(id), 1, "{id} died with the others, and never again");
    }
    assert_eq!(of(killer), FAILURES + 1);
    assert_histories_agree(&line.teller(), &reports);
}

/// Whoever comes while it is held finds both stages open.
fn goes_on_beside_it(line: &Line, before: usize) {
    let late = line.submit(&[("ci", "good".to_owned()), ("side", "good".to_owned())]);
    let books = line.books_until("both stages go on", |books| {
        books["done"] == before + late.len()
    });
    assert_eq!(books["waiting"]["held"], 1, "{books}");
    for id in &late {
        assert_landed_uncharged(&line.teller(), id);
    }
}

fn lands_when_it_is_repaired(line: &Line, killer: &str) {
    let reports = oopses(&line.teller());
    line.script("handler.sh", REPAIRED);
    let books = line.books_until("the killer lands", |books| books["waiting"]["held"] == 0);
    let accepted = books["accepted"].clone();
    let books = line.books_until("all are done", |books| books["done"] == accepted);
    assert_eq!(books["balanced"], true, "{books}");
    assert_eq!(oopses(&line.teller()), reports, "it lands at once");
    let history = line.history(killer);
    let attempts = lines(&history, "attempted", "");
    let last = attempts.last().expect("many of them");
    assert_eq!(last["outcome"], "done", "{last}");
    let died = reports.iter().find(|oops| oops["ticket"] == *killer);
    let died = &died.expect("it has died")["version"];
    assert_ne!(last["version"], *died, "{history:?}");
    let by_hand = ["retried", "cancelled", "dropped", "resubmitted"];
    let by_hand = by_hand.map(|what| lines(&history, what, ""));
    assert!(by_hand.concat().is_empty(), "{by_hand:?}");
    let canaries = lines(&history, "released", "canary for ");
    assert_eq!(canaries.len(), 1, "{history:?}");
}

/// Both are on trial after a first death: the killer, and one of another stage. Each waits a while
/// for the other one, so that they would meet if they could.
const MEETING_KILLER: &str = "#!/bin/sh
if [ ! -e killer_met ]; then
  : > killer_met
  until [ -e other_met ]; do sleep 0.02; done
else
  : > killer_tried
  n=0; until [ -e other_tried ] || [ $n -ge 100 ]; do sleep 0.02; n=$((n+1)); done
fi
KILL
sleep 600
";

const MEETING_OTHER: &str = "#!/bin/sh
[ -e other_met ] || { : > other_met; exec sleep 600; }
: > other_tried
n=0; until [ -e killer_tried ] || [ $n -ge 100 ]; do sleep 0.02; n=$((n+1)); done
sleep 1
rm other_tried
";

#[test]
fn who_is_on_trial_at_another_stage_is_not_charged_for_the_death_of_their_process() {
    nobody_meets_the_killer(of_one(CONFIG, &meeting()));
}

#[test]
fn rabbitmq_postgres_who_is_on_trial_at_another_stage_is_not_charged_for_the_death_of_their_worker()
{
    if let Some(line) = of_servers(CONFIG, &meeting()) {
        nobody_meets_the_killer(line);
    }
}

fn meeting() -> [(&'static str, String); 2] {
    [
        ("handler.sh", MEETING_KILLER.replace("KILL", ROLE)),
        ("side.sh", MEETING_OTHER.to_owned()),
    ]
}

fn nobody_meets_the_killer(line: Line) {
    let ids = line.submit(&[("ci", "killer".to_owned()), ("side", "good".to_owned())]);
    let books = line.books_until("one is held, and one is done", |books| {
        books["done"] == 1 && books["waiting"]["held"] == 1
    });
    assert_eq!(books["balanced"], true, "{books}");
    assert_landed_uncharged(&line.teller(), &ids[1]);
    // Once it works again, it can also stop well.
    line.submit(&[("side", "good".to_owned())]);
    line.books_until("it goes on", |books| books["done"] == 2);
    line.stop();
}
