//! The list of plans, filtered by the one grammar.

use super::First;
use crate::cli::failure::Failure;
use crate::cli::output::{Column, Format, as_text, items, member, print_list};
use crate::cli::terminal::Terminal;
use crate::cli::terms::{self, Terms};
use crate::client::Client;
use clap::Args;
use domain::filter::{Facts, Field, Query};
use domain::ports::PLANS_MAX;
use domain::time::Timestamp;
use serde_json::Value as Json;
use std::borrow::Cow;

#[derive(Args)]
pub(super) struct List {
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORM")]
    output: Format,
    /// Only what matches, for example 'is:live stage:build created:-1h'
    #[arg(long, value_name = "QUERY", allow_hyphen_values = true, value_parser = filter)]
    filter: Option<Query>,
    /// How many at most
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        value_parser = clap::value_parser!(u64).range(1..=PLANS_MAX as u64)
    )]
    limit: u64,
    /// Which first
    #[arg(long, value_enum, default_value_t = First::Newest)]
    sort: First,
}

/// What may be asked of a plan.
const TERMS: Terms = Terms {
    noun: "plans",
    keys: &[
        Field::Id,
        Field::Stage,
        Field::Created,
        Field::Since,
        Field::Seen,
    ],
    words: &[
        "ready", "running", "paused", "stopped", "done", "live", "ended",
    ],
};

fn filter(text: &str) -> Result<Query, String> {
    TERMS.read(text)
}

const ID: Column = Column {
    head: "ID",
    cell: |plan, _| member(plan, "id"),
};
const STATE: Column = Column {
    head: "STATE",
    cell: |plan, _| member(plan, "state"),
};
const STAGE: Column = Column {
    head: "STAGE",
    cell: |plan, _| member(&plan["selection"], "stage"),
};
const OF: Column = Column {
    head: "OF",
    cell: |plan, _| member(&plan["selection"], "source"),
};
const TICKETS: Column = Column {
    head: "TICKETS",
    cell: |plan, _| member(&plan["counts"], "total"),
};
const LEFT: Column = Column {
    head: "LEFT",
    cell: |plan, _| member(&plan["counts"], "left"),
};
const OUT: Column = Column {
    head: "OUT",
    cell: |plan, _| member(&plan["counts"], "out"),
};
const LANDED: Column = Column {
    head: "LANDED",
    cell: |plan, _| member(&plan["counts"], "landed"),
};
const FAILED: Column = Column {
    head: "FAILED",
    cell: |plan, _| member(&plan["counts"], "failed"),
};
const MADE: Column = Column {
    head: "MADE",
    cell: |plan, terminal| terminal.when(&member(plan, "created_at")),
};
const BY: Column = Column {
    head: "BY",
    cell: |plan, _| member(plan, "by"),
};
const WHY: Column = Column {
    head: "WHY",
    cell: |plan, _| member(plan, "why"),
};

const COLUMNS: &[Column] = &[
    ID, STATE, STAGE, OF, TICKETS, LEFT, OUT, LANDED, FAILED, MADE, BY, WHY,
];
/// What fits on a line of 80 characters with the whole id, so that it can be copied; the rest is
/// told by `plan show`.
const FOR_PEOPLE: &[Column] = &[ID, STATE, STAGE, TICKETS, LEFT, MADE];

/// Where plans come from, for whoever looks for one.
const NONE: &str = "there are no plans: one is made by itself when what was held lands again, \
                    or by goaround plan make --filter 'is:parked'";

impl List {
    pub(super) fn run(&self, client: &Client, terminal: &Terminal<'_>) -> Result<(), Failure> {
        let mut answer = client.get(&format!("plans?limit={PLANS_MAX}"))?;
        let is_none = items(&answer).is_empty();
        let mut picked = self.pick(items(&answer), terminal.now());
        let matching = picked.len();
        picked.truncate(usize::try_from(self.limit).unwrap_or(PLANS_MAX));
        let is_empty = picked.is_empty();
        let columns = match self.output {
            Format::Table if terminal.is_for_person() => FOR_PEOPLE,
            _ => COLUMNS,
        };
        answer["items"] = picked.into();
        print_list(&answer, columns, self.output, terminal)?;
        if is_empty && self.output == Format::Table {
            terminal.note(match is_none {
                true => NONE,
                false => "no plans match",
            });
        }
        let shown = items(&answer).len();
        if matching > shown {
            terminal.note(&format!(
                "these are {shown} of {matching}; --limit shows more, --filter fewer"
            ));
        }
        Ok(())
    }

    /// There are few plans, so they are filtered here.
    fn pick(&self, plans: &[Json], now: Timestamp) -> Vec<Json> {
        let query = self.filter.clone().unwrap_or_default();
        let matching = plans.iter().filter(|plan| query.matches(&Asked(plan), now));
        let mut picked: Vec<Json> = matching.cloned().collect();
        match self.sort {
            First::Newest => {}
            First::Oldest => picked.reverse(),
        }
        picked
    }
}

/// A plan that a filter looks at.
struct Asked<'a>(&'a Json);

impl Facts for Asked<'_> {
    fn values(&self, field: Field) -> Vec<Cow<'_, str>> {
        let text = |value: &Json| match value {
            Json::Null => Vec::new(),
            value => vec![as_text(value).into()],
        };
        match field {
            terms::STATE => {
                let state = member(self.0, "state");
                let is_over = matches!(state.as_str(), "done" | "stopped");
                let word = if is_over { "ended" } else { "live" };
                vec![state.into(), word.into()]
            }
            Field::Id => text(&self.0["id"]),
            Field::Stage => text(&self.0["selection"]["stage"]),
            _ => Vec::new(),
        }
    }

    fn number(&self, _: Field) -> Option<f64> {
        None
    }

    fn time(&self, field: Field) -> Option<Timestamp> {
        match field {
            Field::Created => member(self.0, "created_at").parse().ok(),
            Field::Since | Field::Seen => member(self.0, "moved_at").parse().ok(),
            _ => None,
        }
    }

    fn has_text(&self, needle_lowercase: &str) -> bool {
        let selection = &self.0["selection"];
        let texts = [
            member(self.0, "id"),
            member(self.0, "by"),
            member(self.0, "why"),
            member(selection, "filter"),
            member(selection, "source"),
            member(selection, "signature"),
        ];
        texts
            .iter()
            .any(|text| text.to_lowercase().contains(needle_lowercase))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plans_are_filtered_by_the_one_grammar_and_their_own_words() {
        let plan = |id: &str, state: &str, stage: &str| {
            json!({
                "id": id, "state": state, "created_at": "2026-11-21T14:03:22.120Z",
                "selection": { "stage": stage, "source": "held", "filter": "kind:f42" },
            })
        };
        let plans = [
            plan("a", "running", "build"),
            plan("b", "stopped", "build"),
            plan("c", "done", "test"),
        ];
        let ids = |filter: &str, sort| {
            let list = List {
                output: Format::Name,
                filter: Some(super::filter(filter).unwrap()),
                limit: 10,
                sort,
            };
            let picked = list.pick(&plans, "2026-11-21T14:15:00Z".parse().unwrap());
            let ids: Vec<String> = picked.iter().map(|plan| member(plan, "id")).collect();
            ids.join(" ")
        };
        assert_eq!(ids("is:live", First::Newest), "a");
        assert_eq!(ids("is:ended", First::Oldest), "c b");
        assert_eq!(ids("stage:build held", First::Newest), "a b");
        assert_eq!(ids("is:stopped,done", First::Newest), "b c");
        assert_eq!(
            ids("-is:stopped (is:ready OR is:running)", First::Newest),
            "a"
        );
        assert_eq!(ids("created:-1h F42", First::Newest), "a b c");
        assert_eq!(ids("created:-1m", First::Newest), "");
        let refused = super::filter("is:parked").unwrap_err();
        assert!(
            refused.contains("one of ready, running, paused"),
            "{refused}"
        );
    }
}
