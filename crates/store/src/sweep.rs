//! Stages that nothing refers to any more: names that were mistyped, or are long out of use. Every
//! name that was ever submitted to has a row, so without this they would grow without end.
//!
//! Whether something refers to a stage takes a look at everything, so a reader looks, and the
//! writer only forgets those that were not used meanwhile.

use crate::books::Books;
use crate::embedded::Embedded;
use crate::error::Fault;
use crate::requests::Request;
use domain::names::StageName;
use domain::ports::StoreError;
use rusqlite::{Connection, OptionalExtension};

/// As long as there are no more stages than this nobody looks.
const STAGES_KEPT: i64 = 256;
/// The most that are forgotten at once.
const SLICE: i64 = 512;

const UNUSED: &str = "SELECT id FROM stages WHERE id NOT IN (
       SELECT stage FROM places UNION SELECT stage FROM tickets UNION SELECT stage FROM attempts
       UNION SELECT stage FROM notes UNION SELECT stage FROM counters) LIMIT ?1";

/// The two steps of the writer, before and after a reader has looked.
pub(crate) enum Sweep {
    /// Remember which stages are used from now on.
    Watch,
    /// Forget these, but for those that were used since.
    Forget(Vec<i64>),
}

impl Embedded {
    /// Forgets a slice of the stages that nothing refers to and that are not configured.
    pub(crate) async fn sweep(&self) -> Result<(), StoreError> {
        let readers = &self.shared.readers;
        if readers.ask(stages).await? <= STAGES_KEPT {
            return Ok(());
        }
        self.shared.ask(Request::Sweep, Sweep::Watch).await?;
        let unused = match readers.ask(unused).await {
            Ok(unused) => unused,
            Err(error) => {
                tracing::warn!("stages that are out of use cannot be looked for: {error}");
                return Ok(());
            }
        };
        if !unused.is_empty() {
            let forget = Sweep::Forget(unused);
            self.shared.ask(Request::Sweep, forget).await?;
        }
        Ok(())
    }
}

fn stages(db: &Connection) -> Result<i64, Fault> {
    let mut count = db.prepare_cached("SELECT count(*) FROM stages")?;
    Ok(count.query_row([], |row| row.get(0))?)
}

fn unused(db: &Connection) -> Result<Vec<i64>, Fault> {
    let mut query = db.prepare_cached(UNUSED)?;
    let ids = query.query_map([SLICE], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Does a step; returns how many were forgotten.
pub(crate) fn step(books: &mut Books, db: &Connection, sweep: &Sweep) -> Result<u64, Fault> {
    let unused = match sweep {
        Sweep::Watch => {
            books.watch_stops();
            return Ok(0);
        }
        Sweep::Forget(unused) => unused,
    };
    let mut name = db.prepare_cached("SELECT name FROM stages WHERE id = ?1")?;
    let mut forget = db.prepare_cached("DELETE FROM stages WHERE id = ?1")?;
    let mut forgotten = 0;
    for id in unused {
        let name: Option<String> = name.query_row([id], |row| row.get(0)).optional()?;
        let Some(name) = name else { continue };
        let is_configured =
            StageName::new(&name).is_ok_and(|name| books.flows.stage(&name).is_some());
        if !is_configured && books.is_unused(*id) {
            forgotten += forget.execute([id])? as u64;
        }
    }
    Ok(forgotten)
}
