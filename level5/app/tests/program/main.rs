//! The program as a process: killed, stopped, short of space, given wrong input and damaged journals.
//!
//! Real processes, files and servers, and no paused clock. Every wait is bounded.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "starts programs, kills them and waits for them; what a test unwraps fails the test"
)]

mod http;
mod journal;
mod kill;
mod lines;
mod monitor;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "nats")]
#[path = "../../../jetstream/tests/support/mod.rs"]
mod nats_server;
mod process;
mod requests;
mod run;
