//! A release plan as JSON: which tickets, on which terms, and what has become of them.

use super::terms::TermsJson;
use domain::breaker::Scope;
use domain::plan::{Counts, Deed, Goal, Group, Plan, Selection};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A release plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanJson {
    /// Which plan.
    pub id: String,
    /// `ready`, `running`, `paused`, `stopped` or `done`.
    pub state: String,
    /// Why it has stopped, or why there was nothing to release.
    pub why: Option<String>,
    /// When it was made.
    pub created_at: Option<String>,
    /// Who made it.
    pub by: Option<String>,
    /// When something last moved.
    pub moved_at: String,
    /// Which tickets.
    pub selection: SelectionJson,
    /// What has become of them.
    pub counts: CountsJson,
    /// The largest groups, largest first; groups of different facets overlap.
    pub groups: Vec<GroupJson>,
    /// How many more groups there are. They can be named all the same.
    pub groups_left_out: u64,
    /// How its tickets are released unless a release says otherwise.
    pub terms: TermsJson,
    /// The releases: the first is under way, the others are in line.
    pub releases: Vec<ReleasingJson>,
    /// The breaker that waits for its end: `stage`, or a signature.
    pub repairs: Option<String>,
    /// When it will be done, by its rate and by what was seen so far; `null` when nobody can tell.
    pub estimate: Option<String>,
    /// Who did what, oldest first.
    pub trail: Vec<DeedJson>,
    /// How many deeds are left out, after the first ones.
    pub trail_left_out: u64,
}

/// The tickets of a plan, frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectionJson {
    /// Where they are until they are released: the reason that they wait for, `waiting` for
    /// whatever a person may end, or `queue`.
    pub source: String,
    /// At which stage; `null` is any.
    pub stage: Option<String>,
    /// With which last failure; `null` is any.
    pub signature: Option<String>,
    /// The filter as it was asked for.
    pub filter: String,
    /// What came to wait after that is not among them.
    pub cutoff: String,
}

/// What has become of the tickets: each is released, dropped, gone or left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsJson {
    /// In the selection when it was frozen.
    pub total: u64,
    /// Still waiting for the plan.
    pub left: u64,
    /// Made runnable by the plan.
    pub released: u64,
    /// Released, and not at the end of an attempt yet.
    pub out: u64,
    /// Released, and the next attempt went well.
    pub landed: u64,
    /// Released, and the next attempt went wrong.
    pub failed: u64,
    /// Released, and the next attempt decided nothing or never came.
    pub undecided: u64,
    /// Given up by the plan.
    pub dropped: u64,
    /// Moved on by somebody else before the plan came to them.
    pub gone: u64,
}

/// Tickets of a plan that have something in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupJson {
    /// Its name, for example `kind=f42`.
    pub name: String,
    /// How many there were when the plan was made.
    pub count: u64,
}

/// A release that is under way or in line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleasingJson {
    /// Which tickets: `everything`, or a group.
    pub choice: String,
    /// How many there were when it was asked for.
    pub count: u64,
    /// How many were released.
    pub released: u64,
    /// Which step of the ramp, counted from 1.
    pub step: u64,
    /// How many go in that step; `null` is all the rest.
    pub step_size: Option<u64>,
    /// How.
    pub terms: TermsJson,
}

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeedJson {
    /// When.
    pub at: String,
    /// By whom.
    pub by: String,
    /// What, in words.
    pub what: String,
}

impl PlanJson {
    /// The plan in JSON's words, as it is `now`.
    pub fn new(plan: &Plan, now: Timestamp) -> Self {
        let made = plan.trail.deeds.first();
        Self {
            id: plan.id.to_string(),
            state: plan.state.as_str().into(),
            why: plan.why(),
            created_at: made.map(|deed| deed.at.to_string()),
            by: made.map(|deed| deed.by.clone()),
            moved_at: plan.moved_at.to_string(),
            selection: SelectionJson::new(&plan.selection),
            counts: CountsJson::new(&plan.counts),
            groups: plan.groups.shown.iter().map(GroupJson::new).collect(),
            groups_left_out: plan.groups.left_out,
            terms: TermsJson::new(&plan.terms),
            releases: plan.goals.iter().map(ReleasingJson::new).collect(),
            repairs: plan.repairs.map(|scope| match scope {
                Scope::Stage => "stage".into(),
                Scope::Signature(signature) => signature.to_string(),
            }),
            estimate: plan.estimate(now).map(|at| at.to_string()),
            trail: plan.trail.deeds.iter().map(DeedJson::new).collect(),
            trail_left_out: plan.trail.left_out,
        }
    }
}

impl SelectionJson {
    fn new(selection: &Selection) -> Self {
        Self {
            source: selection.source.as_str().into(),
            stage: selection.stage.as_ref().map(ToString::to_string),
            signature: selection.signature.map(|it| it.to_string()),
            filter: selection.filter.clone(),
            cutoff: selection.cutoff.to_string(),
        }
    }
}

impl CountsJson {
    const fn new(counts: &Counts) -> Self {
        Self {
            total: counts.total,
            left: counts.left(),
            released: counts.released,
            out: counts.out(),
            landed: counts.landed,
            failed: counts.failed,
            undecided: counts.undecided,
            dropped: counts.dropped,
            gone: counts.gone,
        }
    }
}

impl GroupJson {
    fn new(group: &Group) -> Self {
        Self {
            name: group.name.to_string(),
            count: group.count,
        }
    }
}

impl ReleasingJson {
    fn new(goal: &Goal) -> Self {
        Self {
            choice: goal.choice.to_string(),
            count: goal.count,
            released: goal.released,
            step: goal.step.number as u64 + 1,
            step_size: goal.step_size(),
            terms: TermsJson::new(&goal.terms),
        }
    }
}

impl DeedJson {
    fn new(deed: &Deed) -> Self {
        Self {
            at: deed.at.to_string(),
            by: deed.by.clone(),
            what: deed.what.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::names::StageName;
    use domain::plan::{By, Choice, Draft, Groups, PlanId, Release, Source, Terms, TicketEnd};
    use domain::wait::Reason;

    fn plan() -> Plan {
        let id: PlanId = "0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f".parse().unwrap();
        let group = Group {
            name: "kind=f42".parse().unwrap(),
            count: 3,
        };
        let draft = Draft {
            id,
            selection: Selection {
                source: Source::Waiting(Reason::Held),
                stage: StageName::new("build").ok(),
                signature: "v1-0f3a9c5e77b2d104".parse().ok(),
                filter: "is:held".into(),
                cutoff: Timestamp::EPOCH,
                count: 3,
            },
            groups: Groups::of(vec![group]),
            terms: Terms::default(),
            repairs: None,
        };
        Plan::new(draft, by())
    }

    fn by() -> By<'static> {
        By {
            who: "ana",
            at: Timestamp::EPOCH,
        }
    }

    #[test]
    fn a_plan_tells_what_it_is_about_and_where_it_stands() {
        let mut plan = plan();
        let all = Release {
            choice: Choice::Everything,
            count: 3,
            terms: None,
        };
        plan.release(all, by()).unwrap();
        plan.released(1, Timestamp::EPOCH).unwrap();
        let json = PlanJson::new(&plan, Timestamp::EPOCH);
        assert_eq!((json.state.as_str(), json.why), ("running", None));
        assert_eq!((json.by.as_deref(), json.trail.len()), (Some("ana"), 2));
        assert_eq!(
            (json.counts.total, json.counts.left, json.counts.out),
            (3, 2, 1)
        );
        assert_eq!(
            (json.groups[0].name.as_str(), json.groups[0].count),
            ("kind=f42", 3)
        );
        let release = &json.releases[0];
        assert_eq!((release.choice.as_str(), release.step), ("everything", 1));
        assert_eq!(
            (release.count, release.released, release.step_size),
            (3, 1, Some(1))
        );
        let selection = json.selection;
        assert_eq!(
            (selection.source.as_str(), selection.filter.as_str()),
            ("held", "is:held")
        );
        assert_eq!(selection.signature.as_deref(), Some("v1-0f3a9c5e77b2d104"));
    }

    #[test]
    fn a_plan_that_has_stopped_says_why() {
        let mut plan = plan();
        let all = Release {
            choice: Choice::Everything,
            count: 3,
            terms: None,
        };
        plan.release(all, by()).unwrap();
        plan.released(1, Timestamp::EPOCH).unwrap();
        plan.ended(&TicketEnd::Failed(None), Timestamp::EPOCH);
        let json = PlanJson::new(&plan, Timestamp::EPOCH);
        assert_eq!(json.state, "stopped");
        assert_eq!(
            json.why.as_deref(),
            Some("the only one of its step did not land")
        );
        assert_eq!((json.counts.failed, json.counts.left), (1, 2));
    }

    #[test]
    fn a_plan_of_nothing_says_so() {
        let selection = Selection {
            count: 0,
            ..plan().selection
        };
        let draft = Draft {
            id: plan().id,
            selection,
            groups: Groups::default(),
            terms: Terms::default(),
            repairs: Some(Scope::Stage),
        };
        let json = PlanJson::new(&Plan::new(draft, by()), Timestamp::EPOCH);
        assert_eq!(json.state, "done");
        let why = "no ticket waited for it, so there is nothing to release";
        assert_eq!(json.why.as_deref(), Some(why));
        assert_eq!(json.trail[0].what, format!("made it: {why}"));
    }
}
