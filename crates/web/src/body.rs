//! Reads a request's body, bounded in size and in time.

use crate::problem::{Kind, Problem};
use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::{Bytes, Payload};
use futures_util::StreamExt as _;
use std::time::Duration;

/// Orders and forms are small.
pub(crate) const FORM_BYTES_MAX: usize = 16 * 1024;

/// What to do with what does not fit.
pub(crate) const TOO_LARGE_REMEDY: &str = "put what is large elsewhere and submit its address";

/// How much of a body is read, and how slowly it may come.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) bytes_max: usize,
    pub(crate) pause_max: Duration,
}

/// The next piece of the body, if there is one.
pub(crate) async fn piece(body: &mut Payload, pause: Duration) -> Result<Option<Bytes>, Problem> {
    match tokio::time::timeout(pause, body.next()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(piece))) => Ok(Some(piece)),
        Ok(Some(Err(error))) => Err(Problem::bad_request(format!("the body broke off: {error}"))),
        Err(_) => Err(Problem::new(
            Kind::Timeout,
            format!("no more of the body came within {} s", pause.as_secs()),
        )),
    }
}

/// The whole body.
pub(crate) async fn whole(
    request: &HttpRequest,
    mut body: Payload,
    patience: Patience,
) -> Result<Vec<u8>, Problem> {
    let Patience {
        bytes_max,
        pause_max,
    } = patience;
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if let Some(size) = announced.filter(|size| *size > bytes_max) {
        return Err(too_large(bytes_max, &format!("{size}")));
    }
    let mut bytes = Vec::with_capacity(announced.unwrap_or(0));
    while let Some(piece) = piece(&mut body, pause_max).await? {
        if bytes.len() + piece.len() > bytes_max {
            return Err(too_large(bytes_max, &format!("more than {bytes_max}")));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn too_large(limit: usize, size: &str) -> Problem {
    let detail = format!("body: expected at most {limit} bytes, got {size}");
    Problem::new(Kind::PayloadTooLarge, detail)
        .with("limit", limit)
        .with("remedy", TOO_LARGE_REMEDY)
}
