//! A file that gets a JSON line for each event.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use level5::event_processor::{Ack, Batch, SendError, Service, Sink};
use serde::Serialize;

use crate::problem::ProgramError;

/// Adds lines to the end of a file. The lines of a batch are written at once, before it is acknowledged.
///
/// They are with the operating system then, and may not be on the disk: they survive the program, not a power failure.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    #[expect(clippy::disallowed_types, reason = "the file is the service")]
    file: Arc<Mutex<std::fs::File>>,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    service: &'a str,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

impl FileSink {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    ///
    /// [`ProgramError::Sink`].
    pub fn open(path: &Path) -> Result<Self, ProgramError> {
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let path = path.to_owned();
        match opened {
            Ok(file) => Ok(Self { path, file: Arc::new(Mutex::new(file)) }),
            Err(why) => Err(ProgramError::Sink { path, why }),
        }
    }
}

impl Sink for FileSink {
    async fn send(&self, to: &Service, batch: &Batch) -> Result<Vec<Ack>, SendError> {
        let mut lines = Vec::new();
        for event in batch.events() {
            let line = Line {
                id: event.id.as_str(),
                service: to.as_str(),
                kind: &event.kind,
                key: event.key.as_deref(),
            };
            // Writing texts into memory does not fail.
            let _ = serde_json::to_writer(&mut lines, &line);
            lines.push(b'\n');
        }
        let file = Arc::clone(&self.file);
        // Locked on the blocking thread only: batches are written one after another, each whole.
        let written = tokio::task::spawn_blocking(move || {
            file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&lines)
        });
        let failed = |why: String| SendError::Transport(format!("{}: {why}", self.path.display()));
        match written.await {
            Ok(Ok(())) => Ok(vec![Ack::Ok; batch.events().len()]),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}
