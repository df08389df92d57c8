//! The registration form of level 5 as a page in a browser.
//!
//! ```text
//!  browser ── POST /commands/{number} ──▶ page: RegistrationForm ──▶ accounts (simulated)
//!     ▲                                      │
//!     └──────── GET /events ◀── PageState ◀──┘
//! ```
//!
//! Every open page has a form of its own, which lives as long as its stream of events. The browser has no rule: it
//! sends what is typed and shows what the form says, so that the rules stand in one place.

pub mod accounts;
pub mod args;
mod assets;
pub mod page;
pub mod server;
