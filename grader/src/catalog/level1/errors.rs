//! What a caller is told when a load fails.

use crate::catalog::{Criterion, Group, Kind};

/// What a caller is told.
pub(super) const ERRORS: Group = Group {
    name: "errors",
    title: "Errors that say what failed and why",
    file: "level1/src/errors.rs",
    trial: false,
    criteria: &[
        Criterion {
            id: "level1/errors/statuses",
            title: "classifies every HTTP status",
            points: 2,
            kind: Kind::Core,
            requirement: "Each status from 100 to 999 gives the class of the table in errors.rs: 401 and 403 authentication, 404 and 410 not found, 408, 429 and 5xx network, all others a bug. Lecture, 5.1; the level's own solution makes the same error of all of them.",
            hints: &[
                "match on the cause; a status is a number, and patterns may be ranges",
                "`SourceError::Status { status: 408 | 429 | 500..=599 } => ...`, and whatever is left is a bug",
            ],
            read: &["README, \"Errors\"", "level1/src/errors.rs, the table"],
        },
        Criterion {
            id: "level1/errors/causes",
            title: "classifies what is not a status",
            points: 2,
            kind: Kind::Core,
            requirement: "Connection, timeout, too long a body and too many redirections are network errors; database is its own class; a malformed answer and a dropped callback are bugs. Lecture, 5.1.",
            hints: &[
                "one arm of the same match for each variant of SourceError",
                "a `match` without `_` makes the compiler ask for the ones you forgot",
            ],
            read: &["README, \"Errors\""],
        },
        Criterion {
            id: "level1/errors/request",
            title: "tells which request failed",
            points: 1,
            kind: Kind::Core,
            requirement: "`request()` is the request of every error but a validation error, which has none.",
            hints: &[
                "all variants but one hold the same two fields: one `|` pattern reads them all",
            ],
            read: &["README, \"Errors\""],
        },
        Criterion {
            id: "level1/errors/status-codes",
            title: "has a status for our own clients",
            points: 1,
            kind: Kind::Core,
            requirement: "Validation 400, authentication 401, not found 404, network 503, database and bug 500. Lecture, 5.1.",
            hints: &["five classes, five numbers: a match on self"],
            read: &["level1/src/errors.rs, the table"],
        },
        Criterion {
            id: "level1/errors/operational",
            title: "knows operational errors from bugs",
            points: 1,
            kind: Kind::Core,
            requirement: "Every class but Bug is operational: it happens to correct programs. Lecture, 5.1, `isOperational`.",
            hints: &["`matches!` answers it in one line"],
            read: &["README, \"Errors\""],
        },
        Criterion {
            id: "level1/errors/text",
            title: "says which request failed and why",
            points: 2,
            kind: Kind::Core,
            requirement: "The text of an error holds the request and the cause, that of a validation error the field and the reason; the classes differ in their texts.",
            hints: &[
                "`Request` and `SourceError` have a Display of their own: put them together",
                "`write!(f, \"{request}: ...: {cause}\")`",
            ],
            read: &["https://doc.rust-lang.org/std/fmt/trait.Display.html"],
        },
        Criterion {
            id: "level1/errors/source",
            title: "keeps the cause as its source",
            points: 1,
            kind: Kind::Core,
            requirement: "`Error::source` gives the SourceError itself; a validation error has none. Lecture, 5.1, `originalError`.",
            hints: &["`Some(cause)` coerces to `Option<&dyn Error>`"],
            read: &["https://doc.rust-lang.org/std/error/trait.Error.html#method.source"],
        },
        Criterion {
            id: "level1/errors/same-everywhere",
            title: "is of the same class in every style",
            points: 2,
            kind: Kind::Core,
            requirement: "The same cause at the same request gives the same class of error in all four loads. Level 1: all versions work alike.",
            hints: &["leave the decision to `FetchError::new`, in every style"],
            read: &["README, \"The three styles\""],
        },
    ],
};
