//! Where panics began.
//!
//! The hook is the only place that sees a panic of a spawned task whose `JoinError` is not read, and
//! the only one that knows its file and line.
use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock, PoisonError};

use grader_protocol::PanicSite;

use crate::Source;

static SEEN: Mutex<Vec<PanicSite>> = Mutex::new(Vec::new());

/// More are not told; a loop that panics would fill the message.
const MOST: usize = 8;

/// Where the level's files have a `todo!()`.
static PLACEHOLDERS: OnceLock<Placeholders> = OnceLock::new();

struct Placeholders {
    /// Every file of the level, as the compiler names it.
    files: BTreeSet<String>,
    /// Lines of them.
    lines: BTreeSet<(String, u32)>,
}

/// Remembers where the placeholders of exercises are that have not been written yet. `level` is the
/// level's folder.
pub(crate) fn know_placeholders(level: &str, sources: &[Source]) {
    let (mut files, mut lines) = (BTreeSet::new(), BTreeSet::new());
    for source in sources {
        let file = format!("{level}/{}", source.path);
        for (number, _) in (1..).zip(source.text.lines()).filter(|(_, text)| text.contains("todo!"))
        {
            lines.insert((file.clone(), number));
        }
        files.insert(file);
    }
    let _ = PLACEHOLDERS.set(Placeholders { files, lines }); // once a process
}

/// Whether the panic is the placeholder of an exercise that is not written yet: a `todo!()`, not a panic
/// with the same text.
pub(crate) fn is_todo(panic: &PanicSite) -> bool {
    let stands_there = PLACEHOLDERS.get().is_none_or(|known| {
        !known.files.contains(&panic.file)
            || known.lines.contains(&(panic.file.clone(), panic.line))
    });
    panic.is_todo() && stands_there
}

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
