//! Tickets that are refused when they are released: parked again, which nobody wanted.

use super::*;

#[test]
fn a_release_whose_tickets_are_refused_stops() {
    let mut plan = Plan::new(draft(12, terms("2,4")), by(0));
    plan.release(of(Choice::Everything, 12), by(0)).unwrap();
    plan.released(2, at(1)).unwrap();
    plan.ended(&TicketEnd::Rejected, at(2));
    plan.ended(&TicketEnd::Rejected, at(3));
    assert_eq!(plan.state, State::Stopped(Why::Barren { released: 2 }));
    assert_eq!((plan.counts.failed, plan.counts.left()), (2, 10));
}

#[test]
fn in_a_queue_a_ticket_that_is_refused_shows_that_its_stage_works() {
    let mut draft = draft(12, terms("2"));
    draft.selection.source = Source::Queue;
    let mut plan = Plan::new(draft, by(0));
    plan.release(of(Choice::Everything, 12), by(0)).unwrap();
    plan.released(2, at(1)).unwrap();
    plan.ended(&TicketEnd::Rejected, at(2));
    plan.ended(&TicketEnd::Rejected, at(3));
    assert_eq!((plan.state.as_str(), plan.counts.landed), ("running", 2));
}
