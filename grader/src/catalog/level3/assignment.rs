//! The pass criteria of the assignment.

use crate::catalog::{Criterion, Group, Kind};

/// The assignment's pass criteria.
pub(super) const GROUP: Group = Group {
    name: "assignment",
    title: "The assignment's pass criteria",
    file: "level3/src/gateway/mod.rs",
    trial: true,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level3/assignment/succeeds-despite-failures",
        title: "99.5 % succeed with 10 % failures",
        points: 5,
        kind: Kind::Core,
        requirement: "Of 50 000 seeded payments with 10 % of all calls failing, 99.5 % or more succeed; declines are counted apart. (The assignment.)",
        hints: &[
            "Three attempts for four steps: 0.999^4 = 99.60 %.",
            "A lost answer is worth another attempt: the key is the same.",
            "Backoff bases of some 200 ms leave room within the 10 s.",
        ],
        read: &["level3/README.md, Pass criteria"],
    },
    Criterion {
        id: "level3/assignment/nothing-gets-stuck",
        title: "leaves nothing stuck",
        points: 4,
        kind: Kind::Core,
        requirement: "When calls hang, lose their answers or come late, one after another or 700 at once, each payment is answered, and each is paid or undone in the end. (The assignment: no stuck transactions.)",
        hints: &[
            "Every call has a limit, every undo is tried again.",
            "No slot at the limiter is a reason to wait, not to give up.",
        ],
        read: &["level3/README.md, Pass criteria"],
    },
    Criterion {
        id: "level3/assignment/no-cascade",
        title: "survives an outage of 60 s",
        points: 4,
        kind: Kind::Core,
        requirement: "While the provider is down for 60 s nearly all payments are refused in under 10 ms; when it is back they are paid again. (The assignment: no cascade failures.)",
        hints: &["One breaker for all payments.", "Half-open is not open: somebody has to probe."],
        read: &["level3/README.md, Pass criteria"],
    },
    Criterion {
        id: "level3/assignment/compensates",
        title: "charges nobody when a step fails",
        points: 4,
        kind: Kind::Core,
        requirement: "With any critical step failing for good nobody is charged, no row stands, and the answer says which step it was. (The assignment: compensation.)",
        hints: &["Cancel before the charge, refund after it."],
        read: &["level3/README.md, Pass criteria"],
    },
    Criterion {
        id: "level3/assignment/is-idempotent",
        title: "does the same payment once",
        points: 4,
        kind: Kind::Core,
        requirement: "A repeat, at the same time or later, gets the same bytes, is marked, and calls nobody; with another amount it is KeyReused. (The assignment: idempotency.)",
        hints: &["Store::run around the work.", "The parameters are the whole payment."],
        read: &["level3/README.md, Pass criteria"],
    },
    Criterion {
        id: "level3/assignment/latencies",
        title: "keeps p95 below 3 s and p99 below 5 s",
        points: 2,
        kind: Kind::Core,
        requirement: "With the assignment's rates p95 is at most 3 s, p99 at most 5 s, and nothing takes longer than 10 s. (The lesson's targets.)",
        hints: &["Nothing in the path but the four steps."],
        read: &["level3/README.md, Pass criteria"],
    },
];
