//! The criteria of `level2/src/recovery.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// Default, retry, degradation.
pub(super) const GROUP: Group = Group {
    name: "recovery",
    title: "Default, retry, degradation",
    file: "level2/src/recovery.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level2/recovery/a-default-keeps-its-cause",
        title: "keeps the cause beside the default",
        points: 1,
        kind: Kind::Bonus,
        requirement: "A failure is replaced by the default value and kept as the cause; a \
                      success has no cause.",
        hints: &["`Recovered` has a place for both."],
        read: &["level2/README.md, Beyond"],
    },
    Criterion {
        id: "level2/recovery/waits-double",
        title: "doubles its waits",
        points: 2,
        kind: Kind::Bonus,
        requirement: "The first wait is `base`, each further one twice the one before: by \
                      default tries at 0, 1000 and 3000 ms. The wait stops growing after the \
                      32nd failure. (The lecture's exponent is one too high: its first wait is \
                      2000 ms.)",
        hints: &[
            "Two to the power of 0 is 1.",
            "`base * 2^(failures - 1)`, with a limit to the exponent so that nothing overflows.",
        ],
        read: &["level2/README.md, Beyond"],
    },
    Criterion {
        id: "level2/recovery/gives-up",
        title: "gives up after the last attempt",
        points: 2,
        kind: Kind::Bonus,
        requirement: "There are exactly as many tries as allowed; the error counts them and \
                      carries the last failure; there is no wait after the last.",
        hints: &["Check for the last try before you wait."],
        read: &["level2/README.md, Beyond"],
    },
    Criterion {
        id: "level2/recovery/retries-what-may-pass",
        title: "retries only what may pass",
        points: 2,
        kind: Kind::Bonus,
        requirement: "A transient failure is tried again until it succeeds; any other is \
                      returned after its first try.",
        hints: &["`SourceError::is_transient`."],
        read: &["level2/src/error.rs"],
    },
    Criterion {
        id: "level2/recovery/degrades",
        title: "fills the gaps and lists them",
        points: 2,
        kind: Kind::Bonus,
        requirement: "Sections that arrived are shown, the others are empty, and every failure \
                      is listed in the order of the page.",
        hints: &["`unwrap_or_default` for each section of `settled.partial()`."],
        read: &["level2/src/settled.rs"],
    },
];
