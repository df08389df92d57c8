//! Saved files.
use std::any::Any;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

use grader::watch::Event;
use notify_debouncer_mini::notify::{Config, PollWatcher, RecursiveMode};
use notify_debouncer_mini::{DebounceEventResult, new_debouncer, new_debouncer_opt};

use super::Message;
use crate::cli::Failure;

/// An editor that saves all files, or writes one in several steps, is one event.
const TOGETHER: Duration = Duration::from_millis(150);
/// How often a folder is looked at that sends no events.
const POLL: Duration = Duration::from_secs(1);

/// Sends an [`Event::Saved`] for changes below `folders`, with paths relative to `root`. Without `poll`, the
/// system reports changes; where it cannot (a network folder, too many watches), the folders are polled.
/// It watches as long as the value is held.
pub(super) fn watch(
    root: &Path,
    folders: &[PathBuf],
    poll: bool,
    send: Sender<Message>,
) -> Result<Box<dyn Any>, Failure> {
    if !poll {
        let mut debouncer = new_debouncer(TOGETHER, handler(root, folders, send.clone()))?;
        let watched: Result<(), _> = folders
            .iter()
            .try_for_each(|folder| debouncer.watcher().watch(folder, RecursiveMode::Recursive));
        if watched.is_ok() {
            return Ok(Box::new(debouncer));
        }
    }
    let config = notify_debouncer_mini::Config::default()
        .with_timeout(TOGETHER)
        .with_notify_config(Config::default().with_poll_interval(POLL).with_compare_contents(true));
    let mut debouncer = new_debouncer_opt::<_, PollWatcher>(config, handler(root, folders, send))?;
    for folder in folders {
        let watched = debouncer.watcher().watch(folder, RecursiveMode::Recursive);
        watched.map_err(|why| format!("cannot watch {}: {why}", folder.display()))?;
    }
    Ok(Box::new(debouncer))
}

fn handler(
    root: &Path,
    folders: &[PathBuf],
    send: Sender<Message>,
) -> impl FnMut(DebounceEventResult) + Send + 'static {
    let root = root.to_path_buf();
    let mut known = Known::of(folders);
    move |result| {
        let Ok(events) = result else { return };
        let changed = events.into_iter().map(|event| event.path).filter(|path| known.changes(path));
        let relative = |path: PathBuf| path.strip_prefix(&root).map(Path::to_path_buf).ok();
        let files: Vec<PathBuf> = changed.filter_map(relative).collect();
        if !files.is_empty() {
            let _ = send.send(Message::Event(Event::Saved(files)));
        }
    }
}

/// When each file was written last. The system also reports that the compiler reads a file.
struct Known(BTreeMap<PathBuf, Option<SystemTime>>);

impl Known {
    fn of(folders: &[PathBuf]) -> Self {
        let mut known = Known(BTreeMap::new());
        let mut open = folders.to_vec();
        while let Some(path) = open.pop() {
            match std::fs::read_dir(&path) {
                Ok(entries) => open.extend(entries.flatten().map(|entry| entry.path())),
                Err(_) => {
                    known.changes(&path);
                }
            }
        }
        known
    }

    /// Whether a file was written, made or removed since the last question about it.
    fn changes(&mut self, path: &Path) -> bool {
        let now = std::fs::metadata(path)
            .ok()
            .filter(std::fs::Metadata::is_file)
            .and_then(|it| it.modified().ok());
        self.0.insert(path.to_path_buf(), now).flatten() != now
    }
}
