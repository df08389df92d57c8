//! The parts that have state, and the figures, beside reference models.

mod cache;
mod metrics;
mod queue;

pub use cache::cache;
pub use metrics::metrics;
pub use queue::queue;
