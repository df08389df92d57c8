//! The criteria of `level2/src/deadline.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// One limit for the whole load.
pub(super) const GROUP: Group = Group {
    name: "deadline",
    title: "One limit for the whole load",
    file: "level2/src/deadline.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level2/deadline/passes-results-on",
        title: "passes results on within the limit",
        points: 1,
        kind: Kind::Bonus,
        requirement: "Within the limit the page, or the failure of a source, is what \
                      `parallel::load` returns.",
        hints: &["`DeadlineError::Failed` holds the failure; `From` converts it."],
        read: &["level2/README.md, Beyond"],
    },
    Criterion {
        id: "level2/deadline/cuts-at-the-limit",
        title: "ends with a typed error at the limit",
        points: 2,
        kind: Kind::Bonus,
        requirement: "At the limit the load returns `DeadlineError::Elapsed` with it. (The \
                      assignment returns null, which a caller takes for a page.)",
        hints: &["`tokio::time::timeout(limit, parallel::load(source))`."],
        read: &[
            "level2/README.md, Beyond",
            "https://docs.rs/tokio/latest/tokio/time/fn.timeout.html",
        ],
    },
    Criterion {
        id: "level2/deadline/stops-the-work",
        title: "stops the work at the limit",
        points: 2,
        kind: Kind::Bonus,
        requirement: "After the limit no call is running and no task is alive.",
        hints: &["A timeout drops what it was given. Give it the load itself, not a JoinHandle."],
        read: &["level2/README.md, Cancellation"],
    },
    Criterion {
        id: "level2/deadline/partial-at-the-limit",
        title: "returns what is there at the limit",
        points: 2,
        kind: Kind::Bonus,
        requirement: "`load_partial` returns at the limit with everything that arrived; what did \
                      not is reported as `TimedOut` with the limit of the load, and is stopped.",
        hints: &[
            "A timeout around the join loses what has arrived: put the limit around each call.",
        ],
        read: &["level2/README.md, Beyond"],
    },
    Criterion {
        id: "level2/deadline/partial-waits-no-longer",
        title: "does not wait longer than needed",
        points: 1,
        kind: Kind::Bonus,
        requirement: "`load_partial` returns as soon as every section has come to an outcome, \
                      and reports each failure and each duration as it is.",
        hints: &["The limit is the latest moment to return, not the moment."],
        read: &["level2/README.md, Beyond"],
    },
];
