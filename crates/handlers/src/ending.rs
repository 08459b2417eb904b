//! What the end of a command means for its ticket.

use crate::exec::Limits;
use crate::program::Program;
use crate::result;
use domain::outcome::{Attempted, Done, Exit, Failure, Outcome, Usage};
use domain::ports::StopReason;
use domain::signature;
use domain::ticket::{Payload, Ticket};
use domain::trial::Unbegun;
use rustix::io::Errno;
use serde::de::IgnoredAny;
use std::time::Duration;
use wire::child::{End, Ended, NotStarted, UsageSum};

/// The exit status by which a handler says that the ticket is wrong; `EX_DATAERR` of sysexits.h.
const REJECTED: i32 = 65;

/// The exit status by which a handler says "not now"; `EX_TEMPFAIL` of sysexits.h.
const NOT_NOW: i32 = 75;

/// Of an allocation limit, this share used tells that the limit was what ended a command.
const NEARLY_ALL: f64 = 0.9;

/// How programs say that they got no memory, in lower case: the C library, the shells, Rust, Go,
/// Python, Java, Node.
const NO_MEMORY: [&str; 6] = [
    "cannot allocate memory",
    "out of memory",
    "memory allocation of",
    "memoryerror",
    "outofmemoryerror",
    "bad_alloc",
];

/// What the end is judged by, beyond itself.
pub(crate) struct Terms<'a> {
    pub(crate) ticket: &'a Ticket,
    pub(crate) program: &'a Program,
    pub(crate) limits: &'a Limits,
    /// Why it was asked to stop, if it was.
    pub(crate) stopped: Option<StopReason>,
    /// Whose deadline it had to keep.
    pub(crate) whose: &'static str,
}

/// Judges the end of a command.
pub(crate) fn judge(end: End, terms: &Terms<'_>) -> Attempted {
    match end {
        End::NotStarted(not_started) => judge_start(&not_started, terms.program).into(),
        End::Ended(ended) => {
            let usage = usage(ended.usage.as_ref());
            Attempted {
                outcome: judge_ended(ended, usage, terms),
                usage,
            }
        }
    }
}

/// What the handler's file is to blame for stays until it changes; anything else may pass.
fn judge_start(not_started: &NotStarted, program: &Program) -> Outcome {
    let message = &not_started.message;
    program.forget();
    let errno = Errno::from_raw_os_error(not_started.errno);
    let obstacle = program.obstacle();
    let is_the_files_fault = matches!(
        errno,
        Errno::NOENT
            | Errno::ACCESS
            | Errno::NOEXEC
            | Errno::NOTDIR
            | Errno::PERM
            | Errno::LOOP
            | Errno::ISDIR
    );
    if !is_the_files_fault && obstacle.is_none() {
        let message = format!("the command could not be started just now: {message}");
        return Outcome::Failed(Unbegun::CannotSpawn.failure(message));
    }
    let message = obstacle.unwrap_or_else(|| {
        let path = program.path().unwrap_or_default();
        format!("{} cannot be started: {message}", path.display())
    });
    Outcome::Unstartable(Failure::new("CannotStart", message))
}

fn usage(sum: Option<&UsageSum>) -> Usage {
    sum.map_or_else(Usage::default, |sum| Usage {
        memory_bytes_max: Some(sum.memory_bytes_max),
        cpu_user: Some(Duration::from_micros(sum.cpu_user_us)),
        cpu_system: Some(Duration::from_micros(sum.cpu_system_us)),
    })
}

fn judge_ended(ended: Ended, usage: Usage, terms: &Terms<'_>) -> Outcome {
    let exit = match ended.exit {
        Some(wire::child::Exit::Status(status)) => Exit::Status(status),
        Some(wire::child::Exit::Signal(signal)) => Exit::Signal(signal),
        None => Exit::Status(-1),
    };
    let complaint = Complaint::of(&ended);
    let failure = |error_type: &str, message: String| Failure {
        error_type: error_type.into(),
        message,
        trace: String::new(),
        exit: Some(exit),
        log_tail: complaint.tail.clone(),
    };
    if ended.was_asked {
        return match terms.stopped {
            Some(StopReason::Deadline) => Outcome::TimedOut(failure(
                "DeadlineExceeded",
                complaint.after(&format!(
                    "{} passed and the command was stopped",
                    terms.whose
                )),
            )),
            // Without a reason of ours, the spawner is going down with us.
            Some(StopReason::Drain | StopReason::Cancelled) | None => Outcome::Abandoned,
        };
    }
    if ended.stdout_overflowed {
        let max = terms.limits.stdout_bytes_max;
        return Outcome::Failed(failure("OutputTooLarge", too_large("standard output", max)));
    }
    if let Some(limit) = memory_limit_hit(exit, usage, &complaint, terms) {
        let message = format!("{exit} at its memory limit of {}", show_bytes(limit));
        let message = complaint.after(&with_peak(message, usage));
        return Outcome::Crashed(failure("MemoryLimit", message));
    }
    match exit {
        Exit::Status(0) => match done(&ended, terms) {
            Ok(outcome) => outcome,
            Err(why) => Outcome::Failed(failure("BadResult", format!("result file: {why}"))),
        },
        Exit::Status(REJECTED) => Outcome::Rejected(failure(
            "Rejected",
            complaint.or("the handler rejected the ticket without a word"),
        )),
        Exit::Status(NOT_NOW) => Outcome::NotNow { after: None },
        Exit::Status(_) => {
            let message = complaint.or(&exit.to_string());
            Outcome::Failed(failure("ExitStatus", message))
        }
        Exit::Signal(_) => {
            let message = complaint.after(&with_peak(exit.to_string(), usage));
            Outcome::Crashed(failure("Signal", message))
        }
    }
}

fn done(ended: &Ended, terms: &Terms<'_>) -> Result<Outcome, String> {
    let stdout = said(ended, terms.ticket);
    let Some(file) = &ended.result else {
        return Ok(Outcome::Done(Done {
            payload: stdout,
            ..Done::default()
        }));
    };
    let max = terms.limits.result_bytes_max;
    if !file.error.is_empty() {
        return Err(format!(
            "expected a file of JSON, cannot read it: {}",
            file.error
        ));
    }
    if file.size_bytes > max {
        return Err(format!(
            "expected at most {max} bytes, found {}",
            file.size_bytes
        ));
    }
    result::parse(&file.content, stdout)
}

/// Standard output as a payload. It is called JSON only where the ticket came as such: a handler
/// that prints `42` did not say that it speaks JSON.
fn said(ended: &Ended, ticket: &Ticket) -> Option<Payload> {
    if ended.stdout.is_empty() {
        return None;
    }
    let came_as_json = ticket
        .payload
        .content_type
        .as_deref()
        .filter(|own| is_json(own));
    let is_json = || serde_json::from_slice::<IgnoredAny>(&ended.stdout).is_ok();
    Some(Payload {
        content_type: came_as_json.filter(|_| is_json()).map(str::to_owned),
        bytes: ended.stdout.clone(),
    })
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

fn too_large(what: &str, bytes_max: u64) -> String {
    format!(
        "{what}: expected at most {bytes_max} bytes, found more, so it was stopped: write a big \
         output to a file and hand on its name"
    )
}

/// The limit that a command ran into, as far as can be told from outside: it is only refused
/// memory, and what it does then is its own affair.
fn memory_limit_hit(
    exit: Exit,
    usage: Usage,
    complaint: &Complaint,
    terms: &Terms<'_>,
) -> Option<u64> {
    let limit = terms.limits.memory_bytes_max?;
    if matches!(exit, Exit::Status(0 | REJECTED | NOT_NOW)) {
        return None;
    }
    let peak = usage.memory_bytes_max.unwrap_or(0);
    let tail = complaint.tail.to_lowercase();
    let says_so = NO_MEMORY.iter().any(|words| tail.contains(words));
    (says_so || peak as f64 >= limit as f64 * NEARLY_ALL).then_some(limit)
}

fn with_peak(message: String, usage: Usage) -> String {
    match usage.memory_bytes_max {
        Some(peak) => format!("{message}, peak memory {}", show_bytes(peak)),
        None => message,
    }
}

fn show_bytes(bytes: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    match bytes {
        0..MIB => format!("{} KiB", bytes / 1024),
        _ => format!("{}.{} MiB", bytes / MIB, bytes % MIB * 10 / MIB),
    }
}

/// What a command said before its end.
struct Complaint {
    /// What the trace at the end of standard error is about, else its last line that is not empty.
    said: Option<String>,
    /// The end of standard error and the last line of progress.
    tail: String,
}

impl Complaint {
    fn of(ended: &Ended) -> Self {
        let text = String::from_utf8_lossy(&ended.stderr_tail);
        let lines = text.lines().rev().map(str::trim);
        let last_line = || lines.clone().find(|line| !line.is_empty());
        let said = signature::last_error(&text).or_else(|| last_line().map(str::to_owned));
        let cut = ended
            .stderr_bytes
            .saturating_sub(ended.stderr_tail.len() as u64);
        let mut tail = match cut {
            0 => text.clone().into_owned(),
            cut => format!("[{cut} bytes cut…] {text}"),
        };
        if !ended.progress.is_empty() {
            let progress = String::from_utf8_lossy(&ended.progress);
            if !tail.is_empty() && !tail.ends_with('\n') {
                tail.push('\n');
            }
            tail.push_str(&format!("[last progress] {progress}\n"));
        }
        Self { said, tail }
    }

    fn or(&self, otherwise: &str) -> String {
        self.said.clone().unwrap_or_else(|| otherwise.to_owned())
    }

    fn after(&self, what: &str) -> String {
        match &self.said {
            Some(said) => format!("{what}: {said}"),
            None => what.to_owned(),
        }
    }
}
