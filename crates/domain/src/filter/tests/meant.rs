//! Queries that can be read and that nobody can have meant.

use super::*;

fn refusal(text: &str) -> String {
    text.parse::<Query>().unwrap_err().to_string()
}

#[test]
fn words_of_other_grammars_are_no_free_text() {
    for text in [
        "stage:a AND is:parked",
        "NOT is:parked",
        "(stage:a AND kind:b)",
    ] {
        let said = refusal(text);
        assert!(said.contains("conditions side by side"), "{text}: {said}");
    }
    for text in ["\"AND\"", "not found", "-\"NOT\"", "ANDROID"] {
        let query: Query = text.parse().unwrap();
        assert_eq!(query.to_string().parse::<Query>(), Ok(query));
    }
}

#[test]
fn small_words_of_other_grammars_are_refused_where_nothing_beside_them_is_text() {
    for (text, byte, says) in [
        ("(stage:a or stage:b)", 9, "(a OR b)"),
        ("stage:a or -(b OR c)", 8, "(a OR b)"),
        ("-stage:a Or data.x:1", 9, "(a OR b)"),
        ("stage:a and is:parked", 8, "conditions side by side"),
        ("not is:parked", 0, "conditions side by side"),
        ("(a OR not is:parked)", 6, "conditions side by side"),
        ("is:parked Not (a OR b)", 10, "conditions side by side"),
    ] {
        let said = refusal(text);
        assert!(said.contains(says), "{text}: {said}");
        assert!(said.contains(&format!("byte {byte}:")), "{text}: {said}");
    }
    for text in [
        "or",
        "stage:a or",
        "or stage:a",
        "open or close",
        "(open or is:parked)",
        "timed or not out",
        "file not stage:a",
        "not found stage:a",
        "stage:a \"or\" stage:b",
        "\"not\" stage:a",
        "stage:a -or stage:b",
        "stage:a orb stage:b",
    ] {
        let query: Query = text.parse().unwrap();
        assert_eq!(query.to_string().parse::<Query>(), Ok(query), "{text}");
    }
}

#[test]
fn a_range_that_runs_backwards_holds_for_nothing_and_is_refused() {
    for text in [
        "attempts:2..1",
        "created:-1m..-1h",
        "since:2026-11-03..2026-11-01",
    ] {
        let said = refusal(text);
        assert!(said.contains("from the"), "{text}: {said}");
    }
    for text in [
        "attempts:2..2",
        "created:-1h..-1m",
        "since:2026-11-01..2026-11-01",
    ] {
        text.parse::<Query>().unwrap();
    }
}

/// So that the list of what rows have does not lag behind what they answer.
#[test]
fn what_rows_have_is_what_they_answer_for() {
    let (entry, report) = (waiting(), report());
    let has = |facts: &dyn Facts, field| {
        !facts.values(field).is_empty()
            || facts.number(field).is_some()
            || facts.time(field).is_some()
    };
    for field in Field::ALL {
        assert!(
            !has(&entry, field) || Rows::Tickets.have(field),
            "{field:?}"
        );
        assert!(
            !has(&report, field) || Rows::Reports.have(field),
            "{field:?}"
        );
    }
}
