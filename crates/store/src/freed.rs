//! Tickets that were ended while somebody had them, and have now been let go unsettled. Only then
//! may the next one with their key go in, and only the writer can let it in.

use crate::admission;
use crate::books::Books;
use crate::codes;
use crate::error::Fault;
use crate::lease::Loaded;
use crate::opening;
use crate::spot::Found;
use rusqlite::Connection;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

type Bell = Box<dyn Fn() + Send + Sync>;

/// What was let go, until the books know it. There are never more than were lent.
#[derive(Default)]
pub(crate) struct Freed {
    list: Mutex<Vec<Loaded>>,
    bell: OnceLock<Bell>,
}

impl Freed {
    /// The bell wakes the writer. A first transaction needs none, so it may come late.
    pub(crate) fn hang(&self, bell: impl Fn() + Send + Sync + 'static) {
        // There is one writer a folder, so there is one bell.
        self.bell.set(Box::new(bell)).ok();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Loaded>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, loaded: Loaded) {
        self.lock().push(loaded);
        if let Some(bell) = self.bell.get() {
            bell();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(crate) fn take(&self) -> Vec<Loaded> {
        std::mem::take(&mut *self.lock())
    }

    /// The transaction that was to tell the books of them was undone.
    pub(crate) fn put_back(&self, mut freed: Vec<Loaded>) {
        let mut list = self.lock();
        freed.append(&mut list);
        *list = freed;
    }
}

/// Lets whoever waited for them in. What cannot be read is skipped: it must not stop every
/// transaction that comes after it.
pub(crate) fn let_go(books: &mut Books, db: &Connection, freed: &[Loaded]) -> Result<(), Fault> {
    for loaded in freed {
        match free(books, db, loaded) {
            Err(Fault::Row(why)) => {
                let id = loaded.ticket.id();
                tracing::error!("ticket {id} was let go, but its row cannot be read: {why}");
            }
            done => done?,
        }
    }
    Ok(())
}

fn free(books: &mut Books, db: &Connection, loaded: &Loaded) -> Result<(), Fault> {
    let found = match Found::by_seq(db, loaded.seq)? {
        Some(found) if found.name == loaded.ticket.name && found.is_ended() => found,
        _ => return Ok(()),
    };
    let now = books.clock.now();
    if let Some(had) = &loaded.had
        && found.state == codes::DROPPED
        && opening::orphan(db, &found, (&had.holder, had.started_at), now)?
    {
        books.has_case();
    }
    admission::unlock(books, db, &found, (&loaded.ticket.stage, now))
}
