//! Orders from a ticket's page, as plain forms.

use super::frame::{PageProblem, Said};
use super::login::form;
use super::ticket;
use crate::orders::carry_out;
use crate::problem::Problem;
use crate::site::Site;
use crate::tickets::id_of;
use actix_web::http::header;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use domain::ports::Action;
use serde::Deserialize;
use wire::json::DropJson;

/// Who gives an order from a page, for the books.
pub(super) const BY: &str = "viewer";

#[derive(Deserialize)]
struct Sent {
    form_token: String,
    reason: Option<String>,
}

pub(super) async fn act(
    site: Data<Site>,
    path: Path<(String, String)>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, PageProblem> {
    let (id, word) = path.into_inner();
    let sent: Sent = form(&site, &request, body).await?;
    site.gate.check_form(&sent.form_token)?;
    let ticket = id_of(&id)?;
    let carried = match action(&word, sent.reason) {
        Ok(action) => carry_out(&site, ticket, action, BY.into()).await,
        Err(problem) => Err(problem),
    };
    match carried {
        Ok(_) => {
            // The page that follows says what was done; a word that it does not know says nothing.
            let back = format!("/t/{ticket}?ordered={word}");
            Ok(HttpResponse::SeeOther()
                .insert_header((header::LOCATION, back))
                .finish())
        }
        Err(problem) => Ok(ticket::page(&site, &id, Some(Said::Refused(&problem))).await?),
    }
}

/// A refused order is told at the order's address; whoever loads that again wants the ticket.
pub(super) async fn lead_back(path: Path<(String, String)>) -> Result<HttpResponse, PageProblem> {
    let ticket = id_of(&path.0)?;
    Ok(HttpResponse::SeeOther()
        .insert_header((header::LOCATION, format!("/t/{ticket}")))
        .finish())
}

fn action(word: &str, reason: Option<String>) -> Result<Action, Problem> {
    match word {
        "retry" => Ok(Action::Retry),
        "cancel" => Ok(Action::Cancel),
        "drop" => {
            let order = DropJson {
                reason: reason.unwrap_or_default(),
            };
            let order = order.checked().map_err(Problem::bad_request)?;
            Ok(Action::Drop(order.reason))
        }
        _ => {
            let got: String = word.chars().take(40).collect();
            Err(Problem::not_found(format!(
                "expected retry, cancel or drop, got {got:?}"
            )))
        }
    }
}
