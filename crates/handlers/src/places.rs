//! Who may run at once, and under which number.
//!
//! Numbers are used again and again, since the kernel looks up the file names that are made of them
//! far faster when it has seen them before.

use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The places that there are.
#[derive(Clone)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    numbers: Arc<Mutex<Numbers>>,
}

#[derive(Default)]
struct Numbers {
    used_before: Vec<u64>,
    next: u64,
}

/// The right to run, with a number that nobody else has. Dropped, the place is free again, but its
/// number is not: nobody knows what was left under it.
pub(crate) struct Place {
    number: u64,
    numbers: Arc<Mutex<Numbers>>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(places_max: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(places_max)),
            numbers: Arc::default(),
        }
    }

    /// Waits for a place.
    ///
    /// # Cancel safety
    /// Safe: a place that was not returned was not taken.
    pub(crate) async fn take(&self) -> Result<Place, AcquireError> {
        let permit = Arc::clone(&self.free).acquire_owned().await?;
        let mut numbers = lock(&self.numbers);
        let number = numbers.used_before.pop().unwrap_or_else(|| {
            numbers.next += 1;
            numbers.next
        });
        drop(numbers);
        Ok(Place {
            number,
            numbers: Arc::clone(&self.numbers),
            _permit: permit,
        })
    }
}

impl Place {
    /// Its number.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Nothing is left under its number; the next one may have it.
    pub(crate) fn give_back(self) {
        lock(&self.numbers).used_before.push(self.number);
    }
}

fn lock(numbers: &Mutex<Numbers>) -> std::sync::MutexGuard<'_, Numbers> {
    numbers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_number_is_used_again_only_when_nothing_is_left_under_it() {
        let places = Places::new(2);
        let first = places.take().await.unwrap();
        let second = places.take().await.unwrap();
        assert_eq!((first.number(), second.number()), (1, 2));
        drop(first);
        second.give_back();
        let numbers = [places.take().await.unwrap(), places.take().await.unwrap()];
        assert_eq!(numbers.map(|place| place.number()), [2, 3]);
    }
}
