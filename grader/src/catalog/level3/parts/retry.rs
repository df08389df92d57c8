//! The criteria of `level3/src/retry/run.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// Trying again.
pub(super) const GROUP: Group = Group {
    name: "retry",
    title: "Retry with backoff and jitter",
    file: "level3/src/retry/run.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level3/retry/three-attempts-are-three-calls",
        title: "makes as many calls as it has attempts",
        points: 2,
        kind: Kind::Core,
        requirement: "Three attempts are three calls, the first one included; the default is \
                      three. (The assignment: retry logic, 3 attempts.)",
        hints: &[
            "Attempts, not retries.",
            "Compare before you wait: the last attempt is not followed by a wait.",
        ],
        read: &["level3/README.md, Retry", "https://docs.rs/tokio/latest/tokio/time/fn.sleep.html"],
    },
    Criterion {
        id: "level3/retry/returns-the-first-success",
        title: "returns the first success",
        points: 1,
        kind: Kind::Core,
        requirement: "The first attempt that succeeds ends it: its value is returned, and no \
                      further call is made.",
        hints: &["`return` from inside the loop."],
        read: &["level3/README.md, Retry", "https://docs.rs/tokio/latest/tokio/time/fn.sleep.html"],
    },
    Criterion {
        id: "level3/retry/backs-off-exponentially",
        title: "backs off exponentially",
        points: 2,
        kind: Kind::Core,
        requirement: "The wait after the failed attempt n is base * factor^(n - 1): 1, 2, 4 s by \
                      default.",
        hints: &["The first wait is the base itself.", "`powf` with n - 1."],
        read: &["level3/README.md, Retry", "https://docs.rs/tokio/latest/tokio/time/fn.sleep.html"],
    },
    Criterion {
        id: "level3/retry/stays-below-the-cap",
        title: "never waits longer than the cap",
        points: 1,
        kind: Kind::Core,
        requirement: "No wait is above the cap, jitter included, at whatever attempt; and an \
                      overflow ends at the cap, not at zero.",
        hints: &[
            "Cut first, then apply jitter that only shortens.",
            "An `f64` that overflows is infinity, and infinity is above the cap.",
        ],
        read: &["level3/README.md, Retry", "https://docs.rs/tokio/latest/tokio/time/fn.sleep.html"],
    },
    Criterion {
        id: "level3/retry/jitter-takes-up-to-a-half",
        title: "takes up to a half off by jitter",
        points: 1,
        kind: Kind::Core,
        requirement: "Equal jitter: the wait lies between one half of the nominal wait (`unit` 0) \
                      and all of it (`unit` 1).",
        hints: &["Half of it is fixed, the other half is multiplied by `unit`."],
        read: &["level3/README.md, Retry", "https://docs.rs/tokio/latest/tokio/time/fn.sleep.html"],
    },
    Criterion {
        id: "level3/retry/draws-for-every-wait",
        title: "draws anew for every wait",
        points: 1,
        kind: Kind::Core,
        requirement: "Each wait asks the injected `Jitter` for a number of its own.",
        hints: &[
            "Callers that failed together must not come back together.",
            "Call `jitter.unit()` inside the loop.",
        ],
        read: &["level3/README.md, Retry", "https://docs.rs/tokio/latest/tokio/time/fn.sleep.html"],
    },
    Criterion {
        id: "level3/retry/seeds-determine-the-waits",
        title: "waits as its seed says",
        points: 1,
        kind: Kind::Core,
        requirement: "The same seed gives the same numbers from 0 to 1, another seed others; a \
                      fork depends on the seed and its stream alone, and forks differ.",
        hints: &[
            "SplitMix64 is four lines: add a constant, mix.",
            "Keep the seed beside the state, so that a fork does not depend on what was drawn.",
        ],
        read: &["level3/README.md, Retry", "https://docs.rs/tokio/latest/tokio/time/fn.sleep.html"],
    },
    Criterion {
        id: "level3/retry/gives-up-when-told",
        title: "gives up when told",
        points: 2,
        kind: Kind::Core,
        requirement: "After `Disposition::GiveUp` there is no further attempt: declines, bad \
                      input and an open breaker do not pass.",
        hints: &["The classifier is asked after each failure, before anything else."],
        read: &["level3/README.md, Retry", "https://docs.rs/tokio/latest/tokio/time/fn.sleep.html"],
    },
    Criterion {
        id: "level3/retry/obeys-retry-after",
        title: "obeys Retry-After",
        points: 2,
        kind: Kind::Core,
        requirement: "`Disposition::RetryAfter` is waited out exactly, above or below the \
                      schedule, its cap and its jitter.",
        hints: &["It takes the place of the backoff's delay."],
        read: &["level3/README.md, Retry", "https://docs.rs/tokio/latest/tokio/time/fn.sleep.html"],
    },
    Criterion {
        id: "level3/retry/no-wait-past-the-deadline",
        title: "does not wait past the deadline",
        points: 2,
        kind: Kind::Core,
        requirement: "A wait that cannot be over before the deadline does not begin: the call \
                      ends at once with `DeadlineTooClose`.",
        hints: &["What is left, and how long is the wait?", "Check before the sleep."],
        read: &["level3/README.md, Retry", "https://docs.rs/tokio/latest/tokio/time/fn.sleep.html"],
    },
    Criterion {
        id: "level3/retry/no-attempt-that-cannot-finish",
        title: "starts no attempt that cannot finish",
        points: 2,
        kind: Kind::Core,
        requirement: "No attempt begins, the first one included, with less than `min_attempt` \
                      left before the deadline.",
        hints: &[
            "After the wait there must be room for the attempt.",
            "Check once before the loop, too; then there is no last error.",
        ],
        read: &["level3/README.md, Retry", "https://docs.rs/tokio/latest/tokio/time/fn.sleep.html"],
    },
    Criterion {
        id: "level3/retry/keeps-the-last-error",
        title: "keeps the last error",
        points: 1,
        kind: Kind::Core,
        requirement: "When all attempts failed, the error carries the last attempt's error and \
                      says `Exhausted`.",
        hints: &["Move the error into `RetryError::last` where you leave the loop."],
        read: &["level3/README.md, Retry", "https://docs.rs/tokio/latest/tokio/time/fn.sleep.html"],
    },
    Criterion {
        id: "level3/retry/reports-attempts-and-waits",
        title: "reports attempts and waits",
        points: 1,
        kind: Kind::Bonus,
        requirement: "Success and failure say how many attempts were made and how long the waits \
                      between them were; each attempt knows its number.",
        hints: &["Add up what the sleeps took."],
        read: &["level3/README.md, Retry", "https://docs.rs/tokio/latest/tokio/time/fn.sleep.html"],
    },
    Criterion {
        id: "level3/retry/refuses-bad-schedules",
        title: "refuses bad schedules",
        points: 1,
        kind: Kind::Core,
        requirement: "A base below 1 ms, a factor below 1, infinite or NaN, and a cap below the \
                      base are refused with a `BackoffConfigError`.",
        hints: &["NaN compares with nothing.", "`!(factor.is_finite() && factor >= 1.0)`."],
        read: &["level3/README.md, Retry", "https://docs.rs/tokio/latest/tokio/time/fn.sleep.html"],
    },
];
