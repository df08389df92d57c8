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
    given: &[
        "src/lib.rs",
        "src/main.rs",
        "src/answer.rs",
        "src/event.rs",
        "src/ids.rs",
        "src/mocked.rs",
        "src/money.rs",
        "src/adapters/",
        "src/journal/",
        "src/program/",
        "src/provider/",
        "src/sim/",
        "src/trial/",
    ],
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
