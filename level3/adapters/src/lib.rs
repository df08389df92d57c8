//! Adapters for the gateway's ports: a real payment provider, real stores and a real sender of
//! mail.
//!
//! Nothing here is an exercise. The traits are the ones that the simulated services implement, so
//! the gateway that a learner writes runs on these without a change.
//!
//! | port | here |
//! |---|---|
//! | [`PaymentProvider`](level3_domain::provider::PaymentProvider) | [`stripe::Stripe::new`] |
//! | [`Receipts`](level3_domain::provider::Receipts) | [`sendgrid::SendGrid::new`] |
//! | [`Journal`](level3_domain::journal::Journal) and [`Ledger`](level3_domain::provider::Ledger) | [`sqlite::SqliteStore::open`], [`postgres::PostgresStore::connect`] |
//!
//! [`webhooks`] sends notifications to merchants. [`receipts::ClaimedReceipts`] keeps a sender of mail from sending a receipt twice, and
//! [`reconcile`] compares the provider's intents with the ledger's rows.

mod http;
pub mod postgres;
pub mod receipts;
pub mod reconcile;
pub mod sendgrid;
pub mod sql;
pub mod sqlite;
pub mod stripe;
pub mod webhooks;

pub use http::{Limits, SetupError};
