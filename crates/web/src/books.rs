//! The sums over all tickets, or over those that were accepted since a time.

use crate::list::parameters;
use crate::problem::Problem;
use crate::routes::{Route, shows};
use crate::site::Site;
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use domain::filter::parse_since;
use domain::time::Timestamp;
use serde::Deserialize;
use wire::json::BalanceJson;

pub(crate) const ROUTES: &[Route] = &[Route {
    query: &["since"],
    ..shows(
        "/api/v1/books",
        "Shows the balance: accepted = runnable + running + waiting + done + dropped; with since, \
         over the tickets that were accepted since and are not forgotten.",
        "Books",
        || web::to(show),
    )
}];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    since: Option<String>,
}

async fn show(site: Data<Site>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let asked: Asked = parameters(&request)?;
    let since = asked.since.as_deref();
    let since = since.map(|text| moment(text, site.now())).transpose()?;
    let balance = site.parts.catalog.balance(since).await?;
    Ok(HttpResponse::Ok().json(BalanceJson::new(&balance, since)))
}

fn moment(text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    parse_since(text, now).map_err(|bad| Problem::bad_request(format!("since: {bad}")))
}
