//! The payment service as a process: paid with curl, killed, drained, and searched for secrets.

mod client;
mod curl;
mod kill;
mod secrets;
mod start;
mod stop;
