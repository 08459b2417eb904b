//! Promises of trials: whoever was in hand when a process died is tried alone before it is charged.

mod endings;

use super::Stand;
use super::shop::{Shop, bad, good};
use super::stand::failed;
use domain::books::{Place, State};
use domain::explain::explain;
use domain::names::Key;
use domain::outcome::Outcome;
use domain::ports::Action;
use domain::ticket::Ticket;
use domain::trial::Company;
use domain::wait::Reason;
use std::time::Duration;

pub use endings::{
    a_crash_on_trial_is_charged_and_tried_again,
    a_process_that_dies_with_one_in_it_charges_that_one,
    a_process_that_dies_with_others_in_it_charges_nobody,
    a_trial_that_was_broken_off_is_made_again, an_attempt_that_never_began_ends_no_trial,
    an_orderly_end_ends_the_trial, what_is_handed_back_unstarted_is_still_on_trial,
};

super::suite!(trials_contract trials ($)
    whoever_died_in_company_is_reported_and_not_charged,
    they_are_tried_one_at_a_time_and_alone,
    judged_one_by_one_the_last_is_a_bystander_too,
    an_attempt_that_was_cancelled_was_in_company_all_the_same,
    what_was_only_in_hand_is_no_company,
    whoever_died_by_itself_is_charged_and_tried_alone,
    whoever_dies_on_trial_is_the_one,
    each_stage_has_its_own_trials,
    a_trial_outlives_its_process,
    a_ticket_that_keeps_taking_its_process_along_is_held_and_comes_out_alone,
    a_process_that_dies_with_others_in_it_charges_nobody,
    a_process_that_dies_with_one_in_it_charges_that_one,
    an_orderly_end_ends_the_trial,
    an_attempt_that_never_began_ends_no_trial,
    a_crash_on_trial_is_charged_and_tried_again,
    a_trial_that_was_broken_off_is_made_again,
    what_is_handed_back_unstarted_is_still_on_trial,
    a_trial_that_is_blocked_is_not_waited_for,
    the_end_of_a_trial_calls_for_attention,
    a_trial_that_a_person_starts_is_a_trial,
    whoever_gives_up_the_one_on_trial_makes_room,
    a_newer_ticket_of_the_key_replaces_one_that_waits_for_its_trial,
    trials_are_counted_listed_and_explained,
);

/// Whose fault it was nobody knows yet.
pub async fn whoever_died_in_company_is_reported_and_not_charged(mut stand: Stand) {
    let started = stand.at_work("build", 3).await;
    let names = stand.die(started).await;
    let cases = stand.suspects(10).await;
    assert_eq!(cases.len(), 3);
    for case in &cases {
        let (beside, alone) = (2, false);
        assert_eq!(case.company, Company { beside, alone });
        stand.pass_judgement(case).await;
    }
    assert_eq!(stand.suspects(10).await, []);
    for name in names {
        let entry = stand.entry(name.ticket).await;
        assert_eq!(entry.ticket.name, name.renewed());
        assert_eq!(entry.oopses.len(), 1, "every attempt that died is told of");
        stand.waits_as(name.ticket, Reason::Trial).await;
    }
}

/// The mark goes with an attempt that ends in order.
pub async fn they_are_tried_one_at_a_time_and_alone(mut stand: Stand) {
    let tickets: Vec<Ticket> = (0..3).map(|_| stand.ci()).collect();
    let started = stand.all_started(tickets).await;
    stand.die(started).await;
    stand.judge_all().await;
    for left in (0..3).rev() {
        let on_trial = stand.tried("build").await;
        assert_eq!(on_trial.ticket().name.attempt.0, 1);
        let balance = stand.balance().await;
        assert_eq!(
            balance.waiting.get(&Reason::Trial).copied().unwrap_or(0),
            left
        );
        stand.nobody_is_tried("build").await;
        stand.end(on_trial, Outcome::done()).await;
        let mut handed_on = stand.consume("test", 1).await;
        let next = stand.fresh(&mut *handed_on).await;
        let next = stand.start(next).await;
        assert!(
            !next.is_alone(),
            "where it is handed on to it is like any other"
        );
        stand.end(next, Outcome::done()).await;
    }
    assert_eq!(stand.balance().await.done, 3);
}

/// In several rounds, and by another controller too. Whoever was judged first goes first.
pub async fn judged_one_by_one_the_last_is_a_bystander_too(mut stand: Stand) {
    let started = stand.at_work("build", 3).await;
    stand.die(started).await;
    let mut judged = Vec::new();
    for round in 0..3 {
        if round == 1 {
            stand.crash().await;
        }
        let cases = stand.suspects(1).await;
        let company = Company {
            beside: 2,
            alone: false,
        };
        assert_eq!(cases[0].company, company, "round {round}");
        stand.pass_judgement(&cases[0]).await;
        judged.push(cases[0].ticket.id());
        stand.skip(Duration::from_millis(10));
    }
    for id in judged {
        assert_eq!(stand.attempt_of(id).await, 1);
        let on_trial = stand.tried("build").await;
        assert_eq!(on_trial.ticket().id(), id);
        stand.end(on_trial, Outcome::done()).await;
    }
}

/// Its handler ran, and may have been the one.
pub async fn an_attempt_that_was_cancelled_was_in_company_all_the_same(mut stand: Stand) {
    let started = stand.at_work("build", 2).await;
    stand.done(started[0].ticket().id(), Action::Cancel).await;
    let names = stand.die(started).await;
    let cases = stand.suspects(10).await;
    let case = cases.iter().find(|it| it.ticket.name == names[1]);
    assert_eq!(case.expect("it is a suspect").company.beside, 1);
    stand.judge_all().await;
    stand.is_to_be_tried(names[1].ticket).await;
    assert_eq!(stand.place(names[0].ticket).await.state(), State::Dropped);
    assert_eq!(stand.entry(names[0].ticket).await.oopses.len(), 1);
}

/// No handler ran that could have done it.
pub async fn what_was_only_in_hand_is_no_company(mut stand: Stand) {
    let started = stand.started(stand.ticket("build")).await;
    stand.submit(stand.ticket("build")).await;
    let mut consumer = stand.consume("build", 1).await;
    let in_hand = stand.fresh(&mut *consumer).await;
    let name = stand.die(vec![started]).await[0];
    drop((in_hand, consumer));
    let cases = stand.suspects(10).await;
    let case = cases.iter().find(|it| it.ticket.name == name);
    assert_eq!(case.expect("it is a suspect").company, Company::default());
}

/// And not before its back-off is over.
pub async fn whoever_died_by_itself_is_charged_and_tried_alone(mut stand: Stand) {
    let started = stand.started(stand.ticket("build")).await;
    let name = stand.die(vec![started]).await[0];
    let case = stand.case().await;
    assert_eq!(case.company, Company::default());
    stand.pass_judgement(&case).await;
    let entry = stand.entry(name.ticket).await;
    assert_eq!(entry.ticket.name, name.renewed().charged());
    let until = stand.trial_at(name.ticket).await;
    assert_eq!(until, stand.now().plus(Duration::from_secs(1)));
    assert_eq!(stand.round().await.next, Some(until));
    stand.waits_as(name.ticket, Reason::Trial).await;
    stand.skip_to_trial(name.ticket).await;
    let on_trial = stand.tried("build").await;
    assert_eq!(on_trial.ticket().name, entry.ticket.name);
}

/// However many others were in that process.
pub async fn whoever_dies_on_trial_is_the_one(mut stand: Stand) {
    let name = stand.bereaved("build", 2).await[0];
    let on_trial = stand.tried("build").await;
    let guilty = on_trial.ticket().name;
    let mut in_hand = stand.at_work("test", 1).await;
    in_hand.push(on_trial);
    let bystander = stand.die(in_hand).await[0];
    for case in stand.suspects(10).await {
        let alone = case.ticket.name == guilty;
        assert_eq!(case.company, Company { beside: 1, alone });
        stand.pass_judgement(&case).await;
    }
    assert_eq!(stand.attempt_of(bystander.ticket).await, 1);
    assert_eq!(stand.attempt_of(guilty.ticket).await, 2);
    let until = stand.trial_at(guilty.ticket).await;
    assert!(until > stand.now(), "it backs off before it is tried again");
    let other = stand.tried("build").await;
    assert_ne!(
        other.ticket().id(),
        guilty.ticket,
        "the others need not wait for it"
    );
    assert_eq!(other.ticket().name.attempt, name.attempt);
}

/// They do not wait for each other.
pub async fn each_stage_has_its_own_trials(mut stand: Stand) {
    let mut started = stand.at_work("build", 2).await;
    started.extend(stand.at_work("test", 2).await);
    stand.die(started).await;
    stand.judge_all().await;
    let one = stand.tried("build").await;
    let other = stand.tried("test").await;
    stand.nobody_is_tried("build").await;
    stand.end(one, Outcome::done()).await;
    stand.end(other, Outcome::done()).await;
    for at in ["build", "test"] {
        let next = stand.tried(at).await;
        stand.end(next, Outcome::done()).await;
    }
}

/// The one that is out, and those that wait for it.
pub async fn a_trial_outlives_its_process(mut stand: Stand) {
    let names = stand.bereaved("build", 3).await;
    stand.crash().await;
    for name in &names {
        stand.is_to_be_tried(name.ticket).await;
    }
    stand.round().await;
    assert_eq!(stand.balance().await.runnable, 1);
    stand.crash().await;
    for _ in names {
        let on_trial = stand.tried("build").await;
        stand.end(on_trial, Outcome::done()).await;
    }
}

/// Whether it is tried by itself or released with others.
pub async fn a_ticket_that_keeps_taking_its_process_along_is_held_and_comes_out_alone(
    stand: Stand,
) {
    let mut shop = Shop::open(stand).await;
    let first = shop.killer().await;
    shop.deploy("1", bad).await;
    let canary = shop.canary().await;
    assert_eq!(canary.ticket().id(), first);
    assert!(canary.is_alone(), "a canary that was on trial still is");
    shop.crash().await;
    drop(canary);
    let case = shop.stand.case().await;
    assert!(case.company.alone);
    shop.stand.pass_judgement(&case).await;
    shop.held(first).await;
    assert_eq!(shop.stand.attempt_of(first).await, 7);
    shop.deploy("2", good).await;
    assert_eq!(shop.run().await, [1]);
    assert_eq!(shop.stand.place(first).await.state(), State::Done);
}

/// The controller sleeps while somebody is tried.
pub async fn a_trial_that_is_blocked_is_not_waited_for(mut stand: Stand) {
    stand.bereaved("build", 3).await;
    assert_eq!(
        stand.round().await.next,
        None,
        "two are due, and one is out"
    );
    let on_trial = stand.tried("build").await;
    stand.skip(Duration::from_secs(60));
    let round = stand.round().await;
    assert_eq!((round.released, round.next), (0, None));
    stand.end(on_trial, Outcome::done()).await;
    stand.round().await;
    let waiting = stand.balance().await.waiting;
    assert_eq!(waiting.get(&Reason::Trial), Some(&1));
}

/// So that the next one goes.
pub async fn the_end_of_a_trial_calls_for_attention(mut stand: Stand) {
    stand.bereaved("build", 3).await;
    for outcome in [Outcome::done(), failed()] {
        let on_trial = stand.tried("build").await;
        stand.has_attended().await;
        let (is_called, ()) = tokio::join!(stand.is_called(), stand.end(on_trial, outcome));
        assert!(is_called, "the next one can be tried");
    }
}

/// Whoever knows more may try, also beside another that is out.
pub async fn a_trial_that_a_person_starts_is_a_trial(mut stand: Stand) {
    let names = stand.bereaved("build", 3).await;
    let on_trial = stand.tried("build").await;
    let mut waiting = names.iter().map(|it| it.ticket);
    let id = waiting.find(|id| *id != on_trial.ticket().id());
    let entry = stand.done(id.expect("two wait"), Action::Retry).await;
    stand.is_released(&entry);
    let retried = stand.tried("build").await;
    assert_eq!(Some(retried.ticket().id()), id);
    stand.end(on_trial, Outcome::done()).await;
    stand.nobody_is_tried("build").await;
    stand.end(retried, Outcome::done()).await;
    drop(stand.tried("build").await);
}

/// And ends it for good, as any other.
pub async fn whoever_gives_up_the_one_on_trial_makes_room(mut stand: Stand) {
    let names = stand.bereaved("build", 4).await;
    let dropped = stand
        .done(names[0].ticket, Action::Drop("no use".into()))
        .await;
    assert_eq!(dropped.place.state(), State::Dropped);
    stand.round().await;
    let mut out = Vec::new();
    for name in &names {
        if matches!(stand.place(name.ticket).await, Place::Runnable { .. }) {
            out.push(name.ticket);
        }
    }
    assert_eq!(out.len(), 1);
    stand.has_attended().await;
    let (is_called, _) = tokio::join!(stand.is_called(), stand.done(out[0], Action::Cancel));
    assert!(is_called, "the next one can be tried");
    let on_trial = stand.tried("build").await;
    assert_ne!(on_trial.ticket().id(), out[0]);
}

/// It is in the books only, like a back-off.
pub async fn a_newer_ticket_of_the_key_replaces_one_that_waits_for_its_trial(mut stand: Stand) {
    let keyed = |ticket: Ticket| Ticket {
        key: Some(Key::new("door").expect("it is plain")),
        ..ticket
    };
    let old = keyed(stand.ticket("solo"));
    let started = stand.all_started(vec![old, stand.ticket("solo")]).await;
    let names = stand.die(started).await;
    stand.judge_all().await;
    let new = stand.submit(keyed(stand.ticket("solo"))).await;
    assert_eq!(stand.place(names[0].ticket).await.state(), State::Dropped);
    stand.is_released(&stand.entry(new).await);
    stand.is_to_be_tried(names[1].ticket).await;
}

/// Whoever asks sees what they wait for.
pub async fn trials_are_counted_listed_and_explained(mut stand: Stand) {
    let names = stand.bereaved("build", 2).await;
    assert_eq!(stand.balance().await.waiting[&Reason::Trial], 2);
    let catalog = stand.world().catalog();
    let listed = catalog.tickets(stand.listing("is:trial")).await;
    assert_eq!(listed.expect("the books can be read").rows.len(), 2);
    let stages = catalog.stages().await.expect("the books can be read");
    let build = stages.iter().find(|it| it.stage.as_str() == "build");
    assert_eq!(build.expect("it has tickets").waiting[&Reason::Trial], 2);
    let entry = stand.entry(names[0].ticket).await;
    let history = catalog.history(names[0].ticket).await;
    let history = history.expect("the books can be read");
    let snapshot = catalog.snapshot().await.expect("the books can be read");
    let told = explain(&entry, &history, stand.flows(), &snapshot, stand.now());
    assert_eq!(told.reason, Some(Reason::Trial));
    assert!(told.until.is_some());
    for words in ["tried alone", "1 other attempt was in that process"] {
        assert!(told.waits_for.contains(words), "{}", told.waits_for);
    }
    assert!(told.then.contains("runs alone"), "{}", told.then);
}
