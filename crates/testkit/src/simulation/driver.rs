//! Drives a story: submits, orders, kills, heals, and waits until everything has come to rest.

use super::check::{self, Evidence, Sums};
use super::turns::{Seen, Turns};
use super::{Berth, Deed, Plan, Played};
use crate::clock::TestClock;
use crate::dice::Dice;
use crate::faults::Faulty;
use crate::handler::{Script, Step};
use crate::memory::Memory;
use crate::recorder::{Chorus, Recorder};
use domain::books::Balance;
use domain::event::Event;
use domain::flow::Flows;
use domain::fold::BooksFold;
use domain::invariants::{Checker, Scope};
use domain::names::{FlowName, Holder, Kind, StageName};
use domain::ports::{
    Action, Answer, Catalog, Clock, Desk, Handler, Observer, Order, StoreError, Waits,
};
use domain::ticket::{Lineage, Name, Payload, Ticket};
use domain::wait::Reason;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// How long after the world is healed everything may take to come to rest.
const REST_MAX: Duration = Duration::from_secs(3_600);
/// How often it is looked whether it has.
const REST_LOOK: Duration = Duration::from_secs(1);
/// Rest that does not last is none.
const REST_LASTS: Duration = Duration::from_secs(30);
/// When a submitter or an operator who was refused asks again.
const ASK_AGAIN: Duration = Duration::from_millis(300);

pub(super) struct Driver<'a> {
    plan: &'a Plan,
    flows: Arc<Flows>,
    clock: Arc<TestClock>,
    ports: Faulty,
    tickets: Vec<Ticket>,
    scripts: BTreeMap<StageName, Arc<Script>>,
    /// Told when a handler kills its worker.
    killed: Arc<Notify>,
    checker: Arc<Checker>,
    fold: Arc<BooksFold>,
    recorder: Arc<Recorder>,
    turns: Arc<Seen>,
    next_deed: usize,
    deaths: u32,
    /// What the story came to in the end, or what was wrong.
    end: Option<Result<Sums, Vec<String>>>,
}

impl<'a> Driver<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        let clock = Arc::new(TestClock::new(plan.seed));
        clock.stop();
        let flows = Arc::new(plan.flows());
        let memory = Memory::new(Arc::clone(&flows), Arc::clone(&clock) as Arc<dyn Clock>);
        // Its own dice: one more draw of the plan's maker must not change what strikes when.
        let dice = Dice::new(plan.seed ^ 0xFA17);
        let tickets = tickets(plan, &clock);
        let killed = Arc::new(Notify::new());
        let scripts = scripts(plan, &tickets, &killed);
        Self {
            plan,
            flows,
            ports: Faulty::new(memory, plan.faults.clone(), dice),
            clock,
            tickets,
            scripts,
            killed,
            checker: Arc::new(Checker::new(Scope::Everything)),
            fold: Arc::default(),
            recorder: Arc::default(),
            turns: Arc::new(Seen::of(plan)),
            next_deed: 0,
            deaths: 0,
            end: None,
        }
    }

    pub(super) fn ports(&self) -> Faulty {
        self.ports.clone()
    }

    pub(super) fn berth(&self, life: u32) -> Berth {
        Berth {
            ports: self.ports.clone(),
            flows: Arc::clone(&self.flows),
            scripts: self.scripts.clone(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            observer: self.observer(),
            holder: Holder::new(&format!("sim-{life}")).expect("it is plain"),
        }
    }

    fn observer(&self) -> Arc<dyn Observer> {
        let turns = Turns::new(self.ports.clone(), Arc::clone(&self.turns));
        Arc::new(Chorus(vec![
            Arc::clone(&self.checker) as Arc<dyn Observer>,
            Arc::clone(&self.fold) as Arc<dyn Observer>,
            Arc::clone(&self.recorder) as Arc<dyn Observer>,
            Arc::new(turns),
        ]))
    }

    /// How the story ended, once it has.
    pub(super) fn end(&mut self) -> Option<Result<Played, String>> {
        let events = self.recorder.events();
        match self.end.take()? {
            Ok(sums) => Some(Ok(Played {
                events,
                sums,
                deaths: self.deaths,
                struck: self.ports.struck(),
            })),
            Err(wrong) => Some(Err(format!(
                "{}\nthe last events:\n{}",
                wrong.join("\n"),
                self.recorder.tail()
            ))),
        }
    }

    pub(super) fn process_died(&mut self) {
        self.deaths += 1;
        self.checker.process_died();
        self.ports = self.ports.restart();
    }

    /// One process's life: until a fault or the plan kills it, or the story is over.
    pub(super) async fn live(&mut self, ports: Faulty) {
        self.clock.go();
        let killed = Arc::clone(&self.killed);
        tokio::select! {
            biased;
            () = ports.died() => {}
            () = killed.notified() => ports.kill(),
            end = self.go_on(&ports) => self.end = Some(end),
        }
        self.clock.stop();
    }

    async fn go_on(&mut self, ports: &Faulty) -> Result<Sums, Vec<String>> {
        while let Some((at, deed)) = self.plan.deeds.get(self.next_deed) {
            let due = TestClock::BEGIN.plus(*at);
            sleep(due.since(self.clock.now())).await;
            if *deed == Deed::Kill {
                self.next_deed += 1;
                ports.kill();
                // Dead: `live` hears of it and ends this.
                std::future::pending::<()>().await;
            }
            while self.perform(deed, ports).await.is_err() {
                sleep(ASK_AGAIN).await;
            }
            self.next_deed += 1;
        }
        let balance = self.rest(ports).await?;
        self.checker.at_rest(&balance);
        let evidence = Evidence {
            plan: self.plan,
            tickets: &self.tickets,
            ports,
            flows: &self.flows,
            events: &self.recorder.events(),
            now: self.clock.now(),
            wrongs: self
                .scripts
                .values()
                .flat_map(|script| script.wrongs())
                .collect(),
        };
        let mut wrong = check::the_end(&evidence).await;
        wrong.extend(self.checker.violations().iter().map(ToString::to_string));
        for script in self.scripts.values() {
            wrong.extend(self.turns.in_company(&script.on_trial()));
        }
        wrong.extend(self.turns.wrong());
        let doubles: usize = self.scripts.values().map(|script| script.doubles()).sum();
        if doubles > 0 {
            wrong.push(format!(
                "a handler was given a ticket that it still had {doubles} times"
            ));
        }
        // A process that died took words with it, so then the events know less than the books.
        let disagreement = self.fold.disagreement(&balance);
        wrong.extend(disagreement.filter(|_| self.deaths == 0));
        match wrong.is_empty() {
            true => Ok(check::sums(ports).await),
            false => Err(wrong),
        }
    }

    async fn perform(&self, deed: &Deed, ports: &Faulty) -> Result<(), StoreError> {
        match deed {
            Deed::Submit(ticket) => self.submit(&self.tickets[*ticket], ports).await?,
            Deed::Cancel(ticket) => self.order(*ticket, Action::Cancel, ports).await?,
            Deed::Drop(ticket) => {
                let action = Action::Drop("the story says so".into());
                self.order(*ticket, action, ports).await?;
            }
            Deed::Retry(ticket) => self.order(*ticket, Action::Retry, ports).await?,
            Deed::Kill => {}
            Deed::Repair => {
                let broken = self.scripts.values();
                let broken = broken.filter(|script| script.inspect().obstacle.is_some());
                broken.for_each(|script| script.repair());
            }
            Deed::Heal => ports.heal(),
        }
        Ok(())
    }

    async fn submit(&self, ticket: &Ticket, ports: &Faulty) -> Result<(), StoreError> {
        let ticket = Ticket {
            created_at: self.clock.now(),
            ..ticket.clone()
        };
        let (id, stage) = (ticket.id(), ticket.stage.clone());
        ports.submit(vec![ticket]).await?;
        self.tell(&Event::TicketAccepted { ticket: id, stage });
        Ok(())
    }

    async fn order(&self, ticket: usize, action: Action, ports: &Faulty) -> Result<(), StoreError> {
        let word = match action {
            Action::Retry => "retry",
            Action::Cancel => "cancel",
            Action::Drop(_) => "drop",
            Action::Start(_) => "start",
            Action::Complete(..) => "complete",
        };
        let id = self.tickets[ticket].id();
        let order = Order {
            ticket: id,
            action,
            by: "operator".into(),
            at: self.clock.now(),
        };
        for answer in ports.carry_out(vec![order]).await? {
            if let Answer::Done(entry) = answer {
                self.tell(&Event::OrderCarriedOut {
                    ticket: id,
                    action: word,
                    ended: entry.place.state().is_terminal(),
                });
            }
        }
        Ok(())
    }

    fn tell(&self, event: &Event) {
        self.observer().observe(self.clock.now(), event);
    }

    /// Waits until everything has come to rest and stays there.
    async fn rest(&self, ports: &Faulty) -> Result<Balance, Vec<String>> {
        let begin = self.clock.now();
        let mut at_rest_since = None;
        loop {
            let now = self.clock.now();
            let is_at_rest = is_at_rest(ports, &self.clock).await;
            at_rest_since = is_at_rest.then(|| at_rest_since.unwrap_or(now));
            if at_rest_since.is_some_and(|since| now.since(since) >= REST_LASTS) {
                let balance = ports.balance(None).await;
                return balance.map_err(|error| vec![error.to_string()]);
            }
            if now.since(begin) > REST_MAX {
                let mut wrong = vec![format!("not at rest {REST_MAX:?} after the last fault")];
                wrong.extend(check::unfinished(ports, &self.flows, now).await);
                return Err(wrong);
            }
            sleep(REST_LOOK).await;
        }
    }
}

/// Nothing moves, and nothing will move by itself.
async fn is_at_rest(ports: &Faulty, clock: &TestClock) -> bool {
    let memory = ports.memory();
    let Ok(balance) = memory.balance(None).await else {
        return false;
    };
    let Ok(cases) = memory.cases(clock.now(), NonZeroUsize::MIN).await else {
        return false;
    };
    let is_parked = |reason: &Reason| *reason == Reason::Parked;
    balance.runnable + balance.running == 0
        && balance.waiting.keys().all(is_parked)
        && cases.is_empty()
        && memory.in_hand() == 0
}

fn tickets(plan: &Plan, clock: &TestClock) -> Vec<Ticket> {
    let flow = FlowName::new(Plan::FLOW).expect("it is plain");
    let make = |ticket: &super::TicketPlan| {
        let id = clock.ticket_id();
        Ticket {
            name: Name::first(id),
            kind: Kind::unnamed(),
            flow: ticket.follows_flow.then(|| flow.clone()),
            stage: plan.stages[0].name.clone(),
            key: None,
            payload: Payload::default(),
            deadline: None,
            created_at: clock.now(),
            lineage: Lineage::root(id),
            trace: None,
        }
    };
    plan.tickets.iter().map(make).collect()
}

fn scripts(
    plan: &Plan,
    tickets: &[Ticket],
    killed: &Arc<Notify>,
) -> BTreeMap<StageName, Arc<Script>> {
    let script = |(at, stage): (usize, &super::StagePlan)| {
        if stage.is_unstartable {
            return (
                stage.name.clone(),
                Arc::new(Script::always(Step::Unstartable)),
            );
        }
        let add = |script: Script, (ticket, plan): (&Ticket, &super::TicketPlan)| {
            let steps = plan.steps.get(at).cloned().unwrap_or_default();
            script.with(ticket.id(), steps)
        };
        let pairs = tickets.iter().zip(&plan.tickets);
        let script = pairs.fold(Script::done().that_kills(killed), add);
        (stage.name.clone(), Arc::new(script))
    };
    plan.stages.iter().enumerate().map(script).collect()
}
