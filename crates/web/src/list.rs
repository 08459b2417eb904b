//! What every list has in common: which rows, how many, in which order.

use crate::problem::{Kind, Problem};
use actix_web::HttpRequest;
use actix_web::web::Query as UrlQuery;
use domain::filter::{Query, Rows};
use domain::ports::{Listing, Sort};
use domain::time::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// How many rows a list has when nobody says otherwise.
pub(crate) const LIMIT_DEFAULT: usize = 50;

/// The query parameters of a list, for the document.
pub(crate) const PARAMETERS: &[&str] = &["filter", "limit", "sort"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    filter: Option<String>,
    limit: Option<String>,
    sort: Option<String>,
}

/// The rows that a request asks for.
pub(crate) fn listing(
    request: &HttpRequest,
    rows: Rows,
    now: Timestamp,
) -> Result<Listing, Problem> {
    let asked: Asked = parameters(request)?;
    Ok(Listing {
        query: query(asked.filter.as_deref().unwrap_or_default(), rows)?,
        limit: limit(asked.limit.as_deref(), LIMIT_DEFAULT)?,
        sort: sort(asked.sort.as_deref())?,
        now,
    })
}

/// The query parameters of a request; one that is not known is a mistake, not a wish.
pub(crate) fn parameters<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    check_text(request.query_string())?;
    let parsed = UrlQuery::<T>::from_query(request.query_string());
    parsed.map(UrlQuery::into_inner).map_err(|error| {
        let said = error.to_string();
        let said = said
            .strip_prefix("Query deserialize error: ")
            .unwrap_or(&said);
        Problem::bad_request(format!("query: {said}"))
    })
}

/// Whoever reads the parameters puts a mark in the place of bytes that are no text, and what is
/// then asked for is not what was sent.
fn check_text(query: &str) -> Result<(), Problem> {
    let bytes = unescaped(query);
    let Err(error) = std::str::from_utf8(&bytes) else {
        return Ok(());
    };
    let at = error.valid_up_to();
    let got = bytes[at];
    let detail = format!("query: expected UTF-8, got %{got:02X} after {at} bytes");
    Err(Problem::bad_request(detail))
}

/// The bytes that a query stands for, but for the plus signs.
fn unescaped(query: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(query.len()), query.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let pair = after.first_chunk::<2>().filter(|_| *first == b'%');
        let pair = pair.filter(|pair| pair.iter().all(u8::is_ascii_hexdigit));
        let text = pair.and_then(|pair| std::str::from_utf8(pair).ok());
        let escaped = text.and_then(|text| u8::from_str_radix(text, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = &after[if escaped.is_some() { 2 } else { 0 }..];
    }
    bytes
}

/// Reads a filter for such rows.
pub(crate) fn query(text: &str, rows: Rows) -> Result<Query, Problem> {
    let query = text.parse::<Query>().map_err(|bad| {
        let problem = Problem::new(Kind::BadFilter, bad.to_string()).with("position", bad.position);
        match bad.nearest {
            Some(nearest) => problem.with("nearest", nearest),
            None => problem,
        }
    })?;
    match query.unfit(rows) {
        None => Ok(query),
        Some(unfit) => Err(Problem::new(Kind::BadFilter, unfit.to_string())),
    }
}

/// How many rows are asked for.
pub(crate) fn limit(text: Option<&str>, default: usize) -> Result<usize, Problem> {
    let Some(text) = text else {
        return Ok(default);
    };
    let max = Listing::LIMIT_MAX;
    let parsed = text.parse().ok().filter(|limit| (1..=max).contains(limit));
    parsed.ok_or_else(|| {
        let got: String = text.chars().take(40).collect();
        Problem::bad_request(format!("limit: expected 1..={max}, got {got:?}"))
    })
}

fn sort(text: Option<&str>) -> Result<Sort, Problem> {
    match text {
        None | Some("newest") => Ok(Sort::NewestFirst),
        Some("oldest") => Ok(Sort::OldestFirst),
        Some(other) => {
            let got: String = other.chars().take(40).collect();
            Err(Problem::bad_request(format!(
                "sort: expected newest or oldest, got {got:?}"
            )))
        }
    }
}
