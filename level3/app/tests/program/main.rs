//! The program as a process: killed, crowded, short of space, stopped, and told nonsense.
//!
//! Real processes, files and servers, and no paused clock. Every wait is bounded.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "starts programs, kills them and waits for them; what a test unwraps fails the test"
)]

mod audit;
mod away;
mod backup;
mod commands;
mod database;
mod full;
mod kill;
mod lost;
mod oracles;
mod overload;
mod parked;
mod process;
mod providers;
mod receipts;
#[path = "../../../adapters/tests/support/postgres.rs"]
mod server;
mod service;
mod settings;
mod stop;
mod stripe;
mod together;
mod two_stores;
mod waiting;
mod wire;
mod wrong;
