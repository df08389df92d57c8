//! Files that an operator replaces while the service runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::{Interval, MissedTickBehavior, interval};

/// Notices changes of files by their times and sizes. Links are followed, so a link that points to
/// another file is a change.
#[derive(Debug)]
pub(crate) struct Watched {
    files: Vec<PathBuf>,
    seen: Vec<Option<(SystemTime, u64)>>,
    ticks: Interval,
}

impl Watched {
    /// Watches files from now on, and looks at them every `every`.
    pub(crate) fn new(files: Vec<PathBuf>, every: Duration) -> Self {
        let mut ticks = interval(every);
        // After a pause of the machine one look is enough.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let seen = stamps(&files);
        Self { files, seen, ticks }
    }

    /// Waits until one of the files has changed since the last change that was returned. A change
    /// while the caller reads the files is returned by the next call.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses no change.
    pub(crate) async fn changed(&mut self) {
        loop {
            self.ticks.tick().await;
            let now = stamps(&self.files);
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<(SystemTime, u64)>> {
    files.iter().map(|file| stamp(file)).collect()
}

/// Returns the time of the last change and the size.
fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
