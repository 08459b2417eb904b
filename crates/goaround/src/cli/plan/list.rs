//! The list of plans, filtered by the one grammar.

use super::First;
use crate::cli::failure::Failure;
use crate::cli::local::Noun;
use crate::cli::output::{Column, member, texts};
use crate::cli::table::Table;
use crate::cli::terminal::Terminal;
use crate::cli::terms::{self, Terms};
use domain::filter::Field;
use serde_json::Value as Json;

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

impl Noun for First {
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
    const EXAMPLE: &'static str = "is:live stage:build created:-1h";
    const COLUMNS: &'static [Column] = COLUMNS;
    const FIRST: Self = Self::Newest;
    const LIMIT: u64 = 100;
    const NONE: &'static str = NONE;

    fn values(plan: &Json, field: Field) -> Vec<String> {
        match field {
            terms::STATE => {
                let state = member(plan, "state");
                let is_over = matches!(state.as_str(), "done" | "stopped");
                let word = if is_over { "ended" } else { "live" };
                vec![state, word.into()]
            }
            Field::Id => texts(&plan["id"]),
            Field::Stage => texts(&plan["selection"]["stage"]),
            Field::Created => texts(&plan["created_at"]),
            Field::Since | Field::Seen => texts(&plan["moved_at"]),
            _ => Vec::new(),
        }
    }

    fn texts(plan: &Json) -> Vec<String> {
        let selection = &plan["selection"];
        vec![
            member(plan, "id"),
            member(plan, "by"),
            member(plan, "why"),
            member(selection, "filter"),
            member(selection, "source"),
            member(selection, "signature"),
        ]
    }

    fn sort(self, plans: &mut [Json]) {
        match self {
            Self::Newest => {}
            Self::Oldest => plans.reverse(),
        }
    }

    fn show(plans: &[Json], terminal: &Terminal<'_>) -> Result<(), Failure> {
        terminal.print(&Table::of(plans, FOR_PEOPLE, terminal).render(terminal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::local::tests::picked;
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
        let ids = |filter: &str, sort: First| {
            let picked = picked(&plans, filter, sort);
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
        let refused = First::TERMS.read("is:parked").unwrap_err();
        assert!(
            refused.contains("one of ready, running, paused"),
            "{refused}"
        );
    }
}
