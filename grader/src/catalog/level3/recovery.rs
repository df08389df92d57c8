//! The criteria of `level3/src/gateway/recover.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// After a crash.
pub(super) const GROUP: Group = Group {
    name: "recovery",
    title: "After a crash",
    file: "level3/src/gateway/recover.rs",
    trial: true,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level3/recovery/at-every-point",
        title: "recovers from a crash at any point",
        points: 4,
        kind: Kind::Bonus,
        requirement: "The process dies before or after any of its calls and journal writes; recover() on a fresh gateway brings the payment to its end, and takes up the receipt that was owed: a drain waits for it.",
        hints: &["Journal::list, Journal::claim, Saga::resume.", "Ledger::pending_receipts."],
        read: &["level3/README.md, Recovery"],
    },
    Criterion {
        id: "level3/recovery/two-at-once",
        title: "two recover at once",
        points: 3,
        kind: Kind::Bonus,
        requirement: "Of two gateways that recover at once one works on each payment.",
        hints: &["Wait until a lease has ended; resume with the lease that claim gives."],
        read: &["level3/README.md, Recovery"],
    },
    Criterion {
        id: "level3/recovery/while-recovering",
        title: "recovers from a crash of the recovery",
        points: 3,
        kind: Kind::Bonus,
        requirement: "When the one who recovers dies as well, at any point, the next one ends it.",
        hints: &["A claimed saga that is open can be claimed again."],
        read: &["level3/README.md, Recovery"],
    },
    Criterion {
        id: "level3/recovery/parked-are-dead-letters",
        title: "takes up what was parked",
        points: 2,
        kind: Kind::Bonus,
        requirement: "What another process could not undo is a dead letter of the one that recovers, once, and redriving ends it.",
        hints: &["Journal::list with Standing::Parked.", "Saga::end_of tells what is stuck."],
        read: &["level3/README.md, Recovery"],
    },
];
