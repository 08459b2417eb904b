//! What we need on the broker: exchanges, queues, and how they hang together.
//!
//! Only what is needed is declared, with the arguments that carry a promise; everything else is
//! the administrator's. What is there already with other arguments is looked at: it may do.

mod drift;
mod plan;

pub use drift::Foreign;

use crate::error::{Error, is_absent_for_now};
use crate::link::Link;
use crate::names::Names;
use domain::names::StageName;
use drift::Drift;
use lapin::Channel;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use plan::{Step, Strictness};
use std::time::{Duration, Instant};

pub(crate) use plan::stage_arguments;

/// How long one declaration may take; on a cluster, a new quorum queue elects a leader in it.
const DECLARE_MAX: Duration = Duration::from_secs(15);

/// How long a start waits for a broker that has let us in and cannot do it yet: after a power
/// failure it answers before all of its queues are there.
const STARTING_MAX: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(1);

/// Declares everything that we have on the broker, and the queues of these stages. Returns the
/// queues that were there with other arguments which look as if they would do; whether they do,
/// [`crate::canary::prove`] finds out. Waits for a broker that is still starting, for a minute.
///
/// # Errors
/// [`Error::Mismatch`] when something is there that will not do, and [`Error::Permission`] when
/// the user may not declare it; both name it, and the way out.
pub async fn declare(
    link: &Link,
    names: &Names,
    stages: &[StageName],
) -> Result<Vec<Foreign>, Error> {
    let mut steps = plan::common(names);
    steps.extend(plan::stages(names, stages)?);
    let begun = Instant::now();
    let mut is_starting = false;
    loop {
        let error = match carry_out(link, &steps).await {
            Ok(foreign) => return Ok(foreign),
            Err(error) => error,
        };
        // Once it is known to be starting, it may also go again.
        is_starting |= matches!(error, Error::Absent(_));
        if !(is_starting && error.is_passing() && begun.elapsed() < STARTING_MAX) {
            return Err(error);
        }
        tracing::warn!("waiting for the broker: {error}");
        tokio::time::sleep(AGAIN).await;
    }
}

/// Declares the queues of stages alone; the rest has been declared before.
///
/// # Errors
/// Like [`declare`].
pub async fn declare_stages(
    link: &Link,
    names: &Names,
    stages: &[StageName],
) -> Result<Vec<Foreign>, Error> {
    carry_out(link, &plan::stages(names, stages)?).await
}

async fn carry_out(link: &Link, steps: &[Step]) -> Result<Vec<Foreign>, Error> {
    let mut foreign = Vec::new();
    let mut hand = Hand {
        link,
        channel: None,
    };
    for step in steps {
        match step {
            Step::Exchange(exchange) => hand.exchange(exchange).await?,
            Step::Queue {
                name,
                arguments,
                is_log,
            } => {
                if let Some(found) = hand.queue(name, arguments.clone()).await? {
                    found.check(*is_log)?;
                    tracing::warn!(queue = name, "{}", found.differences());
                    foreign.push(found);
                }
            }
            Step::Binding {
                queue,
                exchange,
                key,
            } => hand.bind(queue, exchange, key).await?,
        }
    }
    Ok(foreign)
}

/// Every queue of ours: its name, its arguments, and whether it is a log.
pub(crate) fn wanted_queues(
    names: &Names,
    stages: &[StageName],
) -> Result<Vec<(String, FieldTable, bool)>, Error> {
    let mut steps = plan::common(names);
    steps.extend(plan::stages(names, stages)?);
    let queues = steps.into_iter().filter_map(|step| match step {
        Step::Queue {
            name,
            arguments,
            is_log,
        } => Some((name, arguments, is_log)),
        Step::Exchange(_) | Step::Binding { .. } => None,
    });
    Ok(queues.collect())
}

/// Declares one thing after the other, on a new channel after each refusal, which closes it.
pub(crate) struct Hand<'a> {
    link: &'a Link,
    channel: Option<Channel>,
}

impl<'a> Hand<'a> {
    pub(crate) fn new(link: &'a Link) -> Self {
        Self {
            link,
            channel: None,
        }
    }

    async fn channel(&mut self) -> Result<Channel, Error> {
        if let Some(channel) = &self.channel
            && channel.status().connected()
        {
            return Ok(channel.clone());
        }
        let (channel, _) = self.link.channel().await?;
        self.channel = Some(channel.clone());
        Ok(channel)
    }

    async fn exchange(&mut self, wanted: &plan::Exchange) -> Result<(), Error> {
        let channel = self.channel().await?;
        let mut options = ExchangeDeclareOptions {
            durable: true,
            ..Default::default()
        };
        let name = wanted.name.as_str();
        let (kind, arguments) = (wanted.kind.clone(), wanted.arguments.clone());
        let declared = channel.exchange_declare(name.into(), kind.clone(), options, arguments);
        let doing = format!("declare exchange {name:?}");
        let error = match in_time(&doing, declared).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let is_other = matches!(error, Error::Mismatch(_));
        if !is_other || wanted.strictness == Strictness::Exact {
            return Err(way_out(error, &format!("exchange {name:?}")));
        }
        // Somebody else's exchange: what matters is that there is one to bind to.
        options.passive = true;
        let channel = self.channel().await?;
        let found = channel.exchange_declare(name.into(), kind, options, FieldTable::default());
        in_time(&format!("find exchange {name:?}"), found).await
    }

    /// Declares the queue; returns what is there instead, if it is another one.
    pub(crate) async fn queue(
        &mut self,
        name: &str,
        arguments: FieldTable,
    ) -> Result<Option<Foreign>, Error> {
        let mut drift = Drift::from(arguments);
        loop {
            let channel = self.channel().await?;
            let (options, arguments) = (drift.options(), drift.arguments());
            let declared = channel.queue_declare(name.into(), options, arguments);
            match in_time(&format!("declare queue {name:?}"), declared).await {
                Ok(_) => return Ok(drift.found(name)),
                Err(Error::Mismatch(text)) => {
                    if !drift.learn(&text) {
                        return Err(way_out(Error::Mismatch(text), &format!("queue {name:?}")));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// How many messages and consumers a queue has; `None` when it is not there.
    pub(crate) async fn look(&mut self, queue: &str) -> Result<Option<(u32, u32)>, Error> {
        let channel = self.channel().await?;
        let options = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let found = channel.queue_declare(queue.into(), options, FieldTable::default());
        match tokio::time::timeout(DECLARE_MAX, found).await {
            Ok(Ok(found)) => Ok(Some((found.message_count(), found.consumer_count()))),
            Ok(Err(error)) => match crate::error::code_and_text(&error) {
                Some((404, text)) if !is_absent_for_now(&text) => Ok(None),
                _ => Err(Error::of_channel(
                    &error,
                    &format!("look at queue {queue:?}"),
                )),
            },
            Err(_) => Err(late(&format!("look at queue {queue:?}"))),
        }
    }

    async fn bind(&mut self, queue: &str, exchange: &str, key: &str) -> Result<(), Error> {
        let channel = self.channel().await?;
        let bound = channel.queue_bind(
            queue.into(),
            exchange.into(),
            key.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        in_time(
            &format!("bind queue {queue:?} to exchange {exchange:?}"),
            bound,
        )
        .await
    }
}

async fn in_time<T>(
    doing: &str,
    future: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Error> {
    match tokio::time::timeout(DECLARE_MAX, future).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Error::of_channel(&error, doing)),
        Err(_) => Err(late(doing)),
    }
}

fn late(doing: &str) -> Error {
    Error::Absent(format!(
        "the broker did not {doing} within {} s: look at its log; on a cluster, a majority of \
         its nodes has to be up",
        DECLARE_MAX.as_secs()
    ))
}

fn way_out(error: Error, what: &str) -> Error {
    match error {
        Error::Mismatch(text) => Error::Mismatch(format!(
            "{text}; stop what uses {what}, empty and delete it, and start again: it is then \
             declared anew. Or choose another broker.prefix"
        )),
        other => other,
    }
}
