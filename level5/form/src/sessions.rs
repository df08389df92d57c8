//! The pages that are open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::Sender;

use crate::page::Command;

/// As many pages are open at most.
const MOST: usize = 64;

/// The pages that are open, by number. A clone is a handle to the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions {
    // Held to find, add or remove a page, and never across an await.
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    pages: HashMap<u64, Sender<Command>>,
}

/// An open page. Dropping it closes the page: its number is forgotten.
#[derive(Debug)]
pub(crate) struct Session {
    /// The number that the page sends with its commands. No other page gets it.
    pub(crate) number: u64,
    sessions: Sessions,
}

impl Sessions {
    /// Adds a page, unless too many are open.
    pub(crate) fn begin(&self, commands: Sender<Command>) -> Option<Session> {
        let mut open = self.lock();
        if open.pages.len() >= MOST {
            return None;
        }
        open.last += 1;
        let number = open.last;
        open.pages.insert(number, commands);
        Some(Session { number, sessions: self.clone() })
    }

    /// Where the commands of an open page go.
    pub(crate) fn of(&self, number: u64) -> Option<Sender<Command>> {
        self.lock().pages.get(&number).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // No code of a caller runs under the lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let commands = self.sessions.lock().pages.remove(&self.number);
        // When the lock is free: the last sender wakes the task of the page.
        drop(commands);
    }
}
