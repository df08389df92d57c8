//! The criteria of `level2/src/sequential.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// One call after another.
pub(super) const GROUP: Group = Group {
    name: "sequential",
    title: "One call after another",
    file: "level2/src/sequential.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level2/sequential/takes-2000-ms",
        title: "takes 2000 ms and says so",
        points: 2,
        kind: Kind::Core,
        requirement: "The five calls run one after another with nothing in between: 500 + 300 + \
                      400 + 600 + 200 = 2000 ms, and `took` states it. (Assignment, level 2, \
                      pass criterion 1.)",
        hints: &[
            "Await each call before you make the next.",
            "`let sales = source.sales().await`, and so on; note `tokio::time::Instant::now()` \
             first and put its `elapsed()` into `took`.",
        ],
        read: &[
            "level2/README.md, Sequential",
            "https://docs.rs/tokio/latest/tokio/time/struct.Instant.html",
        ],
    },
    Criterion {
        id: "level2/sequential/asks-in-order",
        title: "asks in the order of the page",
        points: 2,
        kind: Kind::Core,
        requirement: "Sales, users, orders, low stock, reviews: each is asked for once, in this \
                      order.",
        hints: &["The order of the calls is the order in which you await them."],
        read: &["level2/README.md, Sequential"],
    },
    Criterion {
        id: "level2/sequential/carries-every-section",
        title: "carries every section",
        points: 1,
        kind: Kind::Core,
        requirement: "The page that is returned holds what each source answered.",
        hints: &["Build the `Dashboard` from the five answers; do not fall back on `Default`."],
        read: &["level2/src/model.rs"],
    },
    Criterion {
        id: "level2/sequential/stops-at-the-first-failure",
        title: "stops at the first failure",
        points: 3,
        kind: Kind::Core,
        requirement: "The first failure ends the load at that moment. Later sections are not \
                      asked for.",
        hints: &[
            "An error that is kept for later has not ended anything.",
            "`source.users().await.map_err(..)?` leaves the function before the next call begins.",
        ],
        read: &[
            "level2/README.md, Sequential",
            "https://doc.rust-lang.org/book/ch09-02-recoverable-errors-with-result.html",
        ],
    },
    Criterion {
        id: "level2/sequential/names-the-failure",
        title: "names the section and the cause",
        points: 1,
        kind: Kind::Core,
        requirement: "The error says which section failed and carries its source's error \
                      unchanged.",
        hints: &["`SectionError::new(section, error)` takes the source's error as it is."],
        read: &["level2/src/error.rs"],
    },
    Criterion {
        id: "level2/sequential/leaves-nothing-behind",
        title: "leaves nothing behind when dropped",
        points: 2,
        kind: Kind::Core,
        requirement: "A load that is dropped stops the call that runs, and no other call follows.",
        hints: &[
            "Who polls the call after the load is gone?",
            "A spawned task goes on when its JoinHandle is dropped. Await the calls in the load \
             itself.",
        ],
        read: &[
            "level2/README.md, Cancellation",
            "https://docs.rs/tokio/latest/tokio/task/struct.JoinHandle.html",
        ],
    },
];
