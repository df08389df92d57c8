//! The criteria of `level3/src/dead_letters.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// What could not be delivered.
pub(super) const GROUP: Group = Group {
    name: "dead-letters",
    title: "Dead letter queue",
    file: "level3/src/dead_letters.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level3/dead-letters/keeps-cause-and-attempts",
        title: "keeps what, why and how often",
        points: 2,
        kind: Kind::Core,
        requirement: "A letter carries the item, the cause, the attempts made so far, and when it \
                      came. (The lesson: logged to the dead letter queue for manual \
                      intervention.)",
        hints: &["What does somebody need who has to repair it tomorrow?"],
        read: &["level3/README.md, Dead letters"],
    },
    Criterion {
        id: "level3/dead-letters/is-bounded",
        title: "is bounded and loses nothing",
        points: 2,
        kind: Kind::Core,
        requirement: "A full queue refuses with `Full`, which hands the item back; nothing is \
                      dropped to make room.",
        hints: &["Silently losing the oldest refund is losing a refund."],
        read: &["level3/README.md, Dead letters"],
    },
    Criterion {
        id: "level3/dead-letters/removes-only-what-was-delivered",
        title: "removes only what was delivered",
        points: 2,
        kind: Kind::Core,
        requirement: "A letter stays in the queue while its handler works, and after it has \
                      failed; it goes when the handler has succeeded.",
        hints: &["Mark it as being worked on instead of taking it out."],
        read: &["level3/README.md, Dead letters"],
    },
    Criterion {
        id: "level3/dead-letters/counts-each-redrive",
        title: "counts each redrive",
        points: 1,
        kind: Kind::Core,
        requirement: "A failed redrive adds an attempt and replaces the cause and the time of the \
                      last attempt.",
        hints: &["Update the letter under the lock when its handler has returned."],
        read: &["level3/README.md, Dead letters"],
    },
    Criterion {
        id: "level3/dead-letters/parks-poison",
        title: "parks what keeps failing",
        points: 2,
        kind: Kind::Core,
        requirement: "A letter is parked after the given number of failed redrives and passed by \
                      until it is unparked, which gives it as many redrives anew, or removed for \
                      good.",
        hints: &["Count redrives apart from the attempts made before."],
        read: &["level3/README.md, Dead letters"],
    },
    Criterion {
        id: "level3/dead-letters/one-failure-stops-nobody",
        title: "goes on after a failure",
        points: 1,
        kind: Kind::Core,
        requirement: "All letters are tried, in order of arrival, whatever becomes of the first \
                      one.",
        hints: &["No `?` and no `break` in the loop."],
        read: &["level3/README.md, Dead letters"],
    },
    Criterion {
        id: "level3/dead-letters/a-panic-stops-nobody",
        title: "goes on after a panic",
        points: 1,
        kind: Kind::Bonus,
        requirement: "A handler that panics has failed for its letter; the others are tried all \
                      the same.",
        hints: &["`AssertUnwindSafe(future).catch_unwind()`."],
        read: &["level3/README.md, Dead letters"],
    },
    Criterion {
        id: "level3/dead-letters/a-dropped-redrive-loses-nothing",
        title: "survives a dropped redrive",
        points: 1,
        kind: Kind::Bonus,
        requirement: "A redrive that is dropped leaves its letter in the queue, and the next \
                      redrive tries it.",
        hints: &["The mark is taken off by a destructor."],
        read: &["level3/README.md, Dead letters"],
    },
    Criterion {
        id: "level3/dead-letters/two-redrives-deliver-once",
        title: "delivers once with two redrives",
        points: 1,
        kind: Kind::Bonus,
        requirement: "Two redrives at once deliver each letter once.",
        hints: &["Mark the letter under the lock, before its handler is called."],
        read: &["level3/README.md, Dead letters"],
    },
];
