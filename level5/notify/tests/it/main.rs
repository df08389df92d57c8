//! The program and its channels: real sockets, files and processes, and no paused clock, except in `restart`, which has
//! none of them.
//!
//! Nothing here asserts how long something takes. Every wait is bounded.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "starts programs, kills them and waits for them; what a test unwraps fails the test"
)]

mod browser;
mod channels;
mod client;
mod endpoint;
mod http;
mod kill;
mod office;
mod process;
mod restart;
mod smtp;
mod store;
