//! Sources of streams: events for any number of readers, and a timer.
//!
//! A `Vec` of callbacks becomes an `Emitter` with `Events` for each reader. Events are *pushed* and a stream is
//! *pulled*: a slow reader does not slow down what happens, so there is a buffer between them. What happens when it
//! is full is a decision (`Overflow`).
//!
//! Lesson: `level4/lessons/sources.md`.

mod events;
mod timer;

pub use events::{Emitter, Events, Overflow, from_events};
pub use timer::{Timer, ZeroPeriod, timer};
