//! The criteria of level 1.

mod callbacks;
mod errors;
mod extras;
mod promise;
mod styles;

use super::Level;

/// Level 1.
pub const LEVEL: Level = Level {
    name: "level1",
    title: "One profile, three styles",
    given: &[
        "src/lib.rs",
        "src/lessons.rs",
        "src/main.rs",
        "src/model.rs",
        "src/panics.rs",
        "src/source.rs",
        "src/http/mod.rs",
        "src/http/config.rs",
        "src/http/source.rs",
    ],
    groups: &[
        errors::ERRORS,
        styles::SEQUENTIAL,
        styles::PARALLEL,
        styles::COMBINATORS,
        callbacks::CALLBACKS,
        extras::TRANSPORT,
        callbacks::PROMISIFY,
        promise::PROMISE,
        extras::PAGES,
        extras::BACKGROUND,
    ],
};
