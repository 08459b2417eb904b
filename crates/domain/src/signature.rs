//! What makes two failures the same problem.
//!
//! A failure says much that is only about one ticket: its id, a path, an address, the second in
//! which it happened. The signature is what is left without that: stage, kind, class of the error,
//! the shape of its message, the frames that matter, how the process ended. It is the same on every
//! machine and in every build, so whoever hears of a failure knows the problem by the same id.

mod class;
mod frame;
mod id;
mod shape;
mod trace;

pub use id::{BadSignatureId, SignatureId};

use crate::names::{Kind, StageName};
use crate::outcome::{Exit, Failure, OutcomeKind};
use frame::Frame;
use std::borrow::Cow;
use trace::{Cause, Origin};

/// How many frames tell one place from another.
const FRAMES_MAX: usize = 5;

/// How many frames are looked at for them; more than that is a recursion.
const FRAMES_READ_MAX: usize = 128;

/// How many classes of a chain of causes are kept.
const CLASSES_MAX: usize = 4;

/// Longest class, in bytes; a longer one loses its middle.
const CLASS_BYTES_MAX: usize = 160;

/// What a failure has in common with every other failure of the same problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The short name of all that follows, of the stage and of the kind.
    pub id: SignatureId,
    /// The class of the error. Where one was caused by another, all that say something, the
    /// outermost first: `BuildFailed from OSError`.
    pub class: String,
    /// The shape of the message of the root cause: what varies has a mark in its place.
    pub value: String,
    /// Where it happened, the innermost first: `load (app.py)`. The handler's own code if there is
    /// any, else what there is; without lines, at most five.
    pub frames: Vec<String>,
    /// How the handler's process ended, unless that was by chance.
    pub exit: Option<Exit>,
}

impl Signature {
    /// The signature of a failure at a stage, of a ticket of this kind.
    ///
    /// Takes time in proportion to the text of the failure, and looks at no more than 128 KiB of
    /// it: about 15 us for a trace of 100 frames.
    pub fn of(stage: &StageName, kind: &Kind, outcome: OutcomeKind, failure: &Failure) -> Self {
        let Parts {
            class,
            value,
            frames,
            exit,
        } = if is_by_chance(outcome, failure) {
            by_chance(failure)
        } else {
            by_itself(failure)
        };
        let mut text = format!("{stage}\n{kind}\n{}\n{class}\n{value}", exit_word(exit));
        for frame in &frames {
            text.push('\n');
            text.push_str(frame);
        }
        Self {
            id: SignatureId::of(&text),
            class,
            value,
            frames,
            exit,
        }
    }

    /// The place that is to blame, as far as is known.
    pub fn culprit(&self) -> Option<&str> {
        self.frames.first().map(String::as_str)
    }
}

/// What a log says that its program died of, in one line, if it ends with a trace: the last line
/// of that is a frame or a note in most languages. `None` when anything else comes last.
pub fn last_error(log: &str) -> Option<String> {
    let causes = trace::read_end(log);
    let line = |cause: &Cause<'_>| match (cause.class, &*cause.message) {
        ("", message) => message.to_owned(),
        (class, "") => class.to_owned(),
        (class, message) => format!("{class}: {message}"),
    };
    let [error, causes @ ..] = &causes[..] else {
        return None;
    };
    let mut said = line(error);
    if let Some(root) = causes.last().map(line).filter(|root| !root.is_empty()) {
        said = format!("{said}, caused by {root}");
    }
    Some(said).filter(|said| !said.trim().is_empty())
}

/// Whether the failure is a panic, of this process or of what the handler ran.
pub fn is_panic(failure: &Failure) -> bool {
    let is_it = |class: &str| matches!(class, "Panic" | "panic");
    is_it(&failure.error_type) || causes(failure).iter().any(|cause| is_it(cause.class))
}

/// The functions that the traces of the failure name, each as it is written there and in the form
/// that outlives a build: `app::work`, without hash, generic arguments and closures.
pub fn functions(failure: &Failure) -> Vec<Cow<'_, str>> {
    let mut found: Vec<Cow<'_, str>> = Vec::new();
    for frame in causes(failure).iter().flat_map(|cause| &cause.frames) {
        if !frame.function.is_empty() {
            found.push(frame.function.into());
            found.push(frame.plain_function().into());
        }
    }
    found
}

/// The files that the traces of the failure name, each with its folders and without.
pub fn files(failure: &Failure) -> Vec<Cow<'_, str>> {
    let mut found: Vec<Cow<'_, str>> = Vec::new();
    for frame in causes(failure).iter().flat_map(|cause| &cause.frames) {
        if !frame.file.is_empty() {
            found.push(frame.file.into());
            found.push(frame.file_name().into());
        }
    }
    found
}

struct Parts {
    class: String,
    value: String,
    frames: Vec<String>,
    exit: Option<Exit>,
}

fn exit_word(exit: Option<Exit>) -> String {
    match exit {
        None => String::new(),
        Some(Exit::Status(status)) => format!("status {status}"),
        Some(Exit::Signal(signal)) => format!("signal {signal}"),
    }
}

/// Whether the end came from outside, at a moment that nothing chose: then neither the last line
/// that was printed nor the frame that was running has to do with it.
fn is_by_chance(outcome: OutcomeKind, failure: &Failure) -> bool {
    let is_out_of_memory = outcome == OutcomeKind::Crashed && failure.error_type == "MemoryLimit";
    outcome == OutcomeKind::TimedOut || is_out_of_memory
}

/// Of our own message, the words before its first detail.
fn by_chance(failure: &Failure) -> Parts {
    let message = failure.message.as_str();
    let how = failure.exit.map(|exit| exit.to_string());
    let message = how
        .and_then(|how| message.strip_prefix(how.as_str()))
        .unwrap_or(message);
    let end = [": ", " (", ", "]
        .into_iter()
        .filter_map(|mark| message.find(mark));
    let end = end.min().unwrap_or(message.len());
    Parts {
        class: shown_class(&[&failure.error_type]),
        value: shape::of(message[..end].trim_start()),
        frames: Vec::new(),
        exit: None,
    }
}

fn by_itself(failure: &Failure) -> Parts {
    let causes = causes(failure);
    let mut chain = Chain::default();
    chain.add(&failure.error_type);
    for cause in &causes {
        chain.add(cause.class);
    }
    let root = causes.last();
    let root = root.filter(|root| !root.class.is_empty() || !root.message.is_empty());
    let own_words = words(failure);
    let message = root.map_or(own_words.as_ref(), |root| &root.message);
    let message = chain.unwrap(message);
    let frames = causes.iter().rev().map(|cause| top(&cause.frames));
    Parts {
        class: chain.shown(),
        value: shape::of(message),
        frames: frames
            .into_iter()
            .find(|frames| !frames.is_empty())
            .unwrap_or_default(),
        exit: failure.exit,
    }
}

/// The message of the failure. Of a process that died: without who held the ticket, and in which
/// attempt.
fn words(failure: &Failure) -> Cow<'_, str> {
    let message = failure.message.as_str();
    let Some((what, aside)) = message.split_once(" (") else {
        return message.into();
    };
    if failure.error_type != "ProcessDied" {
        return message.into();
    }
    let after = aside.split_once(')').map_or("", |(_, after)| after);
    let cause = after.split_once(": ").map_or("", |(_, cause)| cause);
    format!("{what}: {cause}").into()
}

/// What the traces say. A log is asked only when nobody said more than how the process ended.
fn causes(failure: &Failure) -> Vec<Cause<'_>> {
    let causes = trace::read(&failure.trace, Origin::Trace);
    let is_silent = failure.exit.is_some() && class::is_wrapper(&failure.error_type);
    if causes.is_empty() && is_silent {
        return trace::read(&failure.log_tail, Origin::Log);
    }
    causes
}

/// The innermost frames that say something, each once: of the handler's own code, if any is.
fn top(frames: &[Frame]) -> Vec<String> {
    let raised = frames.iter().position(Frame::raises);
    let frames = frames.get(raised.map_or(0, |at| at + 1)..);
    let frames = || frames.unwrap_or_default().iter().take(FRAMES_READ_MAX);
    let mut chosen = distinct(frames().filter(|frame| frame.is_own()));
    if chosen.is_empty() {
        chosen = distinct(frames());
    }
    chosen
}

fn distinct<'a>(frames: impl Iterator<Item = &'a Frame<'a>>) -> Vec<String> {
    let mut chosen: Vec<String> = Vec::new();
    for frame in frames {
        let shown = frame.shown();
        if !shown.is_empty() && !chosen.contains(&shown) {
            chosen.push(shown);
        }
        if chosen.len() == FRAMES_MAX {
            break;
        }
    }
    chosen
}

/// The classes of a chain of causes, the outermost first.
#[derive(Default)]
struct Chain<'a> {
    /// Those that say something.
    classes: Vec<&'a str>,
    /// The innermost of all.
    last: &'a str,
}

impl<'a> Chain<'a> {
    fn add(&mut self, class: &'a str) {
        if class.is_empty() {
            return;
        }
        self.last = class;
        let is_known = self
            .classes
            .last()
            .is_some_and(|outer| class::short(outer) == class::short(class));
        if class::is_wrapper(class) || is_known {
            return;
        }
        // The root cause says most.
        self.classes.truncate(CLASSES_MAX - 1);
        self.classes.push(class);
    }

    /// The message without the wrappers that it names itself, as in
    /// `caused by java.io.IOException: full`.
    fn unwrap(&mut self, message: &'a str) -> &'a str {
        let mut message = message;
        for _ in 0..CLASSES_MAX {
            if !class::is_wrapper(self.last) {
                break;
            }
            message = class::without_caused_by(message);
            let Some((class, inside)) = class::split(message) else {
                break;
            };
            self.add(class);
            message = inside;
        }
        message
    }

    /// What is left when all of them are wrappers is the innermost one.
    fn shown(&self) -> String {
        match self.classes.is_empty() {
            true => shown_class(&[self.last]),
            false => shown_class(&self.classes),
        }
    }
}

fn shown_class(classes: &[&str]) -> String {
    let text = classes.join(" from ");
    shape::without_middle(shape::visible(&text).trim(), CLASS_BYTES_MAX)
}

#[cfg(test)]
mod tests;
