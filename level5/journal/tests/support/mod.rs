//! What the tests of the journal share.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod events;

use level5_journal::{Damaged, JournalConfig};

/// The smallest journal: a few records begin a new segment.
pub const SMALL: JournalConfig =
    JournalConfig { segment_bytes: 4096, max_bytes: 1 << 20, damaged: Damaged::Refuse };
