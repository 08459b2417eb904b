//! How a command ends when it does not end well: a code for scripts, words for people.

use super::terminal::Terminal;
use super::text::visible;
use crate::client::CallError;
use crate::config::BadConfig;
use serde_json::{Value as Json, json};
use std::process::ExitCode;

/// The exit codes; scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// It was tried and did not work, or a check found something.
    Failed = 1,
    /// It was not understood, or the configuration is wrong.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// It is not possible now.
    Refused = 4,
    /// Nobody answers.
    Unreachable = 5,
    /// It did not come about in time.
    TimedOut = 6,
}

impl Code {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// A command that did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is something to say.
    Told {
        /// The exit code.
        code: Code,
        /// What is wrong.
        message: String,
        /// What to do about it.
        remedy: Option<String>,
        /// What is wrong in each place, for programs.
        errors: Vec<Json>,
    },
    /// Nobody reads the output any more, as with `| head`; nothing is wrong.
    Unread,
}

impl Failure {
    /// A failure with words.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self::Told {
            code,
            message: message.into(),
            remedy: None,
            errors: Vec::new(),
        }
    }

    /// The same failure with what to do about it.
    pub(super) fn with_remedy(mut self, text: impl Into<String>) -> Self {
        if let Self::Told { remedy, .. } = &mut self {
            *remedy = Some(text.into());
        }
        self
    }

    /// The same failure with what is wrong in each place.
    pub(super) fn with_errors(mut self, all: Vec<Json>) -> Self {
        if let Self::Told { errors, .. } = &mut self {
            *errors = all;
        }
        self
    }

    /// The exit code, if there is something to say.
    pub(super) const fn code(&self) -> Option<Code> {
        match self {
            Self::Told { code, .. } => Some(*code),
            Self::Unread => None,
        }
    }

    /// Says on stderr what is wrong, and gives the exit code.
    pub(super) fn report(&self, terminal: &Terminal<'_>) -> ExitCode {
        let Self::Told {
            code,
            message,
            remedy,
            errors,
        } = self
        else {
            return ExitCode::SUCCESS;
        };
        if terminal.wants_json() {
            let mut error = json!({
                "code": code.as_str(),
                "exit": *code as u8,
                "message": message,
                "remedy": remedy,
            });
            if !errors.is_empty() {
                error["errors"] = errors.clone().into();
            }
            terminal.object(&json!({ "error": error }));
        } else {
            let message: Vec<String> = message.lines().map(visible).collect();
            terminal.note(&format!("goaround: {}", message.join("\n")));
            if let Some(remedy) = remedy {
                terminal.note(&format!("  {}", visible(remedy)));
            }
        }
        (*code).into()
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let message = error.to_string();
        match error {
            CallError::BadUrl { .. } => Self::new(Code::Usage, message),
            CallError::Unreachable { .. } => Self::new(Code::Unreachable, message)
                .with_remedy("is it running? start it with: goaround up; or name it with --url"),
            CallError::Unanswered { .. } => Self::new(Code::Unreachable, message).with_remedy(
                "the server went away in the middle; what was asked may or may not have been done",
            ),
            CallError::Foreign { .. } => Self::new(Code::Failed, message),
            CallError::TimedOut { .. } => Self::new(Code::TimedOut, message),
            CallError::Problem(problem) => {
                let code = match problem.status {
                    400 | 405 | 415 | 422 => Code::Usage,
                    404 | 410 => Code::NotFound,
                    401 | 403 | 409 | 412 | 413 | 429 | 503 => Code::Refused,
                    408 | 504 => Code::TimedOut,
                    _ => Code::Failed,
                };
                let failure = Self::new(code, message);
                let remedy = problem.remedy.or_else(|| match problem.status {
                    401 | 403 => Some("set GOAROUND_TOKEN to the server's token".into()),
                    _ => None,
                });
                match remedy {
                    Some(remedy) => failure.with_remedy(remedy),
                    None => failure,
                }
            }
        }
    }
}

impl From<BadConfig> for Failure {
    fn from(bad: BadConfig) -> Self {
        Self::new(Code::Usage, bad.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::new(Code::Failed, error.to_string()),
        }
    }
}

/// What clap has to say: help and version are data, all else is a usage error.
pub(super) fn usage(error: &clap::Error, terminal: &Terminal<'_>) -> ExitCode {
    let is_asked_for = error.exit_code() == 0;
    if !is_asked_for && terminal.wants_json() {
        let message = error.render().to_string();
        return Failure::new(Code::Usage, message.trim_end()).report(terminal);
    }
    // Broken pipe: nobody reads it.
    error.print().ok();
    if is_asked_for {
        ExitCode::SUCCESS
    } else {
        Code::Usage.into()
    }
}
