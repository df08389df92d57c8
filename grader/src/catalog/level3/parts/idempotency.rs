//! The criteria of `level3/src/idempotency/store.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// The same request twice is one request.
pub(super) const GROUP: Group = Group {
    name: "idempotency",
    title: "Idempotency",
    file: "level3/src/idempotency/store.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level3/idempotency/a-repeat-makes-no-call",
        title: "answers a repeat from the store",
        points: 3,
        kind: Kind::Core,
        requirement: "A repeat with the same key gets the same answer, however often, and makes \
                      no call. (The assignment: idempotency.)",
        hints: &["Store a copy, hand out copies."],
        read: &["level3/README.md, Idempotency", "https://docs.stripe.com/api/idempotent_requests"],
    },
    Criterion {
        id: "level3/idempotency/concurrent-requests-join",
        title: "joins requests that come together",
        points: 3,
        kind: Kind::Core,
        requirement: "Requests with the same key that come while the first one runs make no call \
                      of their own and get its answer.",
        hints: &[
            "Check-then-insert with an await between them is a race.",
            "Claim the key under one lock, and let the others wait on a channel.",
        ],
        read: &["level3/README.md, Idempotency", "https://docs.stripe.com/api/idempotent_requests"],
    },
    Criterion {
        id: "level3/idempotency/other-parameters-are-refused",
        title: "refuses a key with other parameters",
        points: 2,
        kind: Kind::Core,
        requirement: "The same key with other parameters is a typed mismatch and makes no call, \
                      whether the first request is answered or running.",
        hints: &["Keep the parameters beside the answer, from the start."],
        read: &["level3/README.md, Idempotency", "https://docs.stripe.com/api/idempotent_requests"],
    },
    Criterion {
        id: "level3/idempotency/work-outlives-its-caller",
        title: "goes on when the caller goes away",
        points: 2,
        kind: Kind::Core,
        requirement: "Dropping the caller leaves the work running; a later repeat gets its \
                      answer.",
        hints: &[
            "A future that is dropped stops where it is.",
            "`tokio::spawn`: the task owns the work and the claim.",
        ],
        read: &["level3/README.md, Idempotency", "https://docs.stripe.com/api/idempotent_requests"],
    },
    Criterion {
        id: "level3/idempotency/what-may-pass-frees-the-key",
        title: "frees the key after a failure that may pass",
        points: 2,
        kind: Kind::Core,
        requirement: "When the work returns `Released`, the key can be used again.",
        hints: &["Only `Stored` is final."],
        read: &["level3/README.md, Idempotency", "https://docs.stripe.com/api/idempotent_requests"],
    },
    Criterion {
        id: "level3/idempotency/keys-are-checked",
        title: "checks keys",
        points: 1,
        kind: Kind::Core,
        requirement: "A key has 1 to 255 characters.",
        hints: &["`chars().count()`, not `len()`."],
        read: &["level3/README.md, Idempotency", "https://docs.stripe.com/api/idempotent_requests"],
    },
    Criterion {
        id: "level3/idempotency/a-repeat-is-marked",
        title: "marks replays",
        points: 1,
        kind: Kind::Bonus,
        requirement: "`replayed` is false for the request that did the work and true for its \
                      repeats.",
        hints: &["Which branch of `run` knows?"],
        read: &["level3/README.md, Idempotency", "https://docs.stripe.com/api/idempotent_requests"],
    },
    Criterion {
        id: "level3/idempotency/those-who-joined-share-a-failure",
        title: "shares a failure with those who joined",
        points: 1,
        kind: Kind::Bonus,
        requirement: "Requests that joined get the failure of the work that they waited for.",
        hints: &["Send the whole `Completion` over the channel."],
        read: &["level3/README.md, Idempotency", "https://docs.stripe.com/api/idempotent_requests"],
    },
    Criterion {
        id: "level3/idempotency/a-panic-frees-the-key",
        title: "frees the key after a panic",
        points: 1,
        kind: Kind::Bonus,
        requirement: "When the work panics, those who wait get `Lost`, and the key can be used \
                      again.",
        hints: &[
            "Who notices that a task has panicked?",
            "The claim is a value that the task owns; its destructor frees the key.",
        ],
        read: &["level3/README.md, Idempotency", "https://docs.stripe.com/api/idempotent_requests"],
    },
    Criterion {
        id: "level3/idempotency/answers-are-kept-for-their-time",
        title: "keeps answers for their time",
        points: 1,
        kind: Kind::Bonus,
        requirement: "An answer is replayed while its age is below the retention, 24 h by \
                      default, and then forgotten.",
        hints: &[
            "Answers expire in the order in which they were given: a queue tells which are due.",
        ],
        read: &["level3/README.md, Idempotency", "https://docs.stripe.com/api/idempotent_requests"],
    },
    Criterion {
        id: "level3/idempotency/the-store-is-bounded",
        title: "is bounded",
        points: 1,
        kind: Kind::Bonus,
        requirement: "A full store refuses a new key with `Full` and makes no call; it never \
                      forgets a key before its time.",
        hints: &["Forgetting a key early means paying twice."],
        read: &["level3/README.md, Idempotency", "https://docs.stripe.com/api/idempotent_requests"],
    },
];
