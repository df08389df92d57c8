//! The criteria of `level2/src/cache.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// The last good page as a fallback.
pub(super) const GROUP: Group = Group {
    name: "cache",
    title: "The last good page as a fallback",
    file: "level2/src/cache.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level2/cache/asks-every-time",
        title: "asks the sources every time",
        points: 1,
        kind: Kind::Bonus,
        requirement: "A load that succeeds returns and remembers the fresh page, also when an \
                      older one is remembered.",
        hints: &["The cache bridges an outage. It does not save calls."],
        read: &["level2/README.md, Beyond"],
    },
    Criterion {
        id: "level2/cache/falls-back",
        title: "falls back on the last page",
        points: 3,
        kind: Kind::Bonus,
        requirement: "When the sources fail, the last page is returned as `Answer::Cached` with \
                      its age: from the moment it was there to the moment it is handed out.",
        hints: &[
            "Remember the moment together with the page.",
            "Take the time after the failed load, not before it.",
        ],
        read: &[
            "level2/README.md, Beyond",
            "https://docs.rs/tokio/latest/tokio/time/struct.Instant.html",
        ],
    },
    Criterion {
        id: "level2/cache/names-the-cause",
        title: "does not hide the failure",
        points: 1,
        kind: Kind::Bonus,
        requirement: "Every outcome but a fresh page carries the failure of the sources. (The \
                      assignment's fallback swallows it.)",
        hints: &["All three variants have a `cause`."],
        read: &["level2/README.md, Beyond"],
    },
    Criterion {
        id: "level2/cache/expires",
        title: "lets a page grow too old",
        points: 2,
        kind: Kind::Bonus,
        requirement: "A page may be shown while it is younger than the time to live, 60 s by \
                      default; at that age and beyond the load fails with `CacheError::Expired` \
                      and the age.",
        hints: &["At exactly 60 s the page is no longer younger than 60 s."],
        read: &["level2/README.md, Beyond"],
    },
    Criterion {
        id: "level2/cache/has-nothing-at-first",
        title: "says when there is nothing to fall back on",
        points: 1,
        kind: Kind::Bonus,
        requirement: "Without any page the load fails with `CacheError::Empty`.",
        hints: &["Keep the last page in an `Option`."],
        read: &["level2/README.md, Beyond"],
    },
];
