//! The notices of the system that something has changed in a folder.

use std::any::Any;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Config, Event, EventKind, PollWatcher, RecursiveMode, Watcher, recommended_watcher};
use tokio::sync::watch;

/// How often a folder is looked at that sends no notices.
const POLL: Duration = Duration::from_secs(1);

/// Counts notices, as long as it is held.
pub(super) struct Signals {
    count: watch::Receiver<u64>,
    /// Ends the watch when it is dropped.
    _watcher: Box<dyn Any + Send + Sync>,
}

impl Signals {
    /// Watches a folder for changes of the file with this name, or of any file. The error is the system's text.
    pub(super) fn watch(folder: &Path, name: Option<OsString>) -> Result<Self, String> {
        let (counts, count) = watch::channel(0);
        // An error of the watch counts too: notices may have been lost.
        let counts_on = move |event: notify::Result<Event>| {
            if event.as_ref().map_or(true, |event| is_change(event, name.as_deref())) {
                counts.send_modify(|count| *count += 1);
            }
        };
        let watched = recommended_watcher(counts_on.clone()).and_then(|mut watcher| {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        let watcher: Box<dyn Any + Send + Sync> = match watched {
            Ok(watcher) => Box::new(watcher),
            // A network folder, or too many watches.
            Err(error) => {
                tracing::debug!(folder = %folder.display(), %error, "no notices; the folder is polled");
                let config = Config::default().with_poll_interval(POLL);
                let polled = PollWatcher::new(counts_on, config).and_then(|mut watcher| {
                    watcher.watch(folder, RecursiveMode::NonRecursive)?;
                    Ok(watcher)
                });
                Box::new(polled.map_err(|error| error.to_string())?)
            }
        };
        Ok(Self { count, _watcher: watcher })
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        *self.count.borrow()
    }

    /// The notices from now on.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        let mut count = self.count.clone();
        count.mark_unchanged();
        count
    }
}

/// Whether the file may have changed. That it was opened or read is no change: the source does that itself. A notice
/// without paths says that notices were lost.
fn is_change(event: &Event, name: Option<&OsStr>) -> bool {
    let is_access = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    };
    let is_about = |name| event.paths.iter().any(|path| path.file_name() == Some(name));
    !is_access && (event.paths.is_empty() || name.is_none_or(is_about))
}
