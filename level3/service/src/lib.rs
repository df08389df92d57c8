//! The payment gateway of level 3 behind HTTP.
//!
//! [`Service`] is built from a gateway, a store, a payment provider and the keys of the merchants
//! ([`Parts`]), and served on a listener until it is asked to stop ([`Service::serve`]). The program
//! `payment-gateway serve` does that; `level3/service/README.md` is for its clients and operators.
//!
//! | module | what it has |
//! |---|---|
//! | `api` | the routes |
//! | `layers` | what is done around every route |
//! | `server`, `tls` | connections, their certificate, and the drain |
//! | `payment` | a payment as clients send it and see it |
//! | `refunds` | refunds in full and in part |
//! | `webhooks` | notifications of merchants |
//! | `inbox` | reports of the payment provider |
//! | `filed` | the key spaces and the lists of merchants |
//! | `merchants` | API keys, and how many requests a merchant may send |
//! | `problem` | refusals, each with a stable type |
//! | `readiness`, `metrics`, `openapi` | for operators and their tools |
//! | `watched` | files that an operator replaces |
//! | `request_id`, `card_number` | what may stand in a log, and what may never enter |
//!
//! # What an answer promises
//!
//! * Only 201 says that the customer has paid, and it is sent after the record is durable.
//! * A client that disconnects stops nothing. It repeats the request with the same key and gets the
//!   answer.
//! * After a crash the next process finishes what was under way. A repeat with the same key joins it.
//! * One merchant sees neither the payments nor the keys of another.

mod api;
mod card_number;
mod filed;
mod inbox;
mod layers;
mod merchants;
mod metrics;
mod openapi;
mod payment;
mod problem;
mod readiness;
mod refunds;
mod request_id;
mod server;
mod service;
mod time;
mod tls;
mod watched;
mod webhooks;

pub use api::ROUTES;
pub use filed::{FiledJournal, MAX_CLIENT_KEY, gateway_key};
pub use inbox::Reports;
pub use merchants::{
    ApiKey, Caller, FileError, InvalidKeyId, InvalidMerchant, KeyEntry, KeyFile, KeyHash, KeyId,
    Keyring, LimitEntry, MerchantId, RateLimit, Scope, UnknownScope,
};
pub use metrics::Metrics;
pub use openapi::document;
pub use payment::State;
pub use problem::{PROBLEM_JSON, Problem, ProblemKind};
pub use readiness::CheckAges;
pub use request_id::{REQUEST_ID, RequestId};
pub use server::Drained;
pub use service::{Parts, Service, ServiceConfig};
pub use tls::{Tls, TlsError, TlsFiles};
pub use webhooks::{
    EndpointEntry, EndpointFile, EndpointFileError, Endpoints, EventType, InvalidSecret, Secret,
};
