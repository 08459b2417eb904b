//! The page of a report, in reading order: what, where, what became of the ticket, trace, log.

use super::frame::{Page, PageProblem};
use super::words::{
    ago, badge, block, copy_button, copy_of, fact, known, number, outcome_badge, plain, quoted,
    ticket_link,
};
use crate::oopses;
use crate::problem::Problem;
use crate::site::Site;
use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Path};
use domain::books::Entry;
use domain::oops::{Report, Source};
use domain::time::{Timestamp, show_duration};
use maud::{Markup, html};
use std::time::Duration;

/// From this length on, a message gets a box that scrolls.
const MESSAGE_BYTES: usize = 600;

pub(super) async fn show(site: Data<Site>, id: Path<String>) -> Result<HttpResponse, PageProblem> {
    let report = oopses::find(&site, &id).await?;
    if report.id.to_string() != *id {
        // One report has one address, whatever spelling led to it.
        let place = format!("/o/{}", report.id);
        return Ok(HttpResponse::SeeOther()
            .insert_header((header::LOCATION, place))
            .finish());
    }
    Ok(page(&site, &report).await?)
}

async fn page(site: &Site, report: &Report) -> Result<HttpResponse, Problem> {
    let entry = site.parts.catalog.ticket(report.name.ticket).await?;
    let now = site.now();
    let body = html! {
        (headline(report, now))
        (messenger(report))
        (since(report, entry.as_ref(), now))
        (text("trace", "Trace", &report.failure.trace, "The handler left no trace."))
        (text("log", "Log tail", &report.failure.log_tail, "The handler logged nothing."))
        (facts(report, now))
        (markdown(report))
    };
    let title = format!("{} {}", report.id, report.failure.error_type);
    Ok(Page::of(site, &plain(&title), body).answer(StatusCode::OK))
}

fn headline(report: &Report, now: Timestamp) -> Markup {
    html! {
        div.headline {
            p.muted {
                "OOPS · stage " (report.stage) " · attempt " (report.name.attempt) " · "
                (ago(report.time, now))
            }
            h1 { (quoted(&report.failure.error_type, 120)) }
            (message(&report.failure.message))
            p.badges {
                (outcome_badge(report.outcome))
                @if let Some(exit) = report.failure.exit { " " span.badge { (exit) } }
                " " span.id #oops-id { (report.id) }
                " " (copy_button("oops-id", "Copy id"))
            }
        }
    }
}

/// What the handler said. A long one scrolls, so that what follows is not out of sight.
fn message(text: &str) -> Markup {
    html! {
        @if text.len() > MESSAGE_BYTES {
            div.said.long dir="auto" tabindex="0" role="region" aria-label="Message" {
                (plain(text))
            }
        } @else { p.said dir="auto" { (plain(text)) } }
    }
}

/// A report that the worker did not make itself says so before anything else.
fn messenger(report: &Report) -> Markup {
    let said = match report.source {
        Source::Worker => return html! {},
        Source::Supervisor => "The worker died without a word; its supervisor reported it.",
        Source::Launcher => "The whole process died; its launcher saw how.",
        Source::Controller => "The whole process was gone; the controller reported it.",
    };
    html! { p.banner { (said) } }
}

fn since(report: &Report, entry: Option<&Entry>, now: Timestamp) -> Markup {
    html! {
        section.card #since data-live aria-labelledby="since-title" {
            h2 #since-title { "The ticket since" }
            p {
                (ticket_link(report.name.ticket)) " "
                @if let Some(entry) = entry {
                    (badge(entry)) " at stage " (entry.ticket.stage) ", attempt "
                    (entry.ticket.name.attempt) ", " (ago(entry.place.since(), now))
                } @else { "has been forgotten; it ended long ago." }
            }
        }
    }
}

fn text(id: &str, title: &str, text: &str, nothing: &str) -> Markup {
    html! {
        section.card aria-labelledby={ (id) "-title" } {
            div.head {
                h2 id={ (id) "-title" } { (title) }
                @if !text.is_empty() { (copy_button(id, "Copy")) }
            }
            @if text.is_empty() { p.nothing { (nothing) } } @else {
                div id=(id) { (block(title, text)) }
            }
        }
    }
}

fn facts(report: &Report, now: Timestamp) -> Markup {
    let usage = &report.usage;
    html! {
        section.card aria-labelledby="facts-title" {
            h2 #facts-title { "Facts" }
            dl.facts {
                (fact("When", &html! { (ago(report.time, now)) " (" (report.time) ")" }))
                (known("Ran for", report.duration, length))
                (fact("Version", &quoted(report.version.as_str(), 128)))
                (fact("Worker", &html! {
                    (quoted(report.holder.as_str(), 128)) " on " (quoted(&report.hostname, 128))
                }))
                (fact("Kind", &quoted(report.kind.as_str(), 128)))
                (known("Flow", report.flow.as_ref(), |flow| html! { (flow) }))
                (copy_of(&report.name))
                (known("Peak memory", usage.memory_bytes_max, |bytes| html! {
                    (number(bytes / 1024)) " KiB"
                }))
                (known("CPU, user", usage.cpu_user, length))
                (known("CPU, system", usage.cpu_system, length))
                (fact("Told by", &html! { (report.source.as_str()) }))
                (known("Trace", report.trace.as_ref(), |it| html! { code { (quoted(it, 128)) } }))
                (fact("As JSON", &html! {
                    a href={ "/api/v1/oopses/" (report.id) } { "the API" }
                }))
            }
        }
    }
}

fn length(length: Duration) -> Markup {
    html! { (show_duration(length)) }
}

/// For pasting into a chat or an issue.
fn markdown(report: &Report) -> Markup {
    html! {
        details.card {
            summary { "As Markdown" }
            p { (copy_button("markdown", "Copy as Markdown")) }
            div #markdown { (block("As Markdown", &as_markdown(report))) }
        }
    }
}

fn as_markdown(report: &Report) -> String {
    let failure = &report.failure;
    let mut text = format!(
        "**{}: {}**\n\n- {}\n- ticket {} at stage {}, attempt {}, version {}\n- {} on {} at {}\n",
        plain(&failure.error_type),
        plain(failure.message.lines().next().unwrap_or_default()),
        report.id,
        report.name.ticket,
        report.stage,
        report.name.attempt,
        plain(report.version.as_str()),
        report.outcome,
        plain(&report.hostname),
        report.time,
    );
    for part in [&failure.trace, &failure.log_tail] {
        if !part.is_empty() {
            // An indented block cannot be left by what is inside it, unlike a fenced one.
            let indented: Vec<String> = part.lines().map(|line| format!("    {line}")).collect();
            text.push_str(&format!("\n{}\n", indented.join("\n")));
        }
    }
    text
}
