//! The OpenAPI document, made from the table of routes.

use crate::routes::{self, Route, shows};
use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

pub(crate) const ROUTES: &[Route] = &[Route {
    gives: (200, "application/json", ""),
    ..shows("/openapi.json", "Shows this document.", "", || {
        web::to(show)
    })
}];

/// The shapes that the routes name.
const SCHEMAS: &str = include_str!("openapi/schemas.json");

/// Built once: it never changes while we run.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

async fn show() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .body(DOCUMENT.as_str())
}

fn document() -> Value {
    let mut paths = Map::new();
    for route in routes::all() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(verbs) = path {
            verbs.insert(route.verb.as_str().into(), operation(route));
        }
    }
    let schemas: Value = serde_json::from_str(SCHEMAS).unwrap_or_default();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Goaround",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Tickets that land, whatever crashes around them.",
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/" }],
        "security": [{}, { "token": [] }, { "password": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "password": { "type": "http", "scheme": "basic" },
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.does,
        "parameters": parameters(route),
        "responses": answers(route),
    });
    if !route.takes.is_empty() {
        let takes = route.takes.iter().map(|(content_type, schema)| {
            (
                (*content_type).to_owned(),
                json!({ "schema": reference(schema) }),
            )
        });
        operation["requestBody"] =
            json!({ "required": true, "content": takes.collect::<Map<_, _>>() });
    }
    operation
}

fn answers(route: &Route) -> Value {
    let problem = content("application/problem+json", "Problem");
    let mut answers = json!({ "default": { "description": "A problem.", "content": problem } });
    for (status, content_type, schema) in route.also.iter().chain([&route.gives]) {
        let is_good = *status < 400;
        answers[status.to_string()] = json!({
            "description": if is_good { "Done." } else { "Refused." },
            "content": match is_good {
                true => content(content_type, schema),
                false => problem.clone(),
            },
        });
    }
    answers
}

fn content(content_type: &str, schema: &str) -> Value {
    json!({ content_type: { "schema": reference(schema) } })
}

fn reference(schema: &str) -> Value {
    match schema {
        "" => json!({}),
        name => json!({ "$ref": format!("#/components/schemas/{name}") }),
    }
}

fn operation_id(route: &Route) -> String {
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words
        .filter(|word| !matches!(*word, "" | "api" | "v1"))
        .collect();
    format!("{}_{}", route.verb.as_str(), words.join("_"))
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = path_parameters(route.path).map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
    });
    let in_query = route.query.iter().map(|name| {
        json!({ "name": name, "in": "query", "required": false, "schema": { "type": "string" } })
    });
    in_path.chain(in_query).collect()
}

fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_is_in_the_document_and_the_reverse() {
        let document = document();
        let documented: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, verbs)| {
                let verbs = verbs.as_object().unwrap().keys();
                verbs
                    .map(|verb| (path.clone(), verb.clone()))
                    .collect::<Vec<_>>()
            })
            .collect();
        let served: Vec<(String, String)> = routes::all()
            .map(|route| (route.path.to_owned(), route.verb.as_str().to_owned()))
            .collect();
        assert_eq!(
            served.len(),
            documented.len(),
            "a route is in the table twice"
        );
        assert_eq!(served.into_iter().collect::<BTreeSet<_>>(), documented);
    }

    #[test]
    fn one_ticket_and_a_stream_of_lines_have_answers_of_their_own() {
        let document = document();
        let answers = &document["paths"]["/api/v1/tickets"]["post"]["responses"];
        for (status, schema) in [("201", "Accepted"), ("200", "Bulk")] {
            let shown = &answers[status]["content"]["application/json"]["schema"];
            assert_eq!(*shown, reference(schema), "{answers}");
        }
        let accepted = &document["components"]["schemas"]["Accepted"];
        assert_eq!(accepted["required"], json!(["id", "accepted"]));
    }

    #[test]
    fn every_shape_that_is_named_is_there_and_the_reverse() {
        let document = document().to_string();
        let schemas: Map<String, Value> = serde_json::from_str(SCHEMAS).unwrap();
        for part in document.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name} is named and not there");
        }
        for name in schemas.keys() {
            assert!(
                document.contains(&format!("schemas/{name}\"")),
                "{name} is not used"
            );
        }
    }

    #[test]
    fn every_operation_has_its_own_id() {
        let ids: Vec<String> = routes::all().map(operation_id).collect();
        assert_eq!(
            ids.iter().collect::<BTreeSet<_>>().len(),
            ids.len(),
            "{ids:?}"
        );
    }
}
