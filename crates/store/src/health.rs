//! What the store says about its own health, each finding with what to do about it.

use crate::embedded::Shared;
use crate::error::Fault;
use crate::intents;
use crate::readers::is_broken_off;
use crate::schema::{self, BOOKS, Schema};
use domain::ports::{Depth, Finding, StoreError};
use rusqlite::Connection;
use std::path::Path;

/// Less free space than this is worth a word.
const FREE_BYTES_MIN: u64 = 512 * 1024 * 1024;
/// A log that has grown beyond this is not emptied: somebody reads for a long time.
const LOG_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Looks at everything.
pub(crate) async fn check(shared: &Shared, depth: Depth) -> Result<Vec<Finding>, StoreError> {
    let folder = shared.config.folder.clone();
    let mut findings = shared
        .readers
        .look(depth, move |db| {
            let mut findings = vec![free_space(&folder)];
            findings.extend(file(db, (&BOOKS, &folder), depth)?);
            findings.extend(kept_aside(&folder));
            Ok(findings)
        })
        .await?;
    findings.extend(shared.oopses.check(depth).await?);
    Ok(findings)
}

/// The findings about one file.
pub(crate) fn file(
    db: &Connection,
    (schema, folder): (&Schema, &Path),
    depth: Depth,
) -> Result<Vec<Finding>, Fault> {
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = schema.version();
    let name = schema.name;
    Ok(vec![
        Finding {
            about: format!("{name}: schema version"),
            is_fine: version == known,
            seen: format!("{version} of {known}"),
            remedy: (version != known).then(|| "restart goaround to bring it up to date".into()),
        },
        match depth {
            Depth::Usual => unread(name),
            Depth::Deep => integrity(db, name)?,
        },
        fine(
            format!("{name}: size"),
            format!("{} bytes", size(&schema.file(folder))),
        ),
        log(schema, folder),
    ])
}

fn fine(about: String, seen: String) -> Finding {
    Finding {
        about,
        is_fine: true,
        seen,
        remedy: None,
    }
}

/// Nothing is claimed of pages that nobody looked at.
fn unread(name: &str) -> Finding {
    fine(
        format!("{name}: integrity"),
        "its pages were not read: `goaround doctor --deep` reads them".into(),
    )
}

fn integrity(db: &Connection, name: &str) -> Result<Finding, Fault> {
    let about = format!("{name}: integrity");
    match schema::check(db) {
        Ok(()) => Ok(fine(about, "every page is intact".into())),
        Err(Fault::Sql(error)) if is_broken_off(&error) => Ok(fine(
            about,
            "what was read is intact; the file is too large to be read through in time: stop goaround \
             and use `sqlite3 FILE 'PRAGMA quick_check'`".into(),
        )),
        Err(fault) => Ok(Finding {
            about,
            is_fine: false,
            seen: fault.to_string(),
            remedy: Some(
                "stop goaround, copy the data folder, and restore it from a backup or with \
                 `sqlite3 FILE .recover`"
                    .into(),
            ),
        }),
    }
}

fn log(schema: &Schema, folder: &Path) -> Finding {
    let log = folder.join(format!("{}-wal", schema.name));
    let size = size(&log);
    let is_fine = size <= LOG_BYTES_MAX;
    Finding {
        about: format!("{}: write-ahead log", schema.name),
        is_fine,
        seen: format!("{size} bytes"),
        remedy: (!is_fine).then(|| {
            "it is not emptied while somebody reads: end long readers, such as sqlite3 shells"
                .into()
        }),
    }
}

fn size(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |found| found.len())
}

fn free_space(folder: &Path) -> Finding {
    let about = format!("data folder {}: free space", folder.display());
    match rustix::fs::statvfs(folder) {
        Ok(disk) => {
            let free = disk.f_bavail * disk.f_frsize;
            let is_fine = free >= FREE_BYTES_MIN;
            Finding {
                about,
                is_fine,
                seen: format!("{free} bytes"),
                remedy: (!is_fine).then(|| {
                    "free some space: at zero nothing is accepted or settled any more, \
                     though nothing is lost"
                        .into()
                }),
            }
        }
        Err(error) => Finding {
            about,
            is_fine: false,
            seen: error.to_string(),
            remedy: Some("make the data folder readable".into()),
        },
    }
}

fn kept_aside(folder: &Path) -> Option<Finding> {
    let file = intents::damaged(folder)?;
    Some(Finding {
        about: "intent file".into(),
        is_fine: false,
        seen: format!(
            "one that could not be read was kept as {}; tickets that were running then ran \
             again without a report",
            file.display()
        ),
        remedy: Some("look for the cause on the disk, then remove the file".into()),
    })
}
