//! Publishes in groups and finds out what became of each message.
//!
//! A few channels, each owned by one task: lapin counts confirms in the order of its calls, so two
//! tasks that publish on one channel can get each other's; and a handler may block the thread of
//! whoever publishes, who would then keep from others what it held of a channel. A group is handed
//! to the connection whole before its first confirm is awaited; waiting for each message to be
//! written costs a system call and two wake-ups a message.

use crate::error::Error;
use crate::kept::caught;
use crate::link::{Link, State};
use bytes::Bytes;
use domain::ports::Sent;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What is to be published, and where to.
#[derive(Clone, Debug)]
pub struct Message {
    /// To which exchange.
    pub exchange: Arc<str>,
    /// With which routing key.
    pub routing_key: Arc<str>,
    /// The payload.
    pub body: Bytes,
    /// Everything else; persistence included.
    pub properties: BasicProperties,
}

/// How many channels share the work.
const LANES: usize = 4;
/// How many messages a channel gets at once. lapin looks through everything unconfirmed when the
/// broker confirms several at once, so a channel's list is kept short.
const CHUNK: usize = 256;
/// How many chunks may be unconfirmed on one channel.
const IN_FLIGHT_MAX: usize = 4;
/// How many chunks may wait for one channel: more than come together but in an outage. Beyond that
/// nothing is taken: to wait for room would be to stand in line, and what falls to somebody whose
/// thread is blocked is gone.
const QUEUE_MAX: usize = 1_024;

/// Publishes with confirms. Shared by everybody in the process who publishes.
pub struct Publisher {
    link: Arc<Link>,
    lanes: Vec<mpsc::Sender<Job>>,
    next: AtomicUsize,
    _tasks: JoinSet<()>,
}

struct Job {
    messages: Vec<Message>,
    deadline: Instant,
    answer: oneshot::Sender<Vec<Sent>>,
}

impl Publisher {
    /// Publishes on this link. Needs a tokio runtime, and lives on it.
    pub fn start(link: Arc<Link>) -> Self {
        let mut tasks = JoinSet::new();
        let mut lanes = Vec::new();
        for _ in 0..LANES {
            let (sender, jobs) = mpsc::channel(QUEUE_MAX);
            tasks.spawn(lane(Arc::clone(&link), jobs));
            lanes.push(sender);
        }
        Self {
            link,
            lanes,
            next: AtomicUsize::new(0),
            _tasks: tasks,
        }
    }

    /// Publishes the messages and waits for their confirms, for at most the configured time.
    /// Answers in the order given, never [`Sent::Begun`].
    ///
    /// # Cancel safety
    /// Not safe: when it is dropped, everything that was given to it is in doubt.
    pub async fn publish_group(&self, messages: Vec<Message>) -> Vec<Sent> {
        let deadline = Instant::now() + self.link.config().publish_timeout;
        let mut answers = Vec::with_capacity(messages.len().div_ceil(CHUNK));
        let mut messages = messages.into_iter();
        loop {
            let chunk: Vec<Message> = messages.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                break;
            }
            answers.push((chunk.len(), self.hand_over(chunk, deadline)));
        }
        let mut sent = Vec::new();
        for (count, answer) in answers {
            sent.extend(fates(count, answer).await);
        }
        sent
    }

    /// Publishes one message.
    pub async fn publish(&self, message: Message) -> Sent {
        self.publish_group(vec![message])
            .await
            .pop()
            .unwrap_or(Sent::Unsent)
    }

    /// The connection it publishes on.
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Where the answer will come; `None` when there is no room.
    fn hand_over(
        &self,
        messages: Vec<Message>,
        deadline: Instant,
    ) -> Option<oneshot::Receiver<Vec<Sent>>> {
        let lane = self.next.fetch_add(1, Ordering::Relaxed) % self.lanes.len();
        let (answer, answered) = oneshot::channel();
        let job = Job {
            messages,
            deadline,
            answer,
        };
        self.lanes[lane].try_send(job).ok().map(|()| answered)
    }
}

async fn fates(count: usize, answer: Option<oneshot::Receiver<Vec<Sent>>>) -> Vec<Sent> {
    match answer {
        None => vec![Sent::Unsent; count],
        Some(answer) => match answer.await {
            Ok(sent) => sent,
            // The lane is gone with the job in its hands.
            Err(_) => vec![Sent::Doubtful; count],
        },
    }
}

/// One lane after the other: if one panics, what it had in hand is in doubt, and the next takes
/// what still waits.
async fn lane(link: Arc<Link>, mut jobs: mpsc::Receiver<Job>) {
    loop {
        let lane = Lane {
            link: Arc::clone(&link),
            channel: None,
        };
        if caught("a lane of the publisher", lane.run(&mut jobs))
            .await
            .is_ok()
        {
            return;
        }
    }
}

/// Owns one channel.
struct Lane {
    link: Arc<Link>,
    channel: Option<(Channel, u64)>,
}

/// The confirms of a chunk; says whether all of them came.
type Confirms = BoxFuture<'static, bool>;

impl Lane {
    async fn run(mut self, jobs: &mut mpsc::Receiver<Job>) {
        let mut in_flight: FuturesUnordered<Confirms> = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(is_whole) = in_flight.next() => {
                    // A channel that owes confirms is not trusted with more.
                    if !is_whole {
                        self.channel = None;
                    }
                }
                job = jobs.recv(), if in_flight.len() < IN_FLIGHT_MAX => match job {
                    None => return,
                    Some(job) => match self.begin(job).await {
                        None => {}
                        Some(confirms) => in_flight.push(confirms),
                    },
                },
            }
        }
    }

    /// Hands the chunk to the connection. Nothing of it has left when there is none in time.
    async fn begin(&mut self, job: Job) -> Option<Confirms> {
        if job.answer.is_closed() {
            return None; // Nobody waits for it any more.
        }
        let channel = loop {
            let Ok(channel) = self.ready(job.deadline).await else {
                job.answer.send(vec![Sent::Unsent; job.messages.len()]).ok();
                return None;
            };
            // Checked here because lapin checks it again before it takes a message.
            if channel.status().connected() {
                break channel;
            }
            self.channel = None;
        };
        Some(confirms(channel, job).boxed())
    }

    async fn ready(&mut self, deadline: Instant) -> Result<Channel, Error> {
        if Instant::now() >= deadline {
            // What stood in line for so long would be in doubt as soon as it left.
            return Err(Error::Broken("it waited for too long".to_owned()));
        }
        self.unblocked(deadline).await?;
        if let Some((channel, generation)) = &self.channel
            && channel.status().connected()
            && self.link.is_current(*generation)
        {
            return Ok(channel.clone());
        }
        let wait = deadline.saturating_duration_since(Instant::now());
        let (channel, generation) = self.link.channel_within(wait).await?;
        let selected = channel.confirm_select(ConfirmSelectOptions::default());
        match tokio::time::timeout_at(deadline, selected).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Error::of_channel(&error, "ask for confirms")),
            Err(_) => return Err(Error::Broken("no answer in time".to_owned())),
        }
        self.channel = Some((channel.clone(), generation));
        Ok(channel)
    }
}

impl Lane {
    /// What is handed to a blocked connection stays in its buffers and is in doubt; what is kept
    /// here is not.
    async fn unblocked(&self, deadline: Instant) -> Result<(), Error> {
        let mut state = self.link.state();
        let takes = |state: &State| !matches!(state, State::Blocked { .. });
        match tokio::time::timeout_at(deadline, state.wait_for(takes)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Blocked(
                "the broker takes no messages for now".to_owned(),
            )),
        }
    }
}

/// A message on its way: until it is confirmed, or it is certain that it never left.
type Way = BoxFuture<'static, Sent>;

fn confirms(channel: Channel, job: Job) -> impl Future<Output = bool> + Send + 'static {
    let Job {
        messages,
        deadline,
        answer,
    } = job;
    async move {
        let mut ways: Vec<Way> = messages
            .into_iter()
            .map(|message| way(channel.clone(), message).boxed())
            .collect();
        // The first look at each hands it to the connection. Only the one that is awaited below
        // wakes this task.
        let mut sent: Vec<Option<Sent>> = ways.iter_mut().map(|way| way.now_or_never()).collect();
        let all = async {
            for (way, sent) in ways.iter_mut().zip(&mut sent) {
                if sent.is_none() {
                    *sent = Some(way.await);
                }
            }
        };
        let is_whole = tokio::time::timeout_at(deadline, all).await.is_ok();
        let sent = ways.iter_mut().zip(sent).map(|(way, sent)| {
            sent.or_else(|| way.now_or_never())
                .unwrap_or(Sent::Doubtful)
        });
        // Whoever does not wait any more has made the group doubtful for itself.
        answer.send(sent.collect()).ok();
        is_whole
    }
}

async fn way(channel: Channel, message: Message) -> Sent {
    let Message {
        exchange,
        routing_key,
        body,
        properties,
    } = message;
    let options = BasicPublishOptions::default();
    let (exchange, key) = (exchange.as_ref().into(), routing_key.as_ref().into());
    let sending = channel.basic_publish(exchange, key, options, &body, properties);
    match sending.await {
        Err(error) => unsent_or_doubtful(&error),
        Ok(confirm) => match confirm.await {
            Ok(Confirmation::Ack(_)) => Sent::Confirmed,
            Ok(Confirmation::Nack(_) | Confirmation::NotRequested) | Err(_) => Sent::Doubtful,
        },
    }
}

/// lapin refuses with a state before it takes a message at all. Any other error may come after the
/// message was written in part, and behind TLS even in whole.
fn unsent_or_doubtful(error: &lapin::Error) -> Sent {
    match error.kind() {
        ErrorKind::InvalidChannelState(_, "basic.publish") => Sent::Unsent,
        _ => Sent::Doubtful,
    }
}
