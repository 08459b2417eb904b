//! The page of a release plan: what has become of its tickets, and what can be done with the rest.

mod orders;

pub(super) use orders::{act, lead_back};

use super::frame::{Page, PageProblem, Said, status_of, told};
use super::plans::{about, badge};
use super::words::{ago, copy_button, fact, known, number, quoted, sentence, tickets, until};
use crate::list::parameters;
use crate::plans::{find, id_of};
use crate::problem::Problem;
use crate::site::Site;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use domain::breaker::Scope;
use domain::names::StageName;
use domain::plan::{Choice, Goal, Group, Order, Plan, PlanId, Source, State, Trail, Why};
use domain::time::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

/// How many groups the page shows, the largest; each can be named all the same.
const GROUPS_SHOWN: usize = 30;

#[derive(Deserialize)]
struct Asked {
    ordered: Option<String>,
}

pub(super) async fn show(
    site: Data<Site>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, PageProblem> {
    let Asked { ordered } = parameters(&request)?;
    let said = ordered.as_deref().and_then(carried_out);
    Ok(page(&site, id_of(&id)?, said).await?)
}

fn carried_out(word: &str) -> Option<Said<'static>> {
    let what = match word {
        "release" => "Release: its tickets are on their way.",
        "pause" => "Pause: no more of its tickets go until it is resumed.",
        "resume" => "Resume: its tickets go on.",
        "stop" => "Stop: no more of its tickets go.",
        "drop" => "Drop: its tickets are given up, with your reason.",
        _ => return None,
    };
    Some(Said::CarriedOut(what))
}

async fn page(site: &Site, id: PlanId, said: Option<Said<'_>>) -> Result<HttpResponse, Problem> {
    let plan = find(site, id).await?;
    let now = site.now();
    let body = html! {
        (headline(&plan))
        (told(said.as_ref()))
        (progress(&plan, now))
        (orders::section(&plan, site.gate.form_token()))
        (groups(&plan, site.gate.form_token()))
        (facts(&plan, now))
        (trail(&plan.trail, now))
    };
    let title = format!("Release plan {id}");
    Ok(Page::of(site, &title, body).answer(status_of(said.as_ref())))
}

fn headline(plan: &Plan) -> Markup {
    html! {
        div.headline {
            p.muted { "Release plan · " (about(plan)) }
            h1.id #plan-id { (plan.id) }
            p.badges {
                span #state data-live { (badge(plan)) } " "
                (copy_button("plan-id", "Copy id"))
            }
        }
    }
}

fn progress(plan: &Plan, now: Timestamp) -> Markup {
    html! {
        section.card #progress data-live aria-labelledby="progress-title" {
            h2 #progress-title { "Where it stands" }
            @if plan.counts.total == 0 {
                p.nothing { (sentence(&plan.why().unwrap_or_default())) "." }
            } @else {
                (shares(plan, now))
            }
        }
    }
}

fn shares(plan: &Plan, now: Timestamp) -> Markup {
    let counts = &plan.counts;
    let settled = counts.total - counts.left();
    html! {
        div.bar {
            progress value=(settled) max=(counts.total) aria-label="Released" {}
            p.muted {
                (number(settled)) " of " (number(counts.total)) " no longer waiting"
                @if let Some(at) = plan.estimate(now) { "; done " (until(at, now)) }
            }
        }
        @if let State::Stopped(why) = &plan.state {
            p.said.bad { "It has stopped: " (why) ". What is left waits on." }
        }
        dl.facts {
            (fact("Left", &html! { (number(counts.left())) }))
            (fact("Released", &html! {
                (number(counts.released))
                @if counts.out() > 0 { ", " (number(counts.out())) " of them still out" }
            }))
            (fact("Landed", &html! { (number(counts.landed)) }))
            (fact("Failed", &html! { (number(counts.failed)) }))
            (fact("Undecided", &html! { (number(counts.undecided)) }))
            (fact("Dropped", &html! { (number(counts.dropped)) }))
            (fact("Moved by others", &html! { (number(counts.gone)) }))
            @for (at, goal) in plan.goals.iter().enumerate() {
                (fact(if at == 0 { "Under way" } else { "Then" }, &under_way(goal)))
            }
        }
    }
}

fn under_way(goal: &Goal) -> Markup {
    html! {
        (choice(&goal.choice)) ": " (number(goal.released)) " of " (number(goal.count))
        " released; step " (goal.step.number + 1)
        @match goal.step_size() {
            Some(size) => { " (" (tickets(size)) "): " (number(goal.step.released)) " sent, "
                (number(goal.step.ended)) " back" },
            None => " is all the rest",
        }
        @if let Some(rate) = goal.terms.rate { " at " (rate) }
    }
}

fn choice(choice: &Choice) -> Markup {
    html! {
        @match choice {
            Choice::Everything => "everything",
            Choice::Group(name) => (quoted(&name.to_string(), 80)),
        }
    }
}

/// The stage whose queue these tickets are in. They are the stage's to take: its breaker lets them
/// in, so none of them is given up by a plan, and a plan that has stopped never goes on. The next
/// canary that lands makes another.
const fn queue_of(plan: &Plan) -> Option<&StageName> {
    match plan.selection.source {
        Source::Queue => plan.selection.stage.as_ref(),
        Source::Waiting(_) | Source::AnyWait => None,
    }
}

/// Whether some of its tickets can still be released by somebody.
fn may_release(plan: &Plan) -> bool {
    let is_over = match &plan.state {
        State::Stopped(Why::Superseded(_)) | State::Done => true,
        State::Stopped(_) => queue_of(plan).is_some(),
        State::Ready | State::Running | State::Paused => false,
    };
    plan.counts.left() > 0 && !is_over
}

fn groups(plan: &Plan, token: &str) -> Markup {
    let groups = &plan.groups;
    let more = groups.shown.len().saturating_sub(GROUPS_SHOWN) as u64 + groups.left_out;
    html! {
        @if groups.shown.is_empty() { div #groups data-live {} } @else {
            section.card #groups data-live aria-labelledby="groups-title" {
                h2 #groups-title { "Groups" }
                div.scroll tabindex="0" role="region" aria-label="Groups" {
                    table {
                        caption.hidden { "What its tickets have in common" }
                        thead { tr {
                            th scope="col" { "Group" }
                            th.num scope="col" { "Tickets at first" }
                            th scope="col" { span.hidden { "What you can do" } }
                        } }
                        tbody {
                            @for group in groups.shown.iter().take(GROUPS_SHOWN) {
                                (group_row(plan, group, may_release(plan).then_some(token)))
                            }
                        }
                    }
                }
                @if more > 0 { p.muted.more { "and " (number(more)) " more" } }
            }
        }
    }
}

fn group_row(plan: &Plan, group: &Group, token: Option<&str>) -> Markup {
    let name = group.name.to_string();
    html! {
        tr {
            th scope="row" { (quoted(&name, 80)) }
            td.num data-label="Tickets" { (number(group.count)) }
            td {
                @if let Some(token) = token {
                    form method="post" action={ "/p/" (plan.id) "/release" } {
                        input type="hidden" name="form_token" value=(token);
                        input type="hidden" name="group" value=(name);
                        button.quiet { "Release" }
                    }
                }
            }
        }
    }
}

fn facts(plan: &Plan, now: Timestamp) -> Markup {
    let (terms, whose) = match plan.current() {
        Some(goal) => (&goal.terms, "of the release under way"),
        None => (&plan.terms, "of a release that is given no others"),
    };
    html! {
        section.card #facts data-live aria-labelledby="facts-title" {
            h2 #facts-title { "Facts" }
            dl.facts {
                (fact("Tickets", &html! { (about(plan)) }))
                (fact("Waiting since before", &ago(plan.selection.cutoff, now)))
                (known("Repairs", plan.repairs, |scope| html! {
                    @match scope {
                        Scope::Stage => "the stage as a whole",
                        Scope::Signature(signature) => code { (signature) },
                    }
                }))
                (fact("Terms", &html! { (whose) }))
                (fact("In steps of", &html! { (terms.ramp.to_string().replace(',', ", ")) }))
                (fact("At most", &html! {
                    @match terms.rate { Some(rate) => (rate), None => "as fast as can be" }
                }))
                (fact("Order", &html! {
                    @match terms.order {
                        Order::OldestFirst => "the oldest first",
                        Order::NewestFirst => "the newest first",
                        Order::Random { .. } => "at random",
                    }
                }))
                (fact("Stops", &html! { (terms.stops()) }))
                (fact("Last moved", &ago(plan.moved_at, now)))
            }
        }
    }
}

fn trail(trail: &Trail, now: Timestamp) -> Markup {
    html! {
        section.card #trail data-live aria-labelledby="trail-title" {
            h2 #trail-title { "Who did what" }
            div.scroll tabindex="0" role="region" aria-label="Who did what" {
                table {
                    caption.hidden { "What was done with the plan, oldest first" }
                    thead { tr {
                        th scope="col" { "When" }
                        th scope="col" { "Who" }
                        th scope="col" { "What" }
                    } }
                    tbody {
                        @for (at, deed) in trail.deeds.iter().enumerate() {
                            tr {
                                th.time scope="row" { (ago(deed.at, now)) }
                                td data-label="Who" { (quoted(&deed.by, 60)) }
                                td.wide {
                                    (quoted(&deed.what, Trail::WHAT_CHARS_MAX))
                                    @if at + 1 == Trail::FIRST && trail.left_out > 0 {
                                        span.note { (number(trail.left_out)) " more, left out" }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
