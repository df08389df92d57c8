//! What every journal promises, on memory and on files.

#[path = "support/contract.rs"]
mod contract;
mod support;

use level5::event_processor::MemoryJournal;
use level5_journal::{FileJournal, JournalConfig};

use contract::{Place, contract};
use support::{SMALL, events};

struct Memory(MemoryJournal);

impl Place for Memory {
    type Journal = MemoryJournal;
    async fn open(&self) -> MemoryJournal {
        self.0.clone()
    }
}

struct Files(tempfile::TempDir, JournalConfig);

impl Place for Files {
    type Journal = FileJournal;
    async fn open(&self) -> FileJournal {
        FileJournal::open(self.0.path(), self.1).expect("a journal")
    }
}

fn files(config: JournalConfig) -> Option<Files> {
    Some(Files(tempfile::tempdir().expect("a folder"), config))
}

contract! { memory, Some(Memory(MemoryJournal::default())) }
contract! { files, super::files(JournalConfig::default()) }
// Every few records begin a segment.
contract! { files_of_a_few_records, super::files(SMALL) }
