use super::client::*;
use super::fake::*;
use domain::books::{Entry, Place, Served, StageCounts};
use domain::control::Hold;
use domain::names::{Holder, Kind, Version};
use domain::outcome::Failure;
use domain::ports::{Depth, Finding, Inspection, StoreError};
use domain::ticket::Payload;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[tokio::test]
async fn what_is_not_there_is_a_404_that_says_so() {
    let oops = report(1, Failure::new("T", "m")).id.to_string();
    for (path, says) in [
        (format!("/api/v1/tickets/{}", id(9)), "no ticket has the id"),
        (
            format!("/api/v1/tickets/{}/explain", id(9)),
            "no ticket has the id",
        ),
        (
            format!("/api/v1/tickets/{}/history", id(9)),
            "no ticket has the id",
        ),
        (
            format!("/api/v1/oopses/{oops}"),
            "no OOPS has an id that begins with",
        ),
        ("/api/v1/stages/biuld".into(), "did you mean \"build\"?"),
        (
            "/api/v1/nonsense".into(),
            "nothing is served at /api/v1/nonsense",
        ),
    ] {
        check_problem(&Web::new().get(&path).await, 404, "not-found", says);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_a_400_that_says_where() {
    for (path, says) in [
        (
            "/api/v1/tickets/42",
            "ticket id: expected a UUID, got \"42\"",
        ),
        (
            "/api/v1/oopses/OOPS-1",
            "oops id: expected OOPS- and 27 digits",
        ),
        (
            "/api/v1/tickets?limit=0",
            "limit: expected 1..=10000, got \"0\"",
        ),
        (
            "/api/v1/tickets?limit=many",
            "limit: expected 1..=10000, got \"many\"",
        ),
        (
            "/api/v1/tickets?sort=up",
            "sort: expected newest or oldest, got \"up\"",
        ),
        ("/api/v1/tickets?filtre=x", "unknown field `filtre`"),
        (
            "/api/v1/tickets?filter=%ff",
            "query: expected UTF-8, got %FF after 7 bytes",
        ),
        ("/api/v1/oopses?filter=a%C3%28", "got %C3 after 8 bytes"),
        ("/api/v1/plans?x%ff=1", "got %FF after 1 bytes"),
        (
            "/api/v1/doctor?deep=very",
            "deep: expected true or false, got \"very\"",
        ),
        ("/api/v1/doctor?depth=true", "unknown field `depth`"),
        (
            "/api/v1/books?since=2h",
            "since: expected a time such as -1h, 2026-11-01 or 2026-11-01T14:03:22Z, got \"2h\"",
        ),
        ("/api/v1/books?until=-1h", "unknown field `until`"),
    ] {
        check_problem(&Web::new().get(path).await, 400, "bad-request", says);
    }
    let answered = Web::new()
        .get("/api/v1/tickets?filter=is:waiting%20stge:x")
        .await;
    check_problem(&answered, 400, "bad-filter", "byte 11");
    assert_eq!(
        (&answered.json()["position"], &answered.json()["nearest"]),
        (&11.into(), &"stage".into())
    );
}

#[tokio::test]
async fn what_only_looks_like_an_escape_is_read_as_it_is() {
    for filter in ["%C3%A9", "100%", "%zz", "%2", "%+f", "a+b"] {
        let path = format!("/api/v1/tickets?filter={filter}");
        assert_eq!(Web::new().get(&path).await.status, 200, "{filter}");
    }
}

#[tokio::test]
async fn a_filter_that_cannot_be_answered_is_refused_with_what_can_be() {
    for (path, says) in [
        (
            "oopses?filter=parked:-1h",
            "reports have no parked; expected one of is, id",
        ),
        (
            "oopses?filter=data.arch:x",
            "reports have no data.arch; expected one of is, id",
        ),
        (
            "oopses?filter=is:parked",
            "reports are one of rejected, failed",
        ),
        (
            "tickets?filter=frame:x",
            "tickets have no frame; expected one of is, id",
        ),
        (
            "tickets?filter=is:panic",
            "tickets are one of runnable, running",
        ),
        (
            "tickets?filter=owner:me",
            "one of the keys is, id, ticket, group",
        ),
        (
            "tickets?filter=key:~%22(%22",
            "byte 4: expected a regular expression that can be read",
        ),
        (
            "tickets?filter=key:~%22.%7B9999%7D%22",
            "byte 4: expected a smaller regular expression",
        ),
    ] {
        let answered = Web::new().get(&format!("/api/v1/{path}")).await;
        check_problem(&answered, 400, "bad-filter", says);
    }
}

#[tokio::test]
async fn every_reading_passes_on_that_the_store_does_not_answer() {
    for path in [
        "tickets",
        "oopses",
        "stages",
        "books",
        "doctor",
        "tickets/01010101-0101-0101-0101-010101010101",
    ] {
        let web = Web::new().with(|s| s.fault = Some(StoreError::Unavailable("locked".into())));
        let answered = web.get(&format!("/api/v1/{path}")).await;
        check_problem(&answered, 503, "store-unavailable", "locked");
        assert_eq!(answered.header("retry-after"), "5");
    }
}

#[tokio::test]
async fn a_list_is_filtered_cut_and_says_whether_there_is_more() {
    let web = Web::new().with(|state| {
        for n in 1..=3 {
            let mut entry = waiting(n);
            entry.ticket.payload = Payload::untyped("x".repeat(5_000));
            state.entries.insert(id(n), entry);
        }
    });
    let json = web
        .get("/api/v1/tickets?filter=is:waiting&limit=2&sort=oldest")
        .await
        .json();
    let items = json["items"].as_array().unwrap();
    assert_eq!((items.len(), &json["more"]), (2, &true.into()));
    assert_eq!(
        (&items[0]["id"], &items[0]["payload_cut"]),
        (&id(1).to_string().into(), &true.into())
    );
    assert_eq!(
        (
            &items[0]["payload_bytes"],
            items[0]["payload"].as_str().unwrap().len()
        ),
        (&5_000.into(), 1_024)
    );
    let none = web.get("/api/v1/tickets?filter=is:done").await.json();
    assert_eq!(
        (none["items"].as_array().unwrap().len(), &none["more"]),
        (0, &false.into())
    );
}

#[tokio::test]
async fn a_payload_that_most_readers_refuse_spoils_no_list() {
    let deep = |levels| "[".repeat(levels) + &"]".repeat(levels);
    let kept = r#"{"a":1,"a":2,"z":1.10}"#;
    let payloads = ["1e400", r#"{"a":"\ud800"}"#, &deep(127), &deep(500), kept];
    let web = Web::new().with(|state| {
        for (n, payload) in (1..).zip(payloads) {
            let mut entry = waiting(n);
            entry.ticket.payload = Payload::json(payload.to_owned());
            state.entries.insert(id(n), entry);
        }
    });
    let list = web.get("/api/v1/tickets?sort=oldest").await;
    assert_eq!(list.status, 200, "{}", list.text());
    assert!(
        list.text().contains(&format!(r#""payload":{kept}"#)),
        "{}",
        list.text()
    );
    let json = list.json();
    for (n, payload) in payloads[..4].iter().enumerate() {
        assert_eq!(json["items"][n]["payload"], *payload, "as text");
        let shown = web
            .get(&format!("/api/v1/tickets/{}", id(n as u8 + 1)))
            .await;
        assert_eq!(
            (shown.status, &shown.json()["payload"]),
            (200, &json["items"][n]["payload"])
        );
        let page = web.page(&format!("/t/{}", id(n as u8 + 1))).await;
        assert_eq!(page.status, 200, "{payload}");
    }
}

#[tokio::test]
async fn a_ticket_behind_a_handler_that_cannot_be_started_says_what_is_to_be_repaired() {
    let hold = Hold {
        since: NOW,
        reason: "./test.sh: no such file".into(),
        by: "goaround".into(),
        version: None,
        oops: None,
    };
    let web = Web::new().with(|state| {
        let place = Place::Runnable { since: NOW };
        state.entries.insert(
            id(1),
            Entry {
                place,
                ..waiting(1)
            },
        );
        state.snapshot.holds.insert(stage("test"), hold);
    });
    let told = web.get(&format!("/api/v1/tickets/{}/explain", id(1))).await;
    let told = told.json();
    for (name, says) in [
        ("waits_for", "./test.sh: no such file"),
        (
            "then",
            "can be started, the stage goes on by itself with all its tickets",
        ),
        (
            "who_may_change",
            "whoever repairs the handler of stage test; or an operator by",
        ),
    ] {
        let text = told[name].as_str().unwrap();
        assert!(text.contains(says), "{name}: {text}");
    }
}

#[tokio::test]
async fn a_ticket_is_shown_whole_with_the_documented_fields() {
    let web = Web::new().with(|state| {
        let mut entry = waiting(1);
        entry.ticket.payload = Payload::json(r#"{"n":12345678901234567890}"#);
        state.entries.insert(id(1), entry);
        state.history = vec![noted(1, "accepted")];
    });
    let shown = web.get(&format!("/api/v1/tickets/{}", id(1))).await;
    assert!(
        shown
            .text()
            .contains(r#""payload":{"n":12345678901234567890}"#),
        "{}",
        shown.text()
    );
    let json = shown.json();
    assert_eq!(
        (&json["state"], &json["reason"]),
        (&"waiting".into(), &"backoff".into())
    );
    assert_eq!(json["until"], "2026-11-21T14:03:27.120Z");
    assert_eq!(json["lineage"]["root"], id(1).to_string());
    let documented = web.get("/openapi.json").await.json();
    let documented = documented["components"]["schemas"]["Ticket"]["properties"].clone();
    let names = |json: &serde_json::Value| -> Vec<String> {
        json.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(names(&json), names(&documented));
    let why = web
        .get(&format!("/api/v1/tickets/{}/explain", id(1)))
        .await
        .json();
    assert_eq!(
        (
            &why["state"],
            &why["reason"],
            &why["last_events"][0]["what"]
        ),
        (&"waiting".into(), &"backoff".into(), &"accepted".into())
    );
    let past = web
        .get(&format!("/api/v1/tickets/{}/history", id(1)))
        .await
        .json();
    assert_eq!(past["items"][0]["why"], "by a test");
}

#[tokio::test]
async fn an_oops_is_found_by_any_spelling_unless_two_are_named_so() {
    let (one, two) = (
        report(1, Failure::new("T", "m")),
        report(2, Failure::new("T", "m")),
    );
    let mut near = one.clone();
    near.id = domain::oops::OopsId::from_u128(one.id.as_u128() ^ 1);
    let web = Web::new().with(|state| state.reports = vec![one.clone(), near, two.clone()]);
    let whole = two.id.to_string();
    for spelling in [&whole, &whole.to_lowercase(), &whole[5..], &whole[..20]] {
        let json = web.get(&format!("/api/v1/oopses/{spelling}")).await.json();
        assert_eq!(
            (&json["id"], &json["type"]),
            (&whole.as_str().into(), &"T".into()),
            "{spelling}"
        );
    }
    let prefix = one.id.to_string()[..20].to_owned();
    let answered = web.get(&format!("/api/v1/oopses/{prefix}")).await;
    check_problem(&answered, 409, "ambiguous", "begins more than one id");
    assert_eq!(answered.json()["ids"].as_array().unwrap().len(), 2);
    assert_eq!(
        web.get("/api/v1/oopses").await.json()["items"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[tokio::test]
async fn a_stage_shows_its_rules_its_hold_and_its_obstacle() {
    let hold = Hold {
        since: NOW,
        reason: "no such file".into(),
        by: "supervisor".into(),
        version: None,
        oops: None,
    };
    let mut web = Web::new().with(|state| {
        state.snapshot.holds.insert(stage("test"), hold);
    });
    let version = Version::new("1.4.2").unwrap();
    let obstacle = Some("./test.sh: not executable".to_owned());
    web.handlers
        .insert(stage("test"), Inspection { version, obstacle });
    let json = web.get("/api/v1/stages").await.json();
    assert_eq!(
        (&json["items"][0]["stage"], &json["items"][1]["stage"]),
        (&"build".into(), &"test".into())
    );
    let json = web.get("/api/v1/stages/test").await.json();
    assert_eq!(
        (&json["hold"]["reason"], &json["version"]),
        (&"no such file".into(), &"1.4.2".into())
    );
    assert_eq!(
        (&json["obstacle"], &json["waiting"]["parked"]),
        (&"./test.sh: not executable".into(), &0.into())
    );
    let doctor = web.get("/api/v1/doctor").await.json();
    assert_eq!(
        (&doctor["healthy"], &doctor["findings"][0]["fine"]),
        (&false.into(), &false.into())
    );
}

#[tokio::test]
async fn a_stage_shows_who_serves_it_elsewhere_and_which_kinds_they_take() {
    let kinds = BTreeSet::from(["<nut>", "bolt"].map(|kind| Kind::new(kind).unwrap()));
    let served = |version, kinds, workers| Served {
        version: Version::new(version).unwrap(),
        kinds,
        workers,
    };
    let all = vec![served("1.4", None, 1), served("1.5", Some(kinds), 2)];
    let mut counts = sums("build", 0);
    counts.served = all;
    let web = Web::new().with(|state| state.counts = vec![counts]);
    let json = web.get("/api/v1/stages/build").await.json();
    let expected = json!([
        { "version": "1.4", "workers": 1, "kinds": null },
        { "version": "1.5", "workers": 2, "kinds": ["<nut>", "bolt"] },
    ]);
    assert_eq!(json["served"], expected);
    let page = web.get("/s/build").await.text();
    assert!(page.contains("2 workers with version"), "{page}");
    assert!(
        page.contains("&lt;nut&gt;") && !page.contains("<nut>"),
        "{page}"
    );
    let home = web.get("/").await.text();
    assert!(home.contains("1.4, 1.5"), "{home}");
}

#[tokio::test]
async fn a_stage_shows_by_how_many_workers_the_desired_state_is_applied_and_who_lags() {
    let mut web = Web::new().with(|state| state.snapshot.revision = 42);
    let json = web.get("/api/v1/stages/build").await.json();
    assert_eq!(json["applied"], json!(null), "nobody knows who is alive");
    let page = web.get("/s/build").await.text();
    assert!(!page.contains("Desired state"), "{page}");

    let worker = |name: &str, in_force| (Holder::new(name).unwrap(), stage("build"), in_force);
    let alive = [
        worker("a:1:1", 42),
        worker("b:1:1", 41),
        worker("c:1:1", 43),
    ];
    web.alive = Some(alive.to_vec());
    let json = web.get("/api/v1/stages/build").await.json();
    let behind = [json!({ "worker": "b:1:1", "revision": 41 })];
    let expected = json!({ "revision": 42, "by": 2, "of": 3, "behind": behind });
    assert_eq!(json["applied"], expected);
    let listed = web.get("/api/v1/stages").await.json();
    assert_eq!(listed["items"][0]["applied"], expected);
    let page = web.get("/s/build").await.text();
    assert!(page.contains("applied by 2 of 3 workers"), "{page}");
    assert!(page.contains("b:1:1") && !page.contains("a:1:1"), "{page}");

    let json = web.get("/api/v1/stages/test").await.json();
    let nobody = json!({ "revision": 42, "by": 0, "of": 0, "behind": [] });
    assert_eq!(json["applied"], nobody);
    let page = web.get("/s/test").await.text();
    assert!(page.contains("no worker that serves it is heard"), "{page}");
}

#[tokio::test]
async fn of_many_workers_that_lag_a_few_are_named_and_all_are_counted() {
    let mut web = Web::new().with(|state| state.snapshot.revision = 2);
    let lagging = |n| {
        let holder = Holder::new(&format!("w{n:02}:1:1")).unwrap();
        (holder, stage("build"), 1)
    };
    web.alive = Some((0..23).map(lagging).collect());
    let applied = web.get("/api/v1/stages/build").await.json()["applied"].clone();
    let named = applied["behind"].as_array().unwrap().len();
    assert_eq!(
        (&applied["by"], &applied["of"], named),
        (&0.into(), &23.into(), 20)
    );
    let page = web.get("/s/build").await.text();
    assert!(
        page.contains("w19:1:1") && !page.contains("w20:1:1"),
        "{page}"
    );
    assert!(page.contains("and 3 more"), "{page}");
}

#[tokio::test]
async fn the_doctor_is_content_when_everything_is_fine() {
    let fine = Finding {
        about: "store".into(),
        is_fine: true,
        seen: "ok".into(),
        remedy: None,
    };
    let web = Web::new().with(|state| state.findings = vec![fine]);
    assert_eq!(web.get("/api/v1/doctor").await.json()["healthy"], true);
}

#[tokio::test]
async fn the_doctor_looks_deep_only_when_asked_to() {
    for (path, expected) in [
        ("/api/v1/doctor", Depth::Usual),
        ("/api/v1/doctor?deep=false", Depth::Usual),
        ("/api/v1/doctor?deep=true", Depth::Deep),
    ] {
        let web = Web::new();
        assert_eq!(web.get(path).await.status, 200, "{path}");
        assert_eq!(web.fake.state.lock().unwrap().looks, [expected], "{path}");
    }
    let document = Web::new().get("/openapi.json").await.json();
    let parameters = &document["paths"]["/api/v1/doctor"]["get"]["parameters"];
    assert_eq!(parameters[0]["name"], "deep");
}

#[tokio::test]
async fn the_books_list_every_reason_from_zero() {
    let web = Web::new().with(|state| {
        let place = Place::Runnable { since: NOW };
        let entry = Entry {
            place,
            ..waiting(1)
        };
        state.entries.insert(id(1), entry);
    });
    let json = web.get("/api/v1/books").await.json();
    assert_eq!(
        (&json["accepted"], &json["runnable"], &json["balanced"]),
        (&1.into(), &1.into(), &true.into())
    );
    let reasons = domain::wait::Reason::ALL.map(domain::wait::Reason::as_str);
    for key in reasons.into_iter().chain(["backlog"]) {
        assert_eq!(json["waiting"][key], 0, "{key}");
    }
}

#[tokio::test]
async fn the_books_are_those_of_what_was_accepted_since_a_time() {
    let web = Web::new().with(|state| {
        for (n, ago) in [(1, 2 * 3_600), (2, 60)] {
            let mut entry = waiting(n);
            entry.ticket.created_at = NOW.minus(Duration::from_secs(ago));
            state.entries.insert(id(n), entry);
        }
    });
    for (since, accepted, moment) in [
        ("-1h", 1, "2026-11-21T13:03:22.120Z"),
        ("-3h", 2, "2026-11-21T11:03:22.120Z"),
        ("2026-11-21", 2, "2026-11-21T00:00:00.000Z"),
        ("2026-11-21T14:00:00Z", 1, "2026-11-21T14:00:00.000Z"),
        ("2026-11-22", 0, "2026-11-22T00:00:00.000Z"),
    ] {
        let path = format!("/api/v1/books?since={since}");
        let json = web.get(&path).await.json();
        assert_eq!(
            (&json["accepted"], &json["since"], &json["balanced"]),
            (&accepted.into(), &moment.into(), &true.into()),
            "{since}"
        );
    }
    let all = web.get("/api/v1/books").await.json();
    assert_eq!(
        (&all["accepted"], all.get("since")),
        (&2.into(), None),
        "of all tickets"
    );
}

#[tokio::test]
async fn probes_metrics_and_version_answer() {
    let mut web = Web::new();
    assert_eq!(web.get("/livez").await.text(), "ok\n");
    assert_eq!(web.get("/readyz").await.status, 200);
    assert_eq!(web.get("/metrics").await.text(), "goaround_up 1\n");
    assert_eq!(web.get("/api/v1/version").await.json()["api"], "v1");
    web.ready = Err("the store is being opened".into());
    let answered = web.get("/readyz").await;
    assert_eq!(
        (answered.status, answered.text().as_str()),
        (503, "not ready: the store is being opened\n")
    );
}

fn sums(name: &str, ready: u64) -> StageCounts {
    StageCounts {
        stage: stage(name),
        ready,
        running: 0,
        waiting: BTreeMap::new(),
        done: 1,
        failed: 0,
        oldest_ready: None,
        served: Vec::new(),
    }
}

#[tokio::test]
async fn thousands_of_stage_names_fill_neither_list_nor_page() {
    let web = Web::new().with(|state| {
        state.counts = (0..5_000).map(|n| sums(&format!("s{n:04}"), 0)).collect();
        state.counts.push(sums("zzz", 1));
    });
    let json = web.get("/api/v1/stages").await.json();
    let items = json["items"].as_array().unwrap();
    assert_eq!((items.len(), &json["more"]), (100, &true.into()));
    assert_eq!(items[2]["stage"], "zzz", "one with tickets comes first");
    let all = web.get("/api/v1/stages?limit=10000").await.json();
    assert_eq!(
        (all["items"].as_array().unwrap().len(), &all["more"]),
        (5_003, &false.into())
    );
    let page = web.page("/").await.text();
    assert!(page.contains("/s/zzz") && !page.contains("/s/s0000"));
    assert!(
        page.contains("5\u{202f}000 more, not configured")
            && page.contains("/api/v1/stages?limit=10000"),
        "{page}"
    );
    assert!(page.len() < 50_000, "{} bytes", page.len());
    let missing = web.get("/api/v1/stages/nothing-like-it").await;
    check_problem(&missing, 404, "not-found", "and 4983 more");
}
