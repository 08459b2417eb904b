//! Cost grows with the work in hand, not with history.

use crate::{Size, drain, table::Table};

const HISTORY: usize = 1_000_000;

pub(crate) fn after_a_million(size: &Size, table: &mut Table) -> anyhow::Result<()> {
    let old = tempfile::tempdir()?;
    drain::drained(old.path(), 1, HISTORY)?;
    let (mut empty, mut full) = (Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        let fresh = tempfile::tempdir()?;
        empty.push(drain::drained(fresh.path(), 1, size.tickets)?);
        full.push(drain::drained(old.path(), 1, size.tickets)?);
    }
    let what = "drain after 1,000,000 done tickets, beside an empty folder";
    table.rates(what, &mut empty, &mut full, 0.9);
    Ok(())
}
