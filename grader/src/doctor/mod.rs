//! What a machine needs to grade: `cargo grade doctor`.
//!
//! [`facts`] looks at the machine; [`judge()`] says what each fact means and what to do. Nothing is changed.

pub mod facts;
mod judge;

pub use facts::Facts;
pub use judge::judge;

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// It works, but slowly, or not for everything.
    Warning,
    /// Nothing can be graded like this.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// What it is: `rust`, `disk`.
    pub subject: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What to do about it.
    pub advice: Option<String>,
}
