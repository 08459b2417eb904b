//! What wakes the leader: a connection that listens for news from every controller.

use super::connect::Connector;
use super::fault::Fault;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_postgres::AsyncMessage;

/// The channel of the news.
pub(crate) const CHANNEL: &str = "goaround_attention";
/// How long it takes at the longest until somebody looks, should all news be lost.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long until another try to listen.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Hears of news. The task that listens ends with it.
pub(crate) struct Attention {
    news: Arc<Notify>,
    _listener: Mutex<JoinSet<()>>,
}

impl Attention {
    pub(crate) fn listen(connector: Connector) -> Self {
        let news = Arc::new(Notify::new());
        let mut listener = JoinSet::new();
        listener.spawn(listen(connector, Arc::clone(&news)));
        Self {
            news,
            _listener: Mutex::new(listener),
        }
    }

    /// Something in this process is news to the leader.
    pub(crate) fn wake(&self) {
        self.news.notify_one();
    }

    /// Waits for news, or until it is time to look anyway.
    pub(crate) async fn wait(&self) {
        // Whether it was news or the time makes no difference: somebody looks.
        tokio::time::timeout(LOOK_EVERY, self.news.notified())
            .await
            .ok();
    }
}

async fn listen(connector: Connector, news: Arc<Notify>) {
    loop {
        if let Err(fault) = listen_once(&connector, &news).await {
            tracing::warn!(
                "PostgreSQL at {}: not listening for news, looking every {LOOK_EVERY:?}: {fault}",
                connector.place()
            );
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn listen_once(connector: &Connector, news: &Notify) -> Result<(), Fault> {
    let (client, mut wire) = connector.connect().await?;
    let sql = format!("LISTEN {CHANNEL}");
    let mut listening = std::pin::pin!(client.batch_execute(&sql));
    let mut is_listening = false;
    loop {
        tokio::select! {
            done = &mut listening, if !is_listening => {
                done?;
                is_listening = true;
                // What was told before is not told again.
                news.notify_one();
            }
            message = poll_fn(|cx| wire.poll_message(cx)) => match message {
                Some(Ok(AsyncMessage::Notification(_))) => news.notify_one(),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err(Fault::row("the connection", "it was closed")),
            },
        }
    }
}
