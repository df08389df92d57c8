//! The gateway against the simulated services.

mod gateway;
mod load;
mod recovery;
mod support;
mod sweep;
