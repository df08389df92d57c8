//! The choice between records of several sources. It does not depend on the order in which they arrive.
//!
//! ```text
//!  records, in any order        Latest                         Resolution
//!  ───────────────────▶  the newest of each source  ──────▶  Decided: one content, and
//!   offer, join          a: stamp 7   b: stamp 9    resolve   from which source each field is
//!                                                  ──────▶  Open: differing records, for a person
//! ```
//!
//! Everything here is a function of its arguments: there is no clock, no lock and no task.
//!
//! What makes the result independent of the order: [`Latest`](crate::conflict::Latest) keeps one record for each
//! source, the largest one by a total order, and the largest of a set is the same in any order and any grouping. The
//! choice between the sources is made afterwards, from the whole set.
//!
//! Lesson: `level5/lessons/conflict.md`.

mod latest;
mod record;
mod resolve;
mod stamp;

pub use latest::{Latest, Offer, Versioned};
pub use record::{Fields, Fingerprint, Record};
pub use resolve::{Resolution, Resolved, Standing, Standings, Strategy, resolve};
pub use stamp::{SourceId, Stamp};
