use super::client::*;
use crate::config::Token;
use actix_web::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const TICKET: &str = r#"{"flow":"ci"}"#;

#[tokio::test]
async fn without_a_token_only_our_own_names_are_served() {
    for (host, is_served) in [
        ("127.0.0.1:7878", true),
        ("127.8.9.1", true),
        ("localhost:7878", true),
        ("LOCALHOST", true),
        ("[::1]:7878", true),
        ("evil.example:7878", false),
        ("127.0.0.1.evil.example", false),
        ("192.0.2.7:7878", false),
        ("", false),
    ] {
        let answered = Web::new()
            .ask(Method::GET, "/api/v1/books", &[("host", host)], "")
            .await;
        match is_served {
            true => assert_eq!(answered.status, 200, "{host}"),
            false => check_problem(&answered, 403, "host-not-allowed", "configure a token"),
        }
    }
    let answered = Web::new()
        .ask(Method::GET, "/livez", &[("host", "pod-7")], "")
        .await;
    assert_eq!(answered.status, 200, "probes come by any name");
}

#[tokio::test]
async fn another_sites_page_changes_nothing() {
    for (name, value, is_ours) in [
        ("sec-fetch-site", "cross-site", false),
        ("origin", "https://evil.example", false),
        ("origin", "http://127.0.0.1:9999", false),
        ("origin", "null", false),
        ("origin", "http://127.0.0.1:7878", true),
        ("sec-fetch-site", "same-origin", true),
    ] {
        // What a form of another site can send without asking, and what it cannot.
        for sent_as in ["application/x-www-form-urlencoded", "", "application/json"] {
            let web = Web::new();
            let headers = [(name, value), ("content-type", sent_as)];
            let answered = web
                .ask(Method::POST, "/api/v1/tickets", &headers, TICKET)
                .await;
            match is_ours {
                true => assert_eq!(answered.status, 201, "{value}"),
                false => check_problem(&answered, 403, "cross-site", "a page of another site"),
            }
            assert_eq!(web.fake.state.lock().unwrap().entries.is_empty(), !is_ours);
        }
    }
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

#[tokio::test]
async fn a_browser_may_give_the_token_as_a_password_and_forms_keep_theirs() {
    let basic = basic("ana:s3cret");
    let headers = [("authorization", &*basic), ("accept", "text/html")];
    let web = Web::locked();
    let page = web.ask(Method::GET, "/", &headers, "").await;
    assert!(page.status == 200 && page.text().contains("Log out"));
    let form = "form_token=guess";
    let answered = web.ask(Method::POST, "/logout", &headers, form).await;
    assert_eq!(answered.status, 403, "{}", answered.text());
}

#[tokio::test]
async fn with_a_token_nothing_but_the_probes_is_open() {
    let web = Web::locked();
    for path in ["/livez", "/readyz"] {
        assert_eq!(web.get(path).await.status, 200);
    }
    for path in [
        "/api/v1/books",
        "/metrics",
        "/openapi.json",
        "/",
        "/t/1",
        "/nonsense",
    ] {
        let answered = web.get(path).await;
        check_problem(&answered, 401, "unauthorized", "Authorization: Bearer");
        let ways: Vec<&str> = answered
            .headers
            .get_all("www-authenticate")
            .map(|way| way.to_str().unwrap())
            .collect();
        let both = [r#"Bearer realm="goaround""#, r#"Basic realm="goaround""#];
        assert_eq!(ways, both);
    }
    for (token, status) in [
        ("Bearer s3cret", 200),
        ("bearer s3cret", 200),
        ("Bearer s3cre", 401),
        ("Basic s3cret", 401),
        (&basic("ana:s3cret"), 200),
        (&basic(":s3cret"), 200),
        (&basic("s3cret:"), 401),
        (&basic("s3cret"), 401),
        (&basic("ana:s3cret:"), 401),
        (&basic("ana:x:s3cret"), 401),
    ] {
        let headers = [("authorization", token), ("host", "goaround.example")];
        let answered = web.ask(Method::GET, "/api/v1/books", &headers, "").await;
        assert_eq!(answered.status, status, "{token}");
    }
}

#[tokio::test]
async fn a_browser_logs_in_once_and_is_led_back() {
    let web = Web::locked();
    let answered = web.page("/t/abc").await;
    assert_eq!(
        (answered.status, answered.header("location")),
        (303, "/login?next=/t/abc")
    );
    let form = web.page("/login?next=/t/abc").await;
    assert!(form.status == 200 && form.text().contains(r#"name="next" value="/t/abc""#));
    let wrong = web.post("/login", "token=guess&next=/").await;
    assert!(wrong.status == 401 && wrong.text().contains("not the token"));
    let right = web.post("/login", "token=s3cret&next=/t/abc").await;
    assert_eq!((right.status, right.header("location")), (303, "/t/abc"));
    let cookie = right.header("set-cookie").to_owned();
    assert!(
        cookie.contains("HttpOnly; SameSite=Lax") && !cookie.contains("s3cret"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap();
    let inside = web
        .ask(
            Method::GET,
            "/",
            &[("cookie", &format!("a=b; {cookie}"))],
            "",
        )
        .await;
    assert!(inside.status == 200 && inside.text().contains("Log out"));
    let other = Web {
        config: crate::Config {
            token: Some(Token::new("new")),
            ..web.config.clone()
        },
        ..Web::new()
    };
    let outside = other.ask(Method::GET, "/", &[("cookie", cookie)], "").await;
    assert_eq!(outside.status, 401, "another token ends every session");
}

#[tokio::test]
async fn a_log_in_leads_to_no_other_site() {
    for next in [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "",
    ] {
        let answered = Web::locked()
            .post("/login", &format!("token=s3cret&next={next}"))
            .await;
        assert_eq!(answered.header("location"), "/", "{next}");
    }
}

#[tokio::test]
async fn every_answer_has_its_guards() {
    for answered in [
        Web::new().get("/").await,
        Web::new().get("/nonsense").await,
        Web::locked().get("/").await,
    ] {
        let policy = answered.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self'")
                && policy.ends_with("frame-ancestors 'none'")
        );
        assert_eq!(answered.header("x-content-type-options"), "nosniff");
        assert_eq!(answered.header("referrer-policy"), "same-origin");
        assert_eq!(answered.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn a_secret_is_never_shown() {
    let shown = format!("{:?}", Web::locked().config);
    assert!(
        shown.contains("***") && !shown.contains("s3cret"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_wrong_method_names_the_right_ones() {
    let answered = Web::new()
        .ask(Method::DELETE, "/api/v1/tickets", &[], "")
        .await;
    check_problem(&answered, 405, "method-not-allowed", "got DELETE");
    let allow = answered.header("allow");
    assert!(
        allow.contains("GET, HEAD") && allow.contains("POST"),
        "{allow}"
    );
}

#[tokio::test]
async fn whoever_may_read_may_ask_for_the_head_alone() {
    for path in ["/", "/livez", "/api/v1/books"] {
        let answered = Web::new().ask(Method::HEAD, path, &[], "").await;
        assert_eq!(answered.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_bug_is_answered_500() {
    let web = Web::new().with(|state| state.panics = true);
    check_problem(
        &web.get("/api/v1/books").await,
        500,
        "internal",
        "met a bug",
    );
}
