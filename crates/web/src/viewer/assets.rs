//! Style, script and icon, from the binary, under names that change with their content.

use super::frame::PageProblem;
use crate::problem::Problem;
use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Path;
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

const STYLE: &str = include_str!("../assets/viewer.css");
const SCRIPT: &str = include_str!("../assets/viewer.js");
const ICON: &str = include_str!("../assets/viewer.svg");

/// Where the style is.
pub(super) static STYLE_PATH: LazyLock<String> = LazyLock::new(|| path(STYLE, "css"));
/// Where the script is.
pub(super) static SCRIPT_PATH: LazyLock<String> = LazyLock::new(|| path(SCRIPT, "js"));
/// Where the icon is.
pub(super) static ICON_PATH: LazyLock<String> = LazyLock::new(|| path(ICON, "svg"));

fn path(content: &str, ending: &str) -> String {
    let hash = Sha256::digest(content.as_bytes());
    let short: String = hash
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("/assets/viewer-{short}.{ending}")
}

pub(super) async fn show(name: Path<String>) -> Result<HttpResponse, PageProblem> {
    let asked = format!("/assets/{name}");
    let (content, content_type) = if asked == *STYLE_PATH {
        (STYLE, "text/css; charset=utf-8")
    } else if asked == *SCRIPT_PATH {
        (SCRIPT, "text/javascript; charset=utf-8")
    } else if asked == *ICON_PATH {
        (ICON, "image/svg+xml")
    } else {
        let detail = format!("no asset is named {}; load the page again", *name);
        return Err(Problem::not_found(detail).into());
    };
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, content_type))
        // The name changes with the content, so what is kept never gets old.
        .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .body(content))
}
