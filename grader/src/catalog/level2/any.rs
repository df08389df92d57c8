//! The criteria of `level2/src/any.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// The first success of several replicas.
pub(super) const GROUP: Group = Group {
    name: "any",
    title: "The first success of several replicas",
    file: "level2/src/any.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level2/any/first-success-wins",
        title: "returns the first success",
        points: 2,
        kind: Kind::Bonus,
        requirement: "All replicas are asked at once; the first success is returned with the \
                      place of its replica, and failures before it decide nothing.",
        hints: &[
            "First *outcome* is `Promise.race`; first *success* is `Promise.any`.",
            "Take outcomes from a `FuturesUnordered` until one is a success.",
        ],
        read: &[
            "level2/README.md, Beyond",
            "https://docs.rs/futures/latest/futures/stream/struct.FuturesUnordered.html",
        ],
    },
    Criterion {
        id: "level2/any/stops-the-losers",
        title: "stops the losers",
        points: 2,
        kind: Kind::Bonus,
        requirement: "When a replica has won, no call of another is running and no task is alive.",
        hints: &["Returning drops what the function owns."],
        read: &["level2/README.md, Cancellation"],
    },
    Criterion {
        id: "level2/any/lists-every-error",
        title: "lists every error when all fail",
        points: 2,
        kind: Kind::Bonus,
        requirement: "When every replica fails, the error lists what each said, in the order of \
                      the replicas.",
        hints: &["They fail in the order of time. Keep each error's place and sort at the end."],
        read: &["level2/README.md, Beyond"],
    },
    Criterion {
        id: "level2/any/no-replica-is-a-failure",
        title: "fails at once without replicas",
        points: 1,
        kind: Kind::Bonus,
        requirement: "An empty list is an `AllFailed` without errors, at once.",
        hints: &["What does your loop do when there is nothing to take?"],
        read: &["level2/README.md, Beyond"],
    },
];
