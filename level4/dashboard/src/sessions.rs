//! The pages that are open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::page::Inputs;

/// As many pages are open at most.
const MOST: usize = 64;

/// The pages that are open, by number. A clone is a handle to the same ones.
#[derive(Debug, Clone, Default)]
pub struct Sessions {
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    pages: HashMap<u64, Inputs>,
}

impl Sessions {
    /// Adds a page, unless too many are open.
    #[must_use]
    pub fn begin(&self, inputs: Inputs) -> Option<Session> {
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
    pub fn of(&self, number: u64) -> Option<Inputs> {
        self.lock().pages.get(&number).cloned()
    }

    /// How many pages are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().pages.len()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // No code of a caller runs under the lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open page. Dropping it closes the page: its number is forgotten.
#[derive(Debug)]
pub struct Session {
    /// The number that the page sends with its commands. No other page gets it.
    pub number: u64,
    sessions: Sessions,
}

impl Drop for Session {
    fn drop(&mut self) {
        let inputs = self.sessions.lock().pages.remove(&self.number);
        drop(inputs); // when the lock is free
    }
}
