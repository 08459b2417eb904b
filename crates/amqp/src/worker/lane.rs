//! One channel that deliveries come in on, and the only way in which they are acked.
//!
//! A lane belongs to one connection and is never revived: whoever holds a delivery of a lane that
//! has ended cannot ack it, and the broker delivers it again.

use crate::worker::lock;
use crate::worker::window::{Acks, Window};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use lapin::Channel;
use lapin::options::BasicAckOptions;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::timeout;

/// A channel with the deliveries that are out on it.
pub(crate) struct Lane {
    channel: Channel,
    window: Mutex<Window>,
    has_ended: AtomicBool,
}

/// Where a delivery is to be acked.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) lane: Arc<Lane>,
    pub(crate) tag: u64,
}

impl Lane {
    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            channel,
            window: Mutex::default(),
            has_ended: AtomicBool::new(false),
        }
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// These have come in, in this order.
    pub(crate) fn received(&self, tags: impl Iterator<Item = u64>) {
        let mut window = lock(&self.window);
        tags.for_each(|tag| window.received(tag));
    }

    /// How many are out.
    pub(crate) fn len(&self) -> usize {
        lock(&self.window).len()
    }

    /// Nothing comes in or is acked on it any more.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
    }

    /// Whether the broker still counts on us for what came in on it.
    pub(crate) fn is_live(&self) -> bool {
        !self.has_ended.load(Ordering::Acquire) && self.channel.status().connected()
    }

    /// Takes these off their queue; returns whether that was written to the broker. If not, the
    /// broker delivers them again, and the books answer that.
    async fn ack(&self, tags: Vec<u64>, limit: Duration) -> bool {
        let mut acks = self.hand_over(tags);
        let is_live = self.is_live();
        let written = async {
            let mut all = is_live;
            for (ack, written) in &mut acks {
                if written.is_none() {
                    *written = Some(ack.await.is_ok());
                }
                all &= *written == Some(true);
            }
            all
        };
        timeout(limit, written).await.unwrap_or(false)
    }

    /// Hands the acks to the connection, under the lock: an ack of many covers what an earlier
    /// one has named, so they must leave in the order in which the window was closed. Else the
    /// broker is told twice of one tag and closes the channel.
    fn hand_over(&self, tags: Vec<u64>) -> Vec<(Ack<'_>, Option<bool>)> {
        let mut window = lock(&self.window);
        let Acks { upto, single } = window.close(tags);
        if !self.is_live() {
            return Vec::new();
        }
        let all = upto.map(|tag| (tag, true)).into_iter();
        let all = all.chain(single.into_iter().map(|tag| (tag, false)));
        let mut quiet = Context::from_waker(Waker::noop());
        let acks = all.map(|(tag, multiple)| {
            let mut ack: Ack<'_> = self
                .channel
                .basic_ack(tag, BasicAckOptions { multiple })
                .boxed();
            // The first poll hands it over; only what is awaited later wakes anybody.
            let written = match ack.poll_unpin(&mut quiet) {
                Poll::Ready(written) => Some(written.is_ok()),
                Poll::Pending => None,
            };
            (ack, written)
        });
        acks.collect()
    }
}

/// An ack on its way to the broker.
type Ack<'a> = BoxFuture<'a, lapin::Result<()>>;

/// Acks each of these where it came in, in as few frames as can be; returns how many could not be
/// acked, as far as is known.
pub(crate) async fn ack(posts: Vec<Post>, limit: Duration) -> usize {
    let acks = by_lane(posts).into_iter().map(|(lane, tags)| async move {
        let count = tags.len();
        if lane.ack(tags, limit).await {
            0
        } else {
            count
        }
    });
    join_all(acks).await.into_iter().sum()
}

/// The same, as far as it is known once they are handed to the connection.
pub(crate) fn ack_unwatched(posts: Vec<Post>) -> usize {
    let lanes = by_lane(posts).into_iter();
    let lost = lanes.map(|(lane, tags)| {
        let count = tags.len();
        let acks = lane.hand_over(tags);
        let is_refused = acks.iter().any(|(_, written)| *written == Some(false));
        if acks.is_empty() || is_refused {
            count
        } else {
            0
        }
    });
    lost.sum()
}

/// A group comes from one stage, and so nearly always from one lane.
fn by_lane(posts: Vec<Post>) -> Vec<(Arc<Lane>, Vec<u64>)> {
    let mut lanes: Vec<(Arc<Lane>, Vec<u64>)> = Vec::new();
    for Post { lane, tag } in posts {
        match lanes
            .iter_mut()
            .find(|(known, _)| Arc::ptr_eq(known, &lane))
        {
            Some((_, tags)) => tags.push(tag),
            None => lanes.push((lane, vec![tag])),
        }
    }
    lanes
}
