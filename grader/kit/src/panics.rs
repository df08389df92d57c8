//! Where panics began.
//!
//! The hook is the process's only witness of a panic in a spawned task whose `JoinError` nobody
//! looks at, and the only one that knows file and line.
use std::sync::{Mutex, PoisonError};

use grader_protocol::PanicSite;

static SEEN: Mutex<Vec<PanicSite>> = Mutex::new(Vec::new());

/// More are not told; a loop that panics would fill the message.
const MOST: usize = 8;

/// Replaces the default hook by one that remembers.
pub(crate) fn install_hook() {
    std::panic::set_hook(Box::new(|info| {
        let (file, line) = info.location().map_or(("?", 0), |at| (at.file(), at.line()));
        let message = info.payload_as_str().unwrap_or("a panic without a text");
        // Backslashes: a path as Windows prints it would not match what the report looks for.
        let site = PanicSite { message: message.to_owned(), file: file.replace('\\', "/"), line };
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < MOST {
            seen.push(site);
        }
    }));
}

/// The panics since the last call of this function, the first one first.
pub(crate) fn take() -> Vec<PanicSite> {
    std::mem::take(&mut *SEEN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The panics seen since the last [`Cx::call`](crate::Cx::call) ended, without forgetting them.
///
/// For criteria that let the judged code panic on purpose.
#[must_use]
pub fn observed() -> Vec<PanicSite> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
