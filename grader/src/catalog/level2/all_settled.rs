//! The criteria of `level2/src/all_settled.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// Every section on its own.
pub(super) const GROUP: Group = Group {
    name: "all-settled",
    title: "Every section on its own",
    file: "level2/src/all_settled.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level2/all-settled/takes-600-ms",
        title: "takes 600 ms and says so",
        points: 2,
        kind: Kind::Core,
        requirement: "All five calls run together; when none hangs the load takes 600 ms, and \
                      `took` states it. (Assignment, level 2, pass criterion 4.)",
        hints: &["`join_all` polls all calls and waits for all outcomes."],
        read: &[
            "level2/README.md, All settled",
            "https://docs.rs/futures/latest/futures/future/fn.join_all.html",
        ],
    },
    Criterion {
        id: "level2/all-settled/keeps-what-arrived",
        title: "keeps what arrived when others fail",
        points: 3,
        kind: Kind::Core,
        requirement: "With one or two failing sources the other sections have their data; \
                      without a failure all five have. (Assignment, level 2, pass criterion 4.)",
        hints: &[
            "`?` and `try_join!` end the load at the first failure: here a failure is an outcome \
             like any other.",
        ],
        read: &["level2/README.md, All settled", "level2/src/settled.rs"],
    },
    Criterion {
        id: "level2/all-settled/names-each-failure",
        title: "names each failure",
        points: 2,
        kind: Kind::Core,
        requirement: "The report on a failed section carries its source's error unchanged.",
        hints: &[
            "`SectionFailure::from(error)` wraps it; a text made of it has lost what a caller \
             decides by.",
        ],
        read: &["level2/src/error.rs"],
    },
    Criterion {
        id: "level2/all-settled/measures-each-section",
        title: "measures each section",
        points: 2,
        kind: Kind::Core,
        requirement: "Every report states how long its own call took, whether it succeeded or \
                      failed.",
        hints: &[
            "An `elapsed()` after the join is the same for all.",
            "Start a clock inside each call, and stop it there.",
        ],
        read: &[
            "level2/README.md, All settled",
            "https://docs.rs/tokio/latest/tokio/time/struct.Instant.html",
        ],
    },
    Criterion {
        id: "level2/all-settled/default-timeouts",
        title: "has the lesson's timeouts",
        points: 1,
        kind: Kind::Core,
        requirement: "Sales 5000 ms, users 3000 ms, orders 3000 ms, low stock 5000 ms, reviews \
                      3000 ms by default. (Assignment, level 2, final recommendation.)",
        hints: &["The figures stand in the docs of `Timeouts`."],
        read: &["level2/README.md, All settled"],
    },
    Criterion {
        id: "level2/all-settled/cuts-a-hung-source",
        title: "cuts a source that never answers",
        points: 3,
        kind: Kind::Core,
        requirement: "A source that never answers is cut at its own limit and reported as \
                      `TimedOut` with that limit; the other sections keep their data. (The \
                      assignment's `Promise.allSettled` waits for it for ever.)",
        hints: &[
            "The limit belongs around each call, not around the join.",
            "`timeout(limit, call).await` is an error of its own kind: turn it into \
             `SectionFailure::TimedOut { limit }`.",
        ],
        read: &[
            "level2/README.md, All settled",
            "https://docs.rs/tokio/latest/tokio/time/fn.timeout.html",
        ],
    },
    Criterion {
        id: "level2/all-settled/each-source-has-its-own-limit",
        title: "gives each source its own limit",
        points: 2,
        kind: Kind::Core,
        requirement: "Every section is cut at the limit that `timeouts` gives it, not at \
                      another's.",
        hints: &["`timeouts.of(section)`."],
        read: &["level2/README.md, All settled"],
    },
    Criterion {
        id: "level2/all-settled/stops-what-it-cuts",
        title: "stops the call that it cuts",
        points: 2,
        kind: Kind::Core,
        requirement: "A call that ran out of time does not run on. (The assignment's \
                      `withTimeout` only stops looking at it.)",
        hints: &[
            "`timeout` drops the future that it was given. If that future is a JoinHandle, the \
             task behind it goes on.",
        ],
        read: &[
            "level2/README.md, Cancellation",
            "https://docs.rs/tokio/latest/tokio/time/fn.timeout.html",
        ],
    },
    Criterion {
        id: "level2/all-settled/contains-panics",
        title: "contains a panic of a source",
        points: 3,
        kind: Kind::Core,
        requirement: "A source that panics while it is awaited costs its own section: \
                      `Panicked`, with the panic's text. The others keep their data.",
        hints: &[
            "A panic in a future unwinds through whoever polls it.",
            "`AssertUnwindSafe(call).catch_unwind()` from `futures::FutureExt`, or a spawned \
             task's `JoinError`.",
        ],
        read: &[
            "level2/README.md, All settled",
            "https://docs.rs/futures/latest/futures/future/trait.FutureExt.html#method.catch_unwind",
        ],
    },
    Criterion {
        id: "level2/all-settled/contains-early-failures",
        title: "contains what fails before the first wait",
        points: 2,
        kind: Kind::Core,
        requirement: "An error at the first poll and a panic in the source's method itself, \
                      before there is a future, are reported like any other failure.",
        hints: &[
            "Where is the method called: inside what you catch, or before it?",
            "Make the call inside an async block. `Section::fetch` does that.",
        ],
        read: &["level2/README.md, All settled", "level2/src/source.rs"],
    },
    Criterion {
        id: "level2/all-settled/leaves-nothing-behind",
        title: "leaves nothing behind when dropped",
        points: 2,
        kind: Kind::Core,
        requirement: "A load that is dropped stops all five calls.",
        hints: &["Futures owned by the load are dropped with it; tasks need a `JoinSet`."],
        read: &[
            "level2/README.md, Cancellation",
            "https://docs.rs/tokio/latest/tokio/task/struct.JoinSet.html",
        ],
    },
];
