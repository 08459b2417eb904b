use super::client::*;
use super::fake::*;
use domain::breaker::{Canary, Scope, State as BreakerState};
use domain::control::Gate;
use domain::ticket::Name;
use domain::wait::Condition;

fn open() -> BreakerState {
    BreakerState::Open {
        since: NOW.minus(MINUTE),
        next_probe: Some(NOW.plus(MINUTE)),
    }
}

fn web() -> Web {
    Web::new().with(|state| {
        state
            .tripped
            .push(tripped(Scope::Signature(signature()), open()))
    })
}

fn probe(body: &str) -> String {
    body.replace("SIG", &signature().to_string())
}

async fn check_not_sent(web: Web, body: &str, (status, word): (u16, &str), says: &str) {
    let answered = web.post("/api/v1/breakers/probe", &probe(body)).await;
    check_problem(&answered, status, word, says);
    assert!(web.fake.state.lock().unwrap().probes.is_empty(), "{body}");
}

#[tokio::test]
async fn a_probe_that_cannot_be_read_is_not_sent() {
    for (body, says) in [
        ("", "EOF"),
        (r#"{"stage":"a b"}"#, "stage: expected"),
        (
            r#"{"stage":"test","signature":"x"}"#,
            "signature: expected v",
        ),
    ] {
        check_not_sent(web(), body, (400, "bad-request"), says).await;
    }
}

#[tokio::test]
async fn a_probe_of_what_has_not_tripped_is_not_found() {
    for (body, says) in [
        (
            r#"{"stage":"tset","signature":"SIG"}"#,
            "did you mean \"test\"?",
        ),
        (
            r#"{"stage":"test"}"#,
            "no breaker of the whole stage has tripped at stage test; there are breakers of v1-",
        ),
        (r#"{"stage":"build"}"#, "nothing fails there"),
    ] {
        check_not_sent(web(), body, (404, "not-found"), says).await;
    }
}

#[tokio::test]
async fn a_probe_that_would_change_nothing_is_refused() {
    let body = r#"{"stage":"test","signature":"SIG"}"#;
    let closed = Web::new().with(|state| {
        let quiet = BreakerState::Closed { clues: Vec::new() };
        state
            .tripped
            .push(tripped(Scope::Signature(signature()), quiet));
    });
    check_not_sent(closed, body, (409, "refused"), "is closed: it holds no").await;
    let stage_too = web().with(|state| state.tripped.push(tripped(Scope::Stage, open())));
    let says = "only its own breaker probes; probe the whole stage: goaround stage probe test";
    check_not_sent(stage_too, body, (409, "refused"), says).await;
}

#[tokio::test]
async fn a_probe_is_sent_and_the_breaker_shown_as_it_then_is() {
    let web = web();
    let body = probe(r#"{"stage":"test","signature":"SIG"}"#);
    let answered = web.post("/api/v1/breakers/probe", &body).await;
    assert_eq!(answered.status, 200, "{}", answered.text());
    let json = answered.json();
    assert_eq!(
        (&json["state"], &json["held"]),
        (&"open".into(), &500.into())
    );
    assert_eq!(json["signature"], signature().to_string());
    let probes = web.fake.state.lock().unwrap().probes.clone();
    assert_eq!(probes, [(stage("test"), Scope::Signature(signature()))]);
}

#[tokio::test]
async fn a_probe_while_one_is_tried_sends_no_other_and_says_so() {
    let canary = Canary {
        number: 1,
        name: Some(Name::first(id(1))),
        wants: None,
        sent_at: NOW,
        asked_at: NOW,
    };
    let state = BreakerState::Probing { since: NOW, canary };
    let web = Web::new().with(|it| {
        let scope = Scope::Signature(signature());
        it.tripped.push(tripped(scope, state));
    });
    let body = probe(r#"{"stage":"test","signature":"SIG"}"#);
    let answered = web.post("/api/v1/breakers/probe", &body).await;
    assert_eq!(answered.status, 200, "{}", answered.text());
    let json = answered.json();
    assert_eq!(json["state"], "probing");
    let says = format!(
        "one is being tried already, so no other is sent: ticket {} is being tried",
        id(1)
    );
    let then = json["then"].as_str().unwrap();
    assert!(then.starts_with(&says), "{then}");
    assert!(web.fake.state.lock().unwrap().probes.is_empty());
}

#[tokio::test]
async fn breakers_are_listed_by_stage() {
    let web = web();
    let all = web.get("/api/v1/breakers").await.json();
    let one = &all["items"][0];
    assert_eq!(
        (&one["stage"], &one["scope"]),
        (&"test".into(), &"signature".into())
    );
    assert_eq!(
        (&one["value"], &one["failed_versions"][0]),
        (&"Segfault: x".into(), &"1".into())
    );
    assert_eq!(web.get("/api/v1/breakers?stage=test").await.json(), all);
    let none = web.get("/api/v1/breakers?stage=build").await.json();
    assert_eq!(none["items"].as_array().map(Vec::len), Some(0));
    let unknown = web.get("/api/v1/breakers?stage=tset").await;
    check_problem(&unknown, 404, "not-found", "did you mean \"test\"?");
}

#[tokio::test]
async fn a_held_ticket_is_explained_by_its_breaker() {
    let web = web().with(|state| {
        let mut entry = waiting(1);
        if let domain::books::Place::Waiting(wait) = &mut entry.place {
            wait.condition = Condition::Repair {
                signature: signature(),
            };
        }
        state.entries.insert(id(1), entry);
    });
    let told = web
        .get(&format!("/api/v1/tickets/{}/explain", id(1)))
        .await
        .json();
    let waits_for = told["waits_for"].as_str().unwrap();
    for says in [
        &signature().to_string(),
        "to be repaired",
        "version 1",
        "(Segfault: x)",
    ] {
        assert!(waits_for.contains(says), "{waits_for}");
    }
    assert_eq!(told["until"], NOW.plus(MINUTE).to_string());
    assert!(
        told["then"]
            .as_str()
            .unwrap()
            .contains("one ticket alone is tried"),
        "{told}"
    );
}

#[tokio::test]
async fn a_held_ticket_of_a_stage_that_fails_as_a_whole_is_tried_after_that() {
    let web = web().with(|state| {
        let mut entry = waiting(1);
        if let domain::books::Place::Waiting(wait) = &mut entry.place {
            let signature = signature();
            wait.condition = Condition::Repair { signature };
        }
        state.entries.insert(id(1), entry);
        let later = BreakerState::Open {
            since: NOW,
            next_probe: Some(NOW.plus(2 * MINUTE)),
        };
        state.tripped.push(tripped(Scope::Stage, later));
    });
    let path = format!("/api/v1/tickets/{}/explain", id(1));
    let told = web.get(&path).await.json();
    let then = told["then"].as_str().unwrap();
    assert!(then.starts_with("its stage fails as a whole"), "{told}");
    assert_eq!(told["until"], NOW.plus(2 * MINUTE).to_string());
    let listed = web.get("/api/v1/breakers").await.json();
    assert_eq!(listed["items"][0]["rests"], true);
    assert_eq!(listed["items"][1]["rests"], false);
}

#[tokio::test]
async fn the_ticket_that_is_tried_knows_that_it_is_the_canary() {
    let probing = |scope| {
        let canary = Canary {
            number: 1,
            name: Some(Name::first(id(1))),
            wants: None,
            sent_at: NOW,
            asked_at: NOW,
        };
        let state = BreakerState::Probing { since: NOW, canary };
        let web = Web::new().with(|it| {
            let mut entry = waiting(1);
            entry.place = domain::books::Place::Runnable { since: NOW };
            it.entries.insert(id(1), entry);
            it.tripped.push(tripped(scope, state));
        });
        async move {
            let path = format!("/api/v1/tickets/{}/explain", id(1));
            web.get(&path).await.json()
        }
    };
    for (scope, what, then) in [
        (
            Scope::Signature(signature()),
            "it is the canary for failure v1-0f3a9c5e77b2d104",
            "if it lands, the others that are held for this failure follow",
        ),
        (
            Scope::Stage,
            "it is the canary for its whole stage",
            "if it lands, its stage takes tickets again",
        ),
    ] {
        let told = probing(scope).await;
        let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        assert!(text("waits_for").ends_with(what), "{told}");
        assert!(text("then").starts_with(then), "{told}");
    }
}

#[tokio::test]
async fn a_ticket_before_a_stage_that_fails_as_a_whole_is_explained_by_it() {
    let gated = |web: Web| {
        web.with(|state| {
            let mut entry = waiting(1);
            entry.place = domain::books::Place::Runnable { since: NOW };
            state.entries.insert(id(1), entry);
            let gate = Gate {
                since: NOW,
                reason: "20 tickets in a row failed".into(),
                permit: None,
            };
            state.snapshot.gates.insert(stage("test"), gate);
        })
    };
    let path = format!("/api/v1/tickets/{}/explain", id(1));
    let told = gated(Web::new()).get(&path).await.json();
    let waits_for = told["waits_for"].as_str().unwrap();
    assert!(
        waits_for.contains("fails as a whole: 20 tickets in a row failed"),
        "{told}"
    );
    let known = gated(Web::new())
        .with(|state| state.tripped.push(tripped(Scope::Stage, open())))
        .get(&path)
        .await
        .json();
    assert_eq!(known["until"], NOW.plus(MINUTE).to_string());
    let shown = gated(Web::new()).get("/api/v1/stages/test").await.json();
    assert_eq!(shown["gate"]["reason"], "20 tickets in a row failed");
    assert_eq!(shown["gate"]["worker"], serde_json::Value::Null);
}
