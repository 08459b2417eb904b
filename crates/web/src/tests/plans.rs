use super::client::*;
use super::fake::*;
use actix_web::http::Method;
use domain::plan::{Choice, Order, Ramp, Refusal};
use domain::ports::{PlanOrder, StoreError};
use serde_json::json;

fn web() -> Web {
    Web::new().with(|state| state.plans.push(plan(1, 500)))
}

fn path(n: u8, rest: &str) -> String {
    format!("/api/v1/plans/{}{rest}", plan_id(n))
}

#[tokio::test]
async fn a_list_is_not_an_order_to_release_everything() {
    for body in ["[]", r#"["kind=f42"]"#, r#"{"terms":[]}"#] {
        let web = web();
        let answered = web.post(&path(1, "/release"), body).await;
        check_problem(&answered, 400, "bad-request", "expected an object with");
        let plan = web.fake.state.lock().unwrap().plans[0].clone();
        assert_eq!(plan.state.as_str(), "ready", "{body}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_of_a_plan_is_not_done() {
    let (release, drop) = (path(1, "/release"), path(1, "/drop"));
    for (path, body, word, says) in [
        ("/api/v1/plans", "", "bad-request", "EOF"),
        (
            "/api/v1/plans",
            "{}",
            "bad-request",
            "missing field `filter`",
        ),
        (
            "/api/v1/plans",
            r#"{"filter":"stge:x"}"#,
            "bad-filter",
            "did you mean \"stage\"?",
        ),
        (
            "/api/v1/plans",
            r#"{"filter":"is:held","terms":{"rate":"fast"}}"#,
            "bad-request",
            "rate: expected 1 to 100000 tickets",
        ),
        (
            &release,
            r#"{"group":"f42"}"#,
            "bad-request",
            "group: expected kind=…",
        ),
        (
            &release,
            r#"{"terms":{"order":"best"}}"#,
            "bad-request",
            "order: expected oldest, newest or random",
        ),
        (&drop, "{}", "bad-request", "missing field `reason`"),
        (
            &drop,
            r#"{"reason":" "}"#,
            "bad-request",
            "reason: expected 1 to 1024 bytes",
        ),
        (
            "/api/v1/plans/7/stop",
            "",
            "bad-request",
            "plan id: expected a UUID",
        ),
    ] {
        let web = web();
        check_problem(&web.post(path, body).await, 400, word, says);
        let state = web.fake.state.lock().unwrap();
        assert!(
            state.plan_orders.is_empty() && state.plans.len() == 1,
            "{path} {body}"
        );
    }
}

#[tokio::test]
async fn a_plan_that_is_not_there_is_not_found() {
    let none = Web::new();
    for verb in ["release", "pause", "resume", "stop"] {
        let answered = none.post(&path(2, &format!("/{verb}")), "").await;
        check_problem(&answered, 404, "not-found", "goaround plan list shows them");
    }
    check_problem(
        &none.get(&path(2, "")).await,
        404,
        "not-found",
        "no such plan",
    );
    let rate = none
        .post(&path(2, "/release"), r#"{"terms":{"rate":"1/s"}}"#)
        .await;
    check_problem(&rate, 404, "not-found", "no such plan");
}

#[tokio::test]
async fn what_is_refused_says_why_and_what_would_help() {
    let web = web().with(|state| state.plan_refusal = Some(Refusal::Paused));
    let answered = web.post(&path(1, "/release"), "").await;
    check_problem(
        &answered,
        409,
        "refused",
        "the plan is paused; resume it first",
    );
    let json = answered.json();
    assert_eq!(json["why"], "the plan is paused");
    assert_eq!(json["remedy"], "resume it first, or stop it");
    let full = web.with(|state| state.fault = Some(StoreError::Full("disk".into())));
    check_problem(
        &full.post(&path(1, "/stop"), "").await,
        507,
        "store-full",
        "disk",
    );
}

#[tokio::test]
async fn orders_reach_the_plans_with_the_name_of_who_gave_them() {
    let web = web();
    let by = [("goaround-by", "ana")];
    for (rest, body) in [
        ("/release", ""),
        (
            "/release",
            r#"{"group":"kind=f42","terms":{"rate":"10/s","ramp":"5","order":"newest"}}"#,
        ),
        ("/pause", ""),
        ("/resume", ""),
        ("/stop", ""),
        ("/drop", r#"{"group":"key=rust","reason":"not wanted"}"#),
    ] {
        let answered = web.ask(Method::POST, &path(1, rest), &by, body).await;
        assert_eq!(answered.status, 200, "{rest}: {}", answered.text());
        assert_eq!(answered.json()["id"], plan_id(1).to_string());
    }
    let state = web.fake.state.lock().unwrap();
    let (orders, names): (Vec<_>, Vec<_>) = state.plan_orders.iter().cloned().unzip();
    assert!(names.iter().all(|name| name == "ana"));
    let group = |name: &str| Choice::Group(name.parse().unwrap());
    assert_eq!(orders[0], PlanOrder::Release(Choice::Everything, None));
    let PlanOrder::Release(choice, Some(terms)) = &orders[1] else {
        panic!("{:?}", orders[1]);
    };
    assert_eq!((choice, &terms.ramp), (&group("kind=f42"), &Ramp::of(&[5])));
    assert_eq!(
        (terms.order, terms.rate),
        (Order::NewestFirst, "10/s".parse().ok())
    );
    // What was not said is as the plan has it.
    assert_eq!(terms.stop, plan(1, 500).terms.stop);
    assert_eq!(
        orders[2..],
        [
            PlanOrder::Pause,
            PlanOrder::Resume,
            PlanOrder::Stop,
            PlanOrder::Drop(group("key=rust"), "not wanted".into())
        ]
    );
}

#[tokio::test]
async fn a_plan_is_made_of_what_matches() {
    let web = Web::new();
    let body = r#"{"filter":"is:held stage:test","terms":{"ramp":"all"}}"#;
    let answered = web.post("/api/v1/plans", body).await;
    assert_eq!(answered.status, 201, "{}", answered.text());
    let json = answered.json();
    assert_eq!(json["state"], "ready");
    assert_eq!(json["selection"]["filter"], "is:held stage:test");
    assert_eq!(json["terms"]["ramp"], "all");
    assert_eq!(json["by"], "api");
    let location = answered.header("location").to_owned();
    assert_eq!(web.get(&location).await.json(), json);
}

#[tokio::test]
async fn plans_are_listed_as_many_as_are_asked_for() {
    let web = Web::new().with(|state| {
        for n in 1..=3 {
            state.plans.push(plan(n, 10));
        }
    });
    let answered = web.get("/api/v1/plans?limit=2").await.json();
    assert_eq!(answered["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(answered["more"], json!(true));
    assert_eq!(answered["items"][0]["counts"]["total"], 10);
    let wrong = web.get("/api/v1/plans?limit=0").await;
    check_problem(&wrong, 400, "bad-request", "limit: expected 1..=10000");
    let wrong = web.get("/api/v1/plans?filter=x").await;
    check_problem(&wrong, 400, "bad-request", "unknown field `filter`");
}
