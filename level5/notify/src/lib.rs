//! Level 5's notifications on real parts: mail over SMTP, signed webhooks, server-sent events, and a store, so that a
//! restart neither loses nor repeats one. `cargo run -p notifier -- --help` lists the options.
//!
//! ```text
//!  server: HTTP ──▶ service ──▶ level 5's Notifier ──▶ channel: in_app, mail, webhook
//!                      │                                  │
//!                    store: accepted, ended            desk: facts, profiles, parcels ── templates
//!                    (a file, or memory)
//! ```
//!
//! | module | what it decides |
//! |---|---|
//! | `entry`, `profile` | what a request may say |
//! | `plan` | when pending notifications are due after a restart |
//! | `desk` | which notifications are one message, and under which id |
//! | `channel` | what an answer of a provider says about a message |
//! | `sign` | signatures of webhooks |
//! | `templates` | texts |
//! | `service` | the order of store, notifier and channels |
//! | `day` | a simulated day |

pub mod args;
mod as_text;
mod assets;
pub mod channel;
pub mod day;
pub mod desk;
pub mod entry;
pub mod plan;
pub mod problem;
pub mod profile;
pub mod run;
pub mod server;
pub mod service;
pub mod sign;
pub mod store;
pub mod templates;
