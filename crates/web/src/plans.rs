//! Release plans: how waiting tickets become runnable again.

use crate::body;
use crate::list::{self, limit, parameters};
use crate::orders::{by, small};
use crate::problem::Problem;
use crate::routes::{JSON, Route, Verb, shows};
use crate::site::Site;
use actix_web::http::header;
use actix_web::web::{self, Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use domain::filter::Rows;
use domain::plan::{Choice, Plan, PlanId, Terms};
use domain::ports::PlanOrder;
use serde::Deserialize;
use serde_json::json;
use wire::json::{DropPlanJson, MakePlanJson, PlanJson, ReleaseJson, TermsJson};

/// A route by which somebody wants something of a plan.
const fn orders(
    path: &'static str,
    does: &'static str,
    takes: &'static [(&'static str, &'static str)],
    serve: fn() -> actix_web::Route,
) -> Route {
    Route {
        verb: Verb::Post,
        takes,
        ..shows(path, does, "Plan", serve)
    }
}

pub(crate) const ROUTES: &[Route] = &[
    Route {
        query: &["limit"],
        ..shows(
            "/api/v1/plans",
            "Lists the release plans, the newest first.",
            "Plans",
            || web::to(index),
        )
    },
    Route {
        gives: (201, JSON, "Plan"),
        ..orders(
            "/api/v1/plans",
            "Freezes the waiting tickets that match into a plan; nothing is released yet.",
            &[(JSON, "MakePlan")],
            || web::to(make),
        )
    },
    shows(
        "/api/v1/plans/{id}",
        "Shows a release plan.",
        "Plan",
        || web::to(show),
    ),
    orders(
        "/api/v1/plans/{id}/release",
        "Begins to release a plan's tickets, or a group of them; without a body all of them.",
        &[(JSON, "ReleasePlan")],
        || web::to(release),
    ),
    orders(
        "/api/v1/plans/{id}/pause",
        "Releases nothing until the plan is resumed.",
        &[],
        || web::to(pause),
    ),
    orders(
        "/api/v1/plans/{id}/resume",
        "Goes on with a paused release.",
        &[],
        || web::to(resume),
    ),
    orders(
        "/api/v1/plans/{id}/stop",
        "Releases nothing any more; what was released stays released.",
        &[],
        || web::to(stop),
    ),
    orders(
        "/api/v1/plans/{id}/drop",
        "Gives up a plan's tickets, or a group of them; they end as dropped with this reason.",
        &[(JSON, "DropPlan")],
        || web::to(give_up),
    ),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    limit: Option<String>,
}

async fn index(site: Data<Site>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let asked: Asked = parameters(&request)?;
    let limit = limit(asked.limit.as_deref(), list::LIMIT_DEFAULT)?;
    let (plans, now) = (site.parts.plans.plans().await?, site.now());
    let shown = plans.iter().take(limit);
    let items: Vec<PlanJson> = shown.map(|plan| PlanJson::new(plan, now)).collect();
    Ok(HttpResponse::Ok().json(json!({ "items": items, "more": plans.len() > limit })))
}

async fn show(site: Data<Site>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let plan = find(&site, id_of(&id)?).await?;
    Ok(HttpResponse::Ok().json(PlanJson::new(&plan, site.now())))
}

async fn make(
    site: Data<Site>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, Problem> {
    let by = by(&request)?;
    let text = body::whole(&request, body, small(&site)).await?;
    let order = MakePlanJson::parse(&text).map_err(Problem::bad_request)?;
    let query = list::query(&order.filter, Rows::Tickets)?;
    let terms = order.terms.terms(Terms::default(), seed(&site));
    let terms = terms.map_err(Problem::bad_request)?;
    let plan = site.parts.plans.make(query, terms, &by).await?;
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, format!("/api/v1/plans/{}", plan.id)))
        .json(PlanJson::new(&plan, site.now())))
}

async fn release(
    site: Data<Site>,
    id: Path<String>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, Problem> {
    let id = id_of(&id)?;
    let text = body::whole(&request, body, small(&site)).await?;
    let order = ReleaseJson::parse(&text).map_err(Problem::bad_request)?;
    let choice = order.choice().map_err(Problem::bad_request)?;
    let order = releasing(&site, id, choice, &order.terms).await?;
    answer(&site, &request, id, order).await
}

/// The order to release; what is not said of the terms is as the plan has it.
pub(crate) async fn releasing(
    site: &Site,
    id: PlanId,
    choice: Choice,
    said: &TermsJson,
) -> Result<PlanOrder, Problem> {
    if *said == TermsJson::default() {
        return Ok(PlanOrder::Release(choice, None));
    }
    let others = find(site, id).await?.terms;
    let terms = said.terms(others, seed(site));
    let terms = terms.map_err(Problem::bad_request)?;
    Ok(PlanOrder::Release(choice, Some(terms)))
}

async fn pause(
    site: Data<Site>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    answer(&site, &request, id_of(&id)?, PlanOrder::Pause).await
}

async fn resume(
    site: Data<Site>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    answer(&site, &request, id_of(&id)?, PlanOrder::Resume).await
}

async fn stop(
    site: Data<Site>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    answer(&site, &request, id_of(&id)?, PlanOrder::Stop).await
}

async fn give_up(
    site: Data<Site>,
    id: Path<String>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, Problem> {
    let id = id_of(&id)?;
    let text = body::whole(&request, body, small(&site)).await?;
    let order = DropPlanJson::parse(&text).map_err(Problem::bad_request)?;
    let choice = order.choice().map_err(Problem::bad_request)?;
    answer(&site, &request, id, PlanOrder::Drop(choice, order.reason)).await
}

/// Does it, and shows the plan as it then is.
async fn answer(
    site: &Site,
    request: &HttpRequest,
    id: PlanId,
    order: PlanOrder,
) -> Result<HttpResponse, Problem> {
    let plan = site.parts.plans.order(id, order, &by(request)?).await?;
    Ok(HttpResponse::Ok().json(PlanJson::new(&plan, site.now())))
}

/// Reads a plan's id.
pub(crate) fn id_of(text: &str) -> Result<PlanId, Problem> {
    text.parse().map_err(Problem::bad_request)
}

/// The plan of this id.
pub(crate) async fn find(site: &Site, id: PlanId) -> Result<Plan, Problem> {
    let plan = site.parts.plans.plan(id).await?;
    plan.ok_or_else(|| domain::ports::PlanError::Unknown(id).into())
}

/// Draws a number: an id is mostly drawn.
fn seed(site: &Site) -> u64 {
    site.parts.clock.ticket_id().uuid().as_u64_pair().1
}
