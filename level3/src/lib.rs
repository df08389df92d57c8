//! Level 3: a payment gateway that never loses or doubles a payment.

pub mod answer;
pub mod event;
pub mod ids;
pub mod journal;
pub mod money;
pub mod provider;
pub mod sim;

pub mod breaker;
pub mod dead_letters;
pub mod deadline;
pub mod gateway;
pub mod idempotency;
pub mod limiter;
pub mod request;
pub mod retry;
pub mod saga;
pub mod trial;
