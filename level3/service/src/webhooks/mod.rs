//! Notifications of merchants: what has happened to their payments and refunds.
//!
//! | module | what it has |
//! |---|---|
//! | `event` | the types of events, their names, and their bodies |
//! | `secret` | signatures after [Standard Webhooks](https://www.standardwebhooks.com) |
//! | `endpoints` | the file of the endpoints |
//! | `schedule` | when to try again. Pure |
//! | `sender` | plans events, and makes deliveries |

mod endpoints;
pub(crate) mod event;
mod schedule;
mod secret;
mod sender;

pub use endpoints::{EndpointEntry, EndpointFile, EndpointFileError, Endpoints};
pub use event::EventType;
pub use secret::{InvalidSecret, Secret};

pub(crate) use sender::Sender;
