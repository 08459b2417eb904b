//! The pages: the same nouns as the API, for people. Each works without a script; with one, marked
//! parts are replaced as things change.

mod actions;
mod assets;
mod frame;
mod home;
mod login;
mod needs;
mod oops;
mod recent;
mod stages;
mod ticket;
mod words;

pub(crate) use frame::refusal;

use crate::routes::{Route, Verb, shows};
use actix_web::web;

const HTML: &str = "text/html";
const FORM: &str = "application/x-www-form-urlencoded";

const fn page(path: &'static str, does: &'static str, serve: fn() -> actix_web::Route) -> Route {
    Route {
        gives: (200, HTML, ""),
        ..shows(path, does, "", serve)
    }
}

const fn form(path: &'static str, does: &'static str, serve: fn() -> actix_web::Route) -> Route {
    Route {
        verb: Verb::Post,
        takes: &[(FORM, "")],
        gives: (303, HTML, ""),
        ..shows(path, does, "", serve)
    }
}

pub(crate) const ROUTES: &[Route] = &[
    Route {
        query: &["filter", "fragment"],
        ..page("/", "The page that shows everything at a glance.", || {
            web::to(home::show)
        })
    },
    Route {
        query: &["ordered"],
        ..page("/t/{id}", "The page of a ticket.", || web::to(ticket::show))
    },
    Route {
        gives: (303, HTML, ""),
        ..page(
            "/t/{id}/{action}",
            "Leads from the address of an order to its ticket.",
            || web::to(actions::lead_back),
        )
    },
    form(
        "/t/{id}/{action}",
        "Gives an order from a ticket's page.",
        || web::to(actions::act),
    ),
    page("/o/{id}", "The page of a report.", || web::to(oops::show)),
    Route {
        query: &["next"],
        ..page("/login", "Asks for the token.", || web::to(login::ask))
    },
    form("/login", "Takes the token.", || web::to(login::take)),
    form("/logout", "Forgets the token.", || web::to(login::forget)),
    page("/assets/{name}", "Style and script of the pages.", || {
        web::to(assets::show)
    }),
];
