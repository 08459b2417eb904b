//! Plans that release the queue of a stage: the books cannot name its tickets.

use super::*;

fn stage_plan() -> Plan {
    let mut draft = draft(50, terms("10"));
    draft.selection.source = Source::Queue;
    draft.selection.signature = None;
    draft.repairs = Some(Scope::Stage);
    let mut plan = Plan::new(draft, by(0));
    plan.release(of(Choice::Everything, 50), by(0)).unwrap();
    plan
}

#[test]
fn what_is_in_a_queue_is_given_up_by_nobody() {
    let mut plan = stage_plan();
    plan.stop(by(1)).unwrap();
    let before = plan.clone();
    let refused = plan
        .drop_of(&Choice::Everything, "too old", by(2))
        .unwrap_err();
    assert_eq!(refused, Refusal::Queued("build".into()));
    assert_eq!(plan, before, "its trail does not say that it was dropped");
}

#[test]
fn a_stopped_release_of_a_queue_begins_again_with_a_canary() {
    let mut plan = stage_plan();
    plan.stop(by(1)).unwrap();
    let refused = plan.release(of(Choice::Everything, 0), by(2)).unwrap_err();
    assert_eq!(refused, Refusal::Queued("build".into()));
    assert!(refused.remedy().contains("stage probe"), "{refused}");
}

#[test]
fn nobody_is_told_to_release_what_they_want_to_stop() {
    let mut plan = stage_plan();
    plan.stop(by(1)).unwrap();
    let refused = plan.stop(by(2)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the plan is stopped: there is nothing to stop"
    );
    assert!(
        !refused.remedy().contains("release"),
        "{}",
        refused.remedy()
    );
}
