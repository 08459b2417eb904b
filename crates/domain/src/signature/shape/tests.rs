use super::*;
use proptest::prelude::*;

/// Each message has this shape.
fn check(cases: &[(&str, &str)]) {
    for (message, shape) in cases {
        assert_eq!(of(message), *shape, "{message}");
    }
}

#[test]
fn words_stay_as_they_are() {
    for text in [
        "",
        "no such file",
        "can't read the users' files: it's locked",
        "a/b or N/A, text/plain and I/O",
        "attempt to subtract with overflow",
        "called `Option::unwrap()` on a `None` value",
        "Größe überschritten – naïve",
        "std::bad_alloc",
        "foo: command not found",
    ] {
        assert_eq!(of(text), text);
    }
}

#[test]
fn a_mark_stands_for_a_number_whatever_it_counts() {
    check(&[
        ("3 items, 17 left", "N items, N left"),
        ("in position 4711", "in position N"),
        ("index 5 of -3.25 and +7", "index N of N and N"),
        ("1.2.3-rc1 of pkg-17_a2", "N-rcN of pkg-N_aN"),
        ("1e-5, 2E10", "N"),
        ("the 3rd of 22nd", "the N of N"),
        ("worker12 at 99%", "workerN at N%"),
        ("[1, 2, 3] and [4]", "[N] and [N]"),
        ("line 3:15 or 3:5", "line N:N or N:N"),
        ("５", "５"),
    ]);
}

#[test]
fn a_number_that_says_what_went_wrong_stays() {
    check(&[
        ("HTTP 502 from upstream", "HTTP 502 from upstream"),
        ("status code: 404", "status code: 404"),
        (
            "[Errno 2] missing (os error 13)",
            "[Errno 2] missing (os error 13)",
        ),
        (
            "exit status 3, signal 9 (SIGKILL)",
            "exit status 3, signal 9 (SIGKILL)",
        ),
        ("exit code -11", "exit code -11"),
        ("{\"code\":404}", "{\"code\":404}"),
        // Too long for a code.
        ("status 20260304", "status N"),
        // A count, not a code.
        ("error: 3 files", "error: N files"),
    ]);
}

#[test]
fn a_mark_stands_for_what_is_drawn_anew_each_time() {
    check(&[
        (
            "ticket 0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f!",
            "ticket <uuid>!",
        ),
        (
            "job-0192F0C1-7A1B-7C3D-8E4F-5A6B7C8D9E0F.json",
            "job-<uuid>.json",
        ),
        ("<Foo at 0x7f3a12>", "<Foo at <hex>>"),
        ("commit 3f2a1b9c", "commit <id>"),
        ("pod web-7d4b9c6f5-x2x9z", "pod web-<id>-<id>"),
        ("OOPS-01JQ3X5Y7Z9A1B2C3D4E5F6G7H8", "OOPS-<id>"),
        (
            "deadbeef, facade and bad_cafe",
            "deadbeef, facade and bad_cafe",
        ),
    ]);
}

#[test]
fn a_mark_stands_for_a_time_and_for_a_length_of_it() {
    check(&[
        ("at 2026-03-04T05:06:07.089Z it", "at <time> it"),
        ("at 2026-03-04 05:06:07,089 it", "at <time> it"),
        ("at 2026/03/04 5:06:07+01:00 it", "at <time> it"),
        ("Tue Mar  3 05:06:07 2026", "<time> N <time> N"),
        ("after 0:00:05.25", "after <time>"),
        ("took 1h30m, 5ms", "took <duration>"),
        (
            "within 2m 3s or 12.5 seconds",
            "within <duration> or <duration>",
        ),
        ("30 min", "<duration>"),
        ("Mon ami, Marche", "Mon ami, Marche"),
    ]);
}

#[test]
fn a_mark_stands_for_a_number_of_bytes() {
    check(&[
        ("peak memory 512 KiB", "peak memory <size>"),
        ("peak memory 1.2 GiB", "peak memory <size>"),
        (
            "allocation of 1048576 bytes failed",
            "allocation of <size> failed",
        ),
        ("5K of 2GB", "<size> of <size>"),
        ("5 Kinds", "N Kinds"),
    ]);
}

#[test]
fn a_mark_stands_for_a_place() {
    check(&[
        ("/var/lib/x-1/y: no such file", "<path>: no such file"),
        ("at src/main.rs:3:5.", "at <path>."),
        ("(at ./x.sh:12)", "(at <path>)"),
        ("C:\\Temp\\x9.txt is gone", "<path> is gone"),
        ("--config=/etc/app.toml", "--config=<path>"),
        (
            "GET https://api.acme.io/v1/x?id=17&a=b failed",
            "GET <url> failed",
        ),
        ("dsn=postgres://u:p@db:5432/x, then", "dsn=<url>, then"),
        ("10.0.0.17:5432 refused", "<ip>:N refused"),
        ("[fe80::1] and ::1", "[<ip>] and <ip>"),
        ("[2001:db8::17]:443 refused", "[<ip>]:N refused"),
        (
            "mail to ann.lee@mail.acme.io bounced",
            "mail to <email> bounced",
        ),
    ]);
}

#[test]
fn a_mark_stands_for_what_is_quoted() {
    check(&[
        ("invalid literal: 'abc'", "invalid literal: <str>"),
        ("KeyError: b'abc' in u\"x\"", "KeyError: b<str> in u<str>"),
        (
            "key \"a \\\"quoted\\\" one\" is taken",
            "key <str> is taken",
        ),
        ("no “such” ‘thing’ as «that»", "no <str> as <str>"),
        ("'a', 'b' or 'c'", "<str> or <str>"),
        ("an 'open quote", "an 'open quote"),
        ("''", "<str>"),
    ]);
}

#[test]
fn the_message_of_a_structured_log_is_no_quotation() {
    check(&[
        (
            "{\"level\":\"error\",\"msg\":\"disk 7 is full!\",\"path\":\"/x\",\"n\":3}",
            "{\"level\":\"error\",\"msg\":\"disk N is full!\",\"path\":<str>,\"n\":N}",
        ),
        (
            "level=error msg=\"no space\" user=\"ann\"",
            "level=error msg=\"no space\" user=<str>",
        ),
        (
            "{\"error\":\"get \\\"https://x/y\\\": refused\"}",
            "{\"error\":\"get \\\"<url>\": refused\"}",
        ),
    ]);
}

#[test]
fn the_literals_of_a_statement_have_marks_of_their_own() {
    check(&[
        (
            "SELECT a FROM \"users\" WHERE id IN (1, 2, 3) AND n = 'it''s'",
            "SELECT a FROM \"users\" WHERE id IN ($INT) AND n = $STRING",
        ),
        (
            "INSERT INTO t VALUES ('a', 5)",
            "INSERT INTO t VALUES ($STRING, $INT)",
        ),
    ]);
}

#[test]
fn a_long_message_loses_its_middle() {
    let message = format!("begins so {} ends so", "and on ".repeat(100));
    let shape = of(&message);
    assert!(shape.len() <= BYTES_MAX, "{shape}");
    assert!(shape.starts_with("begins so and"), "{shape}");
    assert!(shape.ends_with("on ends so"), "{shape}");
    assert!(shape.contains('…'), "{shape}");
}

#[test]
fn what_is_behind_the_end_of_the_looking_does_not_count() {
    let message = |number: u64, end: &str| {
        format!(
            "number {number} of {}{end}",
            "words ".repeat(MESSAGE_BYTES_MAX / 6)
        )
    };
    assert_eq!(of(&message(7, "a")), of(&message(123_456_789, "b")));
}

#[test]
fn spaces_are_one_space() {
    check(&[(" a\n\tb\u{a0}\0c \u{FFFD} ", "a b c")]);
}

/// A message with something in it that varies.
fn told(number: u64, quoted: &str, hex: u128, millis: u32) -> String {
    let uuid = uuid::Uuid::from_u128(hex);
    format!(
        "chunk {number} of '{quoted}' at {hex:#x} for {uuid} in /tmp/{quoted}/x{number}.o \
         after {millis}ms"
    )
}

proptest! {
    #[test]
    fn any_text_has_a_shape_of_bounded_length(text in "\\PC*|[\"'a-f0-9:/@. \\\\=-]{0,400}") {
        prop_assert!(of(&text).len() <= BYTES_MAX);
    }

    #[test]
    fn a_message_that_differs_in_what_varies_has_the_same_shape(
        numbers: (u64, u64),
        quoted in ("[a-z ]{1,20}", "[a-z ]{1,20}"),
        hexes: (u128, u128),
        millis: (u32, u32),
    ) {
        let one = told(numbers.0, &quoted.0.replace(' ', ""), hexes.0, millis.0);
        let other = told(numbers.1, &quoted.1.replace(' ', ""), hexes.1, millis.1);
        prop_assert_eq!(of(&one), of(&other));
    }

    #[test]
    fn words_are_never_lost(text in "[g-z]{1,8}( [g-z]{1,8}){0,8}") {
        prop_assert_eq!(of(&text), text);
    }
}
