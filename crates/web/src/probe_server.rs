//! The server of a process that shows its probes and nothing else.
//!
//! It does nothing at all while nobody asks: the whole server of the viewer keeps a clock for the
//! `Date` of its answers, which wakes up twice a second on every thread, and an idle worker is to
//! cost nothing. So the part that has the clock is made for a connection and ends with it, and a
//! connection ends with its answer.

use crate::config::{Config, Limits};
use crate::gate::Gate;
use crate::problem::Problem;
use crate::routes;
use crate::server::guard;
use crate::site::Probes;
use actix_http::{HttpService, KeepAlive};
use actix_service::{IntoServiceFactory, Service as _, ServiceFactory as _, map_config};
use actix_web::dev::AppConfig;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, ResponseError as _};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The most connections at once: more than ask for probes, and few enough to be no work.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take over all of it, once its head is read.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// How long the rest of a request that was refused is read, so that the answer gets through.
const LINGER: Duration = Duration::from_secs(1);
/// How long nobody is let in after that has failed, as when no file is left to open.
const ACCEPT_AGAIN: Duration = Duration::from_millis(500);

/// Shows the probes, on the thread that started it, until it is stopped or dropped.
pub struct ProbeServer {
    stopping: watch::Sender<bool>,
    task: JoinSet<()>,
}

/// What every connection is served with.
#[derive(Clone)]
struct Desk {
    gate: Data<Gate>,
    probes: Data<Probes>,
    limits: Limits,
}

impl ProbeServer {
    /// Starts to serve, behind the same gate as API and viewer. Must be called on a thread that
    /// runs local tasks.
    ///
    /// # Errors
    /// [`io::Error`] when the listener cannot be used.
    pub fn start(
        listener: std::net::TcpListener,
        config: &Config,
        probes: Probes,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let desk = Desk {
            gate: Data::new(Gate::new(config, probes.clock.as_ref())),
            probes: Data::new(probes),
            limits: config.limits.clone(),
        };
        let (stopping, stopped) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn_local(serve(listener, desk, stopped));
        Ok(Self { stopping, task })
    }

    /// Lets nobody in any more, and answers those who are in for at most
    /// [`Limits::drain`](crate::Limits::drain).
    pub async fn stop(mut self) {
        self.stopping.send_replace(true);
        while self.task.join_next().await.is_some() {}
    }
}

async fn serve(listener: TcpListener, desk: Desk, stopped: watch::Receiver<bool>) {
    let seats = desk.limits.connections_max.min(CONNECTIONS_MAX);
    let seats = Arc::new(Semaphore::new(seats));
    let leaving = stopped.clone();
    let mut visits = JoinSet::new();
    let come = async {
        loop {
            // Whoever finds no seat waits at the kernel's door.
            let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
                return; // Nobody closes it.
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (desk, leaving) = (desk.clone(), leaving.clone());
                    visits.spawn_local(async move {
                        desk.answer(stream, leaving).await;
                        drop(seat);
                    });
                }
                // It was given up before it was let in.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!("a connection for the probes was not accepted: {error}");
                    sleep(ACCEPT_AGAIN).await;
                }
            }
            while visits.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        () = come => {}
        () = self::stopped(stopped.clone()) => {}
    }
    drop(listener);
    let last = async { while visits.join_next().await.is_some() {} };
    if timeout(desk.limits.drain, last).await.is_err() {
        tracing::warn!("some probes were not answered in time");
    }
}

/// Waits until the server is to stop, or is gone.
async fn stopped(mut stopped: watch::Receiver<bool>) {
    stopped.wait_for(|stopped| *stopped).await.ok();
}

impl Desk {
    /// Who has not asked yet when the server is to stop is not waited for.
    async fn answer(&self, stream: TcpStream, leaving: watch::Receiver<bool>) {
        let app = App::new()
            .app_data(self.gate.clone())
            .app_data(self.probes.clone())
            .configure(routes::configure_probes)
            .default_service(web::route().to(no_such_probe))
            .wrap(from_fn(guard));
        let app = map_config(app.into_factory(), |()| AppConfig::default());
        let server = HttpService::build()
            .keep_alive(KeepAlive::Disabled)
            .client_request_timeout(self.limits.head_wait)
            .client_disconnect_timeout(LINGER)
            .graceful_shutdown_signal(move || stopped(leaving.clone()))
            .h1(app)
            .tcp();
        let Ok(server) = server.new_service(()).await else {
            return tracing::warn!("the probes could not be shown");
        };
        let patience = self.limits.head_wait + ANSWER_MAX;
        match timeout(patience, server.call(stream)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!("a connection for the probes ended early: {error}"),
            Err(_) => tracing::debug!("a connection for the probes took too long and was ended"),
        }
    }
}

async fn no_such_probe() -> HttpResponse {
    let detail = "this role shows /livez, /readyz and /metrics; API and viewer are served by the \
                  controller";
    Problem::not_found(detail).error_response()
}
