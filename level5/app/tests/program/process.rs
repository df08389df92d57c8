//! The program, its folder, and the counts of its result.

use std::path::{Path, PathBuf};
use std::process::Command;

use process_kit::{Ended, command, eventually, run};
use serde_json::Value;

/// A folder of its own, with the journal in it.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The segments of the journal, oldest first.
    pub fn segments(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.file("events.journal")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut segments: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|it| it == "segment")).collect();
        segments.sort();
        segments
    }

    /// Waits until the journal has so many bytes.
    pub fn has_bytes(&self, bytes: u64) {
        eventually("bytes in the journal", || {
            // A segment may go while it is looked at.
            let length = |file: PathBuf| file.metadata().map_or(0, |file| file.len());
            let folder = self.file("events.journal");
            folder.exists() && self.segments().into_iter().map(length).sum::<u64>() > bytes
        });
    }

    /// The program in this folder, with nothing of the environment that it looks at.
    pub fn program(&self, args: &str) -> Command {
        command(env!("CARGO_BIN_EXE_event-processor"), self.folder(), args, &[])
    }

    /// Runs it to its end.
    pub fn run(&self, args: &str) -> Ended {
        run(self.program(args))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    pub accepted: u64,
    pub delivered: u64,
    pub dead: u64,
    pub pending: u64,
}

/// The counts of a result that was printed because of `--json`. They have to add up.
pub fn balance(ended: &Ended) -> Balance {
    let json = ended.json();
    let count = |name: &str| json["balance"][name].as_u64().unwrap();
    assert_eq!(json["balance"]["wrong"], Value::Array(Vec::new()), "{ended:#?}");
    assert_eq!(count("lost"), 0, "{ended:#?}");
    let [accepted, delivered] = ["accepted", "delivered"].map(count);
    Balance { accepted, delivered, dead: count("dead"), pending: count("pending") }
}
