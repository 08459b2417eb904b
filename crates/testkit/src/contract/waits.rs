//! Promises of `Waits`.

use super::Stand;
use super::stand::{count, failed, pending_for, stage};
use domain::books::State;
use domain::delivery::{Delivery, Started};
use domain::outcome::{Failure, Outcome};
use domain::ports::{Action, Retention, Round};
use domain::retry::Chance;
use domain::settlement::Decision;
use domain::ticket::{Attempt, Name};
use domain::time::Timestamp;
use domain::verdict::{Case, Verdict, judge};
use domain::wait::Reason;
use std::time::Duration;
use tokio::time::timeout;

super::suite!(waits_contract waits ($)
    a_back_off_ends_in_time_and_not_before,
    what_is_released_is_delivered_under_its_next_attempt,
    not_now_is_released_at_the_time_that_the_handler_named,
    a_round_releases_the_oldest_first_and_not_too_many,
    the_next_end_of_a_wait_is_known,
    only_time_releases_by_time,
    a_changed_handler_releases_what_waited_for_it,
    a_suspect_is_a_case_until_it_is_judged,
    a_pending_ticket_is_a_case_when_it_is_overdue,
    no_more_cases_are_handed_out_than_asked_for,
    a_verdict_reports_the_attempt_and_lets_the_ticket_go_around,
    a_verdict_counts_once,
    a_verdict_about_a_name_that_is_over_changes_nothing,
    an_attempt_that_died_after_its_ticket_was_cancelled_is_still_a_case,
    a_new_wait_calls_for_attention,
    a_suspect_calls_for_attention,
    what_ended_long_ago_is_forgotten_and_the_sums_stay,
    only_the_newest_that_ended_are_kept,
);

const SECOND: Duration = Duration::from_secs(1);

async fn release(stand: &Stand, max: usize) -> Round {
    let round = stand.world().waits().release(stand.now(), count(max)).await;
    round.expect("the waits can be released")
}

async fn cases(stand: &Stand) -> Vec<Case> {
    let cases = stand.world().waits().cases(stand.now(), count(100)).await;
    cases.expect("the waits can be read")
}

/// Brings a started ticket through the one door.
async fn doubt(stand: &Stand, started: Delivery<Started>) -> Name {
    let name = started.ticket().name;
    drop(started);
    let mut consumer = stand.consume("build", 1).await;
    let suspect = stand.suspect(&mut *consumer).await;
    stand.settle(suspect.doubt(stand.now())).await;
    name
}

async fn suspect(stand: &Stand) -> Name {
    let started = stand.started(stand.ticket("build")).await;
    doubt(stand, started).await
}

/// Judges a case as the controller does: first the report, then the verdict.
async fn verdict(stand: &Stand, case: &Case) -> Verdict {
    let rules = stand.flows().stage(&case.ticket.stage);
    let decision = Decision {
        stage: rules.expect("the stage is configured"),
        flows: stand.flows(),
        now: stand.now(),
        chance: Chance::new(0.5),
    };
    let judgement = judge(case, &Stand::scene(), &decision);
    let judgement = judgement.expect("it is the controller's to judge");
    if let Some(report) = judgement.report {
        let recorded = stand.world().oopses().record(report).await;
        recorded.expect("the report is durable");
    }
    judgement.verdict
}

async fn pass(stand: &Stand, verdicts: Vec<Verdict>) -> u64 {
    let judged = stand.world().waits().judge(verdicts).await;
    judged.expect("the verdicts are carried out")
}

/// Time decides, to the moment.
pub async fn a_back_off_ends_in_time_and_not_before(stand: Stand) {
    let id = stand.attempted(stand.ticket("build"), failed()).await;
    stand.skip(SECOND - Duration::from_micros(1));
    let round = release(&stand, 10).await;
    // A real clock may have moved on a little by itself; then the release is right as well.
    if stand.place(id).await.state() == State::Waiting {
        assert_eq!(round.released, 0);
        stand.skip(Duration::from_micros(1));
        assert_eq!(release(&stand, 10).await.released, 1);
    }
    assert_eq!(stand.place(id).await.state(), State::Runnable);
    assert_eq!(release(&stand, 10).await.released, 0);
}

/// The name was made when it began to wait.
pub async fn what_is_released_is_delivered_under_its_next_attempt(stand: Stand) {
    let id = stand.attempted(stand.ticket("build"), failed()).await;
    stand.skip(SECOND);
    release(&stand, 10).await;
    let mut consumer = stand.consume("build", 1).await;
    let delivery = stand.fresh(&mut *consumer).await;
    assert_eq!(delivery.ticket().name, Name::first(id).charged());
}

/// No attempt is spent.
pub async fn not_now_is_released_at_the_time_that_the_handler_named(stand: Stand) {
    let not_now = Outcome::NotNow {
        after: Some(60 * SECOND),
    };
    let id = stand.attempted(stand.ticket("build"), not_now).await;
    stand.skip(59 * SECOND);
    assert_eq!(release(&stand, 10).await.released, 0);
    stand.skip(SECOND);
    assert_eq!(release(&stand, 10).await.released, 1);
    assert_eq!(stand.entry(id).await.ticket.name.attempt, Attempt(1));
}

/// A round has a bound, and nobody is forgotten.
pub async fn a_round_releases_the_oldest_first_and_not_too_many(stand: Stand) {
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(stand.attempted(stand.ticket("build"), failed()).await);
        stand.skip(Duration::from_millis(10));
    }
    stand.skip(SECOND);
    assert_eq!(release(&stand, 2).await.released, 2);
    stand.waits_as(ids[2], Reason::Backoff).await;
    assert_eq!(release(&stand, 2).await.released, 1);
    assert_eq!(stand.balance().await.runnable, 3);
}

/// So that the controller can sleep until then.
pub async fn the_next_end_of_a_wait_is_known(stand: Stand) {
    assert_eq!(release(&stand, 10).await.next, None);
    let overdue = pending_for(90 * SECOND);
    stand.attempted(stand.ticket("test"), overdue).await;
    let pending_until = stand.now().plus(90 * SECOND);
    let next = release(&stand, 10).await.next;
    assert!(next.is_some_and(|next| next <= pending_until), "{next:?}");
    let id = stand.attempted(stand.ticket("build"), failed()).await;
    let until = stand.condition(id).await.until();
    assert_eq!(release(&stand, 10).await.next, until);
}

/// Everything else waits for somebody.
pub async fn only_time_releases_by_time(stand: Stand) {
    let parked = Outcome::Rejected(Failure::new("Bad", "bad"));
    stand.attempted(stand.ticket("build"), parked).await;
    stand.submit(stand.ticket("nowhere")).await;
    stand
        .attempted(stand.ticket("build"), pending_for(SECOND))
        .await;
    suspect(&stand).await;
    stand.skip(10_000 * SECOND);
    assert_eq!(release(&stand, 10).await.released, 0);
    assert_eq!(stand.balance().await.waiting_total(), 4);
}

/// Repair releases, and only its own stage.
pub async fn a_changed_handler_releases_what_waited_for_it(stand: Stand) {
    let unstartable = || Outcome::Unstartable(Failure::new("NoSuchFile", "./build.sh"));
    let here = stand.attempted(stand.ticket("build"), unstartable()).await;
    let there = stand.attempted(stand.ticket("test"), unstartable()).await;
    stand.waits_as(here, Reason::Held).await;
    let released = stand
        .world()
        .waits()
        .unhold(&stage("build"), stand.now())
        .await;
    assert_eq!(released.expect("the waits can be released"), 1);
    assert_eq!(stand.place(here).await.state(), State::Runnable);
    stand.waits_as(there, Reason::Held).await;
    let mut consumer = stand.consume("build", 1).await;
    assert_eq!(stand.fresh(&mut *consumer).await.ticket().id(), here);
}

/// Nobody but the controller answers it.
pub async fn a_suspect_is_a_case_until_it_is_judged(stand: Stand) {
    assert_eq!(cases(&stand).await, []);
    let name = suspect(&stand).await;
    let found = cases(&stand).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].ticket.name, name);
    assert_eq!(found[0].wait.condition.reason(), Reason::Suspect);
    let verdict = verdict(&stand, &found[0]).await;
    assert_eq!(pass(&stand, vec![verdict]).await, 1);
    assert_eq!(cases(&stand).await, []);
}

/// A call-back that does not come is a time-out.
pub async fn a_pending_ticket_is_a_case_when_it_is_overdue(stand: Stand) {
    let id = stand
        .attempted(stand.ticket("build"), pending_for(60 * SECOND))
        .await;
    stand.skip(59 * SECOND);
    assert_eq!(cases(&stand).await, []);
    stand.skip(SECOND);
    let found = cases(&stand).await;
    assert_eq!(found.len(), 1);
    let ran_on = Stand::scene().version.clone();
    assert_eq!(found[0].version, Some(ran_on.clone()));
    let verdict = verdict(&stand, &found[0]).await;
    let died = verdict.died.as_ref().expect("an attempt has failed");
    assert_eq!(died.version, ran_on, "and no other version is to blame");
    assert_eq!(pass(&stand, vec![verdict]).await, 1);
    stand.waits_as(id, Reason::Backoff).await;
}

/// A round has a bound.
pub async fn no_more_cases_are_handed_out_than_asked_for(stand: Stand) {
    for _ in 0..3 {
        suspect(&stand).await;
    }
    let two = stand.world().waits().cases(stand.now(), count(2)).await;
    assert_eq!(two.expect("the waits can be read").len(), 2);
}

/// The death counts as an attempt, is told once, and the ticket goes on under a new name.
pub async fn a_verdict_reports_the_attempt_and_lets_the_ticket_go_around(stand: Stand) {
    let name = suspect(&stand).await;
    let found = cases(&stand).await;
    let verdict = verdict(&stand, &found[0]).await;
    pass(&stand, vec![verdict]).await;
    let entry = stand.entry(name.ticket).await;
    assert_eq!(entry.ticket.name, name.renewed().charged());
    assert_eq!(entry.oopses.len(), 1);
    stand.waits_as(name.ticket, Reason::Trial).await;
    stand.skip(2 * SECOND);
    assert_eq!(release(&stand, 10).await.released, 1);
}

/// Carrying it out again is harmless.
pub async fn a_verdict_counts_once(stand: Stand) {
    suspect(&stand).await;
    let found = cases(&stand).await;
    let verdict = verdict(&stand, &found[0]).await;
    assert_eq!(pass(&stand, vec![verdict.clone()]).await, 1);
    assert_eq!(pass(&stand, vec![verdict]).await, 0);
}

/// What an operator decided in the meantime stays decided.
pub async fn a_verdict_about_a_name_that_is_over_changes_nothing(stand: Stand) {
    let id = stand
        .attempted(stand.ticket("build"), pending_for(SECOND))
        .await;
    stand.skip(SECOND);
    let found = cases(&stand).await;
    let verdict = verdict(&stand, &found[0]).await;
    let retried = stand.done(id, Action::Retry).await;
    assert_eq!(pass(&stand, vec![verdict]).await, 0);
    assert_eq!(stand.entry(id).await.ticket.name, retried.ticket.name);
    assert_eq!(stand.place(id).await.state(), State::Runnable);
}

/// Each attempt that went wrong has its report, whatever became of the ticket.
pub async fn an_attempt_that_died_after_its_ticket_was_cancelled_is_still_a_case(mut stand: Stand) {
    let started = stand.started(stand.ticket("build")).await;
    let name = started.ticket().name;
    stand.done(name.ticket, Action::Cancel).await;
    stand.crash().await;
    drop(started);
    if stand.has_journal() {
        // Whoever buries the holder reports it; the ticket is no question any more.
        assert_eq!(cases(&stand).await, []);
        assert_eq!(stand.place(name.ticket).await.state(), State::Dropped);
        assert_eq!(stand.entry(name.ticket).await.oopses.len(), 1);
        return;
    }
    let found = cases(&stand).await;
    assert_eq!(found.len(), 1, "the attempt died and nobody told");
    assert_eq!(found[0].ticket.name, name);
    let verdict = verdict(&stand, &found[0]).await;
    pass(&stand, vec![verdict]).await;
    assert_eq!(cases(&stand).await, []);
    assert_eq!(stand.place(name.ticket).await.state(), State::Dropped);
    assert_eq!(stand.entry(name.ticket).await.oopses.len(), 1);
}

async fn is_called(stand: &Stand) -> bool {
    let attention = stand.world().waits();
    timeout(10 * SECOND, attention.attention()).await.is_ok()
}

/// The controller sleeps until it is needed.
pub async fn a_new_wait_calls_for_attention(stand: Stand) {
    let ticket = stand.ticket("build");
    let (is_called, _) = tokio::join!(is_called(&stand), stand.attempted(ticket, failed()));
    assert!(is_called, "a back-off has begun");
}

/// So does a question.
pub async fn a_suspect_calls_for_attention(stand: Stand) {
    let (is_called, _) = tokio::join!(is_called(&stand), suspect(&stand));
    assert!(is_called, "there is a suspect");
}

async fn retain(stand: &Stand, before: Timestamp, tickets_max: u64) -> u64 {
    let retention = Retention {
        before,
        tickets_max,
    };
    let forgotten = stand.world().waits().retain(retention).await;
    forgotten.expect("the books can be tidied")
}

/// The disk does not fill, and the sums do not change; what is counted one by one is what is left.
pub async fn what_ended_long_ago_is_forgotten_and_the_sums_stay(stand: Stand) {
    let old = stand
        .attempted(stand.ticket("build"), Outcome::done())
        .await;
    let cancelled = stand.submit(stand.ticket("build")).await;
    stand.done(cancelled, Action::Cancel).await;
    let waiting = stand.attempted(stand.ticket("build"), failed()).await;
    stand.skip(60 * SECOND);
    let before = stand.now();
    stand.skip(SECOND);
    let new = stand
        .attempted(stand.ticket("build"), Outcome::done())
        .await;
    let sums = stand.balance().await;
    assert_eq!(retain(&stand, before, u64::MAX).await, 2);
    assert_eq!(stand.balance().await, sums);
    let left = stand
        .world()
        .catalog()
        .balance(Some(Timestamp::EPOCH))
        .await;
    let left = left.expect("the books can be read");
    // The one that waits may have been released by now.
    assert_eq!([left.accepted, left.done, left.dropped], [2, 1, 0]);
    assert!(left.is_balanced(), "{left:?}");
    let gone = stand.world().catalog().ticket(old).await;
    assert_eq!(gone.expect("the books can be read"), None);
    stand.entry(new).await;
    stand.entry(waiting).await;
    assert_eq!(retain(&stand, before, u64::MAX).await, 0);
}

/// A number bounds them too.
pub async fn only_the_newest_that_ended_are_kept(stand: Stand) {
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(
            stand
                .attempted(stand.ticket("build"), Outcome::done())
                .await,
        );
        stand.skip(SECOND);
    }
    assert_eq!(retain(&stand, Timestamp::EPOCH, 1).await, 2);
    let oldest = stand.world().catalog().ticket(ids[0]).await;
    assert_eq!(oldest.expect("the books can be read"), None);
    stand.entry(ids[2]).await;
    assert_eq!(stand.balance().await.done, 3);
}
