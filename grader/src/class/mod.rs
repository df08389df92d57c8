//! A whole class: from a list of forks to a gradebook.
//!
//! [`roster`] reads which forks there are. [`take`] reads the learner's own source files from each of
//! them, and what else they changed; nothing of a fork is run or checked out. [`run()`] lays the files
//! over a pristine workspace, has a [`worker`] process build and judge them, and keeps one
//! [`result::ForkResult`] for each fork in a [`store`]. All output ([`formats`], [`overview`]) is made
//! from these results, with the points that [`settings`] and [`marks`] make of them.
//! `similar.md` names pairs of solutions that have much in common.
//!
//! A fork is code that the teacher cannot trust. What a fork can reach is listed in [`confine`].

pub mod conditions;
pub mod confine;
pub mod formats;
pub mod lane;
pub mod marks;
pub mod merge;
pub mod moment;
pub mod overview;
pub mod regrade;
pub mod result;
pub mod roster;
pub mod run;
pub mod settings;
mod similar;
pub mod store;
pub mod take;
pub mod worker;

pub use run::{Class, ClassError, Events, run};
