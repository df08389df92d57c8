//! The gateway against the simulated services.

mod gateway;
mod support;
