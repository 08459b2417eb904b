//! Why is it waiting? Every ticket has an answer at every moment.

use acceptance::Site;
use serde_json::Value;

const CONFIG: &str = r#"
[flow.all]
stages = ["odd", "even"]
[stage.odd]
run = ["./odd.sh"]
concurrency = 2
retry = { first = "100ms", max = "300ms" }
[stage.even]
run = ["./even.sh"]
[stage.broken]
run = ["./missing.sh"]
"#;

fn assert_explained(explanation: &Value) {
    for field in ["state", "since", "waits_for", "then", "who_may_change"] {
        let said = explanation[field].as_str().unwrap_or_default();
        assert!(!said.is_empty(), "{field} is empty in {explanation}");
        assert!(!said.to_lowercase().contains("unknown"), "{explanation}");
    }
    assert!(explanation["last_events"].is_array(), "{explanation}");
}

#[test]
fn explain_never_says_unknown() {
    let site = Site::new(CONFIG);
    let odd = "#!/bin/sh\nread -r n\ncase $n in *3) exit 65;; *5) [ $GOAROUND_ATTEMPT -gt 2 ] || exit 1;; *7) exit 75;; *9) echo '{\"outcome\":\"pending\",\"until\":\"1h\"}' > $GOAROUND_RESULT;; esac\necho $n\n";
    site.script("odd.sh", odd);
    site.script("even.sh", "#!/bin/sh\nsleep 0.05\n");
    let up = site.up();
    let mut ids = Vec::new();
    for n in 0..30 {
        let payload = format!("{n}\n");
        ids.push(
            site.ok(&["submit", "--flow", "all", "--payload", &payload])
                .trim()
                .to_owned(),
        );
    }
    ids.push(site.ok(&["submit", "--stage", "nowhere"]).trim().to_owned());
    ids.push(site.ok(&["submit", "--stage", "broken"]).trim().to_owned());
    ids.push(site.ok(&["submit", "--stage", "broken"]).trim().to_owned());
    for _ in 0..3 {
        for id in &ids {
            assert_explained(&site.json(&["ticket", "explain", id, "-o", "json"]));
        }
    }
    let states = |id: &String| {
        let ticket = site.json(&["ticket", "show", id, "-o", "json"]);
        format!("{} {}", ticket["state"], ticket["reason"])
    };
    site.books_until("the rejected ones are parked", |books| {
        books["waiting"]["parked"] == 3
    });
    site.books_until("the pending ones wait", |books| {
        books["waiting"]["pending"] == 3
    });
    assert_eq!(states(&ids[30]), "\"waiting\" \"unclaimed\"");
    site.books_until("one is held", |books| books["waiting"]["held"] == 1);
    let oopses = site.json(&["oops", "list", "--filter", "stage:broken", "-o", "json"]);
    assert_eq!(
        oopses.as_array().map(Vec::len),
        Some(1),
        "one OOPS, no loop: {oopses}"
    );
    assert_eq!(site.books()["balanced"], true);
    // The handler is repaired: the stage goes on by itself.
    site.script("missing.sh", "#!/bin/sh\n");
    site.books_until("the held ones are done", |books| {
        books["waiting"]["held"] == 0
    });
    assert!(up.stop().success());
    // The stage that nobody had is configured: its ticket goes on by itself.
    site.write(
        "goaround.toml",
        &format!("{CONFIG}[stage.nowhere]\nrun = [\"/bin/true\"]\n"),
    );
    let up = site.up();
    site.books_until("the unclaimed one is done", |books| {
        books["waiting"]["unclaimed"] == 0
    });
    assert!(up.stop().success());
}
