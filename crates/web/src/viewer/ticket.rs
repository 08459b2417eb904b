//! The page of a ticket: why it is where it is, what can be done, what happened, what it carries.

use super::frame::{Page, PageProblem, Said, status_of, told};
use super::words::{
    ago, badge, block, copy_button, copy_of, fact, known, named, number, oops_link, outcome_badge,
    quoted, ticket_link, until, when,
};
use crate::list::parameters;
use crate::problem::Problem;
use crate::site::Site;
use crate::tickets;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use domain::books::{Entry, Fact, Line, State};
use domain::deadline::has_passed;
use domain::explain::Explanation;
use domain::oops::OopsId;
use domain::ticket::Ticket;
use domain::time::{Timestamp, show_duration};
use maud::{Markup, html};
use serde::Deserialize;
use wire::json::{DropJson, Extent, payload_shown};

/// The most of a payload that the page shows, in bytes; the API has it whole.
const PAYLOAD_BYTES_SHOWN: usize = 256 * 1024;
/// The most lines of history that the page shows, the latest; the API has them all.
const LINES_SHOWN: usize = 200;

#[derive(Deserialize)]
struct Asked {
    ordered: Option<String>,
}

pub(super) async fn show(
    site: Data<Site>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, PageProblem> {
    let Asked { ordered } = parameters(&request)?;
    let said = ordered.as_deref().and_then(carried_out);
    Ok(page(&site, &id, said).await?)
}

fn carried_out(word: &str) -> Option<Said<'static>> {
    match word {
        "retry" => Some(Said::CarriedOut("Retry: it was sent back to its stage.")),
        "cancel" => Some(Said::CarriedOut("Cancel: it is stopped and ended.")),
        "drop" => Some(Said::CarriedOut("Drop: it is given up, with your reason.")),
        _ => None,
    }
}

/// The page, with what came of an order if one led to it.
pub(super) async fn page(
    site: &Site,
    id: &str,
    said: Option<Said<'_>>,
) -> Result<HttpResponse, Problem> {
    let entry = tickets::find(site, id).await?;
    let (explanation, history) = tickets::explained(site, &entry).await?;
    let now = site.now();
    let body = html! {
        (headline(&entry))
        (told(said.as_ref()))
        (why(&explanation, now))
        (orders(&entry, site.gate.form_token(), now))
        (facts(&entry, now))
        (payload(&entry.ticket))
        (past(&history, now))
    };
    let title = format!("Ticket {}", entry.ticket.id());
    Ok(Page::of(site, &title, body).answer(status_of(said.as_ref())))
}

fn headline(entry: &Entry) -> Markup {
    let id = entry.ticket.id().to_string();
    html! {
        div.headline {
            p.muted { "Ticket · " (quoted(entry.ticket.kind.as_str(), 80)) }
            h1.id #ticket-id { (id) }
            p.badges {
                span #state data-live { (badge(entry)) } " "
                (copy_button("ticket-id", "Copy id"))
            }
        }
    }
}

fn why(explanation: &Explanation, now: Timestamp) -> Markup {
    html! {
        section.card #explain data-live aria-labelledby="explain-title" {
            h2 #explain-title { "Why it is there" }
            dl.facts {
                dt { "State" } dd {
                    (explanation.state)
                    @if let Some(reason) = explanation.reason { " (" (named(reason)) ")" }
                    ", " (ago(explanation.since, now))
                }
                dt { "Waits for" } dd { (quoted(&explanation.waits_for, 600)) }
                @if let Some(at) = explanation.until { dt { "Until" } dd { (until(at, now)) } }
                dt { "Then" } dd { (explanation.then) }
                dt { "Who may change it" } dd { (explanation.who_may_change) }
            }
        }
    }
}

fn orders(entry: &Entry, token: &str, now: Timestamp) -> Markup {
    let state = entry.place.state();
    // It would be refused, and the explanation above says what to do instead.
    let may_retry = state == State::Waiting && !has_passed(&entry.ticket, now);
    let to = |action: &str| format!("/t/{}/{action}", entry.ticket.id());
    html! {
        @if state.is_terminal() { div #orders data-live {} } @else {
            section.card.orders #orders data-live aria-labelledby="orders-title" {
                h2 #orders-title { "What you can do" }
                @if may_retry {
                    form method="post" action=(to("retry")) {
                        input type="hidden" name="form_token" value=(token);
                        button.main { "Retry now" }
                    }
                }
                form method="post" action=(to("cancel")) {
                    input type="hidden" name="form_token" value=(token);
                    button { "Cancel" }
                }
                form.reason method="post" action=(to("drop")) {
                    input type="hidden" name="form_token" value=(token);
                    label for="reason" { "Reason to drop it" }
                    input #reason name="reason" required autocomplete="off"
                        maxlength=(DropJson::REASON_BYTES_MAX);
                    button.bad { "Drop for good" }
                }
                p.muted {
                    @if may_retry { "Retry ends the wait now. " }
                    "Cancel stops it wherever it is. Cancelled or dropped, it ends for good."
                }
            }
        }
    }
}

fn facts(entry: &Entry, now: Timestamp) -> Markup {
    let ticket = &entry.ticket;
    html! {
        section.card #facts data-live aria-labelledby="facts-title" {
            h2 #facts-title { "Facts" }
            dl.facts {
                (fact("Stage", &html! { (ticket.stage) }))
                (known("Flow", ticket.flow.as_ref(), |flow| html! { (flow) }))
                (known("Key", ticket.key.as_ref(), |key| quoted(key.as_str(), 256)))
                (copy_of(&ticket.name))
                (fact("Accepted", &ago(ticket.created_at, now)))
                (known("Deadline", ticket.deadline, |at| when(at, now)))
                (known("Version", entry.version.as_ref(), |it| quoted(it.as_str(), 128)))
                (known("Sent by", ticket.lineage.parent, ticket_link))
                (known("Trace", ticket.trace.as_ref(), |it| html! { code { (quoted(it, 128)) } }))
                (fact("OOPSes", &oopses(&entry.oopses)))
            }
        }
    }
}

fn oopses(ids: &[OopsId]) -> Markup {
    html! {
        @if ids.is_empty() { "none" }
        @for (at, id) in ids.iter().enumerate() {
            @if at > 0 { ", " }
            (oops_link(*id))
        }
    }
}

fn payload(ticket: &Ticket) -> Markup {
    let size = ticket.payload.bytes.len();
    let (value, _) = payload_shown(&ticket.payload, Extent::Whole);
    // A string is shown as the text it is, anything else as JSON.
    let text =
        serde_json::from_str::<String>(value.get()).unwrap_or_else(|_| value.get().to_owned());
    let end = text.floor_char_boundary(PAYLOAD_BYTES_SHOWN);
    html! {
        section.card aria-labelledby="payload-title" {
            h2 #payload-title { "Payload" }
            @if size == 0 { p.nothing { "It carries nothing." } } @else {
                p.muted {
                    (number(size as u64)) " bytes"
                    @if let Some(named) = &ticket.payload.content_type {
                        " of " (quoted(named, 80))
                    }
                    @if end < text.len() { "; the beginning, the whole is at "
                        a href={ "/api/v1/tickets/" (ticket.id()) } { "the API" } }
                }
                (block("Payload", &text[..end]))
            }
        }
    }
}

fn past(history: &[Line], now: Timestamp) -> Markup {
    let from = history.len().saturating_sub(LINES_SHOWN);
    html! {
        section.card #history data-live aria-labelledby="history-title" {
            h2 #history-title { "History" }
            @if history.is_empty() { p.nothing { "Nothing has happened to it yet." } } @else {
                @if from > 0 {
                    p.muted { "The latest " (LINES_SHOWN) " of " (history.len()) " lines." }
                }
                div.scroll tabindex="0" role="region" aria-label="History" {
                    table {
                        caption.hidden { "What happened to the ticket, oldest first" }
                        thead { tr {
                            th scope="col" { "When" }
                            th scope="col" { "Stage" }
                            th.num scope="col" { "Attempt" }
                            th scope="col" { "What happened" }
                            th scope="col" { "Version" }
                        } }
                        tbody { @for line in &history[from..] { (past_row(line, now)) } }
                    }
                }
            }
        }
    }
}

fn past_row(line: &Line, now: Timestamp) -> Markup {
    html! {
        tr {
            th.time scope="row" { (ago(line.at, now)) }
            td data-label="Stage" { (line.stage) }
            td.num data-label="Attempt" { (line.name.attempt) }
            @match &line.fact {
                Fact::Noted { what, why, oops } => {
                    td.wide {
                        (quoted(what, 80))
                        @if let Some(id) = oops { " " (oops_link(*id)) }
                        span.note { (quoted(why, 200)) }
                    }
                    td.none { span.muted { "–" } }
                }
                Fact::Attempted { started_at, outcome, version, holder, oops, .. } => {
                    td.wide {
                        (outcome_badge(*outcome))
                        " after " (show_duration(line.at.since(*started_at)))
                        @if let Some(id) = oops { " " (oops_link(*id)) }
                        span.note { (quoted(holder.as_str(), 80)) }
                    }
                    td data-label="Version" { (quoted(version.as_str(), 20)) }
                }
            }
        }
    }
}
