//! The latest tickets and reports, as tables.

use super::words::{ago, badge, number, oops_link, outcome_badge, quoted, ticket_link, until};
use domain::books::{Entry, Place};
use domain::oops::Report;
use domain::time::Timestamp;
use maud::{Markup, html};

/// How much of a message a cell shows.
const MESSAGE_CHARS: usize = 140;
/// How much of a kind or a key a cell shows.
const NAME_CHARS: usize = 24;

pub(super) fn tickets(rows: &[Entry], more: bool, filter: &str, now: Timestamp) -> Markup {
    html! {
        div #tickets data-live {
            @if rows.is_empty() { (no_tickets(filter)) } @else {
                div.scroll tabindex="0" role="region" aria-label="Tickets" {
                    table {
                        caption.hidden { "Tickets, the newest first" }
                        thead { tr {
                            th scope="col" { "Ticket" }
                            th scope="col" { "Kind" }
                            th scope="col" { "Stage" }
                            th scope="col" { "State" }
                            th.num scope="col" { "Attempt" }
                            th scope="col" { "Since" }
                        } }
                        tbody { @for entry in rows { (ticket_row(entry, now)) } }
                    }
                }
                @if more {
                    p.muted.more {
                        "The newest " (number(rows.len() as u64))
                        "; narrow the filter to see others."
                    }
                }
            }
        }
    }
}

fn no_tickets(filter: &str) -> Markup {
    html! {
        @if filter.is_empty() {
            p.empty {
                "No ticket has arrived yet. Submit one with "
                code { "goaround submit --flow … --payload …" } "."
            }
        } @else {
            p.empty { "No ticket matches " (quoted(filter, 200)) "." }
        }
    }
}

fn ticket_row(entry: &Entry, now: Timestamp) -> Markup {
    let ticket = &entry.ticket;
    html! {
        tr {
            th scope="row" { (ticket_link(ticket.id())) }
            td { (quoted(ticket.kind.as_str(), NAME_CHARS)) @if let Some(key) = &ticket.key {
                " " span.muted { (quoted(key.as_str(), NAME_CHARS)) }
            } }
            td data-label="Stage" { (ticket.stage) }
            td.wide { (badge(entry)) (state_note(entry, now)) }
            td.num data-label="Attempt" { (ticket.name.attempt) }
            td.time { (ago(entry.place.since(), now)) }
        }
    }
}

/// What a state needs beside its word: why it waits, who gave it up.
fn state_note(entry: &Entry, now: Timestamp) -> Markup {
    html! {
        @match &entry.place {
            Place::Waiting(wait) => {
                span.note {
                    @if let Some(at) = wait.condition.until() { (until(at, now)) " · " }
                    (quoted(&wait.because, MESSAGE_CHARS))
                }
            }
            Place::Dropped { reason, by, .. } => {
                span.note { (quoted(by, 40)) ": " (quoted(reason, MESSAGE_CHARS)) }
            }
            Place::Runnable { .. } | Place::Running { .. } | Place::Done { .. } => {}
        }
    }
}

pub(super) fn oopses(rows: &[Report], more: bool, now: Timestamp) -> Markup {
    html! {
        div #oopses data-live {
            @if rows.is_empty() {
                p.empty {
                    "No OOPS has arrived yet. When an attempt goes wrong, its report appears here "
                    "before its ticket moves on."
                }
            } @else {
                (table(rows, now))
                @if more {
                    p.muted.more {
                        "The newest " (number(rows.len() as u64)) "; "
                        code { "goaround oops list" } " shows others."
                    }
                }
            }
        }
    }
}

/// A table of reports.
fn table(rows: &[Report], now: Timestamp) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="OOPSes" {
            table {
                caption.hidden { "Reports of attempts that went wrong, the newest first" }
                thead { tr {
                    th scope="col" { "OOPS" }
                    th scope="col" { "What" }
                    th scope="col" { "Ticket" }
                    th scope="col" { "Stage" }
                    th.num scope="col" { "Attempt" }
                    th scope="col" { "Version" }
                    th scope="col" { "When" }
                } }
                tbody { @for report in rows { (oops_row(report, now)) } }
            }
        }
    }
}

fn oops_row(report: &Report, now: Timestamp) -> Markup {
    html! {
        tr {
            th scope="row" { (oops_link(report.id)) }
            td.wide {
                (outcome_badge(report.outcome))
                " " strong { (quoted(&report.failure.error_type, 60)) }
                span.note { (quoted(&report.failure.message, MESSAGE_CHARS)) }
            }
            td data-label="Ticket" { (ticket_link(report.name.ticket)) }
            td data-label="Stage" { (report.stage) }
            td.num data-label="Attempt" { (report.name.attempt) }
            td data-label="Version" { (quoted(report.version.as_str(), 20)) }
            td.time { (ago(report.time, now)) }
        }
    }
}
