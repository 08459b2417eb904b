//! What went wrong, as a problem document (RFC 9457): for a program by its type, for a person by
//! its detail.

use crate::server::protect;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use domain::ports::{PlanError, StoreError};
use serde_json::{Map, Value, json};
use std::fmt;

/// Which sort of problem. Its word is the end of the document's `type` and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    BadRequest,
    BadFilter,
    UnknownFlow,
    Unauthorized,
    HostNotAllowed,
    CrossSite,
    NotFound,
    MethodNotAllowed,
    Timeout,
    Ambiguous,
    Refused,
    PayloadTooLarge,
    UnsupportedMediaType,
    TooManyStreams,
    TooEarly,
    Internal,
    StoreDamaged,
    NotAvailable,
    StoreUnavailable,
    StoreFull,
}

impl Kind {
    /// The word, the status and the title.
    const fn facts(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::BadRequest => ("bad-request", 400, "The request cannot be read"),
            Self::BadFilter => ("bad-filter", 400, "The filter cannot be read"),
            Self::UnknownFlow => ("unknown-flow", 400, "No such flow is configured"),
            Self::Unauthorized => ("unauthorized", 401, "A token is needed"),
            Self::HostNotAllowed => ("host-not-allowed", 403, "This host name is not served"),
            Self::CrossSite => (
                "cross-site",
                403,
                "Another site may not change anything here",
            ),
            Self::NotFound => ("not-found", 404, "No such thing"),
            Self::MethodNotAllowed => ("method-not-allowed", 405, "Not with this method"),
            Self::Timeout => ("timeout", 408, "The request took too long"),
            Self::Ambiguous => ("ambiguous", 409, "More than one thing is named so"),
            Self::Refused => ("refused", 409, "It was not carried out"),
            Self::PayloadTooLarge => ("payload-too-large", 413, "The payload is too large"),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                415,
                "The content type is not understood",
            ),
            Self::TooManyStreams => ("too-many-streams", 503, "Too many live listeners"),
            Self::TooEarly => ("too-early", 503, "It came too early"),
            Self::Internal => ("internal", 500, "A fault of ours"),
            Self::StoreDamaged => ("store-damaged", 500, "The store is damaged"),
            Self::NotAvailable => ("not-available", 501, "Not available in this version"),
            Self::StoreUnavailable => ("store-unavailable", 503, "The store does not answer"),
            Self::StoreFull => ("store-full", 507, "The disk is full"),
        }
    }
}

/// What went wrong.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    more: Map<String, Value>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            more: Map::new(),
        }
    }

    pub(crate) fn bad_request(detail: impl fmt::Display) -> Self {
        Self::new(Kind::BadRequest, detail.to_string())
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    /// The same with one more fact for programs.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.into(), value.into());
        self
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) const fn title(&self) -> &'static str {
        self.kind.facts().2
    }

    fn document(&self) -> Value {
        let (word, status, title) = self.kind.facts();
        let mut document = json!({
            "type": format!("urn:goaround:problem:{word}"),
            "title": title,
            "status": status,
            "detail": self.detail,
        });
        if let Value::Object(members) = &mut document {
            members.extend(self.more.clone());
        }
        document
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.title(), self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.facts().1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        match self.kind {
            Kind::Unauthorized => {
                for scheme in ["Bearer", "Basic"] {
                    let challenge = format!("{scheme} realm=\"goaround\"");
                    response.append_header((header::WWW_AUTHENTICATE, challenge));
                }
            }
            Kind::TooEarly => {
                response.insert_header((header::RETRY_AFTER, "1"));
            }
            Kind::StoreUnavailable | Kind::StoreFull | Kind::TooManyStreams => {
                response.insert_header((header::RETRY_AFTER, "5"));
            }
            _ => {}
        }
        let mut response = response.body(self.document().to_string());
        // A panic's answer does not come back through the guard.
        protect(response.headers_mut());
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let kind = match error {
            StoreError::Full(_) => Kind::StoreFull,
            StoreError::Unavailable(_) => Kind::StoreUnavailable,
            StoreError::Damaged(_) => Kind::StoreDamaged,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<PlanError> for Problem {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Unknown(_) => Self::not_found(error.to_string()),
            PlanError::Refused(refusal) => {
                crate::orders::refused(refusal.to_string(), refusal.remedy().into())
            }
            PlanError::Store(error) => error.into(),
        }
    }
}
