//! One channel that deliveries come in on, and the only way in which they are acked.
//!
//! A lane belongs to one connection and is never revived: whoever holds a delivery of a lane that
//! has ended cannot ack it, and the broker delivers it again.

use crate::worker::lock;
use crate::worker::window::{Acks, Window};
use futures_util::future::join_all;
use lapin::Channel;
use lapin::options::BasicAckOptions;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
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
        let Acks { upto, single } = lock(&self.window).close(tags);
        if !self.is_live() {
            return false;
        }
        let all = upto.map(|tag| (tag, true)).into_iter();
        let acks = all.chain(single.into_iter().map(|tag| (tag, false)));
        let acks =
            acks.map(|(tag, multiple)| self.channel.basic_ack(tag, BasicAckOptions { multiple }));
        match timeout(limit, join_all(acks)).await {
            Ok(written) => written.iter().all(Result::is_ok),
            Err(_) => false,
        }
    }
}

/// Acks each of these where it came in, in as few frames as can be; returns how many could not be
/// acked, as far as is known.
pub(crate) async fn ack(posts: Vec<Post>, limit: Duration) -> usize {
    // A group comes from one stage, and so nearly always from one lane.
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
    let acks = lanes.into_iter().map(|(lane, tags)| async move {
        let count = tags.len();
        if lane.ack(tags, limit).await {
            0
        } else {
            count
        }
    });
    join_all(acks).await.into_iter().sum()
}
