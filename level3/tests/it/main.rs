//! The gateway against the simulated services.

mod gateway;
mod load;
mod support;
mod sweep;
