//! Where streams begin: events that are pushed, and a timer.
//!
//! A `Vec` of callbacks becomes an `Emitter` with `Events` for each reader. A stream is *pulled*: a reader
//! that is slow does not slow down the events, so there is a buffer between them, and what happens when it is
//! full is a decision (`Overflow`).
//!
//! Lesson: `level4/lessons/sources.md`.

mod events;
mod timer;

pub use events::{Emitter, Events, Overflow, from_events};
pub use timer::{Timer, ZeroPeriod, timer};
