//! Level 3: a payment gateway that never loses or doubles a payment.
//!
//! | module | what it is |
//! |---|---|
//! | [`deadline`], [`retry`], [`breaker`], [`limiter`], [`dead_letters`], [`idempotency`] | the parts, each of use alone |
//! | [`request`] | what is refused before anything is called |
//! | [`saga`] | steps that succeed together or are undone |
//! | [`gateway`] | all of them together |
//!
//! The course provides [`money`] and [`ids`], the services as traits ([`provider`]) and simulated
//! ([`sim`]), the [`journal`], what a gateway says ([`answer`], [`event`]) and the trials that the grader
//! runs ([`trial`]). Everything else is an exercise; the README is the assignment.
//!
//! With the feature `adapters`, which is on unless the grader builds, `adapters` has the services for
//! real: Stripe, SQLite and PostgreSQL, SendGrid.

#[cfg(feature = "adapters")]
pub mod adapters;
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

#[cfg(test)]
mod mocked;
