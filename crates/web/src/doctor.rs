//! What is not as it should be, with a remedy for each.

use crate::list::parameters;
use crate::problem::Problem;
use crate::routes::{Route, shows};
use crate::site::Site;
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use domain::names::StageName;
use domain::ports::{Depth, Finding, Inspection};
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) const ROUTES: &[Route] = &[
    Route {
        query: &["deep"],
        ..shows(
            "/api/v1/doctor",
            "Looks at the store, the books and the handlers; deep=true also reads and counts all.",
            "Doctor",
            || web::to(show),
        )
    },
    shows(
        "/api/v1/version",
        "Says which version this is.",
        "Version",
        || web::to(version),
    ),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    deep: Option<String>,
}

async fn show(site: Data<Site>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let asked: Asked = parameters(&request)?;
    let depth = depth(asked.deep.as_deref())?;
    let mut findings = site.parts.catalog.check(depth).await?;
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

fn depth(deep: Option<&str>) -> Result<Depth, Problem> {
    match deep {
        None | Some("false") => Ok(Depth::Usual),
        Some("true") => Ok(Depth::Deep),
        Some(other) => {
            let got: String = other.chars().take(40).collect();
            let said = format!("deep: expected true or false, got {got:?}");
            Err(Problem::bad_request(said))
        }
    }
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
