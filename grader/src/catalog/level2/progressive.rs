//! The criteria of `level2/src/progressive.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// Two phases.
pub(super) const GROUP: Group = Group {
    name: "progressive",
    title: "Two phases",
    file: "level2/src/progressive.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level2/progressive/shows-the-critical-first",
        title: "returns with sales and orders at 500 ms",
        points: 2,
        kind: Kind::Bonus,
        requirement: "The first phase loads sales and orders together and returns when both are \
                      there, with `took` stating 500 ms.",
        hints: &["`try_join!` of the two."],
        read: &[
            "level2/README.md, Beyond",
            "https://docs.rs/tokio/latest/tokio/macro.try_join.html",
        ],
    },
    Criterion {
        id: "level2/progressive/holds-the-others-back",
        title: "does not begin the second phase early",
        points: 2,
        kind: Kind::Bonus,
        requirement: "Users, low stock and reviews are not asked for before the first phase is \
                      over.",
        hints: &["A future that nobody polls has not begun; a spawned task has."],
        read: &["level2/README.md, Beyond"],
    },
    Criterion {
        id: "level2/progressive/hands-over-the-second-phase",
        title: "hands over the second phase as it comes",
        points: 2,
        kind: Kind::Bonus,
        requirement: "`rest` yields the reports on users, low stock and reviews, failures \
                      included, each when its outcome is there, and then ends.",
        hints: &["A `FuturesUnordered` of the three calls is the stream you need."],
        read: &[
            "level2/src/rest.rs",
            "https://docs.rs/futures/latest/futures/stream/struct.FuturesUnordered.html",
        ],
    },
    Criterion {
        id: "level2/progressive/a-critical-failure-ends-it",
        title: "ends when sales or orders fails",
        points: 2,
        kind: Kind::Bonus,
        requirement: "The first failure of the two ends the load at that moment; the other call \
                      is stopped and the second phase never begins.",
        hints: &["A report is not a `Result`: turn it into one and let `try_join!` decide."],
        read: &[
            "level2/README.md, Beyond",
            "https://docs.rs/tokio/latest/tokio/macro.try_join.html",
        ],
    },
    Criterion {
        id: "level2/progressive/leaves-nothing-behind",
        title: "leaves nothing behind when dropped",
        points: 2,
        kind: Kind::Bonus,
        requirement: "Dropping the load, or `rest` later, stops every call that runs.",
        hints: &["The stream must own the calls."],
        read: &["level2/README.md, Cancellation"],
    },
];
