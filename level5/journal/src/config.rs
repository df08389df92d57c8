//! How large a journal is, and what it does with damage.

use crate::error::OpenError;

/// What [`FileJournal::open`](crate::FileJournal::open) does when acknowledged records cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Damaged {
    /// Refuses the journal, and names the events. The files stay as they are.
    #[default]
    Refuse,
    /// Goes on with what can be read. [`Recovered::damages`](crate::Recovered::damages) names the rest, and the segments
    /// are written again without it.
    Accept,
}

/// How large a journal is, and what it does with damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalConfig {
    /// A file of so many bytes is followed by a new one: from 4096 to 2^30. A file is longer by one group at most.
    pub segment_bytes: u64,
    /// From so many bytes on, no event is accepted: at least four segments. Ends of events are still recorded, and
    /// compaction needs room for one segment more.
    pub max_bytes: u64,
    /// What to do when acknowledged records cannot be read.
    pub damaged: Damaged,
}

impl Default for JournalConfig {
    /// Segments of 64 MiB, 4 GiB in all; damage is refused.
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, max_bytes: 4 << 30, damaged: Damaged::Refuse }
    }
}

impl JournalConfig {
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let Self { segment_bytes, max_bytes, .. } = *self;
        // A multiplication of 1 GiB by four does not overflow.
        if (4096..=1 << 30).contains(&segment_bytes) && max_bytes >= segment_bytes * 4 {
            Ok(())
        } else {
            Err(OpenError::Config { segment_bytes, max_bytes })
        }
    }
}
