//! What every page has around it, and the page that says what went wrong.

use super::assets::{ICON_PATH, SCRIPT_PATH, STYLE_PATH};
use super::home::search;
use super::words::{plain, sentence};
use crate::problem::Problem;
use crate::site::Site;
use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use domain::time::Timestamp;
use maud::{DOCTYPE, Markup, html};
use std::fmt;

/// A page: its title, what is on it, and how fresh that is.
pub(super) struct Page<'a> {
    pub(super) title: &'a str,
    pub(super) body: Markup,
    pub(super) as_of: Option<Timestamp>,
    /// What a form must carry to be one of ours; with it a way to log out is shown.
    pub(super) log_out: Option<&'a str>,
}

impl<'a> Page<'a> {
    /// A page of the site as it is now.
    pub(super) fn of(site: &'a Site, title: &'a str, body: Markup) -> Self {
        let log_out = site.gate.is_locked().then(|| site.gate.form_token());
        Self {
            title,
            body,
            as_of: Some(site.now()),
            log_out,
        }
    }

    pub(super) fn answer(self, status: StatusCode) -> HttpResponse {
        HttpResponse::build(status)
            .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
            .body(self.render().into_string())
    }

    fn render(self) -> Markup {
        let Self {
            title,
            body,
            as_of,
            log_out,
        } = self;
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " · Goaround" }
                    link rel="stylesheet" href=(*STYLE_PATH);
                    link rel="icon" type="image/svg+xml" href=(*ICON_PATH);
                    script type="module" src=(*SCRIPT_PATH) {}
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header.top {
                        a.brand href="/" { span.mark aria-hidden="true" { "↻" } "Goaround" }
                        @if let Some(at) = as_of {
                            div.fresh { (as_of_line(at)) p.link #link role="status" {} }
                        }
                        @if let Some(token) = log_out { (log_out_form(token)) }
                    }
                    main #main { (body) }
                    footer {
                        "Goaround " (env!("CARGO_PKG_VERSION"))
                        " · " a href="/openapi.json" { "API" }
                        " · " a href="/metrics" { "metrics" }
                        " · " a href="/api/v1/doctor" { "doctor" }
                    }
                }
            }
        }
    }
}

/// How fresh the page is. The script says more once it listens.
pub(super) fn as_of_line(at: Timestamp) -> Markup {
    let text = at.to_string();
    let clock = text.get(11..19).unwrap_or(&text);
    html! {
        p.asof #asof data-live {
            "Data as of " time datetime=(text) title=(text) { (clock) "Z" }
        }
    }
}

fn log_out_form(token: &str) -> Markup {
    html! {
        form.logout method="post" action="/logout" {
            input type="hidden" name="form_token" value=(token);
            button.quiet { "Log out" }
        }
    }
}

/// What a page says about the order that led to it.
pub(super) enum Said<'a> {
    /// It was carried out.
    CarriedOut(&'static str),
    /// It was not, and why.
    Refused(&'a Problem),
}

/// That, in words.
pub(super) fn told(said: Option<&Said<'_>>) -> Markup {
    html! {
        @match said {
            Some(Said::CarriedOut(what)) => p.said.good role="status" { (what) },
            Some(Said::Refused(problem)) => p.said.bad role="alert" { (plain(problem.detail())) },
            None => {}
        }
    }
}

/// The status of a page that says so.
pub(super) const fn status_of(said: Option<&Said<'_>>) -> StatusCode {
    match said {
        Some(Said::Refused(_)) => StatusCode::CONFLICT,
        Some(Said::CarriedOut(_)) | None => StatusCode::OK,
    }
}

/// A problem for a person in a browser.
#[derive(Debug)]
pub(super) struct PageProblem(Problem);

impl From<Problem> for PageProblem {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<domain::ports::StoreError> for PageProblem {
    fn from(error: domain::ports::StoreError) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for PageProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for PageProblem {
    fn status_code(&self) -> StatusCode {
        self.0.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        problem_page(&self.0)
    }
}

fn problem_page(problem: &Problem) -> HttpResponse {
    let body = html! {
        section.card.problem {
            h1 { (problem.title()) }
            p.said { (plain(&sentence(problem.detail()))) }
            @if problem.status_code() == StatusCode::NOT_FOUND { (search("")) }
            p { a href="/" { "Back to the overview" } }
        }
    };
    let page = Page {
        title: problem.title(),
        body,
        as_of: None,
        log_out: None,
    };
    page.answer(problem.status_code())
}

/// What a browser gets instead of a problem document: a page, or the way to log in.
pub(crate) fn refusal(request: &HttpRequest, problem: &Problem) -> Option<HttpResponse> {
    let accepts = request.headers().get(header::ACCEPT)?.to_str().ok()?;
    if request.path().starts_with("/api/") || !accepts.contains("text/html") {
        return None;
    }
    let is_locked = problem.status_code().as_u16() == 401;
    if is_locked && matches!(*request.method(), Method::GET | Method::HEAD) {
        let next = super::login::page_for(request.path());
        return Some(
            HttpResponse::SeeOther()
                .insert_header((header::LOCATION, next))
                .finish(),
        );
    }
    Some(problem_page(problem))
}
