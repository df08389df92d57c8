//! The dashboard on the real clock: over HTTP, as a process, and in a browser.
//!
//! Nothing here asserts how long something takes. A state that must be seen is held by a service that does not answer.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "these tests start processes"
)]

mod browser;
mod http;
mod program;
mod support;
