//! One line of a trace.

use crate::signature::class;
use crate::signature::frame::Frame;

/// What a line says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Python: frames follow.
    Traceback,
    /// Python: the trace before is the cause of the next one.
    Linked {
        /// Whether the program says so, rather than that it happened meanwhile.
        is_explicit: bool,
    },
    /// Rust: a thread panicked. Without a message, that is on the next line.
    Panic { message: &'a str, place: &'a str },
    /// Go: the program panicked.
    GoPanic { class: &'a str, message: &'a str },
    /// Go: a goroutine's frames follow.
    Goroutine,
    /// Rust: messages of causes follow.
    Causes,
    /// A cause: its class and message.
    Cause(&'a str),
    /// What follows belongs to the trace but did not cause it.
    Aside,
    /// Rust: numbered frames follow.
    Backtrace,
    /// Rust: a frame, or a cause.
    Numbered(Frame<'a>),
    /// A frame.
    At(Frame<'a>),
    /// Part of a trace, and of no interest.
    Rest,
}

impl<'a> Line<'a> {
    /// What a line says; `None` when it may be anything. The text has no spaces around it.
    pub(super) fn read(text: &'a str, is_indented: bool) -> Option<Self> {
        match text.as_bytes()[0] {
            b'a' if is_indented => text.strip_prefix("at ").and_then(at).map(Self::At),
            b'0'..=b'9' if is_indented => numbered(text).map(Self::Numbered),
            b'#' => hashed(text).map(Self::At),
            b'.' => text.starts_with("... ").then_some(Self::Rest),
            b'f' => from(text).map(Self::At).or_else(|| go_panic(text)),
            b'g' => text.starts_with("goroutine ").then_some(Self::Goroutine),
            b'n' => text.starts_with("note: ").then_some(Self::Rest),
            b'N' => text.starts_with("Node.js v").then_some(Self::Rest),
            b'p' => go_panic(text),
            b't' => panic(text),
            b'T' | b'D' => python(text),
            b'C' | b'[' => cause(text),
            b'-' => aside(text),
            b'S' | b's' => announced(text),
            _ => None,
        }
    }
}

fn python(text: &str) -> Option<Line<'_>> {
    if text.starts_with("Traceback (most recent call last)") {
        return Some(Line::Traceback);
    }
    if text.starts_with("The above exception was the direct cause of") {
        return Some(Line::Linked { is_explicit: true });
    }
    let is_meanwhile = text.starts_with("During handling of the above exception");
    is_meanwhile.then_some(Line::Linked { is_explicit: false })
}

/// `thread 'main' panicked at src/main.rs:3:5:`, or, before Rust 1.73,
/// `thread 'main' panicked at 'message', src/main.rs:3:5`.
fn panic(text: &str) -> Option<Line<'_>> {
    let text = text.strip_prefix("thread ")?;
    let (_, told) = text.split_once(" panicked at ")?;
    let (message, place) = match told.strip_prefix('\'') {
        Some(quoted) => quoted.rsplit_once("', ")?,
        None => ("", told.trim_end_matches(':')),
    };
    let place = without_position(place);
    Some(Line::Panic { message, place })
}

fn go_panic(text: &str) -> Option<Line<'_>> {
    let (class, message) = text.split_once(": ")?;
    matches!(class, "panic" | "fatal error").then_some(Line::GoPanic { class, message })
}

fn cause(text: &str) -> Option<Line<'_>> {
    if text == "Caused by:" {
        return Some(Line::Causes);
    }
    let error = text
        .strip_prefix("Caused by: ")
        .or_else(|| text.strip_prefix("[cause]: "));
    error.map(Line::Cause)
}

fn aside(text: &str) -> Option<Line<'_>> {
    if let Some(error) = text.strip_prefix("---> ") {
        return Some(Line::Cause(error));
    }
    text.starts_with("--- End of inner").then_some(Line::Aside)
}

fn announced(text: &str) -> Option<Line<'_>> {
    if text.eq_ignore_ascii_case("stack backtrace:") {
        return Some(Line::Backtrace);
    }
    if text == "Stack trace:" {
        return Some(Line::Rest);
    }
    text.starts_with("Suppressed: ").then_some(Line::Aside)
}

/// What stands after `at `: `app.Job.run(Job.java:12)`, `run (/srv/app.js:3:5)`,
/// `./src/main.rs:3:5` or `App.Job.Run() in /srv/Job.cs:line 12`.
fn at(text: &str) -> Option<Frame<'_>> {
    let text = text.strip_prefix("async ").unwrap_or(text);
    let text = text.strip_suffix(" {").unwrap_or(text);
    let Some((function, rest)) = text.rsplit_once('(') else {
        let file = without_position(text);
        let is_place = file.len() < text.len();
        return is_place.then_some(Frame { function: "", file });
    };
    let (place, after) = rest.split_once(')')?;
    if let Some(place) = after.strip_prefix(" in ") {
        let (file, _) = place.rsplit_once(":line ")?;
        return Some(Frame { function, file });
    }
    let is_place = place.contains(':') || (place.contains('.') && !place.contains(' '));
    Some(Frame {
        function: function.trim_end(),
        file: if is_place {
            without_position(place)
        } else {
            ""
        },
    })
}

/// `12: app::work`, `12:     0x5581 - app::work`.
fn numbered(text: &str) -> Option<Frame<'_>> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = text[digits..].strip_prefix(": ")?.trim_start();
    let function = match rest.strip_prefix("0x") {
        Some(address) => address.split_once(" - ")?.1,
        None => rest,
    };
    Some(Frame { function, file: "" })
}

/// A cause without its number: `0: no such file`.
pub(super) fn without_number(text: &str) -> &str {
    numbered(text).map_or(text, |cause| cause.function)
}

/// `#0  0x55 in work (x=1) at work.c:12`, `#0 0x55 in work work.c:12:3` or
/// `#0 /srv/a.php(7): work()`.
fn hashed(text: &str) -> Option<Frame<'_>> {
    let (number, rest) = text.strip_prefix('#')?.split_once(' ')?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let rest = rest.trim_start();
    if let Some((place, call)) = rest.split_once("): ") {
        let file = place.split_once('(')?.0;
        let function = call.split_once('(').map_or(call, |(function, _)| function);
        return Some(Frame { function, file });
    }
    let call = match rest.strip_prefix("0x") {
        Some(address) => address.split_once(" in ")?.1,
        None => rest,
    };
    // Builders number the lines of their logs in the same way.
    if call.len() == rest.len() && !call.contains(") at ") {
        return None;
    }
    let end = call.find([' ', '(']).unwrap_or(call.len());
    let place = call.rsplit_once(' ').map_or("", |(_, place)| place);
    let file = without_position(place);
    Some(Frame {
        function: &call[..end],
        file: if file.len() < place.len() { file } else { "" },
    })
}

/// Ruby: `from /srv/app.rb:12:in 'work'`.
fn from(text: &str) -> Option<Frame<'_>> {
    ruby(text.strip_prefix("from ")?).map(|(frame, _)| frame)
}

/// Ruby's frame, and what follows it.
fn ruby(text: &str) -> Option<(Frame<'_>, &str)> {
    let (place, call) = text.split_once(":in ")?;
    let call = call.strip_prefix(['\'', '`'])?;
    let (function, rest) = call.split_once('\'')?;
    let file = without_position(place);
    Some((Frame { function, file }, rest))
}

/// The class and the message of the line before the frames; Ruby puts the first frame there too.
pub(super) fn error_of(header: &str) -> (&str, &str, Option<Frame<'_>>) {
    // /srv/app.rb:3:in 'work': no such file (Errno::ENOENT)
    if let Some((frame, told)) = ruby(header)
        && let Some((message, class)) = told.trim_start_matches([':', ' ']).rsplit_once(" (")
    {
        return (class.trim_end_matches(')'), message, Some(frame));
    }
    let (class, message) = class::find(header);
    (class, message, None)
}

/// Python: `File "/srv/app.py", line 12, in load`.
pub(super) fn python_frame(text: &str) -> Option<Frame<'_>> {
    let (file, rest) = text.strip_prefix("File \"")?.split_once("\", line ")?;
    let function = rest
        .split_once(", in ")
        .map_or("", |(_, function)| function);
    Some(Frame { function, file })
}

/// Go: `main.work(0xc000012345, 0x1)`.
pub(super) fn go_call(text: &str) -> Frame<'_> {
    let function = match text.rsplit_once('(') {
        Some((function, _)) if text.ends_with(')') => function,
        _ => "",
    };
    Frame { function, file: "" }
}

/// Go: `/srv/main.go:12 +0x1d`.
pub(super) fn go_file(text: &str) -> &str {
    let place = text.split_once(' ').map_or(text, |(place, _)| place);
    without_position(place)
}

/// The file, without the line and the column behind it.
fn without_position(place: &str) -> &str {
    let mut file = place;
    for _ in 0..2 {
        if let Some((before, number)) = file.rsplit_once(':')
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
        {
            file = before;
        }
    }
    file
}
