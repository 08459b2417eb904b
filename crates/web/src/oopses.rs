//! The reports, for reading.

use crate::list::{self, listing};
use crate::problem::{Kind, Problem};
use crate::routes::{Route, shows};
use crate::site::Site;
use actix_web::web::{self, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use domain::filter::Rows;
use domain::oops::{OopsPrefix, Report};
use serde_json::json;
use wire::json::OopsJson;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        query: list::PARAMETERS,
        ..shows("/api/v1/oopses", "Lists reports.", "Oopses", || {
            web::to(index)
        })
    },
    shows(
        "/api/v1/oopses/{id}",
        "Shows a report, by its id in any spelling or by a beginning of at least 10 digits.",
        "Oops",
        || web::to(show),
    ),
];

async fn index(site: Data<Site>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let page = site
        .parts
        .oopses
        .list(listing(&request, Rows::Reports, site.now())?)
        .await?;
    let items: Vec<OopsJson> = page.rows.iter().map(OopsJson::new).collect();
    Ok(HttpResponse::Ok().json(json!({ "items": items, "more": page.more })))
}

async fn show(site: Data<Site>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let report = find(&site, &id).await?;
    Ok(HttpResponse::Ok().json(OopsJson::new(&report)))
}

/// The one report that is named so.
pub(crate) async fn find(site: &Site, text: &str) -> Result<Report, Problem> {
    let prefix: OopsPrefix = text.parse().map_err(Problem::bad_request)?;
    let mut found = site.parts.oopses.find(prefix).await?;
    let Some(report) = found.pop() else {
        return Err(Problem::not_found(format!(
            "no OOPS has an id that begins with {}; it was never reported here, or it is so old \
            that it was forgotten",
            text.trim()
        )));
    };
    match found.pop() {
        None => Ok(report),
        Some(other) => {
            let (one, two) = (report.id.to_string(), other.id.to_string());
            let detail = format!(
                "{} begins more than one id, for example {one} and {two}",
                text.trim()
            );
            Err(Problem::new(Kind::Ambiguous, detail).with("ids", vec![two, one]))
        }
    }
}
