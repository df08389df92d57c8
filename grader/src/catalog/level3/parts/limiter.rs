//! The criteria of `level3/src/limiter/mod.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// At most so many calls in any window.
pub(super) const GROUP: Group = Group {
    name: "limiter",
    title: "Rate limiter",
    file: "level3/src/limiter/mod.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level3/limiter/no-window-sees-too-many",
        title: "lets no window see too many",
        points: 3,
        kind: Kind::Core,
        requirement: "Never more than 100 calls in any second, wherever the second begins. (The \
                      assignment: Stripe allows 100 requests a second.)",
        hints: &[
            "100 calls at 0.95 s and 100 at 1.0 s are 200 in one second.",
            "Remember the instants of the last 100 calls: the next one may go when the oldest of \
             them is a second old.",
        ],
        read: &[
            "level3/README.md, Rate limiter",
            "https://docs.rs/tokio/latest/tokio/sync/struct.Notify.html",
        ],
    },
    Criterion {
        id: "level3/limiter/goes-again-after-one-window",
        title: "lets the next one go in time",
        points: 2,
        kind: Kind::Core,
        requirement: "A call goes as soon as the call in its way is exactly one window old, and \
                      not later.",
        hints: &["Compute the instant and use `sleep_until`."],
        read: &[
            "level3/README.md, Rate limiter",
            "https://docs.rs/tokio/latest/tokio/sync/struct.Notify.html",
        ],
    },
    Criterion {
        id: "level3/limiter/those-who-waited-do-not-storm",
        title: "counts those who waited",
        points: 2,
        kind: Kind::Core,
        requirement: "Of 350 calls that come together, no more than 100 go in any second, those \
                      who waited included.",
        hints: &[
            "Whoever wakes up looks again.",
            "Let only the first in the line wait for the slot; it wakes the next one when it has \
             gone.",
        ],
        read: &[
            "level3/README.md, Rate limiter",
            "https://docs.rs/tokio/latest/tokio/sync/struct.Notify.html",
        ],
    },
    Criterion {
        id: "level3/limiter/serves-in-order",
        title: "serves in the order of arrival",
        points: 2,
        kind: Kind::Core,
        requirement: "Calls go in the order in which they came, and a newcomer does not go before \
                      one who waits.",
        hints: &[
            "A queue of waiters; a newcomer joins it if it is not empty.",
            "Only the first in the queue sleeps; the others wait to be woken.",
        ],
        read: &[
            "level3/README.md, Rate limiter",
            "https://docs.rs/tokio/latest/tokio/sync/struct.Notify.html",
        ],
    },
    Criterion {
        id: "level3/limiter/a-hopeless-wait-is-refused-at-once",
        title: "refuses a hopeless wait at once",
        points: 2,
        kind: Kind::Core,
        requirement: "A call whose slot comes after its deadline is refused at once, with the \
                      time that it would have had to wait.",
        hints: &[
            "The instant at which the next slot comes is known: compare it with the deadline.",
        ],
        read: &[
            "level3/README.md, Rate limiter",
            "https://docs.rs/tokio/latest/tokio/sync/struct.Notify.html",
        ],
    },
    Criterion {
        id: "level3/limiter/those-ahead-count-too",
        title: "counts those ahead in the line",
        points: 1,
        kind: Kind::Bonus,
        requirement: "The wait is computed with the callers before: each of them takes a slot.",
        hints: &[
            "Slots come free in the order of the calls, each once a window: caller number n gets \
             the slot n modulo the limit.",
        ],
        read: &[
            "level3/README.md, Rate limiter",
            "https://docs.rs/tokio/latest/tokio/sync/struct.Notify.html",
        ],
    },
    Criterion {
        id: "level3/limiter/a-refused-caller-takes-no-slot",
        title: "takes no slot for a refused call",
        points: 1,
        kind: Kind::Core,
        requirement: "Calls that are refused do not count.",
        hints: &["Take the slot at the very end, when the call goes."],
        read: &[
            "level3/README.md, Rate limiter",
            "https://docs.rs/tokio/latest/tokio/sync/struct.Notify.html",
        ],
    },
    Criterion {
        id: "level3/limiter/a-gone-caller-holds-up-nobody",
        title: "skips callers that went away",
        points: 2,
        kind: Kind::Core,
        requirement: "A caller that is dropped while it waits leaves the line and takes no slot; \
                      those behind are served as if it had never come.",
        hints: &[
            "A guard whose destructor leaves the line.",
            "If the first one leaves, the next one is first and has to know.",
        ],
        read: &[
            "level3/README.md, Rate limiter",
            "https://docs.rs/tokio/latest/tokio/sync/struct.Notify.html",
        ],
    },
    Criterion {
        id: "level3/limiter/an-unused-permit-is-given-back",
        title: "takes unused permits back",
        points: 2,
        kind: Kind::Core,
        requirement: "A permit that is dropped unused gives its slot back: a call that an open \
                      breaker refuses takes none.",
        hints: &["`Drop` for `Permit`."],
        read: &[
            "level3/README.md, Rate limiter",
            "https://docs.rs/tokio/latest/tokio/sync/struct.Notify.html",
        ],
    },
    Criterion {
        id: "level3/limiter/a-permit-counts-from-its-use",
        title: "counts a call from when it is made",
        points: 1,
        kind: Kind::Bonus,
        requirement: "A slot is taken as long as its permit is held, and its second begins when \
                      the permit is used.",
        hints: &[
            "Count held permits and made calls apart; together they must not exceed the limit.",
        ],
        read: &[
            "level3/README.md, Rate limiter",
            "https://docs.rs/tokio/latest/tokio/sync/struct.Notify.html",
        ],
    },
    Criterion {
        id: "level3/limiter/refunds-go-first",
        title: "lets refunds go first",
        points: 2,
        kind: Kind::Bonus,
        requirement: "Refunds that wait go before charges that wait, each in the order of \
                      arrival.",
        hints: &["Two queues."],
        read: &[
            "level3/README.md, Rate limiter",
            "https://docs.rs/tokio/latest/tokio/sync/struct.Notify.html",
        ],
    },
    Criterion {
        id: "level3/limiter/waits-when-the-server-says-so",
        title: "pauses when the server says so",
        points: 1,
        kind: Kind::Bonus,
        requirement: "After `pause_for` nothing goes before the time has passed; the longest wish \
                      holds. Who waits is refused by his deadline all the same.",
        hints: &["Keep the instant until which nothing goes, and take the later of the two."],
        read: &[
            "level3/README.md, Rate limiter",
            "https://docs.rs/tokio/latest/tokio/sync/struct.Notify.html",
        ],
    },
    Criterion {
        id: "level3/limiter/waits-without-looking",
        title: "waits without looking at the clock",
        points: 1,
        kind: Kind::Core,
        requirement: "A wait costs a few wake-ups, however long it is.",
        hints: &["Sleep until the instant at which the slot is free."],
        read: &[
            "level3/README.md, Rate limiter",
            "https://docs.rs/tokio/latest/tokio/sync/struct.Notify.html",
        ],
    },
    Criterion {
        id: "level3/limiter/takes-the-same-time-at-any-limit",
        title: "takes the same time at any limit",
        points: 1,
        kind: Kind::Bonus,
        requirement: "100 000 calls with 100 000 others in the window take the time of 100 000 \
                      calls with none: O(1) per call. Going through the window each time runs \
                      into the limit of 3 s of CPU time.",
        hints: &[
            "You need not count what is in the window: when is a slot free, seen from the oldest \
             of the last N calls?",
            "A ring of N instants: look at one, overwrite one.",
        ],
        read: &[
            "level3/README.md, Rate limiter",
            "https://docs.rs/tokio/latest/tokio/sync/struct.Notify.html",
        ],
    },
    Criterion {
        id: "level3/limiter/figures-are-those-of-now",
        title: "tells how things stand",
        points: 1,
        kind: Kind::Bonus,
        requirement: "`usage`: the calls that are younger than the window, the slots that are held, \
                      and who waits in each lane; not who has gone away.",
        hints: &["Leaving the line is a `Drop`.", "Ask how old a call is now, not when it came."],
        read: &["level3/README.md, Rate limiter"],
    },
    Criterion {
        id: "level3/limiter/refuses-a-window-of-zero",
        title: "refuses a window of zero",
        points: 1,
        kind: Kind::Core,
        requirement: "A window of zero is refused with a `LimiterConfigError`.",
        hints: &["Check in `new`."],
        read: &[
            "level3/README.md, Rate limiter",
            "https://docs.rs/tokio/latest/tokio/sync/struct.Notify.html",
        ],
    },
];
