//! The criteria of `level3/src/breaker/mod.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// Stops calling what is down.
pub(super) const GROUP: Group = Group {
    name: "breaker",
    title: "Circuit breaker",
    file: "level3/src/breaker/mod.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level3/breaker/opens-at-the-fifth-failure",
        title: "opens at the fifth failure in a row",
        points: 3,
        kind: Kind::Core,
        requirement: "Four failures in a row leave it closed; the fifth opens it, and the next \
                      call is refused without being run. (The assignment: open after 5 failures. \
                      BRK1)",
        hints: &[
            "Count when a call has failed, compare with `>=`.",
            "Ask whether the call may run before you call the operation.",
        ],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/a-success-ends-the-row",
        title: "starts the row anew after a success",
        points: 2,
        kind: Kind::Core,
        requirement: "Only failures in a row count: a success sets the count back.",
        hints: &[
            "At 10 % failures, five failures ever come within 50 calls; five in a row once in 100 \
             000.",
        ],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/says-when-to-come-back",
        title: "says when to come back",
        points: 1,
        kind: Kind::Core,
        requirement: "A refusal carries the time until the breaker is half-open, counting down. \
                      (BRK1)",
        hints: &["Reset timeout less the time since it opened."],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/probes-after-the-reset-timeout",
        title: "lets a probe through after 60 s",
        points: 3,
        kind: Kind::Core,
        requirement: "Refused at 59 999 ms after the trip, let through at 60 000 ms. (BRK4)",
        hints: &[
            "`elapsed >= reset_timeout`.",
            "tokio's clock; and refused calls do not move the end.",
        ],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/shows-half-open-without-a-call",
        title: "is half-open without being called",
        points: 1,
        kind: Kind::Core,
        requirement: "`state` says half-open once the reset timeout has passed, also when nobody \
                      has called since. (BRK4)",
        hints: &["No timer is needed: let `state` look at the clock, as `call` does."],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/one-probe-at-a-time",
        title: "lets one probe through at a time",
        points: 3,
        kind: Kind::Core,
        requirement: "Of 20 calls at once while half-open one runs, and 19 are refused. (BRK5)",
        hints: &[
            "Count probes when they begin.",
            "Take the place and look whether it is free in one step, under one lock.",
        ],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/a-failed-probe-reopens",
        title: "opens again when a probe fails",
        points: 2,
        kind: Kind::Core,
        requirement: "Any failure while half-open opens it for the full reset timeout, whatever \
                      succeeded before. (BRK6)",
        hints: &["The threshold of the closed state has no say here."],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/closes-at-the-second-success",
        title: "closes at the second success",
        points: 2,
        kind: Kind::Core,
        requirement: "One good probe leaves it half-open, the second one closes it. (BRK7)",
        hints: &["Count successes in the half-open state only."],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/closes-with-empty-counts",
        title: "closes with empty counts",
        points: 1,
        kind: Kind::Core,
        requirement: "After closing, five new failures in a row open it again, and three do not. (BRK7)",
        hints: &[
            "Keep the counts inside the state (an enum with data): a new state begins with new \
             counts.",
        ],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/every-half-open-time-counts-anew",
        title: "counts successes anew each time",
        points: 1,
        kind: Kind::Core,
        requirement: "A success before a failed probe does not count in the next half-open time.",
        hints: &[
            "Keep the counts inside the state (an enum with data): a new state begins with new \
             counts.",
        ],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/a-dropped-probe-frees-its-place",
        title: "frees the place of a dropped probe",
        points: 2,
        kind: Kind::Core,
        requirement: "A probe whose future is dropped, by a timeout for instance, gives its place \
                      back. (BRK8)",
        hints: &[
            "Code after an await does not run when the future is dropped. A destructor does.",
            "A guard whose destructor gives the place back, created before the operation runs.",
        ],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/a-panicking-probe-frees-its-place",
        title: "frees the place of a panicking probe",
        points: 1,
        kind: Kind::Core,
        requirement: "A probe that panics gives its place back; the panic reaches the caller. \
                      (BRK8)",
        hints: &[
            "Code after an await does not run when the await panics. A destructor does.",
            "A guard whose destructor gives the place back, created before the operation runs.",
        ],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/a-gone-caller-is-no-failure",
        title: "does not blame callers that go away",
        points: 1,
        kind: Kind::Core,
        requirement: "A call that is dropped is neither a failure nor a success.",
        hints: &["The destructor gives the place back and counts nothing."],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/late-failures-decide-nothing",
        title: "ignores failures from before the trip",
        points: 2,
        kind: Kind::Core,
        requirement: "A call that was let in before the trip and fails after it neither extends \
                      the open time nor counts as a failed probe. (BRK9)",
        hints: &[
            "What does that failure say about the dependency now?",
            "Give every state a number (a generation), give each call the number of the state in \
             which it was let in, and compare when it ends.",
        ],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/late-successes-decide-nothing",
        title: "ignores successes from before the trip",
        points: 2,
        kind: Kind::Core,
        requirement: "A call that was let in before the trip and succeeds after it neither closes \
                      the breaker nor counts as a good probe. (BRK9)",
        hints: &[
            "What does that success say about the dependency now?",
            "Give every state a number (a generation), give each call the number of the state in \
             which it was let in, and compare when it ends.",
        ],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/business-errors-are-neutral",
        title: "is neutral about business errors",
        points: 2,
        kind: Kind::Core,
        requirement: "An error that `is_failure` does not count passes through: it neither opens \
                      the breaker nor ends a row of failures. (BRK10)",
        hints: &["Three verdicts: success, failure, neither."],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/a-business-error-decides-no-probe",
        title: "frees the place of a declined probe",
        points: 1,
        kind: Kind::Core,
        requirement: "A probe that ends with a business error gives its place back and leaves the \
                      breaker half-open. (BRK10)",
        hints: &["Give the place back whatever the verdict, then decide."],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/falls-back-only-while-open",
        title: "falls back only while open",
        points: 2,
        kind: Kind::Bonus,
        requirement: "`call_or` returns the fallback's value for a refused call, whatever the \
                      value is, and never hides an error of the operation. (BRK11)",
        hints: &["Match on the result of `call`: only `Open` leads to the fallback."],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/a-window-counts-despite-successes",
        title: "counts failures in a window",
        points: 2,
        kind: Kind::Bonus,
        requirement: "`Trip::InWindow` opens at the fifth failure within 60 s, whatever succeeded \
                      between them. (BRK3)",
        hints: &["A success changes nothing there."],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/the-window-slides",
        title: "slides its window",
        points: 2,
        kind: Kind::Bonus,
        requirement: "A failure counts while its age is below the window; the window ends now, \
                      wherever it began. (BRK2)",
        hints: &[
            "Keep the instants of the last failures, not a count.",
            "Take out what is too old before you count the new one.",
        ],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/figures-add-up",
        title: "keeps figures that add up",
        points: 2,
        kind: Kind::Bonus,
        requirement: "`snapshot`: calls = ok + failed + neutral + dropped + refused; a refused \
                      call is no failure; when it opened. (BRK12)",
        hints: &["Count a call once, where it ends or is refused."],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/watchers-see-each-change",
        title: "tells watchers of each change",
        points: 1,
        kind: Kind::Bonus,
        requirement: "A `watch` receiver sees closed, open, half-open and closed in turn. (BRK12)",
        hints: &["Send where the state changes, and in one place."],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/listeners-may-call-the-breaker",
        title: "tells listeners outside of its lock",
        points: 1,
        kind: Kind::Bonus,
        requirement: "A listener is told of each change once and may ask the breaker for its \
                      state.",
        hints: &[
            "A std `Mutex` that is locked twice by one thread never opens.",
            "Collect the changes under the lock, tell of them after it.",
        ],
        read: &["level3/README.md, Circuit breaker"],
    },
    Criterion {
        id: "level3/breaker/refuses-times-of-zero",
        title: "refuses times of zero",
        points: 1,
        kind: Kind::Core,
        requirement: "A reset timeout or a window of zero is refused with a `BreakerConfigError`.",
        hints: &["Check in `new`."],
        read: &["level3/README.md, Circuit breaker"],
    },
];
