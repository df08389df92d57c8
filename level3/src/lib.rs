//! Level 3: a payment gateway that never loses or doubles a payment.

pub mod ids;
pub mod journal;
pub mod money;
pub mod provider;
pub mod sim;

pub mod breaker;
pub mod dead_letters;
pub mod deadline;
pub mod idempotency;
pub mod limiter;
pub mod retry;
