//! How a browser gives the token, and gets a cookie that stands for it.

use super::frame::{Page, PageProblem};
use crate::body;
use crate::gate::COOKIE;
use crate::list::parameters;
use crate::orders::small;
use crate::problem::Problem;
use crate::site::Site;
use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// How long a browser stays logged in, in seconds: a week, so that a page at night opens at once.
const SESSION_SECONDS: u32 = 7 * 24 * 3_600;

#[derive(Deserialize)]
struct Asked {
    next: Option<String>,
}

#[derive(Deserialize)]
struct Given {
    token: String,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Forget {
    form_token: String,
}

/// The address of the log-in page that leads back to this path.
pub(super) fn page_for(path: &str) -> String {
    // Our paths hold ids only; anything that would have to be escaped leads to the overview.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_');
    match path != "/" && path.chars().all(is_plain) && is_ours(path) {
        true => format!("/login?next={path}"),
        false => "/login".into(),
    }
}

/// Whether a path leads to us: `//elsewhere` and `/\elsewhere` lead to another site.
fn is_ours(path: &str) -> bool {
    path.starts_with('/') && !path[1..].starts_with(['/', '\\']) && !path.contains(['\n', '\r'])
}

pub(super) async fn ask(request: HttpRequest) -> Result<HttpResponse, PageProblem> {
    let Asked { next } = parameters(&request)?;
    Ok(page(next.as_deref().unwrap_or("/"), None).answer(StatusCode::OK))
}

pub(super) async fn take(
    site: Data<Site>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, PageProblem> {
    let given: Given = form(&site, &request, body).await?;
    let next = given
        .next
        .filter(|next| is_ours(next))
        .unwrap_or_else(|| "/".into());
    let Some(session) = site.gate.session_for(given.token.trim()) else {
        let why = match site.gate.is_locked() {
            true => "That is not the token. It is in the configuration of the server.",
            false => "No token is configured; nothing needs one.",
        };
        return Ok(page(&next, Some(why)).answer(StatusCode::UNAUTHORIZED));
    };
    let cookie =
        format!("{COOKIE}={session}; Path=/; HttpOnly; SameSite=Lax; Max-Age={SESSION_SECONDS}");
    Ok(HttpResponse::SeeOther()
        .insert_header((header::SET_COOKIE, cookie))
        .insert_header((header::LOCATION, next))
        .finish())
}

pub(super) async fn forget(
    site: Data<Site>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, PageProblem> {
    let Forget { form_token } = form(&site, &request, body).await?;
    site.gate.check_form(&form_token)?;
    let cookie = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
    Ok(HttpResponse::SeeOther()
        .insert_header((header::SET_COOKIE, cookie))
        .insert_header((header::LOCATION, "/login"))
        .finish())
}

/// Reads a form that a page sent.
pub(super) async fn form<T: DeserializeOwned>(
    site: &Site,
    request: &HttpRequest,
    body: Payload,
) -> Result<T, Problem> {
    let text = body::whole(request, body, small(site)).await?;
    let text = String::from_utf8_lossy(&text);
    let read = Query::<T>::from_query(&text).map(Query::into_inner);
    read.map_err(|error| Problem::bad_request(format!("form: {error}")))
}

fn page<'a>(next: &str, why: Option<&str>) -> Page<'a> {
    Page {
        title: "Log in",
        body: fields(next, why),
        as_of: None,
        log_out: None,
    }
}

fn fields(next: &str, why: Option<&str>) -> Markup {
    html! {
        section.card.narrow {
            h1 { "Log in" }
            @if let Some(why) = why { p.said.bad role="alert" { (why) } }
            p.muted { "The token is the one in the configuration of the server." }
            form.stack method="post" action="/login" {
                input type="hidden" name="next" value=(next);
                label for="token" { "Token" }
                input #token type="password" name="token" required autocomplete="current-password";
                button.main { "Log in" }
            }
        }
    }
}
