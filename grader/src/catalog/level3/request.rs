//! The criteria of `level3/src/request.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// Refusing bad input.
pub(super) const GROUP: Group = Group {
    name: "request",
    title: "Refusing bad input",
    file: "level3/src/request.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level3/request/refuses-bad-amounts",
        title: "refuses amounts that cannot be paid",
        points: 1,
        kind: Kind::Core,
        requirement: "Zero, negative and too large amounts are InvalidRequest::Amount; a good amount is taken as it is, in minor units.",
        hints: &["Money::new checks it; hand its error on with `?`."],
        read: &["level3/README.md, Request"],
    },
    Criterion {
        id: "level3/request/refuses-unknown-currencies",
        title: "refuses what is no currency",
        points: 1,
        kind: Kind::Core,
        requirement: "A code that ISO 4217 does not know is InvalidRequest::Currency; yen, dollars and Kuwaiti dinars keep their 0, 2 and 3 decimals.",
        hints: &[
            "Currency implements FromStr.",
            "There is no currency that may stand in for another.",
        ],
        read: &["level3/README.md, Request"],
    },
    Criterion {
        id: "level3/request/refuses-bad-keys",
        title: "refuses keys that are empty or too long",
        points: 1,
        kind: Kind::Core,
        requirement: "A key has 1 to 255 characters, and is taken as it is: not cut, not replaced.",
        hints: &["PaymentKey::new checks it."],
        read: &["level3/README.md, Request"],
    },
    Criterion {
        id: "level3/request/refuses-broken-addresses",
        title: "refuses what is no e-mail address",
        points: 1,
        kind: Kind::Core,
        requirement: "An address without a local part, a domain or a dot in it is InvalidRequest::Email.",
        hints: &["Email::new checks it."],
        read: &["level3/README.md, Request"],
    },
];
