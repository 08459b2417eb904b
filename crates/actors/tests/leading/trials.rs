//! A worker that dies with several attempts in hand, as the leader deals with it.

use crate::LONG;
use crate::books::{Row, State};
use crate::support::driven;
use crate::world::{Worker, World};
use domain::hearing::Spot;
use domain::ports::Clock;
use domain::record::Said;
use domain::ticket::{Attempt, Name, Ticket, TicketId};
use domain::trial::Company;
use domain::wait::Reason;
use std::time::Duration;
use tokio::time::sleep;

/// Whether the ticket is on trial after this: an attempt that was told to have ended, whatever of
/// it is told here, ended in order.
pub(crate) fn stays(row: Option<&Row>, said: &Said) -> bool {
    let was = row.is_some_and(|row| row.is_on_trial);
    was && !matches!(said, Said::Ended(parted) if parted.ended.is_some())
}

impl State {
    pub(crate) fn is_trial_out(&self) -> bool {
        self.rows.values().any(|row| {
            let is_there = matches!(row.spot, Spot::Publishing | Spot::Runnable | Spot::Running);
            row.is_on_trial && is_there
        })
    }

    /// The one that is to be tried next, if nobody is out.
    pub(crate) fn turn(&self) -> Option<TicketId> {
        if self.is_trial_out() {
            return None;
        }
        let mut rows = self.rows.values();
        let next = rows.find(|row| row.spot == Spot::Waiting(Reason::Trial));
        next.map(|row| row.ticket.id())
    }

    /// Writes down in what company the suspects died, before a verdict about one of them.
    pub(crate) fn note_company(&mut self) {
        for row in self.rows.values() {
            let name = row.ticket.name;
            if row.spot != Spot::Waiting(Reason::Suspect) || self.beside.contains_key(&name) {
                continue;
            }
            let holder = self.open.get(&name).map(|(holder, ..)| holder);
            let at_work = self.open.values().filter(|(by, ..)| Some(by) == holder);
            let beside = at_work.count().saturating_sub(1) as u32;
            self.beside.insert(name, beside);
        }
    }

    pub(crate) fn company(&self, row: &Row) -> Company {
        Company {
            beside: self.beside.get(&row.ticket.name).copied().unwrap_or(0),
            alone: row.is_on_trial,
        }
    }
}

async fn out(world: &World, count: usize) -> Name {
    let is_out = || world.road.state().alone.len() == count;
    world.until("the next one is tried", is_out).await;
    let name = *world.road.state().alone.last().unwrap();
    let is_there = || world.books.spot(name.ticket) == Some(Spot::Runnable);
    world.until("its queue has it", is_there).await;
    name
}

/// So many tickets that were in hand when their worker died; another one lives.
async fn bereaved(world: &World, count: usize) -> (Vec<Ticket>, Worker) {
    let (first, second) = (Worker::start(world, "a"), Worker::start(world, "b"));
    let mut tickets = Vec::new();
    for _ in 0..count {
        let ticket = world.released().await;
        first.takes(ticket.name);
        world.say_started(&first.holder, &ticket);
        tickets.push(ticket);
    }
    sleep(LONG).await;
    drop(first);
    for ticket in &tickets {
        world.say(&second.holder, Said::Suspect(Box::new(ticket.clone())));
    }
    (tickets, second)
}

#[test]
fn whoever_died_in_company_comes_out_alone_one_by_one_and_uncharged() {
    driven(async {
        let world = World::new();
        let _running = world.start();
        let (tickets, worker) = bereaved(&world, 3).await;
        for count in 1..=3 {
            let name = out(&world, count).await;
            assert_eq!((name.generation.0, name.attempt), (2, Attempt(1)));
            let ticket = tickets.iter().find(|it| it.id() == name.ticket).unwrap();
            worker.takes(name);
            world.say_started(&worker.holder, &ticket.named(name));
            sleep(LONG).await;
            assert_eq!(world.road.state().alone.len(), count, "one at a time");
            worker.says.lock().unwrap().in_hand.clear();
            world.say_finished(&worker.holder, name);
            let ended_at = world.clock.now();
            if count < 3 {
                out(&world, count + 1).await;
                let took = world.clock.now().since(ended_at);
                assert!(took < Duration::from_secs(1), "{took:?}");
            }
        }
        let reports = world.oopses().await;
        assert_eq!(reports.len(), 3);
        for report in reports {
            let told = report.failure.message;
            assert!(
                told.contains("2 other attempts were in that process"),
                "{told}"
            );
        }
    });
}

#[test]
fn a_leader_that_comes_in_between_charges_no_bystander() {
    driven(async {
        let world = World::new();
        let _running = world.start();
        world.reporter.refuse(2);
        let (tickets, _worker) = bereaved(&world, 3).await;
        let is_judged = |ticket: &Ticket| world.books.name(ticket.id()).generation.0 == 2;
        let is_one = || tickets.iter().any(is_judged);
        world.until("the first is judged", is_one).await;
        world.books.depose();
        sleep(LONG).await;
        world.books.vacate();
        world.until("it leads", || world.leading.leads()).await;
        world
            .until("all are judged", || tickets.iter().all(is_judged))
            .await;
        for ticket in &tickets {
            assert_eq!(world.books.name(ticket.id()).attempt, Attempt(1));
        }
    });
}
