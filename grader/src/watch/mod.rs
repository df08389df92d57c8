//! What `cargo grade watch` decides and shows, without a terminal, files or a clock.
//!
//! [`State::on`] takes an [`Event`] (a key, a saved file, a report) and answers with [`Effect`]s, and
//! [`draw`] turns the state into the lines of a screen. `cli::watch` connects both with the terminal.

mod saved;
mod screen;
mod state;
#[cfg(test)]
mod tests;

pub use saved::{Touched, touched};
pub use screen::{Size, draw, plain};
pub use state::{Effect, Event, Key, State};
