//! One subscription to a stage: takes in what the broker sends, for as long as it may, and ends
//! with a reason whatever that is. Nobody revives it; whoever wants more subscribes again.

use crate::error::Error;
use crate::worker::intake;
use crate::worker::lane::Lane;
use crate::worker::lock;
use crate::worker::prefetch::{Prefetch, Seen};
use crate::worker::shared::Shared;
use crate::worker::shelf::Shelf;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// The most deliveries that are taken in as one group.
const GROUP_MAX: usize = 256;
/// How long the broker may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What a subscription and whoever reads from it share.
pub(crate) struct Ticker {
    /// Why it ended, once it has.
    why: Mutex<Option<String>>,
    /// Whether nobody wants it any more.
    quit: watch::Sender<bool>,
}

impl Ticker {
    pub(crate) fn new() -> Arc<Self> {
        let quit = watch::Sender::new(false);
        Arc::new(Self {
            why: Mutex::default(),
            quit,
        })
    }

    pub(crate) fn why(&self) -> Option<String> {
        lock(&self.why).clone()
    }

    pub(crate) fn quit(&self) {
        self.quit.send_replace(true);
    }
}

/// One subscription.
pub(crate) struct Subscription {
    pub(crate) shared: Arc<Shared>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) lane: Arc<Lane>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) prefetch: Prefetch,
}

/// Why deliveries stopped coming.
enum Stop {
    /// The stage is on hold.
    Held,
    /// The window is to be another one.
    Resized,
    /// Nobody wants it any more.
    Quit,
    /// Something is wrong.
    Fault(String),
}

impl Subscription {
    /// Takes in deliveries until it ends.
    pub(crate) async fn run(mut self) {
        let fault = self.consume().await;
        self.shelf.leave();
        let why = match fault {
            // What is still out stays so, and is acked on this lane.
            None => "it was given up".to_owned(),
            Some(why) => {
                self.close().await;
                why
            }
        };
        *lock(&self.ticker.why) = Some(why);
        self.shelf.changed().notify_waiters();
    }

    /// What came in on it and is still out comes again, and is then known by its name.
    async fn close(&self) {
        let was_live = self.lane.is_live();
        self.lane.end();
        if was_live {
            let farewell = self.lane.channel().close(200, "OK".into());
            timeout(ANSWER_MAX, farewell).await.ok(); // It is lost to us either way.
        }
    }

    /// Returns the fault that it ended by, if it did.
    async fn consume(&mut self) -> Option<String> {
        loop {
            if !self.opens().await {
                return None;
            }
            match self.take_in().await {
                Stop::Held | Stop::Resized => {}
                Stop::Quit => return None,
                Stop::Fault(why) => return Some(why),
            }
        }
    }

    /// Waits until the stage may take deliveries; `false` when nobody waits for that any more.
    async fn opens(&self) -> bool {
        let mut quit = self.ticker.quit.subscribe();
        let mut desired = self.shared.desired.subscribe();
        let mut closing = self.shared.closing.subscribe();
        loop {
            if *quit.borrow_and_update() {
                return false;
            }
            desired.borrow_and_update();
            if self.shared.is_open(self.shelf.stage()) {
                return true;
            }
            tokio::select! {
                _ = quit.changed() => {}
                _ = desired.changed() => {}
                _ = closing.wait_for(|closing| *closing) => return false,
            }
        }
    }

    async fn take_in(&mut self) -> Stop {
        let mut consumer = match self.subscribe().await {
            Ok(consumer) => consumer,
            Err(error) => return Stop::Fault(error.to_string()),
        };
        let stop = self.deliveries(&mut consumer).await;
        if matches!(stop, Stop::Fault(_)) {
            return stop;
        }
        match self.cancel(consumer, &stop).await {
            Ok(()) => stop,
            Err(why) => Stop::Fault(why),
        }
    }

    async fn subscribe(&self) -> Result<lapin::Consumer, Error> {
        let channel = self.lane.channel();
        let queue = self.shared.config.names.stage(self.shelf.stage());
        let doing = format!("consume from queue {queue:?}");
        let asked = async {
            channel
                .basic_qos(self.prefetch.count(), BasicQosOptions::default())
                .await?;
            let options = BasicConsumeOptions::default();
            let tag = "".into();
            channel
                .basic_consume(queue.as_str().into(), tag, options, FieldTable::default())
                .await
        };
        match timeout(ANSWER_MAX, asked).await {
            Ok(Ok(consumer)) => Ok(consumer),
            Ok(Err(error)) => Err(Error::of_channel(&error, &doing)),
            Err(_) => Err(Error::Broken(format!("the broker did not {doing} in time"))),
        }
    }

    async fn deliveries(&mut self, consumer: &mut lapin::Consumer) -> Stop {
        let mut quit = self.ticker.quit.subscribe();
        let mut desired = self.shared.desired.subscribe();
        let mut closing = self.shared.closing.subscribe();
        let shelf = Arc::clone(&self.shelf);
        loop {
            let first = tokio::select! {
                biased;
                _ = quit.wait_for(|quit| *quit) => return Stop::Quit,
                _ = closing.wait_for(|closing| *closing) => return Stop::Quit,
                changed = desired.changed() => {
                    if changed.is_err() || !self.shared.is_open(self.shelf.stage()) {
                        return Stop::Held;
                    }
                    continue;
                }
                delivery = consumer.next() => delivery,
                () = shelf.hungry().notified() => {
                    if self.resizes(0) {
                        return Stop::Resized;
                    }
                    continue;
                }
            };
            let waiting = self.shelf.len();
            match gather(first, consumer) {
                Ok(group) => self.shelf.put(self.receive(group).await),
                Err(why) => return Stop::Fault(why),
            }
            if self.resizes(waiting) {
                return Stop::Resized;
            }
        }
    }

    fn resizes(&mut self, waiting: usize) -> bool {
        let (out, handed_out) = (self.lane.len(), self.shelf.handed_out());
        self.prefetch.adapts(Seen {
            out,
            waiting,
            handed_out,
        })
    }

    async fn receive(&self, group: Vec<Delivery>) -> Vec<domain::delivery::Incoming> {
        intake::receive(&self.shared, (self.shelf.stage(), &self.lane), group).await
    }

    /// Asks for no more, and takes in what is on its way here: it goes on if only the window
    /// changes, and else it is handed back.
    async fn cancel(&self, mut consumer: lapin::Consumer, stop: &Stop) -> Result<(), String> {
        let cancelled = self
            .lane
            .channel()
            .basic_cancel(consumer.tag(), BasicCancelOptions::default());
        match timeout(ANSWER_MAX, cancelled).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("the broker did not end the subscription in time".to_owned()),
        }
        let mut rest = Vec::new();
        while let Some(Some(delivery)) = consumer.next().now_or_never() {
            rest.push(delivery.map_err(|error| error.to_string())?);
        }
        let rest = self.receive(rest).await;
        if matches!(stop, Stop::Resized) {
            self.shelf.put(rest);
        } else {
            drop(rest);
            drop(self.shelf.clear());
        }
        Ok(())
    }
}

/// The first delivery and whatever else is here already.
fn gather(
    first: Option<lapin::Result<Delivery>>,
    consumer: &mut lapin::Consumer,
) -> Result<Vec<Delivery>, String> {
    let mut group = Vec::new();
    let mut next = first;
    loop {
        match next {
            Some(Ok(delivery)) => group.push(delivery),
            // What came before the end is lost with it: the broker delivers it again.
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err(ENDED.to_owned()),
        }
        if group.len() >= GROUP_MAX {
            return Ok(group);
        }
        match consumer.next().now_or_never() {
            Some(delivery) => next = delivery,
            None => return Ok(group),
        }
    }
}

const ENDED: &str = "the broker ended it without a word: its queue was deleted, moved, or a \
    delivery was not acked in time";
