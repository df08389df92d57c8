//! The criteria of `level3/src/deadline.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// One instant by which everything has to be over.
pub(super) const GROUP: Group = Group {
    name: "deadline",
    title: "One deadline for everything",
    file: "level3/src/deadline.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level3/deadline/counts-down",
        title: "counts down to its instant",
        points: 1,
        kind: Kind::Core,
        requirement: "`remaining` and `is_over` speak of one fixed instant; from that instant on \
                      the deadline is over. (The assignment: 10 s for the whole payment.)",
        hints: &["Store an `Instant`, not a `Duration`.", "`Instant::now() >= at`."],
        read: &[
            "level3/README.md, Deadline",
            "https://docs.rs/tokio/latest/tokio/time/fn.timeout_at.html",
        ],
    },
    Criterion {
        id: "level3/deadline/cuts-at-the-instant",
        title: "cuts work at its instant",
        points: 2,
        kind: Kind::Core,
        requirement: "`run` ends with `Elapsed` at the deadline, wherever in it the run began, \
                      and passes the result on at once when the work is done before.",
        hints: &[
            "A limit that begins anew with each run adds up: three attempts of 10 s are 30 s.",
            "`tokio::time::timeout_at`.",
        ],
        read: &[
            "level3/README.md, Deadline",
            "https://docs.rs/tokio/latest/tokio/time/fn.timeout_at.html",
        ],
    },
    Criterion {
        id: "level3/deadline/drops-what-it-cuts",
        title: "stops the work that it cuts",
        points: 2,
        kind: Kind::Core,
        requirement: "At the deadline the work's future is dropped, so that it has no effect \
                      later. (The lesson's withTimeout lets it run on.)",
        hints: &[
            "Who owns the future when the timeout fires?",
            "`timeout_at` owns the future that it is given; do not hand it a `&mut`.",
        ],
        read: &[
            "level3/README.md, Deadline",
            "https://docs.rs/tokio/latest/tokio/time/fn.timeout_at.html",
        ],
    },
    Criterion {
        id: "level3/deadline/keeps-a-reserve",
        title: "leaves a reserve",
        points: 1,
        kind: Kind::Core,
        requirement: "`earlier_by` gives a deadline that leaves the reserve for what comes after; \
                      a reserve longer than the time that is left gives a deadline that is over.",
        hints: &[
            "The forward phase has to end early enough for compensation.",
            "`Instant::checked_sub`.",
        ],
        read: &[
            "level3/README.md, Deadline",
            "https://docs.rs/tokio/latest/tokio/time/fn.timeout_at.html",
        ],
    },
    Criterion {
        id: "level3/deadline/starts-nothing-too-late",
        title: "starts nothing once it is over",
        points: 1,
        kind: Kind::Core,
        requirement: "`run` with a deadline that is over does not poll the work.",
        hints: &[
            "The first poll of a call sends the request.",
            "`timeout_at` polls the work before it looks at the clock: look first.",
        ],
        read: &[
            "level3/README.md, Deadline",
            "https://docs.rs/tokio/latest/tokio/time/fn.timeout_at.html",
        ],
    },
    Criterion {
        id: "level3/deadline/takes-any-duration",
        title: "takes any duration",
        points: 1,
        kind: Kind::Core,
        requirement: "A limit or a reserve that the clock cannot express neither panics nor \
                      wraps: `Duration::MAX` is as good as never.",
        hints: &[
            "`Instant + Duration` panics on overflow.",
            "`checked_add`, and something far away where it gives `None`.",
        ],
        read: &[
            "level3/README.md, Deadline",
            "https://docs.rs/tokio/latest/tokio/time/fn.timeout_at.html",
        ],
    },
];
