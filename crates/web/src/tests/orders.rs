use super::client::*;
use super::fake::*;
use actix_web::http::Method;
use domain::books::{Entry, Fact, Line, Place};
use domain::names::{Holder, Version};
use domain::outcome::{Failure, Outcome, OutcomeKind, Usage};
use domain::ports::Action;
use domain::ticket::{Generation, Name};

fn web() -> Web {
    Web::new().with(|state| {
        state.entries.insert(id(1), waiting(1));
    })
}

#[tokio::test]
async fn an_order_that_cannot_be_carried_out_says_why_and_what_would_help() {
    let web = web().with(|s| s.refuse = Some(("it is running".into(), "cancel it first".into())));
    let answered = web
        .post(&format!("/api/v1/tickets/{}/retry", id(1)), "")
        .await;
    check_problem(&answered, 409, "refused", "it is running; cancel it first");
    let json = answered.json();
    assert_eq!(
        (&json["why"], &json["remedy"]),
        (&"it is running".into(), &"cancel it first".into())
    );
    let answered = web
        .post(&format!("/api/v1/tickets/{}/retry", id(2)), "")
        .await;
    check_problem(&answered, 404, "not-found", "no ticket has the id");
}

#[tokio::test]
async fn an_order_that_cannot_be_read_is_not_given() {
    let large = format!(r#"{{"outcome":"done","payload":"{}"}}"#, "x".repeat(65));
    let drop = format!("/api/v1/tickets/{}/drop", id(1));
    let callback = format!("/api/v1/callbacks/{}/1", id(1));
    let odd = format!("/api/v1/callbacks/{}/first", id(1));
    for (path, body, status, says) in [
        (&drop, "", 400, "because a drop is for ever"),
        (
            &drop,
            r#"{"reason":" "}"#,
            400,
            "reason: expected 1 to 1024 bytes, got 0",
        ),
        (
            &callback,
            r#"{"outcome":"fine"}"#,
            400,
            "outcome: expected started, done, failed or rejected",
        ),
        (&callback, &large, 413, "at most 64 bytes, got 65"),
        (
            &odd,
            r#"{"outcome":"done"}"#,
            400,
            "generation: expected a number, got \"first\"",
        ),
    ] {
        let web = web();
        let answered = web.post(path, body).await;
        let word = if status == 413 {
            "payload-too-large"
        } else {
            "bad-request"
        };
        check_problem(&answered, status, word, says);
        assert!(web.fake.state.lock().unwrap().orders.is_empty());
    }
    let headers = [("goaround-by", "")];
    let answered = web()
        .ask(Method::POST, &drop.replace("drop", "retry"), &headers, "")
        .await;
    check_problem(
        &answered,
        400,
        "bad-request",
        "Goaround-By: expected 1 to 128 bytes",
    );
}

#[tokio::test]
async fn orders_reach_the_desk_with_the_name_of_who_gave_them() {
    let web = web();
    let by = [("goaround-by", "ana")];
    for (path, body) in [
        (format!("/api/v1/tickets/{}/retry", id(1)), ""),
        (format!("/api/v1/tickets/{}/cancel", id(1)), ""),
        (
            format!("/api/v1/tickets/{}/drop", id(1)),
            r#"{"reason":"typo"}"#,
        ),
        (
            format!("/api/v1/callbacks/{}/3", id(1)),
            r#"{"outcome":"failed","type":"T","message":"m"}"#,
        ),
        (
            format!("/api/v1/callbacks/{}/3", id(1)),
            r#"{"outcome":"started"}"#,
        ),
    ] {
        let answered = web.ask(Method::POST, &path, &by, body).await;
        assert_eq!(
            (answered.status, answered.json()["id"].as_str()),
            (200, Some(id(1).to_string().as_str()))
        );
    }
    let state = web.fake.state.lock().unwrap();
    let actions: Vec<Action> = state
        .orders
        .iter()
        .map(|order| order.action.clone())
        .collect();
    let failed = Outcome::Failed(Failure::new("T", "m"));
    assert_eq!(
        actions,
        [
            Action::Retry,
            Action::Cancel,
            Action::Drop("typo".into()),
            Action::Complete(Generation(3), failed),
            Action::Start(Generation(3)),
        ]
    );
    assert!(
        state
            .orders
            .iter()
            .all(|order| order.by == "ana" && order.at == NOW)
    );
}

#[tokio::test]
async fn without_a_name_the_order_is_the_apis() {
    let web = web();
    web.post(&format!("/api/v1/tickets/{}/retry", id(1)), "")
        .await;
    assert_eq!(web.fake.state.lock().unwrap().orders[0].by, "api");
}

#[tokio::test]
async fn what_this_version_does_not_have_says_so() {
    for path in ["tickets/x/reset", "stages/test/pause", "settle"] {
        let answered = web().post(&format!("/api/v1/{path}"), "").await;
        check_problem(
            &answered,
            501,
            "not-available",
            "is not available in this version",
        );
    }
    for path in ["groups", "incidents"] {
        let answered = web().get(&format!("/api/v1/{path}")).await;
        check_problem(
            &answered,
            501,
            "not-available",
            "is not available in this version",
        );
    }
}

/// The ticket at work under its first name, handed on so many times.
fn at_work(place: Place, hops: usize) -> Entry {
    let mut entry = Entry {
        place,
        ..waiting(1)
    };
    entry.ticket.name = (0..hops).fold(Name::first(id(1)), |name, _| name.handed_on());
    entry
}

fn running() -> Place {
    Place::Running {
        since: NOW,
        holder: Holder::new("w1").unwrap(),
    }
}

#[tokio::test]
async fn a_call_back_before_the_attempt_has_ended_is_asked_to_come_again() {
    const LATE: &str = "the call-back came too late or twice";
    let runnable = Place::Runnable { since: NOW };
    let early = |place, generation| (at_work(place, 0), generation, 503);
    let other = |entry, generation| (entry, generation, 409);
    for (entry, generation, status) in [
        early(running(), 1),
        early(runnable, 1),
        other(at_work(running(), 0), 2),
        other(at_work(Place::Done { at: NOW }, 0), 1),
        other(waiting(1), 1),
    ] {
        let web = Web::new().with(|state| {
            state.entries.insert(id(1), entry);
            state.refuse = Some(("it is not pending".into(), LATE.into()));
        });
        let path = format!("/api/v1/callbacks/{}/{generation}", id(1));
        let answered = web.post(&path, r#"{"outcome":"done"}"#).await;
        if status == 409 {
            check_problem(&answered, 409, "refused", LATE);
            continue;
        }
        check_problem(&answered, 503, "too-early", "the attempt has not ended yet");
        assert!(answered.text().contains("send it again"));
        assert_eq!(answered.header("retry-after"), "1");
        assert!(web.fake.state.lock().unwrap().orders.is_empty());
    }
}

#[tokio::test]
async fn a_call_back_that_comes_twice_is_not_asked_to_end_the_wait_of_the_next_stage() {
    let web = Web::new().with(|state| {
        state.entries.insert(id(1), at_work(running(), 1));
        state.refuse = Some(("it is running".into(), "it came twice".into()));
        let fact = Fact::Attempted {
            started_at: NOW,
            outcome: OutcomeKind::Pending,
            version: Version::new("1").unwrap(),
            holder: Holder::new("w1").unwrap(),
            oops: None,
            usage: Usage::default(),
        };
        state.history = vec![Line {
            at: NOW,
            name: Name::first(id(1)),
            stage: stage("build"),
            fact,
        }];
    });
    let path = format!("/api/v1/callbacks/{}/1", id(1));
    let answered = web.post(&path, r#"{"outcome":"done"}"#).await;
    check_problem(&answered, 409, "refused", "it came twice");
}
