use super::client::*;
use super::fake::*;
use actix_web::http::Method;
use domain::books::Entry;
use domain::names::{Key, Kind};
use domain::outcome::Failure;
use domain::ports::Action;
use domain::ticket::Payload;
use domain::time::Timestamp;
use domain::wait::Reason;

const HOSTILE: &str = "<script>alert(1)</script>\u{202e}gpj\u{1b}[31m\" onload=\"x";

fn hostile() -> Entry {
    let mut entry = waiting(1);
    entry.ticket.kind = Kind::new("<b>\u{202e}k</b>").unwrap();
    entry.ticket.key = Some(Key::new("\"><img src=x>").unwrap());
    entry.ticket.payload = Payload::untyped(HOSTILE);
    entry
}

fn check_inert(page: &str) {
    assert!(
        !page.contains("<script>alert") && !page.contains("<img") && !page.contains("<b>"),
        "{page}"
    );
    assert!(!page.contains(['\u{202e}', '\u{1b}']), "{page}");
    assert!(!page.contains("\" onload"), "{page}");
}

#[tokio::test]
async fn hostile_text_is_inert_and_visible_on_every_page() {
    let report = report(
        1,
        Failure {
            trace: HOSTILE.into(),
            log_tail: HOSTILE.into(),
            ..Failure::new(HOSTILE, HOSTILE)
        },
    );
    let oops = report.id;
    let web = Web::new().with(|state| {
        state.entries.insert(id(1), hostile());
        state.reports.push(report);
        state.history.push(noted(1, HOSTILE));
    });
    for path in [
        "/".into(),
        format!("/t/{}", id(1)),
        format!("/o/{oops}"),
        "/?filter=%3Cb%3E%E2%80%AEx".into(),
    ] {
        let answered = web.page(&path).await;
        assert_eq!(answered.status, 200, "{path}");
        check_inert(&answered.text());
    }
    let page = web.page(&format!("/o/{oops}")).await.text();
    assert!(
        page.contains("&lt;script&gt;alert(1)") && page.contains("⟨U+202E⟩gpj⟨ESC⟩[31m"),
        "{page}"
    );
}

#[tokio::test]
async fn an_empty_page_says_what_would_be_there() {
    let page = Web::new().page("/").await.text();
    for says in [
        "No OOPS has arrived yet.",
        "No ticket has arrived yet.",
        "✓ the books balance",
        "Nothing needs you",
        "nothing waits",
    ] {
        assert!(page.contains(says), "{says}");
    }
}

#[tokio::test]
async fn a_pasted_id_leads_to_what_it_names() {
    let oops = report(1, Failure::new("T", "m")).id.to_string();
    for (text, place) in [
        (id(1).to_string().to_uppercase(), format!("/t/{}", id(1))),
        (oops.to_lowercase(), format!("/o/{oops}")),
    ] {
        let answered = Web::new().page(&format!("/?filter={text}")).await;
        assert_eq!(
            (answered.status, answered.header("location")),
            (303, place.as_str())
        );
    }
}

#[tokio::test]
async fn a_filter_that_cannot_be_read_keeps_the_page() {
    let answered = Web::new().page("/?filter=stge:x").await;
    assert_eq!(answered.status, 200);
    assert!(
        answered.text().contains("did you mean &quot;stage&quot;?"),
        "{}",
        answered.text()
    );
}

#[tokio::test]
async fn a_fragment_has_every_live_part_of_the_page_and_nothing_else() {
    let web = Web::new();
    let (page, part) = (
        web.page("/").await.text(),
        web.page("/?fragment=live").await.text(),
    );
    for id in ["asof", "needs", "books", "stages", "tickets", "oopses"] {
        let mark = format!("id=\"{id}\" data-live");
        assert!(page.contains(&mark) && part.contains(&mark), "{id}");
    }
    assert!(!part.contains("<html") && !part.contains("<script"));
}

#[tokio::test]
async fn an_order_needs_a_form_of_ours() {
    let web = Web::new().with(|state| {
        state.entries.insert(id(1), waiting(1));
    });
    let site = web.site();
    let path = format!("/t/{}", id(1));
    let page = ask_site(site.clone(), (Method::GET, &path), &[], "")
        .await
        .text();
    let token = page
        .split("name=\"form_token\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let order = format!("{path}/drop");
    let forged = ask_site(
        site.clone(),
        (Method::POST, &order),
        &[],
        "form_token=x&reason=r",
    )
    .await;
    assert!(
        forged.status == 403 && forged.text().contains("load the page again"),
        "{}",
        forged.text()
    );
    let empty = format!("form_token={token}&reason=+");
    let empty = ask_site(site.clone(), (Method::POST, &order), &[], &empty).await;
    assert!(
        empty.status == 409 && empty.text().contains("reason: expected"),
        "{}",
        empty.text()
    );
    assert!(web.fake.state.lock().unwrap().orders.is_empty());
    let good = format!("form_token={token}&reason=no+use");
    let good = ask_site(site, (Method::POST, &order), &[], &good).await;
    let told = format!("{path}?ordered=drop");
    assert_eq!((good.status, good.header("location")), (303, told.as_str()));
    let state = web.fake.state.lock().unwrap();
    assert_eq!(
        (&state.orders[0].action, state.orders[0].by.as_str()),
        (&Action::Drop("no use".into()), "viewer")
    );
}

#[tokio::test]
async fn a_refused_order_is_told_on_the_tickets_page() {
    let web = Web::new().with(|state| {
        state.entries.insert(id(1), waiting(1));
        state.refuse = Some(("it is running".into(), "cancel it first".into()));
    });
    let site = web.site();
    let token = site.gate.form_token().to_owned();
    let order = format!("/t/{}/retry", id(1));
    let told = ask_site(
        site,
        (Method::POST, &order),
        &[],
        &format!("form_token={token}"),
    )
    .await;
    assert!(told.status == 409 && told.text().contains("it is running; cancel it first"));
    assert!(told.text().contains("Why it is there"));
}

#[tokio::test]
async fn a_ticket_past_its_own_deadline_offers_no_retry_that_would_be_refused() {
    for (ahead, is_offered) in [(-60, false), (60, true)] {
        let web = Web::new().with(|state| {
            let mut entry = waiting(1);
            let micros = NOW.as_micros() + ahead * 1_000_000;
            entry.ticket.deadline = Some(Timestamp::from_micros(micros));
            state.entries.insert(id(1), entry);
        });
        let page = web.page(&format!("/t/{}", id(1))).await.text();
        assert_eq!(page.contains("Retry now"), is_offered, "{page}");
        let deadline = page.split("<dt>Deadline</dt>").nth(1).unwrap();
        let deadline = deadline.split("</dd>").next().unwrap();
        assert_eq!(deadline.contains("1m ago"), !is_offered, "{deadline}");
        assert_eq!(deadline.contains("in 1m"), is_offered, "{deadline}");
    }
}

#[tokio::test]
async fn a_page_that_is_not_there_is_still_a_page() {
    for path in [
        "/nonsense".into(),
        format!("/t/{}", id(9)),
        "/t/42".into(),
        "/assets/old.css".into(),
    ] {
        let answered = Web::new().page(&path).await;
        assert!(matches!(answered.status, 400 | 404), "{path}");
        assert!(answered.text().starts_with("<!DOCTYPE html>"), "{path}");
    }
}

#[tokio::test]
async fn style_and_script_are_kept_for_ever_under_their_names() {
    let web = Web::new();
    let page = web.page("/").await.text();
    for start in ["href=\"/assets/", "src=\"/assets/"] {
        let path = page.split(start).nth(1).unwrap().split('"').next().unwrap();
        let answered = web.get(&format!("/assets/{path}")).await;
        assert!(answered.status == 200 && answered.header("cache-control").contains("immutable"));
    }
    assert!(
        !page.contains("style=") && !page.contains("onclick"),
        "the policy forbids them"
    );
}

#[tokio::test]
async fn the_page_after_an_order_says_what_was_done() {
    let web = Web::new().with(|state| {
        state.entries.insert(id(1), waiting(1));
    });
    let path = format!("/t/{}", id(1));
    for (word, says) in [
        ("retry", "sent back to its stage"),
        ("cancel", "stopped and ended"),
        ("drop", "given up"),
    ] {
        let page = web.page(&format!("{path}?ordered={word}")).await.text();
        assert!(
            page.contains("role=\"status\"") && page.contains(says),
            "{word}"
        );
    }
    let page = web.page(&format!("{path}?ordered=%3Cb%3E")).await.text();
    assert!(!page.contains("said"), "an unknown word says nothing");
    let back = web.page(&format!("{path}/retry")).await;
    assert_eq!(
        (back.status, back.header("location")),
        (303, path.as_str()),
        "the address of an order leads to its ticket"
    );
}

#[tokio::test]
async fn what_needs_a_person_comes_first() {
    let web = Web::new().with(|state| {
        for n in 1..=3 {
            state.entries.insert(id(n), waiting(n));
        }
        state.waiting = [(Reason::Parked, 1), (Reason::Backoff, 2)].into();
    });
    let page = web.page("/").await.text();
    let needs = page.split("id=\"needs\"").nth(1).unwrap();
    let needs = needs.split("</section>").next().unwrap();
    for says in [
        "One thing needs you",
        "1 ticket parked",
        "2 tickets will be tried again by themselves",
    ] {
        assert!(needs.contains(says), "{says} is missing in {needs}");
    }
    assert!(page.find("id=\"needs\"") < page.find("id=\"books\""));
}
