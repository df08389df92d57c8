//! The criteria of level 2.

mod all_settled;
mod any;
mod cache;
mod critical;
mod deadline;
mod metrics;
mod parallel;
mod progressive;
mod queue;
mod race;
mod recovery;
mod retry_failed;
mod sequential;

use super::Level;

/// Level 2.
pub const LEVEL: Level = Level {
    name: "level2",
    title: "Four strategies for one dashboard",
    given: &[
        "src/lib.rs",
        "src/model.rs",
        "src/error.rs",
        "src/source.rs",
        "src/settled.rs",
        "src/rest.rs",
        "src/strategy.rs",
        "src/trace.rs",
        "src/picture.rs",
        "src/main.rs",
        "src/demo/mod.rs",
        "src/demo/args.rs",
        "src/demo/live.rs",
        "src/demo/plain.rs",
    ],
    groups: &[
        sequential::GROUP,
        parallel::GROUP,
        race::GROUP,
        all_settled::GROUP,
        deadline::GROUP,
        retry_failed::GROUP,
        critical::GROUP,
        cache::GROUP,
        progressive::GROUP,
        any::GROUP,
        queue::GROUP,
        metrics::GROUP,
        recovery::GROUP,
    ],
};
