//! The pages: the same nouns as the API, for people. Each works without a script; with one, marked
//! parts are replaced as things change.

mod actions;
mod assets;
mod breakers;
mod frame;
mod home;
mod login;
mod needs;
mod oops;
mod plan;
mod plans;
mod recent;
mod stage;
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
    Route {
        query: &["ordered"],
        ..page("/s/{stage}", "The page of a stage.", || {
            web::to(stage::show)
        })
    },
    Route {
        gives: (303, HTML, ""),
        ..page(
            "/s/{stage}/probe",
            "Leads from the address of a probe to its stage.",
            || web::to(stage::lead_back),
        )
    },
    form(
        "/s/{stage}/probe",
        "Sends a breaker's next canary from its stage's page.",
        || web::to(stage::probe),
    ),
    page("/p", "The page that lists the release plans.", || {
        web::to(plans::show)
    }),
    Route {
        query: &["ordered"],
        ..page("/p/{id}", "The page of a release plan.", || {
            web::to(plan::show)
        })
    },
    Route {
        gives: (303, HTML, ""),
        ..page(
            "/p/{id}/{action}",
            "Leads from the address of an order to its plan.",
            || web::to(plan::lead_back),
        )
    },
    form(
        "/p/{id}/{action}",
        "Gives an order from a plan's page.",
        || web::to(plan::act),
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
