//! The page on the real clock: over HTTP, and in a browser.
//!
//! Nothing here asserts how long something takes. A state that must be seen is held by a service that is silent.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "what a test unwraps fails the test"
)]

mod browser;
