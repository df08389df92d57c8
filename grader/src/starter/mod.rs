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
//! comments inside bodies, destructors, imports. A private item stays when something that stays
//! names it. A blank compiles without a warning; for that its bodies use their parameters
//! (`let _ = (&a, &mut b);`), since rustc warns about unused ones also when all that a body does is
//! `todo!()`. Five rules more make it a place to work in:
//!
//! * A `Debug` written by hand stays if it shows only fields that stay; otherwise it shows the name of
//!   the type. It never panics, so that `dbg!` works from the first line on.
//! * `mut` in front of a parameter stays, `const` in front of a function goes, unless a constant needs
//!   it: whether a body can run at compile time is the learner's decision.
//! * A module of unit tests stays if it uses only what stays: its tests are the learner's own. It gets
//!   the imports that it had from the module above. Tests of private decisions go with them.
//! * A link in the documentation that an import resolved gets the import's path.
//! * A folder of which nothing is left goes.
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
//! | `// starter: doc TEXT` | `TEXT` becomes the documentation; several such lines make several lines |
//!
//! `doc` right below the `//!` lines at the head of a file replaces those. It is for documentation that
//! explains the reference's private design, where the learner needs the task. A private module's
//! documentation goes without it.
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
//! commits later. It also records what git calls the contents of the level's `src` there, which is the
//! same in every history that has these files: a squashed one, or one that began from a template.
//!
//! A record beats a search in the history (a branch such as `upstream/main` is not in
//! every fork, and it moves), and it beats a copy of the files, which every search in the editor would
//! find. The file is small and made to be committed with the learner's work. Where there is no git, or
//! the workspace is not committed, the reference is copied to `.course/reference/LEVEL` instead.
//! `.course/README.md` explains the folder to the learner.
//!
//! # What is never lost
//!
//! `start` writes over a file only when its text is the reference's or the blank's. The first time,
//! when what stands in the working tree *is* the reference, it must be committed. Later, edited files
//! are refused, or moved to `.course/backup/LEVEL-1`, `-2` and so on ([`Edited::BackUp`]).

mod apply;
mod blank;
pub(crate) mod files;
pub(crate) mod git;
mod level;
pub(crate) mod plan;
mod reference;
mod renew;
mod solution;

pub use apply::{Applied, Edited};
pub use blank::{BlankError, blank};
pub use files::FileError;
pub use git::GitError;
pub use plan::{FileState, Plan, PlannedFile, StarterError, plan};
pub use reference::{ReferenceError, commit_of_start, started, untouched};
pub use renew::{Renewal, Renewed, RenewedFile, beside, renewal};
pub use solution::{SolutionError, solution};

#[cfg(test)]
mod tests;
