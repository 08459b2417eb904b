//! How many messages a second are published and confirmed: `publish_rate URL MESSAGES BYTES`.

use amqp::{Config, Link, Message, Names, Publisher, Purpose, topology};
use domain::names::StageName;
use domain::ports::Sent;
use lapin::BasicProperties;
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
    let mut config = Config::new(&next("amqp://127.0.0.1"))?;
    let (count, bytes): (usize, usize) = (next("50000").parse()?, next("512").parse()?);
    config.names = Names::new("goaround-rate")?;
    let link = Arc::new(Link::start(&config, Purpose::Publish));
    topology::declare(&link, &config.names, &[StageName::new("rate")?]).await?;
    let publisher = Arc::new(Publisher::start(link));
    let message = Message {
        exchange: config.names.exchange().into(),
        routing_key: "rate".into(),
        body: vec![b'x'; bytes].into(),
        properties: BasicProperties::default().with_delivery_mode(2),
    };
    for (callers, group) in [
        (1, 1),
        (16, 1),
        (1, 64),
        (8, 64),
        (1, 256),
        (4, 256),
        (4, 1_000),
    ] {
        let each = (count / callers / group).clamp(1, 20_000 / group);
        let began = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..callers {
            let (publisher, group) = (Arc::clone(&publisher), vec![message.clone(); group]);
            tasks.spawn(async move {
                let mut confirmed = 0;
                for _ in 0..each {
                    let sent = publisher.publish_group(group.clone()).await;
                    confirmed += sent.iter().filter(|sent| **sent == Sent::Confirmed).count();
                }
                confirmed
            });
        }
        let confirmed: usize = tasks.join_all().await.into_iter().sum();
        let rate = confirmed as f64 / began.elapsed().as_secs_f64();
        println!(
            "{callers} callers, groups of {group}: {confirmed} confirmed, {rate:.0} per second"
        );
    }
    Ok(())
}
