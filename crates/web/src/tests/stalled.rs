//! Repairs that go no further until a person acts.

use super::client::*;
use super::fake::*;
use domain::books::{Entry, Place};
use domain::breaker::Scope;
use domain::control::Gate;
use domain::plan::{Plan, Source};
use domain::wait::Condition;

fn paused() -> Plan {
    let mut plan = running(plan(1, 500));
    plan.pause(by("ana")).unwrap();
    plan
}

/// A breaker that waits for the end of this plan.
fn web(scope: Scope, plan: Plan) -> Web {
    Web::new().with(|state| {
        state.tripped.push(tripped(scope, releasing(Some(plan.id))));
        state.plans.push(plan);
    })
}

fn of_signature(plan: Plan) -> Web {
    web(Scope::Signature(signature()), plan)
}

/// The same with ticket 1 held.
fn with_one_held(web: Web) -> Web {
    web.with(|state| {
        let mut entry = waiting(1);
        if let Place::Waiting(wait) = &mut entry.place {
            wait.condition = Condition::Repair {
                signature: signature(),
            };
        }
        state.entries.insert(id(1), entry);
    })
}

async fn needs(web: &Web) -> String {
    let page = web.page("/").await.text();
    let needs = page.split("id=\"needs\"").nth(1).unwrap();
    needs.split("</section>").next().unwrap().to_owned()
}

async fn explained(web: &Web) -> (String, String) {
    let path = format!("/api/v1/tickets/{}/explain", id(1));
    let told = web.get(&path).await.json();
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    (text("then"), text("who_may_change"))
}

#[tokio::test]
async fn a_repair_whose_plan_rests_needs_somebody() {
    for (plan, word, verb) in [
        (paused(), "paused", "resumes"),
        (plan(1, 500), "ready", "releases"),
    ] {
        let needs = needs(&of_signature(plan)).await;
        let says =
            format!("is {word}</strong>; 500 tickets left, and none goes until somebody {verb} it");
        let link = format!("href=\"/p/{}\"", plan_id(1));
        for says in ["One thing needs you", &says, &link, "/s/test"] {
            assert!(needs.contains(says), "{says} is missing in {needs}");
        }
    }
}

#[tokio::test]
async fn a_repair_that_goes_on_by_itself_needs_nobody() {
    let page = needs(&of_signature(running(plan(1, 500)))).await;
    assert!(page.contains("Nothing needs you"), "{page}");
    let forgotten = of_signature(paused()).with(|state| state.plans.clear());
    let mut all_out = running(plan(1, 1));
    all_out.released(1, NOW).unwrap();
    all_out.pause(by("ana")).unwrap();
    for web in [forgotten, of_signature(all_out)] {
        let page = needs(&web).await;
        assert!(page.contains("Nothing needs you"), "{page}");
    }
}

#[tokio::test]
async fn a_held_ticket_whose_plan_rests_waits_for_a_person_and_not_for_itself() {
    for (plan, word) in [(paused(), "resume"), (plan(1, 500), "release")] {
        let (then, who) = explained(&with_one_held(of_signature(plan))).await;
        assert!(
            then.starts_with("nothing goes until release plan"),
            "{then}"
        );
        let how = format!("goaround plan {word} {}", plan_id(1));
        assert!(then.contains(&how), "{then}");
        assert!(!then.contains("by itself"), "{then}");
        let ways = format!("an operator by plan {word}, ticket retry, cancel or drop");
        assert_eq!(who, ways);
    }
    let (then, _) = explained(&with_one_held(of_signature(running(plan(1, 500))))).await;
    assert!(then.contains("by itself, in steps"), "{then}");
}

#[tokio::test]
async fn a_ticket_in_the_queue_of_a_stage_whose_plan_rests_waits_for_a_person_too() {
    let mut plan = paused();
    plan.selection.source = Source::Queue;
    let web = web(Scope::Stage, plan).with(|state| {
        let place = Place::Runnable { since: NOW };
        let entry = Entry {
            place,
            ..waiting(1)
        };
        state.entries.insert(id(1), entry);
        let gate = Gate {
            since: NOW,
            reason: "20 tickets in a row failed".into(),
            permit: None,
        };
        state.snapshot.gates.insert(stage("test"), gate);
    });
    let (then, who) = explained(&web).await;
    assert!(then.contains("goaround plan resume"), "{then}");
    assert_eq!(who, "an operator by plan resume, ticket cancel or drop");
}

#[tokio::test]
async fn a_probe_of_what_is_being_released_is_refused_and_names_the_plan() {
    let body = format!(r#"{{"stage":"test","signature":"{}"}}"#, signature());
    let id = plan_id(1);
    for (plan, why, remedy) in [
        (
            paused(),
            format!("is releasing by plan {id}, which is paused"),
            format!("resume it: goaround plan resume {id}"),
        ),
        (
            plan(1, 500),
            format!("is releasing by plan {id}, which is ready"),
            format!("release it: goaround plan release {id}"),
        ),
        (
            running(plan(1, 500)),
            format!("is releasing: its tickets go by plan {id}"),
            format!("nothing needs to be done; goaround plan show {id} says how far it is"),
        ),
    ] {
        let web = of_signature(plan);
        let answered = web.post("/api/v1/breakers/probe", &body).await;
        check_problem(&answered, 409, "refused", &why);
        assert_eq!(answered.json()["remedy"], remedy);
        assert!(web.fake.state.lock().unwrap().probes.is_empty());
    }
    let unmade = Web::new().with(|state| {
        let scope = Scope::Signature(signature());
        state.tripped.push(tripped(scope, releasing(None)));
    });
    let answered = unmade.post("/api/v1/breakers/probe", &body).await;
    check_problem(&answered, 409, "refused", "a release plan is being made");
}

#[tokio::test]
async fn lists_and_pages_of_a_stage_say_that_its_release_rests() {
    let web = of_signature(paused());
    let listed = web.get("/api/v1/breakers").await.json();
    let then = listed["items"][0]["then"].as_str().unwrap();
    assert!(then.contains("goaround plan resume"), "{then}");
    let page = web.page("/s/test").await.text();
    assert!(page.contains(", which is paused"), "{page}");
    let page = of_signature(running(plan(1, 500))).page("/s/test").await;
    assert!(!page.text().contains(", which is"), "{}", page.text());
}

#[tokio::test]
async fn a_held_ticket_that_is_too_late_waits_for_no_repair_and_no_retry() {
    let web = with_one_held(of_signature(paused())).with(|state| {
        let entry = state.entries.get_mut(&id(1)).unwrap();
        entry.ticket.deadline = Some(NOW);
    });
    let (then, who) = explained(&web).await;
    let parked = "it is reported and parked, not run: its own deadline has passed";
    assert!(then.starts_with(parked), "{then}");
    assert!(!who.contains("retry"), "{who}");
    assert!(who.contains("submit it again"), "{who}");
}
