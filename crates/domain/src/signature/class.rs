//! Classes of errors: which of them say what went wrong, and which only wrap what does.

/// Longest name of a class that is one, in bytes.
const BYTES_MAX: usize = 128;

/// How many words may stand before a class, its own included.
const WORDS_MAX: usize = 16;

/// How classes end in the languages that put them before a message.
const ENDS: [&str; 13] = [
    "Error",
    "Exception",
    "Err",
    "Failure",
    "Fault",
    "Interrupt",
    "Timeout",
    "Expired",
    "Exit",
    "Panic",
    "Iteration",
    "Warning",
    "Throwable",
];

/// The last part of its name: `java.io.IOException` is an `IOException`.
pub(super) fn short(class: &str) -> &str {
    class.rsplit(['.', ':', '$']).next().unwrap_or(class)
}

/// Whether the class says no more than "something inside went wrong".
pub(super) fn is_wrapper(class: &str) -> bool {
    let is_any_error = matches!(
        class,
        "" | "Error"
            | "anyhow::Error"
            | "std::error::Error"
            | "core::error::Error"
            | "eyre::Report"
            | "color_eyre::Report"
            | "java.lang.Error"
    );
    is_any_error
        || class.contains("Box<dyn ")
        || matches!(
            short(class),
            "Exception"
                | "BaseException"
                | "ExceptionGroup"
                | "RuntimeError"
                | "RuntimeException"
                | "Throwable"
                | "ExecutionException"
                | "CompletionException"
                | "InvocationTargetException"
                | "UndeclaredThrowableException"
                | "TargetInvocationException"
                | "TypeInitializationException"
                | "AggregateException"
                // Our own words for how a process ended.
                | "ExitStatus"
                | "ProcessDied"
                | "Rejected"
                | "Signal"
        )
}

/// Whether the text looks like the name of a class: `app::DiskFull`, `java.io.IOException`,
/// `ValueError`; not `Makefile`, `note` or `src/main.rs`.
pub(super) fn is_class(text: &str) -> bool {
    let short = short(text);
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'$');
    let is_qualified = text.contains('.') || text.contains("::");
    text.len() <= BYTES_MAX
        && text.bytes().all(is_plain)
        && short.starts_with(|c: char| c.is_ascii_uppercase())
        && (is_qualified || ENDS.iter().any(|end| short.ends_with(end)))
}

/// The class and the message, when the text begins with a class: `ValueError: no such id`.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let near = &text[..text.floor_char_boundary(2 * BYTES_MAX)];
    let (class, message) = match near.find(": ") {
        Some(end) => (&text[..end], &text[end + 2..]),
        None => (text, ""),
    };
    let class = class.strip_suffix(':').unwrap_or(class);
    // Node writes a code after the class: `TypeError [ERR_INVALID_URL]: Invalid URL`.
    let class = class.split_once(" [").map_or(class, |(class, _)| class);
    is_class(class).then_some((class, message.trim_start()))
}

/// The class and the message of a line that says more before them, such as
/// `Exception in thread "main" java.io.IOException: disk full`; without a class, the whole line.
pub(super) fn find(line: &str) -> (&str, &str) {
    let whole = line.trim();
    let mut rest = whole;
    for _ in 0..WORDS_MAX {
        let (word, later) = rest.split_once(' ').unwrap_or((rest, ""));
        if is_class(word.strip_suffix(':').unwrap_or(word))
            && let Some(found) = split(rest)
        {
            return found;
        }
        rest = later.trim_start();
    }
    ("", whole)
}

/// The text without the words that say that a cause follows.
pub(super) fn without_caused_by(text: &str) -> &str {
    const WORDS: &str = "caused by";
    let text = text.trim_start();
    match text.get(..WORDS.len()) {
        Some(words) if words.eq_ignore_ascii_case(WORDS) => {
            text[WORDS.len()..].trim_start_matches([':', ' '])
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_looks_like_a_class_is_none() {
        for text in [
            "",
            "note: run it again",
            "Makefile:12: no rule",
            "src/main.rs:3:5: boom",
            "make: *** [all] Error 2",
            "E: Unable to locate package",
            "HTTP/1.1 502 Bad Gateway",
            "a long sentence that ends in Error: yes",
        ] {
            assert_eq!(split(text), None, "{text}");
        }
    }

    #[test]
    fn a_class_is_told_from_its_message() {
        let cases = [
            ("ValueError: no such id: 7", ("ValueError", "no such id: 7")),
            ("KeyboardInterrupt", ("KeyboardInterrupt", "")),
            ("java.io.IOException: full", ("java.io.IOException", "full")),
            ("app::DiskFull: full", ("app::DiskFull", "full")),
            ("TypeError [ERR_X]: bad", ("TypeError", "bad")),
            (
                "requests.exceptions.SSLError:",
                ("requests.exceptions.SSLError", ""),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(split(text), Some(expected), "{text}");
        }
        let line = "Exception in thread \"main\" java.lang.IllegalStateException: x: y";
        assert_eq!(find(line), ("java.lang.IllegalStateException", "x: y"));
        assert_eq!(find(" nothing of the sort "), ("", "nothing of the sort"));
    }

    #[test]
    fn a_class_that_says_something_is_no_wrapper() {
        for class in [
            "anyhow::Error",
            "alloc::boxed::Box<dyn core::error::Error>",
            "RuntimeError",
        ] {
            assert!(is_wrapper(class), "{class}");
        }
        for class in ["serde_json::Error", "ValueError", "Panic", "MemoryLimit"] {
            assert!(!is_wrapper(class), "{class}");
        }
    }
}
