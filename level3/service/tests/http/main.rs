//! The service without sockets: requests go straight to the router. Files and a clock that runs.

#![allow(clippy::unwrap_used, reason = "what a test unwraps fails the test")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests move the clock and start the tools that read files"
)]

mod contract;
mod document;
mod doors;
mod files;
mod merchants;
mod operations;
mod payments;
mod refunds;
mod refusals;
mod reports;
mod shop;
mod sockets;
mod threats;
mod tls;
mod webhooks;
