//! What can be done with a release plan, as plain forms on its page.

use super::super::actions::BY;
use super::super::frame::{PageProblem, Said};
use super::super::login::form;
use super::{may_release, page, queue_of};
use crate::plans::{id_of, releasing};
use crate::problem::Problem;
use crate::site::Site;
use actix_web::http::header;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use domain::plan::{Order, Plan, PlanId, State, Terms};
use domain::ports::PlanOrder;
use maud::{Markup, html};
use serde::Deserialize;
use wire::json::{DropJson, ReleaseJson, TermsJson};

pub(super) fn section(plan: &Plan, token: &str) -> Markup {
    let button = |word: &str, label: &str| {
        html! {
            form method="post" action={ "/p/" (plan.id) "/" (word) } {
                input type="hidden" name="form_token" value=(token);
                button.main[word == "resume"] { (label) }
            }
        }
    };
    let is_at_rest = matches!(plan.state, State::Ready | State::Stopped(_));
    let may_release = is_at_rest && may_release(plan);
    html! {
        @if matches!(plan.state, State::Done) { div #orders data-live {} } @else {
            section.card.orders #orders data-live aria-labelledby="orders-title" {
                h2 #orders-title { "What you can do" }
                @if may_release { (release_form(plan, token)) }
                @match &plan.state {
                    State::Running => (button("pause", "Pause")),
                    State::Paused => (button("resume", "Resume")),
                    State::Ready | State::Stopped(_) | State::Done => {}
                }
                @if matches!(plan.state, State::Ready | State::Running | State::Paused) {
                    (button("stop", "Stop"))
                }
                @if may_release && queue_of(plan).is_none() { (drop_form(plan, token)) }
                p.muted { (outlook(plan)) }
            }
        }
    }
}

/// What an order would do, or what to do where none would.
fn outlook(plan: &Plan) -> Markup {
    html! {
        @match (&plan.state, queue_of(plan)) {
            (State::Stopped(_), Some(stage)) => {
                "What is left is in the queue of stage " a href={ "/s/" (stage) } { (stage) }
                ", which is let in again when one of them lands. Try one now on its page, or by "
                code { "goaround stage probe " (stage) } "."
            },
            (State::Ready | State::Stopped(_), _) => {
                "Nothing goes before you release it; what was released stays released."
            },
            (State::Running | State::Paused | State::Done, _) => {
                "Pause and stop hold what has not gone yet; what was released stays released."
            },
        }
    }
}

fn release_form(plan: &Plan, token: &str) -> Markup {
    let Terms { rate, ramp, .. } = &plan.terms;
    html! {
        form.terms method="post" action={ "/p/" (plan.id) "/release" } {
            input type="hidden" name="form_token" value=(token);
            label { "In steps of" input name="ramp" value=(ramp) autocomplete="off"; }
            label { "At most" input name="rate" autocomplete="off" placeholder="10/s"
                value=[rate.as_ref()]; }
            label { "First" select name="order" {
                option value="oldest" { "the oldest" }
                option value="newest" selected[plan.terms.order == Order::NewestFirst] {
                    "the newest"
                }
                option value="random" selected[matches!(plan.terms.order, Order::Random { .. })] {
                    "any, by chance"
                }
            } }
            button.main { "Release all that are left" }
        }
    }
}

fn drop_form(plan: &Plan, token: &str) -> Markup {
    html! {
        form.reason method="post" action={ "/p/" (plan.id) "/drop" } {
            input type="hidden" name="form_token" value=(token);
            label for="reason" { "Reason to drop all that are left" }
            input #reason name="reason" required autocomplete="off"
                maxlength=(DropJson::REASON_BYTES_MAX);
            button.bad { "Drop for good" }
        }
    }
}

#[derive(Deserialize)]
struct Sent {
    form_token: String,
    group: Option<String>,
    rate: Option<String>,
    ramp: Option<String>,
    order: Option<String>,
    reason: Option<String>,
}

/// Gives an order from the page.
pub(in crate::viewer) async fn act(
    site: Data<Site>,
    path: Path<(String, String)>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, PageProblem> {
    let (id, word) = path.into_inner();
    let sent: Sent = form(&site, &request, body).await?;
    site.gate.check_form(&sent.form_token)?;
    let id = id_of(&id)?;
    match carry_out(&site, id, &word, sent).await {
        // The page that follows says what was done; a word that it does not know says nothing.
        Ok(_) => Ok(HttpResponse::SeeOther()
            .insert_header((header::LOCATION, format!("/p/{id}?ordered={word}")))
            .finish()),
        Err(problem) => Ok(page(&site, id, Some(Said::Refused(&problem))).await?),
    }
}

/// Leads from the address of an order to its plan.
pub(in crate::viewer) async fn lead_back(
    path: Path<(String, String)>,
) -> Result<HttpResponse, PageProblem> {
    let id = id_of(&path.0)?;
    Ok(HttpResponse::SeeOther()
        .insert_header((header::LOCATION, format!("/p/{id}")))
        .finish())
}

async fn carry_out(site: &Site, id: PlanId, word: &str, sent: Sent) -> Result<Plan, Problem> {
    let order = order(site, id, word, sent).await?;
    Ok(site.parts.plans.order(id, order, BY).await?)
}

async fn order(site: &Site, id: PlanId, word: &str, sent: Sent) -> Result<PlanOrder, Problem> {
    let wanted = ReleaseJson {
        group: said(sent.group),
        terms: TermsJson {
            order: said(sent.order),
            rate: rate(sent.rate),
            ramp: said(sent.ramp),
            stop: None,
        },
    };
    match word {
        "pause" => Ok(PlanOrder::Pause),
        "resume" => Ok(PlanOrder::Resume),
        "stop" => Ok(PlanOrder::Stop),
        "release" => {
            let choice = wanted.choice().map_err(Problem::bad_request)?;
            releasing(site, id, choice, &wanted.terms).await
        }
        "drop" => {
            let reason = sent.reason.unwrap_or_default();
            let drop = DropJson { reason }.checked();
            let reason = drop.map_err(Problem::bad_request)?.reason;
            let choice = wanted.choice().map_err(Problem::bad_request)?;
            Ok(PlanOrder::Drop(choice, reason))
        }
        _ => {
            let got: String = word.chars().take(40).collect();
            Err(Problem::not_found(format!(
                "expected release, pause, resume, stop or drop, got {got:?}"
            )))
        }
    }
}

/// Who clears the field wants no limit; a form without one leaves it as the plan has it.
fn rate(field: Option<String>) -> Option<String> {
    let sent = field?;
    Some(said(Some(sent)).unwrap_or_else(|| "none".into()))
}

/// A field that was filled in.
fn said(field: Option<String>) -> Option<String> {
    let field = field.map(|text| text.trim().to_owned());
    field.filter(|text| !text.is_empty())
}
