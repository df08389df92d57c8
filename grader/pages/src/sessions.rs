//! The pages that are open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// As many pages are open at most.
const MOST: usize = 64;

/// The pages that are open, by number, each with the side that its commands are sent to. A clone is a handle to the same
/// ones.
#[derive(Debug)]
pub struct Sessions<T> {
    // Held to find, add or remove a page, and never across an await.
    open: Arc<Mutex<Open<T>>>,
}

#[derive(Debug)]
struct Open<T> {
    last: u64,
    pages: HashMap<u64, T>,
}

/// An open page. Dropping it closes the page: its number is forgotten.
#[derive(Debug)]
pub struct Session<T> {
    /// The number that the page sends with its commands. No other page gets it.
    pub number: u64,
    sessions: Sessions<T>,
}

impl<T> Clone for Sessions<T> {
    fn clone(&self) -> Self {
        Self { open: Arc::clone(&self.open) }
    }
}

impl<T> Default for Sessions<T> {
    fn default() -> Self {
        Self { open: Arc::new(Mutex::new(Open { last: 0, pages: HashMap::new() })) }
    }
}

impl<T> Sessions<T> {
    /// Adds a page, unless too many are open.
    #[must_use]
    pub fn begin(&self, inputs: T) -> Option<Session<T>> {
        let mut open = self.lock();
        if open.pages.len() >= MOST {
            return None;
        }
        open.last += 1;
        let number = open.last;
        open.pages.insert(number, inputs);
        Some(Session { number, sessions: self.clone() })
    }

    /// Where the commands of an open page go.
    #[must_use]
    pub fn of(&self, number: u64) -> Option<T>
    where
        T: Clone,
    {
        self.lock().pages.get(&number).cloned()
    }

    /// How many pages are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().pages.len()
    }

    fn lock(&self) -> MutexGuard<'_, Open<T>> {
        // Only a clone of `T` runs under the lock: a handle to the inputs of a page.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Session<T> {
    fn drop(&mut self) {
        let inputs = self.sessions.lock().pages.remove(&self.number);
        // When the lock is free: the last sender wakes the task of the page.
        drop(inputs);
    }
}
