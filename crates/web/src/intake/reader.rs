//! Makes tickets of lines, and groups of tickets.

use crate::admission::{Admission, Refusal};
use crate::lines::Line;
use crate::site::Site;
use domain::ticket::Ticket;
use serde::Serialize;

/// Lines that become durable together.
#[derive(Default)]
pub(super) struct Group {
    pub(super) tickets: Vec<Ticket>,
    pub(super) first: u64,
    pub(super) last: u64,
}

/// Makes tickets of lines, and groups of tickets.
pub(super) struct Reader<'a> {
    admission: Admission<'a>,
    site: &'a Site,
    pub(super) line: u64,
    lines_left: u64,
    pub(super) group: Group,
    pub(super) full: Vec<Group>,
    pub(super) errors: Vec<BadLine>,
    pub(super) errors_more: u64,
}

/// A line, or lines, that did not become tickets.
#[derive(Debug, Serialize)]
pub(super) struct BadLine {
    pub(super) line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_line: Option<u64>,
    pub(super) error: String,
}

impl<'a> Reader<'a> {
    pub(super) fn new(site: &'a Site, first_line: u64) -> Self {
        Self {
            admission: Admission::of(site),
            site,
            line: first_line,
            lines_left: site.config.limits.lines_max,
            group: Group::default(),
            full: Vec::new(),
            errors: Vec::new(),
            errors_more: 0,
        }
    }

    pub(super) fn read(&mut self, line: Line) {
        let at = self.line;
        self.line += 1;
        if self.lines_left == 0 {
            return self.too_many(at);
        }
        self.lines_left -= 1;
        let made = match line {
            Line::Text(text) if text.trim_ascii().is_empty() => return,
            Line::Text(text) => self.admission.read(text),
            Line::TooLong(size) => Err(Refusal::TooLarge {
                size,
                limit: self.admission.payload_bytes_max,
            }),
        };
        match made {
            Ok(ticket) => self.gather(ticket, at),
            Err(refusal) => self.complain(BadLine {
                line: at,
                last_line: None,
                error: refusal.to_string(),
            }),
        }
    }

    fn gather(&mut self, ticket: Ticket, at: u64) {
        let lines_max = self.site.config.limits.group_lines;
        if self.group.tickets.is_empty() {
            self.group = Group {
                tickets: Vec::with_capacity(lines_max),
                first: at,
                last: at,
            };
            self.admission.now = self.site.now();
        }
        self.group.last = at;
        self.group.tickets.push(ticket);
        if self.group.tickets.len() >= lines_max {
            self.full.push(std::mem::take(&mut self.group));
        }
    }

    fn complain(&mut self, bad: BadLine) {
        match self.errors.len() < self.site.config.limits.errors_max {
            true => self.errors.push(bad),
            false => self.errors_more += 1,
        }
    }

    /// One error for all lines past the bound; it is listed even when the list is full.
    fn too_many(&mut self, at: u64) {
        let max = self.site.config.limits.lines_max;
        let error = format!(
            "not read: expected at most {max} lines in one request; send the rest in another"
        );
        match self.errors.last_mut().filter(|bad| bad.error == error) {
            Some(bad) => bad.last_line = Some(at),
            None => self.errors.push(BadLine {
                line: at,
                last_line: None,
                error,
            }),
        }
    }
}
