//! What is not as it should be, with a remedy for each.

use crate::problem::Problem;
use crate::routes::{Route, shows};
use crate::site::Site;
use actix_web::HttpResponse;
use actix_web::web::{self, Data};
use domain::names::StageName;
use domain::ports::{Finding, Inspection};
use serde_json::{Value, json};

pub(crate) const ROUTES: &[Route] = &[
    shows(
        "/api/v1/doctor",
        "Looks at the store, the books and the handlers.",
        "Doctor",
        || web::to(show),
    ),
    shows(
        "/api/v1/version",
        "Says which version this is.",
        "Version",
        || web::to(version),
    ),
];

async fn show(site: Data<Site>) -> Result<HttpResponse, Problem> {
    let mut findings = site.parts.catalog.check().await?;
    let handlers = (site.parts.handlers)();
    findings.extend(
        handlers
            .iter()
            .map(|(stage, handler)| judge(stage, handler)),
    );
    let healthy = findings.iter().all(|finding| finding.is_fine);
    let findings: Vec<Value> = findings.iter().map(shown).collect();
    Ok(HttpResponse::Ok().json(json!({ "healthy": healthy, "findings": findings })))
}

fn judge(stage: &StageName, handler: &Inspection) -> Finding {
    let about = format!("handler of stage {stage}");
    match &handler.obstacle {
        None => Finding {
            about,
            is_fine: true,
            seen: format!("can be started, version {}", handler.version),
            remedy: None,
        },
        Some(obstacle) => Finding {
            about,
            is_fine: false,
            seen: format!("cannot be started: {obstacle}"),
            remedy: Some("repair or replace it; its tickets go on by themselves".into()),
        },
    }
}

fn shown(finding: &Finding) -> Value {
    json!({
        "about": finding.about,
        "fine": finding.is_fine,
        "seen": finding.seen,
        "remedy": finding.remedy,
    })
}

async fn version() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "version": env!("CARGO_PKG_VERSION"), "api": "v1" }))
}
