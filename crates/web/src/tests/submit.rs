use super::client::*;
use super::fake::*;
use actix_web::http::Method;
use domain::ports::StoreError;
use domain::ticket::Payload;
use std::time::Duration;

#[tokio::test]
async fn a_submission_that_cannot_be_a_ticket_says_why() {
    for (body, says) in [
        ("{", "column 1: EOF"),
        ("{}", "expected flow or stage, got neither"),
        (r#"{"flwo":"ci"}"#, r#"did you mean "flow"?"#),
        (
            r#"{"stage":"a b"}"#,
            "stage: expected 1 to 64 of the characters",
        ),
        (
            r#"{"flow":"ci","stage":"x"}"#,
            "flow ci (build, test), got \"x\"",
        ),
        (r#"{"stage":"s","id":"42"}"#, "ticket id: expected a UUID"),
        (
            r#"{"stage":"s","deadline":"soon"}"#,
            "deadline: expected a time",
        ),
        (
            r#"{"stage":"s","traceparent":"x"}"#,
            "traceparent: expected 00-",
        ),
    ] {
        check_refused(body, (400, "bad-request"), says).await;
    }
}

#[tokio::test]
async fn an_unknown_flow_and_a_large_payload_have_problems_of_their_own() {
    let large = format!(r#"{{"flow":"ci","payload":"{}"}}"#, "x".repeat(65));
    let near = r#"got "cii"; did you mean "ci"?"#;
    check_refused(r#"{"flow":"cii"}"#, (400, "unknown-flow"), near).await;
    check_refused(
        r#"{"flow":"nightly"}"#,
        (400, "unknown-flow"),
        "configured: ci",
    )
    .await;
    check_refused(
        &large,
        (413, "payload-too-large"),
        "at most 64 bytes, got 65",
    )
    .await;
}

async fn check_refused(body: &str, (status, word): (u16, &str), says: &str) {
    let web = Web::new();
    check_problem(&web.post("/api/v1/tickets", body).await, status, word, says);
    assert!(web.fake.state.lock().unwrap().entries.is_empty(), "{body}");
}

#[tokio::test]
async fn a_body_past_the_limit_is_refused_with_limit_and_size() {
    let web = Web::new();
    let max = web.config.submission_bytes_max();
    let answered = web.post("/api/v1/tickets", &"x".repeat(max + 1)).await;
    check_problem(
        &answered,
        413,
        "payload-too-large",
        &format!("at most {max} bytes"),
    );
    assert_eq!(answered.json()["limit"], max);
}

#[tokio::test]
async fn an_unknown_content_type_is_refused() {
    let headers = [("content-type", "text/csv")];
    let answered = Web::new()
        .ask(Method::POST, "/api/v1/tickets", &headers, "a,b")
        .await;
    check_problem(&answered, 415, "unsupported-media-type", "got \"text/csv\"");
}

#[tokio::test]
async fn a_store_that_cannot_is_told_by_its_own_status() {
    for (fault, status, word) in [
        (StoreError::Full("8 bytes left".into()), 507, "store-full"),
        (
            StoreError::Unavailable("locked".into()),
            503,
            "store-unavailable",
        ),
        (StoreError::Damaged("page 7".into()), 500, "store-damaged"),
    ] {
        let web = Web::new().with(|state| state.fault = Some(fault.clone()));
        let answered = web.post("/api/v1/tickets", r#"{"flow":"ci"}"#).await;
        check_problem(&answered, status, word, &fault.to_string());
    }
}

#[tokio::test]
async fn a_ticket_is_accepted_once_however_often_it_is_submitted() {
    let web = Web::new();
    let body = format!(
        r#"{{"flow":"ci","id":"{}","payload":{{"a":[1]}},"key":"k"}}"#,
        id(7)
    );
    let first = web.post("/api/v1/tickets", &body).await;
    assert_eq!(
        (first.status, first.json()["accepted"].as_str().unwrap()),
        (201, "new")
    );
    assert_eq!(
        first.header("location"),
        format!("/api/v1/tickets/{}", id(7))
    );
    let again = web.post("/api/v1/tickets", &body).await;
    assert_eq!(
        (again.status, again.json()["accepted"].as_str().unwrap()),
        (201, "known")
    );
    let state = web.fake.state.lock().unwrap();
    let ticket = &state.entries[&id(7)].ticket;
    assert_eq!(ticket.payload, Payload::json(r#"{"a":[1]}"#));
    assert_eq!((ticket.stage.as_str(), ticket.created_at), ("build", NOW));
}

#[tokio::test]
async fn a_deadline_may_be_a_length_of_time_which_our_clock_adds() {
    for (text, expected) in [
        ("30m", NOW.plus(Duration::from_secs(1_800))),
        (
            "2038-01-01T00:00:00Z",
            "2038-01-01T00:00:00Z".parse().unwrap(),
        ),
        ("2037-12-31", "2038-01-01T00:00:00Z".parse().unwrap()),
    ] {
        let web = Web::new();
        let body = format!(r#"{{"flow":"ci","id":"{}","deadline":"{text}"}}"#, id(7));
        assert_eq!(web.post("/api/v1/tickets", &body).await.status, 201);
        let state = web.fake.state.lock().unwrap();
        let deadline = state.entries[&id(7)].ticket.deadline;
        assert_eq!(deadline, Some(expected), "{text}");
    }
}

#[tokio::test]
async fn a_stage_that_nobody_configured_is_accepted() {
    let answered = Web::new()
        .post("/api/v1/tickets", r#"{"stage":"later"}"#)
        .await;
    assert_eq!(answered.status, 201);
}

#[tokio::test]
async fn a_body_that_names_no_type_is_read_as_one_ticket() {
    for headers in [
        &[][..],
        &[("content-type", "")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "Application/JSON; charset=utf-8")],
    ] {
        let body = r#"{"flow":"ci"}"#;
        let answered = Web::new()
            .ask(Method::POST, "/api/v1/tickets", headers, body)
            .await;
        assert_eq!(answered.status, 201, "{headers:?}: {}", answered.text());
    }
}

#[tokio::test]
async fn a_payload_past_the_limit_says_what_to_do_instead() {
    let large = format!(r#"{{"flow":"ci","payload":"{}"}}"#, "x".repeat(65));
    for body in [
        large,
        "x".repeat(Web::new().config.submission_bytes_max() + 1),
    ] {
        let json = Web::new().post("/api/v1/tickets", &body).await.json();
        assert_eq!(
            json["remedy"],
            "put what is large elsewhere and submit its address"
        );
    }
}
