//! Level 3: a payment gateway that never loses or doubles a payment.
//!
//! | module | what it is |
//! |---|---|
//! | [`deadline`], [`retry`], [`breaker`], [`limiter`], [`dead_letters`], [`idempotency`] | the parts, each of use alone |
//! | [`request`] | what is refused before anything is called |
//! | [`saga`] | steps that succeed together or are undone |
//! | [`gateway`] | all of them together |
//!
//! Every module here is an exercise, and the README is the assignment. The course provides the rest in
//! packages beside this one:
//!
//! | package | what it has |
//! |---|---|
//! | `level3-domain` | [`money`], [`ids`], [`payment`], the services as traits ([`provider`]), the [`journal`], what a gateway says ([`answer`], [`event`]); named here as modules of this crate |
//! | `level3-sim` | the services, simulated |
//! | `level3-harness` | payments under load and under every fault; the grader runs it |
//! | `level3-adapters` | Stripe, SendGrid, SQLite and PostgreSQL |
//! | `payment-gateway` | a program that pays through this gateway |

pub use level3_domain::{answer, event, ids, journal, money, nonzero, payment, provider};

pub mod breaker;
pub mod dead_letters;
pub mod deadline;
pub mod gateway;
pub mod idempotency;
pub mod limiter;
pub mod request;
pub mod retry;
pub mod saga;
