//! Live changes as server-sent events: sums, coalesced, never more often than a listener can take.

use crate::live::{Live, Sums, TOPICS};
use crate::problem::{Kind, Problem};
use crate::routes::{Route, shows};
use crate::site::Site;
use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{self, Bytes, Data};
use futures_util::stream::{self, Stream};
use serde_json::{Map, Value};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, sleep_until};

pub(crate) const ROUTES: &[Route] = &[Route {
    gives: (200, "text/event-stream", "Change"),
    ..shows(
        "/api/v1/events",
        "Tells when something has changed, at most four times a second: `event: change` with sums \
            since the process started.",
        "",
        || web::to(listen),
    )
}];

async fn listen(site: Data<Site>) -> Result<HttpResponse, Problem> {
    let max = site.config.limits.streams_max;
    let permit = site.streams.clone().try_acquire_owned().map_err(|_| {
        let why = format!(
            "{max} live listeners are connected, which is the most; close a page or ask again later"
        );
        Problem::new(Kind::TooManyStreams, why)
    })?;
    let listener = Listener {
        live: site.parts.live.clone(),
        interval: site.config.limits.stream_interval,
        heartbeat: site.config.limits.stream_heartbeat,
        told: None,
        _permit: permit,
    };
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        // Said to be encoded already, so that no compressor holds messages back.
        .insert_header((header::CONTENT_ENCODING, "identity"))
        .insert_header((header::CACHE_CONTROL, "no-store, no-transform"))
        .streaming(messages(listener)))
}

/// One client that listens.
struct Listener {
    live: Live,
    interval: Duration,
    heartbeat: Duration,
    told: Option<(Sums, Instant)>,
    _permit: OwnedSemaphorePermit,
}

fn messages(listener: Listener) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(listener, async |mut listener| {
        let message = listener.next().await?;
        Some((Ok(Bytes::from(message)), listener))
    })
}

impl Listener {
    async fn next(&mut self) -> Option<String> {
        let Some((seen, at)) = self.told else {
            return Some(format!("retry: 2000\n\n{}", self.tell()));
        };
        tokio::select! {
            () = self.live.changed(&seen) => {}
            () = sleep(self.heartbeat) => return Some(": still here\n\n".into()),
        }
        if self.live.is_closed() {
            return None;
        }
        sleep_until(at + self.interval).await;
        Some(self.tell())
    }

    fn tell(&mut self) -> String {
        let sums = self.live.sums();
        self.told = Some((sums, Instant::now()));
        format!("event: change\ndata: {}\n\n", shown(&sums))
    }
}

fn shown(sums: &Sums) -> Value {
    let pairs = TOPICS.iter().zip(sums);
    let members: Map<String, Value> = pairs
        .map(|(topic, sum)| ((*topic).to_owned(), Value::from(*sum)))
        .collect();
    Value::Object(members)
}
