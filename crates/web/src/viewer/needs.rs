//! Whether anything needs a person: the first question of whoever opens the page.

use super::breakers;
use super::stages::obstacle;
use super::words::{number, tickets};
use crate::site::Site;
use crate::stages::StageView;
use crate::stalled::Stalled;
use domain::books::Balance;
use domain::ports::Tripped;
use domain::wait::Reason;
use maud::{Markup, html};

/// How many needs are listed; beyond that a count says how many more there are.
const NEEDS_SHOWN: usize = 12;

/// What the page knows that may need somebody.
pub(super) struct Facts<'a> {
    pub(super) balance: &'a Balance,
    pub(super) views: &'a [StageView],
    pub(super) tripped: &'a [Tripped],
    pub(super) stalled: &'a Stalled,
}

pub(super) fn section(site: &Site, facts: &Facts<'_>) -> Markup {
    let needs = needs(site, facts);
    let others = by_itself(facts.balance);
    let more = needs.len().saturating_sub(NEEDS_SHOWN);
    html! {
        section.needs.bad[!needs.is_empty()] #needs data-live aria-labelledby="needs-title" {
            h2 #needs-title {
                span.sign aria-hidden="true" { @if needs.is_empty() { "✓" } @else { "!" } }
                @match needs.len() {
                    0 => "Nothing needs you",
                    1 => "One thing needs you",
                    several => { (several) " things need you" },
                }
            }
            @if !needs.is_empty() {
                ul {
                    @for need in needs.iter().take(NEEDS_SHOWN) { li { (need) } }
                    @if more > 0 { li { "… and " (number(more as u64)) " more" } }
                }
            }
            @if !others.0.is_empty() { p.muted { (others) } }
        }
    }
}

fn needs(site: &Site, facts: &Facts<'_>) -> Vec<Markup> {
    let (balance, views) = (facts.balance, facts.views);
    let mut needs = Vec::new();
    if !balance.is_balanced() {
        needs.push(html! {
            strong { "The books do not balance." } " Run " code { "goaround doctor" } "."
        });
    }
    needs.extend(views.iter().filter_map(|view| obstacle(view, site.now())));
    needs.extend(breakers::needs(facts.tripped, site.now()));
    needs.extend(breakers::stalled(facts.tripped, facts.stalled));
    let parked = count(balance, Reason::Parked);
    if parked > 0 {
        needs.push(html! {
            strong { a href="/?filter=is:parked#tickets-title" { (tickets(parked)) " parked" } }
            ": retry, cancel or drop; nothing happens before you decide"
        });
    }
    let unclaimed = count(balance, Reason::Unclaimed);
    if unclaimed > 0 {
        needs.push(html! {
            strong {
                a href="/?filter=is:unclaimed#tickets-title" { (tickets(unclaimed)) " unclaimed" }
            }
            ": no stage is configured that takes such a ticket"
        });
    }
    needs
}

/// What waits without needing anybody, so that its number frightens nobody.
fn by_itself(balance: &Balance) -> Markup {
    let again = count(balance, Reason::Backoff) + count(balance, Reason::NotNow);
    let outside = count(balance, Reason::Pending);
    html! {
        @match (again, outside) {
            // Beside tickets that are held it would sound as if none waited.
            (0, 0) if balance.waiting.values().any(|count| *count > 0) => "",
            (0, 0) => "No ticket waits for another try.",
            (again, 0) => { (tickets(again)) " will be tried again by themselves." },
            (0, outside) => { (tickets(outside)) " waiting for a call-back." },
            (again, outside) => {
                (tickets(again)) " will be tried again by themselves, "
                (number(outside)) " waiting for a call-back."
            },
        }
    }
}

fn count(balance: &Balance, reason: Reason) -> u64 {
    balance.waiting.get(&reason).copied().unwrap_or_default()
}
