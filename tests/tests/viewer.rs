//! The viewer in a real browser.

use acceptance::{Site, show, text};
use std::process::Command;

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

fn browser() -> Option<&'static str> {
    let is_there = |name: &&str| {
        Command::new(name)
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let found = BROWSERS.into_iter().find(|name| is_there(name));
    if found.is_none() {
        #[expect(
            clippy::disallowed_methods,
            reason = "whether this is CI is told by the environment"
        )]
        let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(
            !is_ci,
            "no browser: in CI a missing partner is a failure; make test installs chromium"
        );
        eprintln!("skipped: no chromium on this machine; `make test` installs it where apt is");
    }
    found
}

fn dump(browser: &str, site: &Site, path: &str) -> String {
    let profile = site.path().join("profile");
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        // No virtual time: it never ends while the page listens to events.
        .args(["--timeout=5000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("http://{}{path}", site.listen()))
        .output()
        .expect("the browser starts");
    assert!(output.status.success(), "{}", show(&output));
    text(&output.stdout)
}

#[test]
fn a_browser_shows_stages_tickets_and_oopses_and_hostile_text_stays_text() {
    let Some(browser) = browser() else {
        return;
    };
    let site = Site::new("[stage.work]\nrun = [\"./fail.sh\"]\n");
    let hostile = r#"<script>document.title="owned"</script><img src=x onerror=alert(1)>"#;
    site.script(
        "fail.sh",
        &format!("#!/bin/sh\necho '{hostile}' >&2\nexit 65\n"),
    );
    let up = site.up();
    let id = site
        .ok(&["submit", "--stage", "work", "--payload", "<b>bold</b>"])
        .trim()
        .to_owned();
    site.books_until("it is parked", |books| books["waiting"]["parked"] == 1);
    let page = dump(browser, &site, "/");
    for word in [
        "One thing needs you",
        "1 ticket parked",
        "OOPS-",
        "&lt;script&gt;",
    ] {
        assert!(page.contains(word), "{word} is missing in\n{page}");
    }
    assert!(!page.contains("<title>owned"), "{page}");
    let ticket = dump(browser, &site, &format!("/t/{id}"));
    assert!(ticket.contains("decision of a person"), "{ticket}");
    assert!(ticket.contains("&lt;b&gt;bold"), "{ticket}");
    let oopses = site.json(&["oops", "list", "-o", "json"]);
    let oops = oopses[0]["id"].as_str().unwrap_or_default();
    let report = dump(browser, &site, &format!("/o/{oops}"));
    assert!(report.contains(&id), "{report}");
    assert!(up.stop().success());
}

#[test]
fn a_browser_is_told_that_nothing_needs_it_and_jumps_to_a_pasted_id() {
    let Some(browser) = browser() else {
        return;
    };
    let site = Site::new("[stage.work]\nrun = [\"./fine.sh\"]\n");
    site.script("fine.sh", "#!/bin/sh\nexit 0\n");
    let up = site.up();
    let empty = dump(browser, &site, "/");
    for word in ["Nothing needs you", "No ticket has arrived yet"] {
        assert!(empty.contains(word), "{word} is missing in\n{empty}");
    }
    let id = site
        .ok(&["submit", "--stage", "work", "--payload", "x"])
        .trim()
        .to_owned();
    site.books_until("it is done", |books| books["done"] == 1);
    let jumped = dump(browser, &site, &format!("/?filter={id}"));
    assert!(
        jumped.contains(&format!("<h1 class=\"id\" id=\"ticket-id\">{id}")),
        "{jumped}"
    );
    assert!(up.stop().success());
}
