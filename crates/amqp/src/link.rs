//! One connection to the broker that is always there again: it connects, watches, and when the
//! connection ends, whatever the cause, connects anew for as long as it lives.
//!
//! lapin could recover by itself, but only from some causes, and its consumers do not say that
//! they were replaced. So every connection has a generation here, and what was got from an older
//! one is not used any more.

mod state;

pub use state::{Ends, Purpose, State};

use crate::config::Config;
use crate::error::Error;
use crate::greeting::greet;
use crate::kept::keep;
use crate::pulse;
use futures_util::{FutureExt, StreamExt};
use lapin::tcp::AMQPUriTcpExt;
use lapin::{Channel, Connection, ConnectionProperties, Event};
use state::{End, blocked};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

/// The shortest wait before the next attempt.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// The longest wait before the next attempt: half of the time in which a worker is to consume again
/// once it can.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// A connection that held so long was a good one: the next attempt comes quickly again.
const STEADY_AFTER: Duration = Duration::from_secs(10);
/// How long connecting may take, from name resolution to the open connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long [`Link::channel`] waits for a connection.
const CHANNEL_WAIT: Duration = Duration::from_secs(10);
/// A broker that does not answer a farewell in this time is left without one.
const FAREWELL_MAX: Duration = Duration::from_secs(2);
/// Some ends come without an event; they are found by looking. Seldom, since an idle process is to
/// cost nothing.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// One supervised connection. Dropping it closes the connection.
pub struct Link {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    config: Config,
    purpose: Purpose,
    state: watch::Sender<State>,
    open: Mutex<Option<Open>>,
    ends: [AtomicU64; 5],
    /// Of the last connection.
    generation: AtomicU64,
}

#[derive(Clone)]
struct Open {
    connection: Arc<Connection>,
    generation: u64,
}

impl Link {
    /// Starts to connect, and keeps at it. Needs a tokio runtime, and lives on it.
    pub fn start(config: &Config, purpose: Purpose) -> Self {
        let why = Error::Unreachable(format!("not connected to {} yet", config.place()));
        let since = Instant::now();
        let shared = Arc::new(Shared {
            config: config.clone(),
            purpose,
            state: watch::Sender::new(State::Down { why, since }),
            open: Mutex::new(None),
            ends: Default::default(),
            generation: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        let supervised = Arc::clone(&shared);
        let supervise = move || Arc::clone(&supervised).supervise();
        tasks.spawn(keep("who watches a connection to the broker", supervise));
        Self { shared, tasks }
    }

    /// Opens a channel, and says on which connection. Waits up to ten seconds for a connection.
    ///
    /// # Errors
    /// Why there is none. A refusal that trying again does not mend is told at once.
    ///
    /// # Cancel safety
    /// Safe: an unfinished channel is closed.
    pub async fn channel(&self) -> Result<(Channel, u64), Error> {
        self.channel_within(CHANNEL_WAIT).await
    }

    /// Opens a channel, waiting for a connection at most this long.
    ///
    /// # Errors
    /// Like [`Link::channel`].
    pub async fn channel_within(&self, wait: Duration) -> Result<(Channel, u64), Error> {
        match tokio::time::timeout(wait, self.shared.channel()).await {
            Ok(opened) => opened,
            Err(_) => Err(self.shared.why_not()),
        }
    }

    /// How it is, to look at and to wait on.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// Whether this connection is still the one in use.
    pub fn is_current(&self, generation: u64) -> bool {
        self.shared.state.borrow().generation() == Some(generation)
    }

    /// What it is for.
    pub fn purpose(&self) -> Purpose {
        self.shared.purpose
    }

    /// How often connections ended, by reason.
    pub fn ends(&self) -> Ends {
        let [unreachable, refused, closed_by_broker, silent, broken] =
            std::array::from_fn(|i| self.shared.ends[i].load(Ordering::Relaxed));
        Ends {
            unreachable,
            refused,
            closed_by_broker,
            silent,
            broken,
        }
    }

    /// Where it connects to, and how.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Says farewell to the broker and waits for its answer for a short time.
    pub async fn close(mut self) {
        self.tasks.abort_all();
        if let Some(open) = self.shared.take() {
            let farewell = open.connection.close(200, "OK".into());
            // Whether the broker has heard it makes no difference to us: we are gone.
            tokio::time::timeout(FAREWELL_MAX, farewell).await.ok();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Channels that are still held elsewhere would keep the connection open.
        if let Some(open) = self.shared.take() {
            open.connection.close(200, "OK".into()).now_or_never();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Open> {
        self.lock().take()
    }

    async fn channel(&self) -> Result<(Channel, u64), Error> {
        let mut state = self.state.subscribe();
        loop {
            let open = self.lock().clone();
            let tried = match open {
                None => None,
                Some(open) => match open.connection.create_channel().await {
                    Ok(channel) => return Ok((channel, open.generation)),
                    Err(error) if open.connection.status().connected() => {
                        return Err(Error::of_channel(&error, "open a channel"));
                    }
                    // The connection has just ended; whoever watches it says so in a moment.
                    Err(_) => Some(open.generation),
                },
            };
            let changed = |state: &State| match state {
                State::Down { why, .. } => !why.is_passing(),
                _ => state.generation() != tried,
            };
            match state.wait_for(changed).await.map(|state| state.clone()) {
                Ok(State::Down { why, .. }) => return Err(why),
                Ok(_) => {}
                Err(_) => return Err(self.why_not()),
            }
        }
    }

    fn why_not(&self) -> Error {
        match &*self.state.borrow() {
            State::Down { why, .. } => why.clone(),
            State::Blocked { why, .. } => Error::Blocked(blocked(&self.config, why)),
            State::Connected { .. } => Error::Broken(format!(
                "{} is connected, but it did not open a channel in time",
                self.config.place()
            )),
        }
    }

    async fn supervise(self: Arc<Self>) {
        let mut wait = RETRY_MIN;
        let mut is_suspicious = self.purpose == Purpose::Control;
        loop {
            let began = Instant::now();
            let why = match self.connect(is_suspicious).await {
                Ok((connection, server)) => {
                    let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
                    let open = Open {
                        connection: Arc::new(connection),
                        generation,
                    };
                    self.live(open, server).await
                }
                Err(why) => {
                    self.count(if why.is_passing() {
                        End::Unreachable
                    } else {
                        End::Refused
                    });
                    is_suspicious = true;
                    why
                }
            };
            if began.elapsed() > STEADY_AFTER {
                wait = RETRY_MIN;
            }
            self.fall(why);
            tokio::time::sleep(wait.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    async fn connect(&self, ask_first: bool) -> Result<(Connection, Option<String>), Error> {
        let server = if ask_first {
            Some(greet(&self.config).await?.version)
        } else {
            None
        };
        let connection = connect(&self.config, self.purpose).await?;
        Ok((connection, server))
    }

    /// Uses the connection until it ends; returns why it did.
    async fn live(&self, open: Open, server: Option<String>) -> Error {
        let connection = Arc::clone(&open.connection);
        let generation = open.generation;
        let mut events = Box::pin(connection.events_listener());
        *self.lock() = Some(open);
        let connected = State::Connected { generation, server };
        let broker = self.config.place();
        tracing::info!(link = %self.purpose, broker, generation, "connected to the broker");
        self.state.send_replace(connected.clone());
        loop {
            let event = timeout_at(pulse::next(LOOK_EVERY), events.next()).await;
            match event {
                Ok(Some(Event::ConnectionBlocked(why))) => self.block(generation, why),
                Ok(Some(Event::ConnectionUnblocked)) => {
                    tracing::info!(link = %self.purpose, "the broker takes messages again");
                    self.state.send_replace(connected.clone());
                }
                // Errors of a channel are told here too; the connection outlives them.
                Ok(Some(Event::Error(error))) if !connection.status().connected() => {
                    return self.ended(&error);
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) if connection.status().connected() => {}
                Ok(None) | Err(_) => return self.ended(&lapin::Error::from(closed())),
            }
        }
    }

    fn block(&self, generation: u64, why: String) {
        tracing::warn!(link = %self.purpose, "{}", blocked(&self.config, &why));
        let since = Instant::now();
        self.state.send_replace(State::Blocked {
            generation,
            why,
            since,
        });
    }

    fn ended(&self, error: &lapin::Error) -> Error {
        let (end, why) = End::of(error, &self.config);
        self.count(end);
        why
    }

    /// From here on there is no connection. Repeated refusals keep the time of the first.
    fn fall(&self, why: Error) {
        drop(self.take());
        let since = match &*self.state.borrow() {
            State::Down { since, .. } => *since,
            State::Connected { .. } | State::Blocked { .. } => Instant::now(),
        };
        tracing::warn!(link = %self.purpose, "no connection to the broker: {why}");
        self.state.send_replace(State::Down { why, since });
    }

    fn count(&self, end: End) {
        self.ends[end as usize].fetch_add(1, Ordering::Relaxed);
    }
}

fn closed() -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::ConnectionAborted,
        "closed without a word",
    )
}

/// One attempt.
pub(crate) async fn connect(config: &Config, purpose: Purpose) -> Result<Connection, Error> {
    let name = format!("{} {purpose}", config.connection_name);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let runtime =
        lapin::runtime::default_runtime().map_err(|error| Error::of_connect(&error, config))?;
    let tls = config.tls();
    // The socket has a time limit of its own: an attempt that is only dropped leaves its thread
    // behind for as long as the system goes on trying.
    let socket = async move |uri: lapin::uri::AMQPUri, runtime| {
        let opened = uri.connect_with_config_async(tls.as_ref(), &runtime);
        match tokio::time::timeout(CONNECT_MAX, opened).await {
            Ok(opened) => Ok(opened?),
            Err(late) => Err(std::io::Error::from(late).into()),
        }
    };
    let mut uri = config.uri();
    uri.query.frame_max.get_or_insert(purpose.frame_bytes_max());
    let connection = Connection::connector(uri, runtime, socket, properties);
    match tokio::time::timeout(CONNECT_MAX, connection).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(Error::of_connect(&error, config)),
        Err(late) => Err(Error::of_socket(&late.into(), config)),
    }
}
