//! Where output goes, and who is likely to read it.

use super::World;
use super::failure::Failure;
use domain::time::{Timestamp, show_duration};
use serde_json::{Value as Json, json};
use std::io::{BufRead, Write};

/// The two streams of output, and what is known about their readers.
pub(super) struct Terminal<'a> {
    world: &'a World,
}

impl<'a> Terminal<'a> {
    pub(super) const fn new(world: &'a World) -> Self {
        Self { world }
    }

    /// Prints data, with a line end.
    ///
    /// # Errors
    /// [`Failure::Unread`] when nobody reads it any more.
    pub(super) fn print(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.write_all(b"\n")?;
        Ok(())
    }

    /// Says something beside the data: a line for a person, to a program an object with `note`.
    pub(super) fn note(&self, text: &str) {
        match self.wants_json() {
            true => self.object(&json!({ "note": text })),
            false => aside(text),
        }
    }

    /// Says something beside the data to a program.
    pub(super) fn object(&self, object: &Json) {
        aside(&object.to_string());
    }

    /// A variable of the environment that is set to something.
    pub(super) fn variable(&self, name: &str) -> Option<&'a str> {
        let text = self.world.variables.get(name)?.as_str();
        (!text.is_empty()).then_some(text)
    }

    /// The environment.
    pub(super) const fn world(&self) -> &'a World {
        self.world
    }

    /// Whether a person reads the data.
    pub(super) const fn is_for_person(&self) -> bool {
        self.world.is_stdout_terminal
    }

    /// Whether progress may be drawn; in a JSON mode all else is JSON, terminal or not.
    pub(super) fn draws_progress(&self) -> bool {
        self.is_stderr_drawn_on() && !self.wants_json()
    }

    fn is_stderr_drawn_on(&self) -> bool {
        self.world.is_stderr_terminal && self.variable("TERM") != Some("dumb")
    }

    /// Whether colours and bold letters may be used.
    pub(super) fn is_coloured(&self) -> bool {
        self.is_for_person()
            && self.variable("NO_COLOR").is_none()
            && self.variable("TERM") != Some("dumb")
    }

    /// Whether log lines may be coloured.
    pub(super) fn colours_log(&self) -> bool {
        self.is_stderr_drawn_on() && self.variable("NO_COLOR").is_none()
    }

    /// How wide a table may be, if the environment says so; else the terminal is asked.
    pub(super) fn width(&self) -> Option<u16> {
        self.variable("COLUMNS")?.parse().ok()
    }

    /// Whether the user asked for JSON, or for a log in JSON: then errors and notes are JSON too.
    /// The arguments are looked at as they came, because the error may be that they cannot be
    /// parsed.
    pub(super) fn wants_json(&self) -> bool {
        const FLAGS: [&str; 3] = ["--output", "-o", "--log-format"];
        let arguments = self.world.arguments.iter().filter_map(|word| word.to_str());
        let mut is_format = false;
        for word in arguments {
            let value = match word {
                _ if is_format => word,
                "--output" | "-o" => "",
                _ => word
                    .strip_prefix("--output=")
                    .or_else(|| word.strip_prefix("--log-format="))
                    .or_else(|| word.strip_prefix("-o"))
                    .map_or("", |value| value.trim_start_matches('=')),
            };
            if matches!(value, "json" | "jsonl") {
                return true;
            }
            is_format = FLAGS.contains(&word);
        }
        false
    }

    /// The time.
    pub(super) fn now(&self) -> Timestamp {
        (self.world.now)()
    }

    /// A point in time: how long ago for a person, exactly for a program.
    pub(super) fn when(&self, text: &str) -> String {
        match text.parse::<Timestamp>() {
            Ok(at) if self.is_for_person() => relative(at, self.now()),
            _ => text.into(),
        }
    }

    /// Asks a person.
    ///
    /// # Errors
    /// The failure to be told when there is no person to ask.
    pub(super) fn is_confirmed(&self, question: &str, or_else: Failure) -> Result<bool, Failure> {
        if !(self.world.is_stdin_terminal && self.world.is_stderr_terminal) {
            return Err(or_else);
        }
        self.note(&format!("{question} [y/N]"));
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }
}

fn aside(line: &str) {
    // Whoever closed stderr does not want to know.
    writeln!(std::io::stderr().lock(), "{line}").ok();
}

fn relative(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        format!("in {}", show_duration(at.since(now)))
    } else {
        format!("{} ago", show_duration(now.since(at)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A quarter past two on the day of the examples.
    pub(in crate::cli) fn now() -> Timestamp {
        "2026-11-21T14:15:00Z".parse().unwrap()
    }

    pub(in crate::cli) fn world(line: &str, is_stdout_terminal: bool) -> World {
        World {
            arguments: line.split(' ').map(Into::into).collect(),
            variables: BTreeMap::from([("COLUMNS".into(), "100".into())]),
            now,
            is_stdin_terminal: false,
            is_stdout_terminal,
            is_stderr_terminal: false,
        }
    }

    #[test]
    fn json_is_asked_for_in_any_spelling() {
        for line in [
            "goaround books -o json",
            "goaround books -ojson",
            "goaround books --output=json",
            "goaround ticket list --output jsonl",
            "goaround worker --log-format json",
            "goaround worker --log-format=json",
        ] {
            assert!(Terminal::new(&world(line, false)).wants_json(), "{line}");
        }
        for line in ["goaround books", "goaround submit --payload json -o table"] {
            assert!(!Terminal::new(&world(line, false)).wants_json(), "{line}");
        }
    }

    #[test]
    fn progress_is_drawn_for_people_alone() {
        for (form, is_drawn) in [("name", true), ("json", false), ("jsonl", false)] {
            let mut world = world(&format!("goaround submit --jsonl f -o {form}"), false);
            assert!(!Terminal::new(&world).draws_progress(), "{form}");
            world.is_stderr_terminal = true;
            assert_eq!(Terminal::new(&world).draws_progress(), is_drawn, "{form}");
        }
    }

    #[test]
    fn a_person_sees_how_long_ago_and_a_program_the_time() {
        let (person, program) = (world("goaround", true), world("goaround", false));
        let at = "2026-11-21T14:03:00.000Z";
        assert_eq!(Terminal::new(&person).when(at), "12m ago");
        assert_eq!(Terminal::new(&program).when(at), at);
        assert_eq!(Terminal::new(&person).when("2026-11-21T14:16:00Z"), "in 1m");
        assert_eq!(Terminal::new(&person).when("soon"), "soon");
    }
}
