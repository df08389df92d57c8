//! The criteria of `level2/src/queue.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// Bounded concurrency.
pub(super) const GROUP: Group = Group {
    name: "queue",
    title: "Bounded concurrency",
    file: "level2/src/queue.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level2/queue/bounds-the-jobs",
        title: "never runs more jobs than allowed",
        points: 2,
        kind: Kind::Bonus,
        requirement: "At most as many jobs run at once as the queue allows, and as many as it \
                      allows do. A job is not called before its turn.",
        hints: &["A `Semaphore` permit, kept until the job has ended."],
        read: &[
            "level2/README.md, Beyond",
            "https://docs.rs/tokio/latest/tokio/sync/struct.Semaphore.html",
        ],
    },
    Criterion {
        id: "level2/queue/first-come-first-served",
        title: "serves in the order of arrival",
        points: 2,
        kind: Kind::Bonus,
        requirement: "Jobs that wait begin in the order in which they were added, and each \
                      caller gets its own job's result.",
        hints: &["tokio's `Semaphore` is fair: its waiters stand in a line."],
        read: &[
            "level2/README.md, Beyond",
            "https://docs.rs/tokio/latest/tokio/sync/struct.Semaphore.html",
        ],
    },
    Criterion {
        id: "level2/queue/no-newcomer-overtakes",
        title: "lets no newcomer slip in",
        points: 2,
        kind: Kind::Bonus,
        requirement: "A place that becomes free belongs to the job that waits longest, even when \
                      a newcomer asks before that job had its turn to run. (The lecture's \
                      AsyncQueue gives it to the newcomer.)",
        hints: &[
            "Between the wake-up and the waiter's own `running += 1`, who can see the counter?",
            "Hand the place over instead of freeing it: the one who leaves passes its permit to \
             the first in the line.",
        ],
        read: &[
            "level2/README.md, Beyond",
            "https://docs.rs/tokio/latest/tokio/sync/struct.Semaphore.html",
        ],
    },
    Criterion {
        id: "level2/queue/survives-failing-jobs",
        title: "frees the place of a job that fails",
        points: 2,
        kind: Kind::Bonus,
        requirement: "A job that returns an error or panics gives its place back; the error and \
                      the panic reach its caller.",
        hints: &["Code after an await does not run when the await panics. A destructor does."],
        read: &["level2/README.md, Beyond"],
    },
    Criterion {
        id: "level2/queue/survives-dropped-callers",
        title: "frees the place of a caller that is gone",
        points: 2,
        kind: Kind::Bonus,
        requirement: "A caller that is dropped while its job runs stops the job and frees its \
                      place; one that is dropped while it waits leaves the line.",
        hints: &[
            "A place that is handed to a waiter that is gone is lost, unless you notice and go \
             on to the next.",
        ],
        read: &["level2/README.md, Cancellation"],
    },
    Criterion {
        id: "level2/queue/five-by-default",
        title: "allows five by default",
        points: 1,
        kind: Kind::Bonus,
        requirement: "A default queue runs five jobs at once, as the lecture's.",
        hints: &["`DEFAULT_CONCURRENCY`."],
        read: &["level2/README.md, Beyond"],
    },
];
