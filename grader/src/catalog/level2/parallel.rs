//! The criteria of `level2/src/parallel.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// All at once, all or nothing.
pub(super) const GROUP: Group = Group {
    name: "parallel",
    title: "All at once, all or nothing",
    file: "level2/src/parallel.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level2/parallel/takes-600-ms",
        title: "takes 600 ms and says so",
        points: 2,
        kind: Kind::Core,
        requirement: "All five calls run together, so the load takes as long as the slowest: 600 \
                      ms, and `took` states it. (Assignment, level 2, pass criterion 2.)",
        hints: &[
            "A future does nothing until it is polled: five futures that are awaited one by one \
             run one by one.",
            "`tokio::try_join!` polls all of them in turn.",
        ],
        read: &[
            "level2/README.md, Parallel",
            "https://docs.rs/tokio/latest/tokio/macro.try_join.html",
        ],
    },
    Criterion {
        id: "level2/parallel/starts-all-at-once",
        title: "starts all five at once",
        points: 2,
        kind: Kind::Core,
        requirement: "Every source is called at 0 ms, and only once.",
        hints: &["No call may stand behind another's await."],
        read: &[
            "level2/README.md, Parallel",
            "https://docs.rs/tokio/latest/tokio/macro.try_join.html",
        ],
    },
    Criterion {
        id: "level2/parallel/carries-every-section",
        title: "carries every section",
        points: 1,
        kind: Kind::Core,
        requirement: "The page that is returned holds what each source answered.",
        hints: &["`try_join!` returns the answers as a tuple in the order in which you named the \
             calls."],
        read: &["level2/src/model.rs"],
    },
    Criterion {
        id: "level2/parallel/fails-at-the-first-failure",
        title: "fails at the first failure in time",
        points: 3,
        kind: Kind::Core,
        requirement: "The load ends with the failure that happens first in time, at that moment. \
                      It does not wait for the other calls, nor for a failing section's turn in \
                      the page.",
        hints: &[
            "Joining everything and looking at the results afterwards is too late.",
            "`try_join!` returns as soon as one of its futures returns an error; the error type \
             must be the same for all, so attach the section's name to each call.",
        ],
        read: &[
            "level2/README.md, Parallel",
            "https://docs.rs/tokio/latest/tokio/macro.try_join.html",
        ],
    },
    Criterion {
        id: "level2/parallel/stops-the-rest",
        title: "stops the other calls when one fails",
        points: 3,
        kind: Kind::Core,
        requirement: "After the load has failed no source call is running and no task is alive. \
                      (The assignment's `Promise.all` leaves the other four running for \
                      nothing.)",
        hints: &[
            "A call stops when its future is dropped.",
            "Spawned tasks must be aborted: a `JoinSet` does that when it is dropped, a \
             `JoinHandle` does not.",
        ],
        read: &[
            "level2/README.md, Cancellation",
            "https://docs.rs/tokio/latest/tokio/task/struct.JoinSet.html",
        ],
    },
    Criterion {
        id: "level2/parallel/leaves-nothing-behind",
        title: "leaves nothing behind when dropped",
        points: 2,
        kind: Kind::Core,
        requirement: "A load that is dropped stops all five calls.",
        hints: &[
            "Aborting on the error path is not enough: a caller may drop the load at any await.",
            "Let a destructor do it: futures owned by the load, or a `JoinSet`.",
        ],
        read: &[
            "level2/README.md, Cancellation",
            "https://docs.rs/tokio/latest/tokio/task/struct.JoinSet.html",
        ],
    },
];
