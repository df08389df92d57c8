//! Looks at the sources of a level before they are compiled and before a grade is believed.
//!
//! [`refused`] finds what would take code or data from outside of the level, hold the compiler, or answer for a
//! value that checks compare: such a level is not built. [`suspicious`] finds what is allowed and hardly ever needed, and what a
//! teacher ought to look at before a grade counts. Both read tokens, so that code in macros and in
//! attributes is seen too, and neither decides about points by itself.

mod compared;
mod locks;
mod outside;
mod suspicious;
#[cfg(test)]
mod tests;
pub(crate) mod tokens;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use compared::{Ruled, answers_by_hand};
pub use locks::{KeptLock, kept_locks};
pub use outside::{outside_files, refused};
pub use suspicious::suspicious;

/// A place in a level's sources, and why it is worth a look.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Relative to the workspace: `level2/src/race.rs`.
    pub file: String,
    /// The line, counted from 1; 0 where the finding is about the whole file.
    pub line: usize,
    /// The code that was found, such as `Runtime::enter`.
    pub what: String,
    /// What it can be used for, and what to do.
    pub why: String,
}

/// `level2/src/race.rs:12: #[path]: why`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}: {}", self.what, self.why)
    }
}
