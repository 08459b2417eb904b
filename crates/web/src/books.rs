//! The sums over all tickets.

use crate::problem::Problem;
use crate::routes::{Route, shows};
use crate::site::Site;
use actix_web::HttpResponse;
use actix_web::web::{self, Data};
use wire::json::BalanceJson;

pub(crate) const ROUTES: &[Route] = &[shows(
    "/api/v1/books",
    "Shows the balance: accepted = runnable + running + waiting + done + dropped.",
    "Books",
    || web::to(show),
)];

async fn show(site: Data<Site>) -> Result<HttpResponse, Problem> {
    let balance = site.parts.catalog.balance().await?;
    Ok(HttpResponse::Ok().json(BalanceJson::new(&balance)))
}
