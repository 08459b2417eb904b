//! The pages about what keeps failing and what is being released.

use super::client::*;
use super::fake::*;
use actix_web::http::Method;
use domain::breaker::{Scope, State as BreakerState};
use domain::control::Gate;
use domain::plan::{
    Choice, Group, Groups, Order, Plan, Ramp, Source, StopRule, Terms, TicketEnd, Why,
};
use domain::ports::PlanOrder;

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
            .push(tripped(Scope::Signature(signature()), open()));
        state.plans.push(plan(1, 500));
    })
}

fn plan_path(n: u8) -> String {
    format!("/p/{}", plan_id(n))
}

/// What a form must carry.
fn token_in(page: &str) -> String {
    let after = page.split("name=\"form_token\" value=\"").nth(1).unwrap();
    after.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn hostile_names_and_reasons_stay_text() {
    const HOSTILE: &str = "<script>alert(1)</script>\" onload=\"x";
    let web = web().with(|state| {
        state.tripped[0].value = HOSTILE.into();
        let mut plan = plan(1, 500);
        plan.selection.filter = HOSTILE.into();
        plan.groups = Groups::of(vec![Group {
            name: format!("key={HOSTILE}").parse().unwrap(),
            count: 1,
        }]);
        plan.trail.deeds[0].what = HOSTILE.into();
        state.plans = vec![plan];
    });
    for path in ["/", "/s/test", "/p", &plan_path(1)] {
        let answered = web.page(path).await;
        assert_eq!(answered.status, 200, "{path}");
        let page = answered.text();
        assert!(
            !page.contains("<script>alert") && !page.contains("\" onload"),
            "{path}: {page}"
        );
    }
}

#[tokio::test]
async fn what_is_held_for_a_repair_needs_somebody() {
    let page = web().page("/").await.text();
    let needs = page.split("id=\"needs\"").nth(1).unwrap();
    let needs = needs.split("</section>").next().unwrap();
    for says in [
        "One thing needs you",
        "500 tickets of stage",
        "/s/test",
        "Segfault: x",
    ] {
        assert!(needs.contains(says), "{says} is missing in {needs}");
    }
    let closed = Web::new().with(|state| {
        let quiet = BreakerState::Closed { clues: Vec::new() };
        state
            .tripped
            .push(tripped(Scope::Signature(signature()), quiet));
    });
    assert!(closed.page("/").await.text().contains("Nothing needs you"));
}

#[tokio::test]
async fn what_passed_by_itself_is_held_against_no_version() {
    for scope in [Scope::Signature(signature()), Scope::Stage] {
        let web = Web::new().with(|state| {
            let mut it = tripped(scope, open());
            it.breaker.failed_on.clear();
            state.tripped.push(it);
        });
        for path in ["/", "/s/test"] {
            let page = web.page(path).await.text();
            assert!(page.contains("Segfault: x"), "{path}: {page}");
            assert!(!page.contains("every version"), "{path}: {page}");
        }
    }
}

#[tokio::test]
async fn a_stage_that_fails_as_a_whole_is_one_need_and_says_what_its_tickets_fail_of() {
    let web = web().with(|state| state.tripped.push(tripped(Scope::Stage, open())));
    let page = web.page("/").await.text();
    let needs = page.split("id=\"needs\"").nth(1).unwrap();
    let needs = needs.split("</section>").next().unwrap();
    for says in [
        "One thing needs you",
        "fails as a whole: ",
        "Segfault: x",
        "500 tickets in its queue, 500 held",
        "else one is tried",
    ] {
        assert!(needs.contains(says), "{says} is missing in {needs}");
    }
    let page = web.page("/s/test").await.text();
    assert!(page.contains("one is tried when the stage has landed"));
    assert_eq!(page.matches("Try one now").count(), 1, "only the stage");
}

#[tokio::test]
async fn a_stage_that_works_again_and_is_let_in_in_steps_does_not_fail() {
    let at = |state: BreakerState| {
        Web::new().with(|it| {
            let gate = Gate {
                since: NOW,
                reason: "20 tickets in a row failed".into(),
                permit: None,
            };
            it.snapshot.gates.insert(stage("test"), gate);
            it.tripped.push(tripped(Scope::Stage, state));
        })
    };
    let releasing = releasing(Some(plan_id(1)));
    for path in ["/", "/s/test"] {
        let shut = at(open()).page(path).await.text();
        assert!(shut.contains(">fails<"), "{path}: {shut}");
        let let_in = at(releasing.clone()).page(path).await.text();
        assert!(let_in.contains(">releasing<"), "{path}: {let_in}");
        assert!(!let_in.contains(">fails<"), "{path}: {let_in}");
    }
}

#[tokio::test]
async fn a_plan_that_released_nothing_says_so() {
    let web = Web::new().with(|state| state.plans.push(plan(1, 0)));
    let says = "o ticket waited for it, so there is nothing to release";
    for path in ["/p", &plan_path(1)] {
        let page = web.page(path).await.text();
        assert!(page.contains(says), "{path}: {page}");
        assert!(!page.contains("0 of 0"), "{path}: {page}");
    }
}

#[tokio::test]
async fn the_page_of_a_stage_shows_what_fails_and_what_is_released() {
    let page = web().page("/s/test").await.text();
    for says in [
        "Segfault: x",
        "v1-0f3a9c5e77b2d104",
        "badge open",
        "one is tried",
        "Try one now",
        &plan_path(1),
        "Fails on",
    ] {
        assert!(page.contains(says), "{says} is missing in {page}");
    }
    for id in ["asof", "state", "breakers", "plans", "facts"] {
        assert!(page.contains(&format!("id=\"{id}\" data-live")), "{id}");
    }
    let quiet = Web::new().page("/s/build").await.text();
    assert!(quiet.contains("Nothing has failed here lately."));
    assert!(quiet.contains("No release plan."));
    let unknown = Web::new().page("/s/tset").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("did you mean"));
}

#[tokio::test]
async fn a_probe_from_a_page_needs_a_form_of_ours() {
    let web = web();
    let site = web.site();
    let page = ask_site(site.clone(), (Method::GET, "/s/test"), &[], "").await;
    let token = token_in(&page.text());
    let ask = |body: String| {
        let site = site.clone();
        async move { ask_site(site, (Method::POST, "/s/test/probe"), &[], &body).await }
    };
    let forged = ask(format!("form_token=x&signature={}", signature())).await;
    assert_eq!(forged.status, 403, "{}", forged.text());
    assert!(web.fake.state.lock().unwrap().probes.is_empty());
    let told = ask(format!("form_token={token}")).await;
    assert_eq!(told.status, 409, "{}", told.text());
    assert!(told.text().contains("no breaker of the whole stage"));
    let good = ask(format!("form_token={token}&signature={}", signature())).await;
    assert_eq!(
        (good.status, good.header("location")),
        (303, "/s/test?ordered=probe")
    );
    assert_eq!(web.fake.state.lock().unwrap().probes.len(), 1);
    let back = web.page("/s/test/probe").await;
    assert_eq!((back.status, back.header("location")), (303, "/s/test"));
    let after = web.page("/s/test?ordered=probe").await.text();
    assert!(after.contains("One ticket is being tried."));
}

#[tokio::test]
async fn the_page_of_a_plan_tells_where_it_stands_and_what_can_be_done() {
    let web = Web::new().with(|state| {
        let mut running = running(plan(1, 500));
        running.released(1, NOW).unwrap();
        running.ended(&TicketEnd::Landed, NOW);
        let mut stopped = plan(2, 500);
        stopped.halt(Why::StageFails, by("ana")).unwrap();
        state.plans = vec![running, stopped];
    });
    let page = web.page(&plan_path(1)).await.text();
    for says in [
        "badge running",
        "<progress value=\"1\" max=\"500\"",
        "1 of 500 no longer waiting",
        "step 2",
        ">Pause<",
        ">Stop<",
        "released everything, 500 tickets",
        "of the release under way",
        "a breaker",
    ] {
        assert!(page.contains(says), "{says} is missing in {page}");
    }
    assert!(
        !page.contains("Release all that are left"),
        "it is being released"
    );
    let page = web.page(&plan_path(2)).await.text();
    for says in [
        "badge stopped",
        "It has stopped: the stage fails as a whole again.",
        "of a release that is given no others",
        "Release all that are left",
        "Drop for good",
    ] {
        assert!(page.contains(says), "{says} is missing in {page}");
    }
    let list = web.page("/p").await.text();
    assert!(list.contains(&plan_path(1)) && list.contains(&plan_path(2)));
    assert_eq!(web.page(&plan_path(3)).await.status, 404);
    assert_eq!(web.page("/p/x").await.status, 400);
}

#[tokio::test]
async fn orders_from_a_plans_page_reach_the_plan() {
    let web = web();
    let site = web.site();
    let path = plan_path(1);
    let page = ask_site(site.clone(), (Method::GET, &path), &[], "").await;
    let token = token_in(&page.text());
    let ask = |word: &str, body: &str| {
        let (site, address) = (site.clone(), format!("{path}/{word}"));
        let body = body.replace("TOKEN", &token);
        async move { ask_site(site, (Method::POST, &address), &[], &body).await }
    };
    assert_eq!(ask("stop", "form_token=x").await.status, 403);
    let empty = ask("drop", "form_token=TOKEN&reason=+").await;
    assert!(empty.status == 409 && empty.text().contains("reason: expected"));
    let wrong = ask("release", "form_token=TOKEN&rate=fast").await;
    assert!(wrong.status == 409 && wrong.text().contains("rate: expected"));
    assert_eq!(ask("explode", "form_token=TOKEN").await.status, 409);
    assert!(web.fake.state.lock().unwrap().plan_orders.is_empty());
    let good = ask("release", "form_token=TOKEN&rate=&ramp=5&order=newest").await;
    let told = format!("{path}?ordered=release");
    assert_eq!((good.status, good.header("location")), (303, told.as_str()));
    let group = ask("release", "form_token=TOKEN&group=kind%3Df42").await;
    assert_eq!(group.status, 303, "{}", group.text());
    let state = web.fake.state.lock().unwrap();
    assert!(state.plan_orders.iter().all(|(_, by)| by == "viewer"));
    let PlanOrder::Release(Choice::Everything, Some(terms)) = &state.plan_orders[0].0 else {
        panic!("{:?}", state.plan_orders[0]);
    };
    assert_eq!(
        (terms.ramp.to_string().as_str(), terms.rate),
        ("5,all", None)
    );
    let group = Choice::Group("kind=f42".parse().unwrap());
    assert_eq!(state.plan_orders[1].0, PlanOrder::Release(group, None));
}

/// A plan of what stands in the queue of stage `test`.
fn of_queue(n: u8) -> Plan {
    let mut plan = plan(n, 500);
    plan.selection.source = Source::Queue;
    plan.selection.signature = None;
    plan
}

#[tokio::test]
async fn a_stopped_plan_of_a_queue_offers_nothing_that_cannot_work_but_says_what_can() {
    let (offers_release, offers_drop) = ("Release all that are left", "Drop for good");
    let web = Web::new().with(|state| {
        let mut stopped = of_queue(2);
        stopped.halt(Why::StageFails, by("a breaker")).unwrap();
        stopped.groups = Groups::of(vec![Group {
            name: "kind=f42".parse().unwrap(),
            count: 1,
        }]);
        let mut paused = running(of_queue(3));
        paused.pause(by("ana")).unwrap();
        state.plans = vec![of_queue(1), stopped, paused];
    });
    let page = web.page(&plan_path(2)).await.text();
    for offer in [offers_release, offers_drop, ">Release<"] {
        assert!(!page.contains(offer), "{offer}: {page}");
    }
    for says in [
        "href=\"/s/test\"",
        "goaround stage probe test",
        "let in again when one of them lands",
    ] {
        assert!(page.contains(says), "{says} is missing in {page}");
    }
    let ready = web.page(&plan_path(1)).await.text();
    assert!(ready.contains(offers_release) && ready.contains(">Stop<"));
    assert!(!ready.contains(offers_drop), "{ready}");
    let paused = web.page(&plan_path(3)).await.text();
    for button in [">Resume<", ">Stop<"] {
        assert!(paused.contains(button), "{button} is missing in {paused}");
    }
    assert!(!paused.contains(offers_drop), "{paused}");
}

/// Releases plan 1, which has these terms, with this form; returns the terms of the order.
async fn released_with(terms: Terms, fields: &str) -> Option<Terms> {
    let web = Web::new().with(|state| {
        let mut plan = plan(1, 500);
        plan.terms = terms;
        state.plans.push(plan);
    });
    let site = web.site();
    let page = ask_site(site.clone(), (Method::GET, &plan_path(1)), &[], "").await;
    let body = format!("form_token={}&{fields}", token_in(&page.text()));
    let path = format!("{}/release", plan_path(1));
    let answered = ask_site(site, (Method::POST, &path), &[], &body).await;
    assert_eq!(answered.status, 303, "{}", answered.text());
    let state = web.fake.state.lock().unwrap();
    match &state.plan_orders[0].0 {
        PlanOrder::Release(_, terms) => terms.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_rate_that_was_cleared_is_lifted_and_one_that_was_not_sent_stays() {
    let terms = Terms {
        order: Order::OldestFirst,
        rate: "10/s".parse().ok(),
        ramp: Ramp::default(),
        stop: StopRule::default(),
    };
    for (fields, rate) in [
        ("rate=&ramp=5&order=oldest", None),
        ("rate=+&ramp=5&order=oldest", None),
        ("rate=5%2Fs&ramp=5&order=oldest", "5/s".parse().ok()),
        ("ramp=5&order=oldest", terms.rate),
    ] {
        let sent = released_with(terms.clone(), fields).await.unwrap();
        assert_eq!(sent.rate, rate, "{fields}");
    }
}

#[tokio::test]
async fn a_plan_in_an_order_of_chance_stays_so_unless_somebody_chooses_another() {
    let web = Web::new().with(|state| {
        let mut plan = plan(1, 500);
        plan.terms.order = Order::Random { seed: 7 };
        state.plans.push(plan);
    });
    let page = web.page(&plan_path(1)).await.text();
    let option = "<option value=\"random\" selected>";
    assert!(page.contains(option), "{page}");
    let page = self::web().page(&plan_path(1)).await.text();
    assert!(page.contains("<option value=\"random\">"), "{page}");
}
