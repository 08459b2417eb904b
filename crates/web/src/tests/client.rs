//! Asks the real router, without a socket.

use super::fake::{Fake, State, stage};
use crate::config::{Config, Token};
use crate::live::Live;
use crate::server;
use crate::site::{Parts, Site};
use actix_web::body::to_bytes;
use actix_web::dev::Service as _;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::test;
use actix_web::web::Data;
use domain::control::Reach;
use domain::flow::{Flows, Stage};
use domain::names::{FlowName, Holder, StageName};
use domain::ports::Inspection;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The real router over a fake store.
pub(super) struct Web {
    pub(super) fake: Arc<Fake>,
    pub(super) config: Config,
    pub(super) handlers: BTreeMap<StageName, Inspection>,
    /// The workers that are alive, where, and the revision that each keeps to.
    pub(super) alive: Option<Vec<(Holder, StageName, u64)>>,
    pub(super) ready: Result<(), String>,
    pub(super) live: Live,
}

/// What was answered.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answered {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

fn reaches(revision: u64, alive: &[(Holder, StageName, u64)]) -> BTreeMap<StageName, Reach> {
    let mut reaches = BTreeMap::new();
    for (holder, stage, in_force) in alive {
        let reach = reaches.entry(stage.clone());
        let reach = reach.or_insert_with(|| Reach::new(revision));
        reach.add(holder, *in_force);
    }
    reaches
}

impl Web {
    /// Flow `ci` with the stages `build` and `test`; payloads of at most 64 bytes.
    pub(super) fn new() -> Self {
        let mut config = Config::new("127.0.0.1:7878".parse().unwrap());
        config.payload_bytes_max = 64;
        Self {
            fake: Arc::default(),
            config,
            handlers: BTreeMap::new(),
            alive: None,
            ready: Ok(()),
            live: Live::new(),
        }
    }

    pub(super) fn locked() -> Self {
        let mut web = Self::new();
        web.config.token = Some(Token::new("s3cret"));
        web
    }

    pub(super) fn with(self, change: impl FnOnce(&mut State)) -> Self {
        change(&mut self.fake.state.lock().unwrap());
        self
    }

    pub(super) fn parts(&self) -> Parts {
        let stops = ["build", "test"].map(stage);
        let rules = stops.clone().map(Stage::new).into();
        let flows = BTreeMap::from([(FlowName::new("ci").unwrap(), stops.to_vec())]);
        let (handlers, ready) = (self.handlers.clone(), self.ready.clone());
        let alive = self.alive.clone();
        Parts {
            desk: self.fake.clone(),
            catalog: self.fake.clone(),
            oopses: self.fake.clone(),
            plans: self.fake.clone(),
            flows: Arc::new(Flows::new(rules, flows).unwrap()),
            clock: self.fake.clone(),
            handlers: Arc::new(move || handlers.clone()),
            reaches: Arc::new(move |revision| {
                let alive = alive.as_ref();
                alive.map(|alive| reaches(revision, alive))
            }),
            metrics: Arc::new(|| Box::pin(async { "goaround_up 1\n".into() })),
            ready: Arc::new(move || ready.clone()),
            live: self.live.clone(),
        }
    }

    pub(super) fn site(&self) -> Data<Site> {
        Data::new(Site::new(self.config.clone(), self.parts()))
    }

    pub(super) async fn get(&self, path: &str) -> Answered {
        self.ask(Method::GET, path, &[], "").await
    }

    /// A page, as a browser asks for it.
    pub(super) async fn page(&self, path: &str) -> Answered {
        self.ask(Method::GET, path, &[("accept", "text/html")], "")
            .await
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Answered {
        self.ask(
            Method::POST,
            path,
            &[("content-type", "application/json")],
            body,
        )
        .await
    }

    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answered {
        ask_site(self.site(), (method, path), headers, body).await
    }
}

/// Asks one site, for tests that ask twice what one site remembers.
pub(super) async fn ask_site(
    site: Data<Site>,
    (method, path): (Method, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> Answered {
    let app = test::init_service(server::app(site)).await;
    let mut request = test::TestRequest::with_uri(path).method(method);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.insert_header(("host", "127.0.0.1:7878"));
    }
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request = request.insert_header((name, HeaderValue::from_str(value).unwrap()));
    }
    let request = request.set_payload(body.to_owned()).to_request();
    let response = match app.call(request).await {
        Ok(response) => response.into_parts().1.map_into_boxed_body(),
        Err(error) => error.error_response(),
    };
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body())
        .await
        .unwrap_or_default()
        .to_vec();
    Answered {
        status: StatusCode::as_u16(&status),
        headers,
        body,
    }
}

/// Checks that the answer is a problem of this sort whose detail says this.
pub(super) fn check_problem(answered: &Answered, status: u16, word: &str, says: &str) {
    let text = answered.text();
    assert_eq!(answered.status, status, "{text}");
    assert_eq!(
        answered.header("content-type"),
        "application/problem+json",
        "{text}"
    );
    let problem = answered.json();
    assert_eq!(problem["type"], format!("urn:goaround:problem:{word}"));
    assert_eq!(problem["status"], status);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(says), "{detail:?} does not say {says:?}");
    assert!(!problem["title"].as_str().unwrap().is_empty());
    assert_eq!(answered.header("x-content-type-options"), "nosniff");
}
