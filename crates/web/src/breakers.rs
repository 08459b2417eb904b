//! Breakers: what keeps failing, and is held until it is repaired.

use crate::body;
use crate::list::parameters;
use crate::orders::{refused, small};
use crate::problem::Problem;
use crate::routes::{JSON, Route, Verb, shows};
use crate::site::Site;
use crate::stages;
use crate::stalled::{self, Stalled};
use actix_web::web::{self, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use domain::breaker::{Scope, State};
use domain::names::StageName;
use domain::ports::{StoreError, Tripped};
use serde::Deserialize;
use serde_json::json;
use std::slice;
use wire::json::{BreakerJson, ProbeJson};

pub(crate) const ROUTES: &[Route] = &[
    Route {
        query: &["stage"],
        ..shows(
            "/api/v1/breakers",
            "Lists the breakers that have something to tell: what keeps failing, and what is held.",
            "Breakers",
            || web::to(index),
        )
    },
    Route {
        verb: Verb::Post,
        takes: &[(JSON, "Probe")],
        ..shows(
            "/api/v1/breakers/probe",
            "Sends the next canary of a breaker now, without waiting for its time.",
            "Breaker",
            || web::to(probe),
        )
    },
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    stage: Option<String>,
}

async fn index(site: Data<Site>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let asked: Asked = parameters(&request)?;
    let stage = asked.stage.as_deref().map(stage_of).transpose()?;
    let tripped = site.parts.plans.tripped(stage.clone()).await?;
    if let Some(stage) = stage.filter(|_| tripped.is_empty()) {
        stages::must_be_known(&site, &stage).await?;
    }
    let stalled = Stalled::of(&site, &tripped).await?;
    let mut items = BreakerJson::all(&tripped);
    for (item, tripped) in items.iter_mut().zip(&tripped) {
        if let Some(rest) = stalled.find(tripped) {
            item.then = rest.then();
        }
    }
    Ok(HttpResponse::Ok().json(json!({ "items": items, "more": false })))
}

async fn probe(
    site: Data<Site>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, Problem> {
    let text = body::whole(&request, body, small(&site)).await?;
    let order = ProbeJson::parse(&text).map_err(Problem::bad_request)?;
    let scope = order.scope().map_err(Problem::bad_request)?;
    let probed = ask(&site, &stage_of(&order.stage)?, scope).await?;
    let json = match &probed {
        Probed::Now(tripped) => BreakerJson::new(tripped, None),
        Probed::Already(tripped) => {
            let mut json = BreakerJson::new(tripped, None);
            let then = &json.then;
            json.then = format!("one is being tried already, so no other is sent: {then}");
            json
        }
    };
    Ok(HttpResponse::Ok().json(json))
}

fn stage_of(text: &str) -> Result<StageName, Problem> {
    StageName::new(text).map_err(Problem::bad_request)
}

/// What came of the wish for a canary.
pub(crate) enum Probed {
    /// It goes; the breaker as it then is.
    Now(Tripped),
    /// One is out, and there is never a second.
    Already(Tripped),
}

/// Sends the next canary of a breaker now.
pub(crate) async fn ask(site: &Site, stage: &StageName, scope: Scope) -> Result<Probed, Problem> {
    let of_stage = site.parts.plans.tripped(Some(stage.clone())).await?;
    let found = find(&of_stage, scope).cloned();
    let Some(before) = found else {
        stages::must_be_known(site, stage).await?;
        return Err(no_such(stage, scope, &of_stage));
    };
    if !before.breaker.holds() {
        return Err(holds_nothing(site, &before).await?);
    }
    let rests = |tripped: &Tripped| tripped.breaker.holds() && tripped.breaker.scope != scope;
    if find(&of_stage, Scope::Stage).is_some_and(rests) {
        return Err(refused(
            format!("stage {stage} fails as a whole, so only its own breaker probes"),
            format!("probe the whole stage: goaround stage probe {stage}"),
        ));
    }
    if before.breaker.canary().is_some() {
        return Ok(Probed::Already(before));
    }
    if !site.parts.plans.probe(stage, scope).await? {
        return Err(no_such(stage, scope, &of_stage));
    }
    let after = site.parts.plans.tripped(Some(stage.clone())).await?;
    Ok(Probed::Now(find(&after, scope).cloned().unwrap_or(before)))
}

/// Why a breaker sends no canary that holds no ticket back, and what makes its tickets go.
async fn holds_nothing(site: &Site, tripped: &Tripped) -> Result<Problem, StoreError> {
    let (scope, state) = (tripped.breaker.scope, tripped.breaker.state.as_str());
    let it = format!(
        "the breaker of {scope} at stage {} is {state}",
        tripped.stage
    );
    let is_releasing = matches!(tripped.breaker.state, State::Releasing { .. });
    let stalled = Stalled::of(site, slice::from_ref(tripped)).await?;
    if let Some(rest) = stalled.find(tripped) {
        let (id, state) = (rest.plan.id, rest.plan.state.as_str());
        return Ok(refused(
            format!("{it} by plan {id}, which is {state}"),
            format!("{} it: {}", rest.verb, rest.command()),
        ));
    }
    Ok(match stalled::plan_of(tripped) {
        Some(id) => refused(
            format!("{it}: its tickets go by plan {id}"),
            format!("nothing needs to be done; goaround plan show {id} says how far it is"),
        ),
        None if is_releasing => refused(
            format!("{it}: a release plan is being made"),
            "nothing needs to be done; goaround plan list will show it".into(),
        ),
        None => refused(
            format!("{it}: it holds no ticket back"),
            "nothing needs to be done; goaround stage breakers shows what does".into(),
        ),
    })
}

fn find(tripped: &[Tripped], scope: Scope) -> Option<&Tripped> {
    tripped.iter().find(|it| it.breaker.scope == scope)
}

fn no_such(stage: &StageName, scope: Scope, there: &[Tripped]) -> Problem {
    let scopes: Vec<String> = there
        .iter()
        .map(|it| it.breaker.scope.to_string())
        .collect();
    let hint = match scopes.is_empty() {
        true => "nothing fails there".into(),
        false => format!("there are breakers of {}", scopes.join(", ")),
    };
    Problem::not_found(format!(
        "no breaker of {scope} has tripped at stage {stage}; {hint}"
    ))
}
