//! Traces as the usual languages print them: what was raised, what caused it, and where.
//!
//! One pass over the lines. What a log says before the last trace is forgotten; a trace that more
//! than a few lines follow is not what the program died of.

mod line;
mod mode;

use super::class;
use super::frame::Frame;
use line::Line;
use mode::Mode;
use std::borrow::Cow;
use std::collections::VecDeque;

/// The most text that is looked at, in bytes: its end. Reports keep less.
const BYTES_MAX: usize = 128 * 1024;

/// How many lines that belong to no trace may follow the last one of a log.
const LINES_AFTER_MAX: usize = 8;

/// How many lines before its frames a message may begin.
const LINES_OF_MESSAGE_MAX: usize = 8;

/// The most causes that are told apart.
const CAUSES_MAX: usize = 8;

/// The most frames of one cause that are kept.
const FRAMES_MAX: usize = 4_096;

/// The longest message that is put together from lines, in bytes.
const JOINED_BYTES_MAX: usize = 4 * 1024;

/// Where a text comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was handed over as a trace.
    Trace,
    /// It is the end of a log, and may have a trace inside.
    Log,
}

/// One error of a chain of causes.
#[derive(Debug, Default)]
pub(super) struct Cause<'a> {
    /// Empty when the trace has none, as in Rust.
    pub(super) class: &'a str,
    pub(super) message: Cow<'a, str>,
    /// The innermost first.
    pub(super) frames: Vec<Frame<'a>>,
}

/// The last trace of the text, as its errors: the outermost first, the root cause last. Empty when
/// there is none.
pub(super) fn read(text: &str, origin: Origin) -> Vec<Cause<'_>> {
    Reader::of(text, origin).finish()
}

/// The same for a log that ends with its trace; empty when anything else comes last.
pub(super) fn read_end(log: &str) -> Vec<Cause<'_>> {
    let reader = Reader::of(log, Origin::Log);
    match reader.lines_at_trace == reader.lines {
        true => reader.finish(),
        false => Vec::new(),
    }
}

struct Reader<'a> {
    origin: Origin,
    mode: Mode,
    causes: Vec<Cause<'a>>,
    /// Which of the causes the frames belong to.
    current: usize,
    /// Python: the next trace was caused by this one; whether its words say so.
    link: Option<bool>,
    /// The lines that may have the message of the frames to come, and where they were.
    headers: VecDeque<(&'a str, usize)>,
    /// Whether they were looked at, and none had a class.
    is_without_class: bool,
    /// How many lines there were that are not empty.
    lines: usize,
    /// The last of them that belongs to a trace.
    lines_at_trace: usize,
}

impl<'a> Reader<'a> {
    fn of(text: &'a str, origin: Origin) -> Self {
        let text = &text[text.ceil_char_boundary(text.len().saturating_sub(BYTES_MAX))..];
        let mut reader = Self::new(origin);
        for line in text.lines() {
            reader.line(line);
        }
        reader
    }

    const fn new(origin: Origin) -> Self {
        Self {
            origin,
            mode: Mode::Idle,
            causes: Vec::new(),
            current: 0,
            link: None,
            headers: VecDeque::new(),
            is_without_class: false,
            lines: 0,
            lines_at_trace: 0,
        }
    }

    fn line(&mut self, raw: &'a str) {
        let text = raw.trim_ascii();
        if text.is_empty() {
            self.mode = match self.mode {
                Mode::Go => Mode::GoRest,
                Mode::Causes => Mode::Idle,
                other => other,
            };
            return;
        }
        self.lines += 1;
        let is_indented = raw.starts_with([' ', '\t']);
        if self.goes_on(text, is_indented) || self.begins(text, is_indented) {
            self.lines_at_trace = self.lines;
        } else {
            self.pass_over(text, is_indented);
        }
    }

    /// Whether the line is part of the trace that is being read.
    fn goes_on(&mut self, text: &'a str, is_indented: bool) -> bool {
        match self.mode {
            Mode::Python => return self.python(text, is_indented),
            Mode::Panic if !text.starts_with("note: ") => {
                self.cause().message = text.into();
                self.mode = Mode::Idle;
            }
            Mode::Causes if is_indented => self.join(line::without_number(text)),
            Mode::Go => self.go(text, is_indented),
            Mode::GoRest => {
                let is_call = text.ends_with(')') || text.starts_with("created by ");
                return is_indented || is_call || text.starts_with("goroutine ");
            }
            _ => return false,
        }
        true
    }

    /// Whether the line begins a trace, or a part of one, and says so itself.
    fn begins(&mut self, text: &'a str, is_indented: bool) -> bool {
        let Some(line) = Line::read(text, is_indented) else {
            return false;
        };
        match line {
            Line::Traceback => self.traceback(),
            Line::Linked { is_explicit } => self.link = Some(is_explicit),
            Line::Panic { message, place } => {
                self.open("Panic", message);
                // Better than nothing, when no frames follow.
                self.push(Frame {
                    function: "panicked",
                    file: place,
                });
                self.mode = if message.is_empty() {
                    Mode::Panic
                } else {
                    Mode::Idle
                };
            }
            Line::GoPanic { class, message } => {
                self.open(class, message);
                self.mode = Mode::GoPanic;
            }
            Line::Goroutine if self.mode == Mode::GoPanic => self.mode = Mode::Go,
            Line::Causes => {
                self.open_if_new();
                self.mode = Mode::Causes;
            }
            Line::Cause(error) => self.caused_by(error),
            Line::Aside => self.mode = Mode::Aside,
            Line::Backtrace => self.backtrace(),
            Line::Numbered(frame) => return self.numbered(frame),
            Line::At(frame) => return self.at(frame),
            Line::Rest => {}
            Line::Goroutine => return false,
        }
        true
    }

    /// The line is none of a trace: perhaps the next trace's message.
    fn pass_over(&mut self, text: &'a str, is_indented: bool) {
        if is_indented || self.mode == Mode::Caused {
            return;
        }
        if !matches!(self.mode, Mode::GoPanic) {
            self.mode = Mode::Idle;
        }
        self.link = None;
        if self.headers.len() == LINES_OF_MESSAGE_MAX {
            self.headers.pop_front();
        }
        self.headers.push_back((text, self.lines));
        self.is_without_class = false;
    }

    /// The class and the message before the frames to come, and the frame that Ruby puts there too.
    /// A message of several lines begins with the one that has a class.
    fn header(&self) -> (&'a str, &'a str, Option<Frame<'a>>) {
        let near = |(_, at): &&(&str, usize)| self.lines - at <= LINES_OF_MESSAGE_MAX;
        let lines = self.headers.iter().rev().take_while(near);
        let mut errors = lines.map(|(line, _)| line::error_of(line));
        let nearest = errors.next().unwrap_or_default();
        match nearest.0.is_empty() {
            true => errors.find(|error| !error.0.is_empty()).unwrap_or(nearest),
            false => nearest,
        }
    }

    /// Whether there is a class before the frames to come.
    fn has_class(&mut self) -> bool {
        self.is_without_class = self.is_without_class || self.header().0.is_empty();
        !self.is_without_class
    }

    /// Forgets what came before, and begins with this error.
    fn open(&mut self, class: &'a str, message: &'a str) {
        self.causes.clear();
        self.current = 0;
        self.headers.clear();
        self.is_without_class = false;
        self.causes.push(Cause {
            class,
            message: message.into(),
            frames: Vec::new(),
        });
    }

    fn open_at_header(&mut self) {
        let (class, message, frame) = self.header();
        self.open(class, message);
        if let Some(frame) = frame {
            self.push(frame);
        }
    }

    /// Begins with a new error when there was a line that may be its message.
    fn open_if_new(&mut self) {
        if !self.headers.is_empty() || self.causes.is_empty() {
            self.open_at_header();
        }
    }

    fn cause(&mut self) -> &mut Cause<'a> {
        if self.causes.is_empty() {
            self.causes.push(Cause::default());
        }
        self.current = self.current.min(self.causes.len() - 1);
        &mut self.causes[self.current]
    }

    fn push(&mut self, frame: Frame<'a>) {
        let frames = &mut self.cause().frames;
        if frames.len() < FRAMES_MAX {
            frames.push(frame);
        }
    }

    fn caused_by(&mut self, error: &'a str) {
        if !matches!(self.mode, Mode::Frames | Mode::Caused | Mode::Aside) {
            self.open_if_new();
        }
        if self.causes.len() == CAUSES_MAX {
            self.causes.pop();
        }
        let (class, message) = class::find(error);
        self.causes.push(Cause {
            class,
            message: message.into(),
            frames: Vec::new(),
        });
        self.current = self.causes.len() - 1;
        self.mode = Mode::Caused;
    }

    fn at(&mut self, frame: Frame<'a>) -> bool {
        let mode = self.mode;
        match mode {
            Mode::Aside => return true,
            Mode::Numbered => {
                let last = self.cause().frames.last_mut();
                if let Some(last) = last.filter(|last| last.file.is_empty()) {
                    last.file = frame.file;
                }
                return true;
            }
            Mode::Frames | Mode::Caused => {}
            // A mere place, with no error before it, may be anything.
            _ if !frame.function.is_empty() || self.has_class() => self.open_at_header(),
            _ => return false,
        }
        self.mode = Mode::Frames;
        self.push(frame);
        true
    }

    fn backtrace(&mut self) {
        // The second line of a panic's message is no message of its own.
        if self.causes.is_empty() || self.has_class() {
            self.open_at_header();
        }
        self.cause().frames.clear();
        self.mode = Mode::Numbered;
    }

    /// In a log, a numbered line is a frame only after the words that announce a backtrace.
    fn numbered(&mut self, frame: Frame<'a>) -> bool {
        if self.mode != Mode::Numbered {
            if self.origin == Origin::Log || self.mode != Mode::Idle {
                return false;
            }
            self.backtrace();
        }
        self.push(frame);
        true
    }

    fn join(&mut self, more: &str) {
        let message = self.cause().message.to_mut();
        if message.len() + more.len() < JOINED_BYTES_MAX {
            message.push_str(if message.is_empty() { "" } else { ": " });
            message.push_str(more);
        }
    }

    fn go(&mut self, text: &'a str, is_indented: bool) {
        if !is_indented {
            self.push(line::go_call(text));
        } else if let Some(last) = self.cause().frames.last_mut() {
            last.file = line::go_file(text);
        }
    }

    /// Python tells the root cause first: what comes later is further out.
    fn traceback(&mut self) {
        if self.link.is_none() {
            self.causes.clear();
        }
        if self.causes.len() == CAUSES_MAX {
            self.causes.remove(0);
        }
        self.causes.insert(0, Cause::default());
        self.current = 0;
        self.mode = Mode::Python;
    }

    fn python(&mut self, text: &'a str, is_indented: bool) -> bool {
        if let Some(frame) = line::python_frame(text) {
            self.push(frame);
        } else if !is_indented {
            let (class, message) = text.split_once(": ").unwrap_or((text, ""));
            let cause = self.cause();
            cause.class = class.trim_end_matches(':');
            cause.message = message.into();
            cause.frames.reverse();
            // An error while another one was handled is a new one, unless it says nothing itself.
            if self.link.take() == Some(false) && !class::is_wrapper(class) {
                self.causes.truncate(1);
            }
            self.mode = Mode::Idle;
            self.headers.clear();
            self.is_without_class = false;
        }
        true
    }

    fn finish(self) -> Vec<Cause<'a>> {
        let after = self.lines - self.lines_at_trace;
        match self.origin {
            Origin::Log if after > LINES_AFTER_MAX => Vec::new(),
            _ => self.causes,
        }
    }
}

#[cfg(test)]
mod tests;
