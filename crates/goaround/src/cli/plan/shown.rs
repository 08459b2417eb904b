//! One plan for people: its facts, its groups, where it stands, who did what.

use crate::cli::failure::Failure;
use crate::cli::output::{member, print_facts};
use crate::cli::table::Table;
use crate::cli::terminal::Terminal;
use serde_json::Value as Json;

pub(super) fn print(plan: &Json, terminal: &Terminal<'_>) -> Result<(), Failure> {
    let (selection, counts) = (&plan["selection"], &plan["counts"]);
    let (terms, whose) = match plan["releases"].get(0) {
        Some(release) => (&release["terms"], "of the release under way"),
        None => (&plan["terms"], "of a release that is given no others"),
    };
    let when = |name| terminal.when(&member(plan, name));
    print_facts(
        &[
            ("id", member(plan, "id")),
            ("state", member(plan, "state")),
            ("because", member(plan, "why")),
            ("of", member(selection, "source")),
            ("stage", member(selection, "stage")),
            ("signature", member(selection, "signature")),
            ("filter", member(selection, "filter")),
            (
                "waiting since before",
                terminal.when(&member(selection, "cutoff")),
            ),
            ("repairs", member(plan, "repairs")),
            ("tickets", member(counts, "total")),
            ("  left", member(counts, "left")),
            ("  released", member(counts, "released")),
            ("  out", member(counts, "out")),
            ("  landed", member(counts, "landed")),
            ("  failed", member(counts, "failed")),
            ("  undecided", member(counts, "undecided")),
            ("  dropped", member(counts, "dropped")),
            ("  moved by others", member(counts, "gone")),
            ("terms", whose.into()),
            ("  ramp", member(terms, "ramp")),
            ("  rate", rate(terms)),
            ("  order", member(terms, "order")),
            ("  stops", stops(terms)),
            ("estimate", when("estimate")),
            ("last moved", when("moved_at")),
        ],
        terminal,
    )?;
    tables(plan, terminal)
}

fn rate(terms: &Json) -> String {
    match member(terms, "rate").as_str() {
        "" => "as fast as can be".into(),
        rate => rate.into(),
    }
}

fn stops(terms: &Json) -> String {
    let rule = &terms["stop"];
    let (share, least) = (member(rule, "percent_max"), member(rule, "sample_min"));
    let mut stops = Vec::new();
    if member(terms, "ramp") != "all" {
        stops.push("when a step before the last fails and nothing of it lands".to_owned());
    }
    if share != "100" {
        let text = format!("above {share} % failed of the last 100, once {least} have ended");
        stops.push(text);
    }
    match member(rule, "same").as_str() {
        "" => {}
        same => stops.push(format!("when {same} comes back")),
    }
    match stops.is_empty() {
        true => "never by itself".into(),
        false => stops.join("; "),
    }
}

/// What a plan has several of: releases, groups, deeds.
fn tables(plan: &Json, terminal: &Terminal<'_>) -> Result<(), Failure> {
    let mut releases = Table::new([
        "RELEASE",
        "TICKETS",
        "RELEASED",
        "STEP",
        "STEP SIZE",
        "RAMP",
        "RATE",
    ]);
    let mut groups = Table::new(["GROUP", "TICKETS"]);
    let mut trail = Table::new(["TIME", "BY", "WHAT"]);
    let rows = |name: &str| plan[name].as_array().map_or(&[][..], Vec::as_slice);
    for release in rows("releases") {
        let text = |name| member(release, name);
        releases.row([
            text("choice"),
            text("count"),
            text("released"),
            text("step"),
            text("step_size"),
            member(&release["terms"], "ramp"),
            rate(&release["terms"]),
        ]);
    }
    for group in rows("groups") {
        groups.row([member(group, "name"), member(group, "count")]);
    }
    for deed in rows("trail") {
        trail.row([
            terminal.when(&member(deed, "at")),
            member(deed, "by"),
            member(deed, "what"),
        ]);
    }
    for (name, table) in [("releases", releases), ("groups", groups), ("trail", trail)] {
        if !rows(name).is_empty() {
            terminal.print("")?;
            terminal.print(&table.render(terminal))?;
        }
        let left_out = plan[format!("{name}_left_out")].as_u64().unwrap_or(0);
        if left_out > 0 {
            terminal.print(&format!("and {left_out} more"))?;
        }
    }
    Ok(())
}
