//! The criteria of level 3.

mod assignment;
mod gateway;
mod models;
mod parts;
mod recovery;
mod request;
mod saga;
mod sweep;

use super::Level;

/// Level 3.
pub const LEVEL: Level = Level {
    name: "level3",
    title: "A payment gateway that loses nothing",
    given: &["src/lib.rs"],
    groups: &[
        parts::DEADLINE,
        parts::RETRY,
        parts::BREAKER,
        parts::LIMITER,
        parts::DEAD_LETTERS,
        parts::IDEMPOTENCY,
        models::GROUP,
        request::GROUP,
        saga::GROUP,
        gateway::GROUP,
        assignment::GROUP,
        recovery::GROUP,
        sweep::GROUP,
    ],
};
