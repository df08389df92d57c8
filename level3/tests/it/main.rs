//! The gateway against the simulated services.

mod gateway;
mod recovery;
#[path = "../support/request.rs"]
mod request;
mod support;
