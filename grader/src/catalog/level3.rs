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
        "src/adapters/",
        "src/program/",
        "src/answer.rs",
        "src/event.rs",
        "src/ids.rs",
        "src/mocked.rs",
        "src/money.rs",
        "src/provider/mod.rs",
        "src/provider/error.rs",
        "src/provider/types.rs",
        "src/journal/mod.rs",
        "src/journal/memory.rs",
        "src/journal/record.rs",
        "src/sim/mod.rs",
        "src/sim/account.rs",
        "src/sim/book.rs",
        "src/sim/book/",
        "src/sim/fault.rs",
        "src/sim/net.rs",
        "src/sim/process.rs",
        "src/sim/services.rs",
        "src/sim/stripe.rs",
        "src/trial/mod.rs",
        "src/trial/case.rs",
        "src/trial/load.rs",
        "src/trial/one.rs",
        "src/trial/sweep.rs",
        "src/trial/watch.rs",
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
