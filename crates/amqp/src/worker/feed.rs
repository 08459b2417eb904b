//! What the broker sends on one channel for one queue: one consumer, and another one each time the
//! window is made wider, since a window cannot be changed and a consumer not be taken back without
//! harm.

use crate::ended::Ended;
use crate::worker::lane::Lane;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;

/// The most deliveries that are taken in as one group.
const GROUP_MAX: usize = 256;
/// How long the broker may take to answer.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The consumers of one queue on one channel.
///
/// A channel that is to be closed must be closed before they are dropped: lapin cancels a dropped
/// consumer in a task of its own, and when that reaches the broker after the closing, the broker
/// ends the whole connection ("expected 'channel.open'"), with all that goes over it.
pub(crate) struct Feed {
    lane: Arc<Lane>,
    queue: String,
    consumers: Vec<lapin::Consumer>,
    /// Who is asked first.
    turn: usize,
}

impl Feed {
    /// Nobody consumes yet.
    pub(crate) const fn new(lane: Arc<Lane>, queue: String) -> Self {
        Self {
            lane,
            queue,
            consumers: Vec::new(),
            turn: 0,
        }
    }

    /// Lets so many more be out at once.
    pub(crate) async fn widen(&mut self, by: u16) -> Result<(), Ended> {
        let channel = self.lane.channel();
        let queue = self.queue.as_str();
        let doing = format!("consume from queue {queue:?}");
        let asked = async {
            let options = BasicQosOptions::default();
            channel.basic_qos(by, options).await?;
            let (tag, options) = ("".into(), BasicConsumeOptions::default());
            let arguments = FieldTable::default();
            channel
                .basic_consume(queue.into(), tag, options, arguments)
                .await
        };
        match timeout(ANSWER_MAX, asked).await {
            Ok(Ok(consumer)) => {
                self.consumers.push(consumer);
                Ok(())
            }
            Ok(Err(error)) => Err(Ended::of_doing(&error, &doing)),
            Err(_) => {
                let why = format!("the broker did not {doing} in time");
                Err(Ended::unavailable(why))
            }
        }
    }

    /// Waits for deliveries, and takes whatever else is here already.
    ///
    /// # Errors
    /// Why no more come. What came right before that is lost with it: the broker delivers it again.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn next(&mut self) -> Result<Vec<Delivery>, Ended> {
        let mut group = vec![std::future::poll_fn(|context| self.poll(context)).await?];
        while group.len() < GROUP_MAX {
            match std::future::poll_fn(|context| self.poll(context)).now_or_never() {
                Some(delivery) => group.push(delivery?),
                None => break,
            }
        }
        Ok(group)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Delivery, Ended>> {
        let count = self.consumers.len();
        for step in 0..count {
            let at = (self.turn + step) % count;
            match self.consumers[at].poll_next_unpin(context) {
                Poll::Pending => {}
                Poll::Ready(Some(Ok(delivery))) => {
                    self.turn = at;
                    return Poll::Ready(Ok(delivery));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(Ended::of(&error))),
                Poll::Ready(None) => {
                    return Poll::Ready(Err(Ended::without_a_word(self.lane.channel())));
                }
            }
        }
        Poll::Pending
    }

    /// Asks for no more; returns what was on its way here.
    pub(crate) async fn end(&mut self) -> Result<Vec<Delivery>, Ended> {
        let mut rest = Vec::new();
        for consumer in &mut self.consumers {
            let options = BasicCancelOptions::default();
            let cancelled = self.lane.channel().basic_cancel(consumer.tag(), options);
            match timeout(ANSWER_MAX, cancelled).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(Ended::of(&error)),
                Err(_) => {
                    let why = "the broker did not end the subscription";
                    return Err(Ended::unavailable(why));
                }
            }
            while let Some(Some(delivery)) = consumer.next().now_or_never() {
                rest.push(delivery.map_err(|error| Ended::of(&error))?);
            }
        }
        self.consumers.clear();
        Ok(rest)
    }
}
