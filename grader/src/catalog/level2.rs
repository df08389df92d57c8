//! The criteria of level 2.
use super::Level;

/// Level 2.
pub const LEVEL: Level = Level { name: "level2", title: "", given: &[], groups: &[] };
