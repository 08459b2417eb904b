//! How facts read on a page: times, lengths, ids, and text that nobody vouches for.

use domain::books::{Entry, Place};
use domain::oops::OopsId;
use domain::outcome::OutcomeKind;
use domain::plan::PlanId;
use domain::ticket::{Name, TicketId};
use domain::time::{Timestamp, show_duration};
use domain::wait::Reason;
use maud::{Markup, html};
use std::time::Duration;

/// Text from outside, with everything visible that a terminal or a browser would act on instead of
/// showing: control characters, bidirectional overrides, invisible spaces.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            '\r' => {}
            // Not U+241B: many fonts for code have no picture of it.
            '\x1b' => shown.push_str("⟨ESC⟩"),
            _ if is_invisible(c) => shown.push_str(&format!("⟨U+{:04X}⟩", c as u32)),
            _ => shown.push(c),
        }
    }
    shown
}

const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// The first line, cut to fit a cell.
pub(super) fn line(text: &str, chars_max: usize) -> String {
    let first = text.trim().lines().next().unwrap_or_default();
    let mut shown = plain(first).replace('\t', " ");
    if let Some((at, _)) = shown.char_indices().nth(chars_max) {
        shown.truncate(at);
        shown.push('…');
    }
    shown
}

/// Text from outside inside a sentence; its own direction ends with it.
pub(super) fn quoted(text: &str, chars_max: usize) -> Markup {
    html! { bdi title=(line(text, 2_000)) { (line(text, chars_max)) } }
}

/// Text from outside with its lines. Focusable, since a long one scrolls.
pub(super) fn block(label: &str, text: &str) -> Markup {
    html! { pre dir="auto" tabindex="0" role="region" aria-label=(label) { (plain(text)) } }
}

/// A point in time as people say it, with the exact one at hand.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(at) title=(at) { (show_duration(coarse(now.since(at)))) " ago" } }
}

/// A point in time to come.
pub(super) fn until(at: Timestamp, now: Timestamp) -> Markup {
    let left = coarse(at.since(now));
    html! {
        time datetime=(at) title=(at) {
            @if left.is_zero() { "now" } @else { "in " (show_duration(left)) }
        }
    }
}

/// A point in time that may be past or to come.
pub(super) fn when(at: Timestamp, now: Timestamp) -> Markup {
    match at < now {
        true => ago(at, now),
        false => until(at, now),
    }
}

/// Fractions of a second are no use in a list.
const fn coarse(length: Duration) -> Duration {
    Duration::from_secs(length.as_secs())
}

/// A number with thin groups of three digits.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push('\u{202f}');
        }
        shown.push(digit);
    }
    shown
}

/// A link to a ticket by the parts of its id that differ.
pub(super) fn ticket_link(id: TicketId) -> Markup {
    let whole = id.to_string();
    html! {
        a.id href={ "/t/" (whole) } title=(whole) aria-label={ "ticket " (whole) } {
            (whole[..8]) "…" (whole[whole.len() - 6..])
        }
    }
}

/// A link to a report by the parts of its id that differ.
pub(super) fn oops_link(id: OopsId) -> Markup {
    let whole = id.to_string();
    html! {
        a.id href={ "/o/" (whole) } title=(whole) aria-label=(whole) {
            (whole[..13]) "…" (whole[whole.len() - 5..])
        }
    }
}

/// A link to a release plan by the parts of its id that differ.
pub(super) fn plan_link(id: PlanId) -> Markup {
    let whole = id.to_string();
    html! {
        a.id href={ "/p/" (whole) } title=(whole) aria-label={ "release plan " (whole) } {
            (whole[..8]) "…" (whole[whole.len() - 6..])
        }
    }
}

/// A count with its noun.
pub(super) fn tickets(count: u64) -> String {
    match count {
        1 => "1 ticket".into(),
        several => format!("{} tickets", number(several)),
    }
}

/// Where a ticket is, as a badge: a word and a colour, never a colour alone.
pub(super) fn badge(entry: &Entry) -> Markup {
    let state = entry.place.state();
    html! {
        span class={ "badge " (state) } {
            (state)
            @if let Place::Waiting(wait) = &entry.place { " · " (named(wait.condition.reason())) }
        }
    }
}

/// A reason as a word that is read, not typed.
pub(super) fn named(reason: Reason) -> String {
    reason.as_str().replace('_', " ")
}

/// A sentence begins with a capital letter.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// How an attempt ended, as a badge.
pub(super) fn outcome_badge(outcome: OutcomeKind) -> Markup {
    html! { span class={ "badge " (outcome) } { (outcome.as_str().replace('_', " ")) } }
}

/// A fact in a list of facts.
pub(super) fn fact(name: &str, is: &Markup) -> Markup {
    html! { dt { (name) } dd { (is) } }
}

/// A fact that is not always known.
pub(super) fn known<T>(name: &str, value: Option<T>, is: impl FnOnce(T) -> Markup) -> Markup {
    match value {
        Some(value) => fact(name, &is(value)),
        None => html! {},
    }
}

/// Which copy of a ticket.
pub(super) fn copy_of(name: &Name) -> Markup {
    fact(
        "Hop, attempt",
        &html! {
            (name.hop) ", " (name.attempt) " (generation " (name.generation) ")"
        },
    )
}

/// A button that the script brings to life; without one it stays hidden.
pub(super) fn copy_button(what: &str, label: &str) -> Markup {
    html! { button.quiet.copy type="button" data-copy=(what) hidden { (label) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_not_be_shown_is_made_visible() {
        for (text, shown) in [
            ("\u{1b}[31mred\u{1b}[0m", "⟨ESC⟩[31mred⟨ESC⟩[0m"),
            ("user\u{202e}gpj.exe", "user⟨U+202E⟩gpj.exe"),
            ("a\0b\x7f", "a⟨U+0000⟩b⟨U+007F⟩"),
            ("pay\u{200b}pal\u{feff}", "pay⟨U+200B⟩pal⟨U+FEFF⟩"),
            ("line 1\r\n\tline 2", "line 1\n\tline 2"),
            ("عربي", "عربي"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }

    #[test]
    fn a_cell_shows_one_line() {
        assert_eq!(line("one\ntwo", 10), "one");
        assert_eq!(line(&"x".repeat(12), 10), format!("{}…", "x".repeat(10)));
        assert_eq!(line("", 10), "");
    }

    #[test]
    fn digits_come_in_threes() {
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
    }
}
