//! The payment service as a process: paid with curl, killed, drained, and searched for secrets.

pub mod client;
mod curl;
mod kill;
mod notified;
mod refunds;
mod reports;
mod secrets;
pub mod start;
mod stop;
mod tls;
