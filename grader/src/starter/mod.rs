//! Starters: from a level's reference solution to the learner's blank, and back.
//!
//! The course keeps no blank files. [`plan()`] makes them from the reference, [`Plan::apply`] puts them
//! into the learner's working tree, and [`solution()`] shows the reference again.
//!
//! # What a blank is
//!
//! The interface stays: public items, docs, types, derives, error enums, trait heads, with their
//! comments and layout byte for byte. Function bodies become `todo!()` (or a value that fits, where
//! the return type is opaque). What only the solution needs goes: private items, private fields, the
//! comments inside bodies, tests, destructors, imports. A private item stays when something that stays
//! names it. A blank compiles without a warning; for that its bodies use their parameters
//! (`let _ = (&a, &b);`), since rustc warns about unused ones also when all that a body does is
//! `todo!()`.
//!
//! # Markers
//!
//! A comment on a line of its own above an item, a method or a field steers the result:
//!
//! | marker | effect |
//! |---|---|
//! | `// starter: keep` | stays as it is, with its body and its fields |
//! | `// starter: drop` | goes, although it is public |
//! | `// starter: body EXPR` | `EXPR` becomes the body; several such lines make several lines |
//! | `// starter: hint TEXT` | a line `// Hint: TEXT` in the body, or among the fields of a struct |
//!
//! The blank has no markers left. `body` is what a function needs that returns an opaque type for which
//! no value is known: anything but `Future`, `Stream`, `Iterator`, `Fn` and the traits that `!`
//! implements. `keep` above a `use` keeps an import that no kept code names, a trait's for instance; `drop` settles
//! which of several imports by `*` are not needed any more.
//!
//! # Where the reference is kept
//!
//! The first `start` of a level records the commit in which the reference stands, in
//! `.course/starters.json`; a fork is a full clone, so that commit is there whatever the learner
//! commits later. A record beats a search in the history (a branch such as `upstream/main` is not in
//! every fork, and it moves), and it beats a copy of the files, which every search in the editor would
//! find. The file is small and made to be committed with the learner's work. Where there is no git, or
//! the workspace is not committed, the reference is copied to `.course/reference/LEVEL` instead.
//!
//! # What is never lost
//!
//! `start` writes over a file only when its text is the reference's or the blank's. The first time,
//! when what stands in the working tree *is* the reference, it must be committed. Later, edited files
//! are refused, or moved to `.course/backup/LEVEL-1`, `-2` and so on ([`Edited::BackUp`]).

mod apply;
mod blank;
mod files;
mod git;
mod level;
mod plan;
mod reference;
mod solution;

pub use apply::{Applied, Edited};
pub use blank::{BlankError, blank};
pub use files::FileError;
pub use git::GitError;
pub use plan::{FileState, Plan, PlannedFile, StarterError, plan};
pub use reference::{ReferenceError, started};
pub use solution::{SolutionError, solution};

#[cfg(test)]
mod tests;
