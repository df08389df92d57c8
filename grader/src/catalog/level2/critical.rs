//! The criteria of `level2/src/critical.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// Critical and optional sections.
pub(super) const GROUP: Group = Group {
    name: "critical",
    title: "Critical and optional sections",
    file: "level2/src/critical.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level2/critical/ends-at-a-critical-failure",
        title: "ends when a critical section fails",
        points: 2,
        kind: Kind::Bonus,
        requirement: "The failure of a critical section ends the load with it, at the moment it \
                      happens. (The assignment's case study looks only after all have settled.)",
        hints: &[
            "Look at each report when it comes.",
            "`FuturesUnordered` yields outcomes in the order of time.",
        ],
        read: &[
            "level2/README.md, Beyond",
            "https://docs.rs/futures/latest/futures/stream/struct.FuturesUnordered.html",
        ],
    },
    Criterion {
        id: "level2/critical/tolerates-optional-failures",
        title: "tolerates the failure of an optional one",
        points: 2,
        kind: Kind::Bonus,
        requirement: "Failures of other sections are reported and cost nothing else; the load \
                      takes 600 ms.",
        hints: &["The section decides, not the failure."],
        read: &["level2/README.md, Beyond"],
    },
    Criterion {
        id: "level2/critical/heeds-the-list",
        title: "heeds the caller's list",
        points: 1,
        kind: Kind::Bonus,
        requirement: "Critical is what the caller lists. `CRITICAL` is the lesson's list: sales \
                      and orders.",
        hints: &["`critical.contains(&report.section)`."],
        read: &["level2/README.md, Beyond"],
    },
    Criterion {
        id: "level2/critical/stops-the-rest",
        title: "stops the rest when it ends early",
        points: 2,
        kind: Kind::Bonus,
        requirement: "After a critical failure no call is running and no task is alive.",
        hints: &["Returning drops what the load owns."],
        read: &["level2/README.md, Cancellation"],
    },
];
