//! The parts against reference models that the grader plays beside them.

use crate::catalog::{Criterion, Group, Kind};

/// The parts against reference models.
pub(super) const GROUP: Group = Group {
    name: "models",
    title: "The parts against their models",
    file: "level3/src/breaker/mod.rs",
    trial: true,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level3/models/breaker",
        title: "is a breaker in every script",
        points: 3,
        kind: Kind::Bonus,
        requirement: "Random scripts of calls that overlap, end well, fail, are declined or lose \
                      their caller, on breakers with every combination of figures: the breaker lets \
                      through what the model lets through and is in the state that the model is in.",
        hints: &[
            "Play the script that is shown by hand, and ask at each line what the breaker knows.",
            "A call belongs to the time between two changes of state in which it was let in. What \
             it ends with counts there and nowhere else.",
        ],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/models/limiter",
        title: "is a limiter in every script",
        points: 3,
        kind: Kind::Bonus,
        requirement: "Random scripts of refunds and charges that come, wait, go away, hold their \
                      permits, call or do not: each gets its permit in the millisecond in which the \
                      model gives it.",
        hints: &[
            "Play the script that is shown by hand: who stands in which line, which slots are free?",
            "Whoever is first has to look again whenever a slot is used, given back, or old enough, \
             and when somebody before it leaves.",
        ],
        read: &["level3/README.md, Rate limiter"],
    },
    Criterion {
        id: "level3/models/idempotency",
        title: "is a store in every script",
        points: 3,
        kind: Kind::Bonus,
        requirement: "Random scripts of requests with few keys, other parameters, work that fails \
                      and callers that go away, in a small store that forgets: each request gets \
                      what the model says, at the same time.",
        hints: &[
            "Play the script that is shown by hand: what does the store hold when the request comes?",
            "An answer is forgotten at its age, not at the age of its request; and the key may have \
             been used again since.",
        ],
        read: &["level3/README.md, Idempotency"],
    },
];
