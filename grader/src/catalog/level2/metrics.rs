//! The criteria of `level2/src/metrics.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// Figures and alerts.
pub(super) const GROUP: Group = Group {
    name: "metrics",
    title: "Figures and alerts",
    file: "level2/src/metrics.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level2/metrics/counts-a-load",
        title: "counts a load",
        points: 1,
        kind: Kind::Bonus,
        requirement: "Calls, failures and timeouts of a load are counted, and its time is kept. \
                      A timeout is a failure too.",
        hints: &["`SectionFailure::is_timeout`."],
        read: &["level2/README.md, Beyond", "level2/src/settled.rs"],
    },
    Criterion {
        id: "level2/metrics/load-time",
        title: "watches the load time",
        points: 1,
        kind: Kind::Bonus,
        requirement: "More than 1000 ms is a warning, more than 2000 ms is critical.",
        hints: &["At exactly 1000 ms there is no alert."],
        read: &["level2/README.md, Beyond"],
    },
    Criterion {
        id: "level2/metrics/success-rate",
        title: "watches the success rate",
        points: 1,
        kind: Kind::Bonus,
        requirement: "Below 80 % is a warning, below 50 % is critical; without calls there is no \
                      alert.",
        hints: &[
            "4 of 5 is exactly 80 %, which is not below. Compare products instead of quotients.",
        ],
        read: &["level2/README.md, Beyond"],
    },
    Criterion {
        id: "level2/metrics/failure-count",
        title: "watches the number of failures",
        points: 1,
        kind: Kind::Bonus,
        requirement: "Two or more are a warning, three or more are critical. (The assignment's \
                      table says so; its code alerts only above two.)",
        hints: &["`>= 2` and `>= 3`."],
        read: &["level2/README.md, Beyond"],
    },
    Criterion {
        id: "level2/metrics/timeout-rate",
        title: "watches the timeout rate",
        points: 1,
        kind: Kind::Bonus,
        requirement: "More than 10 % is a warning, more than 25 % is critical; without calls \
                      there is no alert.",
        hints: &[
            "101 of 1000 is more than 10 %, though a percentage in whole numbers does not show \
             it.",
        ],
        read: &["level2/README.md, Beyond"],
    },
    Criterion {
        id: "level2/metrics/adds-up",
        title: "adds up several loads",
        points: 1,
        kind: Kind::Bonus,
        requirement: "Counts add up, the longest load time stays, and no loads are all zeros.",
        hints: &["`max` for the time, `+` for the rest."],
        read: &["level2/README.md, Beyond"],
    },
    Criterion {
        id: "level2/metrics/worst",
        title: "finds the worst alert",
        points: 1,
        kind: Kind::Bonus,
        requirement: "`Alerts::worst` is the worst of the four.",
        hints: &["`Severity` is ordered."],
        read: &["level2/README.md, Beyond"],
    },
];
