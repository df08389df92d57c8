//! The criteria of `level2/src/retry_failed.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// A second try for what failed.
pub(super) const GROUP: Group = Group {
    name: "retry-failed",
    title: "A second try for what failed",
    file: "level2/src/retry_failed.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level2/retry-failed/asks-only-for-the-failed",
        title: "asks again only for what failed",
        points: 2,
        kind: Kind::Bonus,
        requirement: "Only the failed sections are asked for again, all at once. (The \
                      assignment's checklist: retry for transient failures.)",
        hints: &["Filter the reports by their result before you make calls."],
        read: &["level2/README.md, Beyond", "level2/src/settled.rs"],
    },
    Criterion {
        id: "level2/retry-failed/leaves-the-hopeless",
        title: "leaves alone what will fail again",
        points: 2,
        kind: Kind::Bonus,
        requirement: "Refusals and panics are not asked for again, and their failures stay.",
        hints: &["`SectionFailure::is_transient` tells what is worth another try."],
        read: &["level2/src/error.rs"],
    },
    Criterion {
        id: "level2/retry-failed/takes-the-newer-outcome",
        title: "takes the newer outcome",
        points: 2,
        kind: Kind::Bonus,
        requirement: "Data or a newer failure replaces the old failure; the sections that were \
                      there stay as they are; each call has its section's limit; `took` is the \
                      time of both loads.",
        hints: &["`Settled::new` keeps the later of two reports on a section."],
        read: &["level2/src/settled.rs"],
    },
    Criterion {
        id: "level2/retry-failed/nothing-to-do",
        title: "returns at once when nothing failed",
        points: 1,
        kind: Kind::Bonus,
        requirement: "A load without failures comes back unchanged, at once and without a call.",
        hints: &["A join of no futures is ready immediately."],
        read: &["level2/README.md, Beyond"],
    },
];
