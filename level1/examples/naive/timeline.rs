//! Notes of what happened, with the virtual time at which it did.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// A list of notes in the order in which they were made. Clones share the list.
#[derive(Debug, Clone, Default)]
pub struct Timeline(Arc<Mutex<Vec<Part>>>);

#[derive(Debug)]
struct Part {
    begin: Instant,
    text: String,
}

impl Timeline {
    /// Begins a new part: its times count from now.
    pub fn begin(&self) {
        self.lock().push(Part { begin: Instant::now(), text: String::new() });
    }

    /// Notes that `actor` did `what`, now.
    pub fn note(&self, actor: &str, what: impl AsRef<str>) {
        if let Some(part) = self.lock().last_mut() {
            let at = part.begin.elapsed().as_millis();
            // Writing to a String cannot fail.
            let _ = writeln!(part.text, "{at:>6} ms  {actor:<9}  {}", what.as_ref());
        }
    }

    /// The notes, one text for each part.
    pub fn parts(&self) -> Vec<String> {
        self.lock().iter().map(|part| part.text.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Part>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
