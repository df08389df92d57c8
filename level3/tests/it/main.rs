//! The gateway against the simulated services.

mod gateway;
mod load;
mod recovery;
#[path = "../support/request.rs"]
mod request;
mod support;
mod sweep;
