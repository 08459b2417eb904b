//! One subscription to a stage: takes in what the broker sends, for as long as it may, and ends
//! with a reason whatever that is. Nobody revives it; whoever wants more subscribes again.

use crate::ended::Ended;
use crate::kept;
use crate::worker::feed::{ANSWER_MAX, Feed};
use crate::worker::intake::{self, TakenIn};
use crate::worker::lane::Lane;
use crate::worker::lock;
use crate::worker::prefetch::{Prefetch, Seen};
use crate::worker::shared::Shared;
use crate::worker::shelf::Shelf;
use domain::control::Admission;
use domain::event::Ending;
use lapin::message::Delivery;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use tokio::time::timeout;

/// What a subscription and whoever reads from it share.
pub(crate) struct Ticker {
    /// How it ended, once it has.
    ended: Mutex<Option<Ended>>,
    /// Whether nobody wants it any more.
    quit: watch::Sender<bool>,
}

impl Ticker {
    pub(crate) fn new() -> Arc<Self> {
        let quit = watch::Sender::new(false);
        Arc::new(Self {
            ended: Mutex::default(),
            quit,
        })
    }

    pub(crate) fn ended(&self) -> Option<Ended> {
        lock(&self.ended).clone()
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
    /// It lives as long as the subscription: after a fault its channel is closed before it goes.
    pub(crate) feed: Feed,
}

/// How much may be out at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Window {
    /// As much as is prefetched.
    Whole,
    /// One delivery: there is a permit for no more, and what else came would only be handed back.
    One,
}

/// Why deliveries stopped coming.
enum Stop {
    /// The stage is on hold, or the permit is used up.
    Held,
    /// Nobody wants it any more.
    Quit,
}

impl Subscription {
    /// Takes in deliveries until it ends.
    pub(crate) async fn run(mut self) {
        let doing = format!("the subscription to stage {}", self.shelf.stage());
        let consumed = kept::caught(&doing, self.consume()).await;
        self.shelf.leave();
        let ended = match consumed.unwrap_or_else(|why| Err(bug(&why))) {
            // What is still out stays so, and is acked on this lane.
            Ok(()) => given_up(),
            Err(ended) => {
                self.close().await;
                ended
            }
        };
        *lock(&self.ticker.ended) = Some(ended);
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

    /// Takes in deliveries until nobody wants them any more, or something is wrong.
    async fn consume(&mut self) -> Result<(), Ended> {
        while let Some(window) = self.opens().await {
            match self.take_in(window).await? {
                Stop::Held => {}
                Stop::Quit => break,
            }
        }
        Ok(())
    }

    /// Waits until the stage may take deliveries; `None` when nobody waits for that any more.
    async fn opens(&self) -> Option<Window> {
        let mut quit = self.ticker.quit.subscribe();
        let mut desired = self.shared.desired.subscribe();
        let mut closing = self.shared.closing.subscribe();
        loop {
            if *quit.borrow_and_update() {
                return None;
            }
            desired.borrow_and_update();
            if let Some(window) = self.window() {
                return Some(window);
            }
            tokio::select! {
                _ = quit.changed() => {}
                _ = desired.changed() => {}
                _ = closing.wait_for(|closing| *closing) => return None,
            }
        }
    }

    /// How much may be out now, if anything.
    fn window(&self) -> Option<Window> {
        let used = self.shelf.used();
        match self.shared.admits(self.shelf.stage(), used) {
            Admission::Freely => Some(Window::Whole),
            Admission::Once(_) => Some(Window::One),
            Admission::Nothing => None,
        }
    }

    async fn take_in(&mut self, window: Window) -> Result<Stop, Ended> {
        let count = match window {
            Window::Whole => self.prefetch.count(),
            Window::One => 1,
        };
        self.feed.widen(count).await?;
        let stop = self.deliveries(window).await?;
        let rest = self.feed.end().await?;
        let TakenIn { incoming, fault } = self.receive(rest).await;
        // To drop it is to hand it back.
        drop(incoming);
        drop(self.shelf.clear());
        fault.map_or(Ok(stop), |why| Err(Ended::unavailable(why)))
    }

    /// Takes in what comes, until it is to stop.
    async fn deliveries(&mut self, mut window: Window) -> Result<Stop, Ended> {
        let mut quit = self.ticker.quit.subscribe();
        let mut desired = self.shared.desired.subscribe();
        let mut closing = self.shared.closing.subscribe();
        let shelf = Arc::clone(&self.shelf);
        loop {
            match (window, self.window()) {
                (Window::Whole, Some(Window::Whole)) | (Window::One, Some(Window::One)) => {}
                (Window::One, Some(Window::Whole)) => {
                    window = Window::Whole;
                    let more = self.prefetch.count();
                    self.feed.widen(more).await?;
                }
                (Window::Whole, Some(Window::One)) | (_, None) => return Ok(Stop::Held),
            }
            let group = tokio::select! {
                biased;
                _ = quit.wait_for(|quit| *quit) => return Ok(Stop::Quit),
                _ = closing.wait_for(|closing| *closing) => return Ok(Stop::Quit),
                changed = desired.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return Ok(Stop::Held),
                },
                group = self.feed.next() => group?,
                () = shelf.hungry().notified() => Vec::new(),
            };
            let waiting = shelf.len();
            let TakenIn { incoming, fault } = self.receive(group).await;
            shelf.put(incoming);
            if let Some(why) = fault {
                return Err(Ended::unavailable(why));
            }
            let (out, handed_out) = (self.lane.len(), shelf.handed_out());
            let seen = Seen {
                out,
                waiting,
                handed_out,
            };
            if window == Window::Whole
                && let Some(more) = self.prefetch.grows(seen)
            {
                self.feed.widen(more).await?;
            }
        }
    }

    async fn receive(&self, group: Vec<Delivery>) -> TakenIn {
        intake::receive(&self.shared, (self.shelf.stage(), &self.lane), group).await
    }
}

/// Whoever read from it does not want it any more, or this worker is about to end.
fn given_up() -> Ended {
    Ended {
        reason: Ending::Cancelled,
        why: "it was given up".to_owned(),
    }
}

fn bug(why: &str) -> Ended {
    Ended {
        reason: Ending::Unknown,
        why: format!("a bug in goaround: {why}"),
    }
}
