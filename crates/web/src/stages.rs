//! The stages: their rules, their sums, and what holds them up.

use crate::list::{limit, parameters};
use crate::problem::{Kind, Problem};
use crate::routes::{Route, shows};
use crate::site::Site;
use actix_web::web::{self, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use domain::books::StageCounts;
use domain::control::{Gate, Hold, Reach};
use domain::names::StageName;
use domain::ports::Inspection;
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use wire::json::{StageJson, nearest};

pub(crate) const ROUTES: &[Route] = &[
    Route {
        query: &["limit"],
        ..shows(
            "/api/v1/stages",
            "Lists the stages in the order of the flows, then those that only have tickets.",
            "Stages",
            || web::to(index),
        )
    },
    shows("/api/v1/stages/{stage}", "Shows a stage.", "Stage", || {
        web::to(show)
    }),
];

/// How many stages are listed when nobody says otherwise: anybody may submit to any name.
pub(crate) const STAGES_SHOWN: usize = 100;
/// How many names an error lists.
const NAMES_SHOWN: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    limit: Option<String>,
}

async fn index(site: Data<Site>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let asked: Asked = parameters(&request)?;
    let limit = limit(asked.limit.as_deref(), STAGES_SHOWN)?;
    let views = views(&site).await?;
    let shown = views.iter().take(limit);
    let items: Vec<StageJson> = shown.map(|view| view.json(&site)).collect();
    Ok(HttpResponse::Ok().json(json!({ "items": items, "more": views.len() > limit })))
}

async fn show(site: Data<Site>, name: Path<String>) -> Result<HttpResponse, Problem> {
    let view = view(&site, &name).await?;
    Ok(HttpResponse::Ok().json(view.json(&site)))
}

/// Whether the stage is configured or has tickets.
pub(crate) async fn must_be_known(site: &Site, name: &StageName) -> Result<(), Problem> {
    if site.parts.flows.stage(name).is_some() {
        return Ok(());
    }
    view(site, name.as_str()).await.map(|_| ())
}

/// Everything that is known about one stage.
pub(crate) async fn view(site: &Site, name: &str) -> Result<StageView, Problem> {
    let mut views = views(site).await?;
    let found = views.iter().position(|view| view.name.as_str() == name);
    match found {
        Some(at) => Ok(views.swap_remove(at)),
        None => Err(no_such(name, &views)),
    }
}

fn no_such(name: &str, views: &[StageView]) -> Problem {
    let got: String = name.chars().take(80).collect();
    let known: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None if known.is_empty() => "no stage is configured".into(),
        None if known.len() > NAMES_SHOWN => format!(
            "there are {} and {} more",
            known[..NAMES_SHOWN].join(", "),
            known.len() - NAMES_SHOWN
        ),
        None => format!("there are {}", known.join(", ")),
    };
    Problem::new(
        Kind::NotFound,
        format!("stage: expected a stage that is configured or has tickets, got {got:?}; {hint}"),
    )
}

/// Everything that is known about a stage.
pub(crate) struct StageView {
    pub(crate) name: StageName,
    pub(crate) counts: Option<StageCounts>,
    pub(crate) hold: Option<Hold>,
    pub(crate) gate: Option<Gate>,
    pub(crate) handler: Option<Inspection>,
    /// How far the newest desired state has come; `None` as long as nobody knows who is alive.
    pub(crate) reach: Option<Reach>,
}

impl StageView {
    /// Whether a page shows it that has no room for all: it is configured, or has live tickets.
    pub(crate) fn matters(&self, site: &Site) -> bool {
        site.parts.flows.stage(&self.name).is_some()
            || self.counts.as_ref().is_some_and(|counts| !is_empty(counts))
    }

    pub(crate) fn json(&self, site: &Site) -> StageJson {
        let mut json = StageJson::new(&self.name, &site.parts.flows);
        if let Some(counts) = &self.counts {
            json = json.counted(counts);
        }
        if let Some(hold) = &self.hold {
            json = json.held(hold);
        }
        if let Some(gate) = &self.gate {
            json = json.gated(gate);
        }
        if let Some(reach) = &self.reach {
            json = json.reached(reach);
        }
        match &self.handler {
            Some(handler) => json.inspected(handler),
            None => json,
        }
    }
}

/// The configured stages in the order of the flows, then those that only have tickets: the ones
/// with live tickets first, so that a list that is cut shows what matters.
pub(crate) async fn views(site: &Site) -> Result<Vec<StageView>, Problem> {
    let counts = site.parts.catalog.stages().await?;
    let snapshot = site.parts.catalog.snapshot().await?;
    let (mut holds, mut gates) = (snapshot.holds, snapshot.gates);
    let mut handlers = (site.parts.handlers)();
    let revision = snapshot.revision;
    let mut reaches = (site.parts.reaches)(revision);
    let mut counts: BTreeMap<StageName, StageCounts> = counts
        .into_iter()
        .map(|counts| (counts.stage.clone(), counts))
        .collect();
    let configured = site.parts.flows.stages();
    let mut names: Vec<StageName> = configured.iter().map(|stage| stage.name.clone()).collect();
    let known: BTreeSet<&StageName> = configured.iter().map(|stage| &stage.name).collect();
    let others = counts.values().filter(|it| !known.contains(&it.stage));
    let (live, empty): (Vec<_>, Vec<_>) = others.partition(|it| !is_empty(it));
    names.extend(live.into_iter().chain(empty).map(|it| it.stage.clone()));
    let view = |name: StageName| StageView {
        counts: counts.remove(&name),
        hold: holds.remove(&name),
        gate: gates.remove(&name),
        handler: handlers.remove(&name),
        reach: reaches.as_mut().map(|reaches| {
            let reach = reaches.remove(&name);
            reach.unwrap_or_else(|| Reach::new(revision))
        }),
        name,
    };
    Ok(names.into_iter().map(view).collect())
}

/// Whether no live ticket is there.
fn is_empty(counts: &StageCounts) -> bool {
    counts.ready + counts.running + counts.waiting.values().sum::<u64>() == 0
}
