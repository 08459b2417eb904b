use super::client::*;
use actix_web::http::Method;

const LINES: [(&str, &str); 1] = [("content-type", "application/x-ndjson")];

async fn submit(web: &Web, query: &str, body: &str) -> Answered {
    web.ask(
        Method::POST,
        &format!("/api/v1/tickets{query}"),
        &LINES,
        body,
    )
    .await
}

fn lines(count: usize) -> Vec<String> {
    (1..=count)
        .map(|n| format!(r#"{{"flow":"ci","payload":{n}}}"#))
        .collect()
}

#[tokio::test]
async fn a_bad_line_7_stops_none_of_the_others() {
    let web = Web::new();
    let mut body = lines(10);
    body[6] = r#"{"flow":"ci","#.into();
    let answered = submit(&web, "", &body.join("\n")).await;
    let json = answered.json();
    assert_eq!(
        (answered.status, &json["accepted"], &json["known"]),
        (200, &9.into(), &0.into())
    );
    assert_eq!(json["ids"].as_array().unwrap().len(), 9);
    assert_eq!(json["errors"].as_array().unwrap().len(), 1);
    assert_eq!(json["errors"][0]["line"], 7);
    assert!(
        json["errors"][0]["error"]
            .as_str()
            .unwrap()
            .contains("column 13: EOF")
    );
    assert_eq!(json["last_line"], 10);
}

#[tokio::test]
async fn lines_are_counted_from_where_the_client_says() {
    let answered = submit(&Web::new(), "?first_line=1001", "\n{}\n\n").await;
    let json = answered.json();
    assert_eq!(
        json["errors"][0]["line"], 1002,
        "empty lines count, but are no errors"
    );
    assert_eq!(json["errors"].as_array().unwrap().len(), 1);
    let answered = submit(&Web::new(), "?firstline=7", "{}").await;
    check_problem(&answered, 400, "bad-request", "firstline");
}

#[tokio::test]
async fn lines_become_durable_in_bounded_groups_and_in_order() {
    let mut web = Web::new();
    (
        web.config.limits.group_lines,
        web.config.limits.groups_in_flight,
    ) = (3, 2);
    let json = submit(&web, "", &lines(10).join("\n")).await.json();
    let state = web.fake.state.lock().unwrap();
    assert_eq!(state.groups, [3, 3, 3, 1]);
    let payload = |id: &str| {
        state.entries[&id.parse().unwrap()]
            .ticket
            .payload
            .bytes
            .clone()
    };
    let ids = json["ids"].as_array().unwrap().iter();
    let order: Vec<_> = ids.map(|id| payload(id.as_str().unwrap())).collect();
    let expected: Vec<_> = (1..=10).map(|n: u8| n.to_string()).collect();
    assert_eq!(order, expected);
}

#[tokio::test]
async fn a_full_disk_in_the_middle_tells_what_was_accepted_and_what_was_not() {
    let mut web = Web::new().with(|state| state.full_after = Some(2));
    (
        web.config.limits.group_lines,
        web.config.limits.groups_in_flight,
    ) = (2, 1);
    let answered = submit(&web, "", &lines(9).join("\n")).await;
    check_problem(&answered, 507, "store-full", "no space left");
    let json = answered.json();
    assert_eq!(
        (&json["accepted"], json["ids"].as_array().unwrap().len()),
        (&4.into(), 4)
    );
    let errors = json["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(
        (&errors[0]["line"], &errors[0]["last_line"]),
        (&5.into(), &9.into())
    );
    assert!(
        errors[0]["error"]
            .as_str()
            .unwrap()
            .starts_with("not accepted: the disk is full")
    );
}

#[tokio::test]
async fn a_line_that_is_too_long_is_skipped_and_named() {
    let web = Web::new();
    let long = "x".repeat(web.config.submission_bytes_max() + 1);
    let body = format!("{{\"flow\":\"ci\"}}\n{long}\n{{\"flow\":\"ci\"}}\n");
    let json = submit(&web, "", &body).await.json();
    assert_eq!(
        (&json["accepted"], &json["errors"][0]["line"]),
        (&2.into(), &2.into())
    );
}

#[tokio::test]
async fn lines_and_errors_past_their_bounds_are_counted_and_nothing_is_silent() {
    let mut web = Web::new();
    (web.config.limits.errors_max, web.config.limits.lines_max) = (2, 5);
    let json = submit(&web, "", &["[]"; 8].join("\n")).await.json();
    let errors = json["errors"].as_array().unwrap();
    assert_eq!((errors.len(), &json["errors_more"]), (3, &3.into()));
    assert_eq!(
        (&errors[2]["line"], &errors[2]["last_line"]),
        (&6.into(), &8.into())
    );
    assert!(
        errors[2]["error"]
            .as_str()
            .unwrap()
            .contains("at most 5 lines")
    );
}
