//! Trials of a gateway: many payments at once, and every way in which one payment can go wrong.
//!
//! The grader, the reports and the tests of this crate run the same trials.

mod case;
mod load;
mod one;
mod sweep;
mod watch;

pub use case::{Case, NoCase, Slot, compatible};
pub use load::{Interval, Load, Tally, percentile, request};
pub use one::{LIMIT, Trial, one_payment};
pub use sweep::{SITES, Single, Swept, Tried, pairs, singles};
pub use watch::{Recorder, Seen, timeline};
