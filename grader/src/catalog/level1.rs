//! The criteria of level 1.
use super::Level;

/// Level 1.
pub const LEVEL: Level = Level { name: "level1", title: "", given: &[], groups: &[] };
