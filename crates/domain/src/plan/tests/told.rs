//! What the trail tells of a release when it is over.

use super::*;

#[test]
fn the_trail_tells_on_which_terms_a_release_began() {
    let mut others = terms("5");
    others.rate = "10/s".parse().ok();
    others.stop.same = Some(signature(7));
    let mut never = terms("all");
    never.order = Order::NewestFirst;
    never.stop.percent_max = 100;
    for (given, says) in [
        (
            others,
            format!(
                "released everything, 500 tickets, in steps of 5,all at 10/s, the oldest first; \
                 stops when a step before the last fails and nothing of it lands; when more than \
                 5 % of the last 100 failed, once 20 have ended; when {} comes back",
                signature(7)
            ),
        ),
        (
            never,
            "released everything, 500 tickets, in steps of all at full speed, the newest first; \
             stops never by itself"
                .into(),
        ),
    ] {
        let mut plan = Plan::new(draft(500, Terms::default()), by(0));
        let all = Release {
            choice: Choice::Everything,
            count: 500,
            terms: Some(given),
        };
        plan.release(all, by(1)).unwrap();
        plan.stop(by(2)).unwrap();
        assert_eq!(plan.trail.deeds[1].what, says);
    }
}

#[test]
fn what_is_said_of_a_release_fits_into_its_trail() {
    let group = GroupName {
        facet: Facet::Key,
        value: "x".repeat(GroupName::VALUE_BYTES_MAX),
    };
    let mut longest = Terms {
        rate: "100000/s".parse().ok(),
        ramp: Ramp::of(&[1_000_000; Ramp::STEPS_MAX]),
        ..Terms::default()
    };
    longest.stop.same = Some(signature(7));
    let mut plan = Plan::new(draft(500, longest), by(0));
    let release = Release {
        choice: Choice::Group(group),
        count: 500,
        terms: None,
    };
    plan.release(release, by(1)).unwrap();
    let what = &plan.trail.deeds[1].what;
    assert!(what.ends_with("comes back"), "{what}");
}
