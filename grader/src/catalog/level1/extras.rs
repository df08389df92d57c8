//! One answer over HTTP, a paged API, and tasks that nobody awaits.

use crate::catalog::{Criterion, Group, Kind};

/// Status, body and time limit of one answer.
pub(super) const TRANSPORT: Group = Group {
    name: "transport",
    title: "One answer over HTTP",
    file: "level1/src/transport.rs",
    trial: false,
    criteria: &[
        Criterion {
            id: "level1/transport/status",
            title: "accepts 200 to 299 only",
            points: 1,
            kind: Kind::Bonus,
            requirement: "Every other status is SourceError::Status with its number.",
            hints: &["a range pattern"],
            read: &["README, \"One answer over HTTP\""],
        },
        Criterion {
            id: "level1/transport/cut-characters",
            title: "puts characters together that the network cut",
            points: 2,
            kind: Kind::Bonus,
            requirement: "A text arrives whole, wherever its bytes are cut. The level's own solution appends each chunk as text: \"José\" arrives with two replacement characters.",
            hints: &["collect bytes in a Vec<u8>", "String::from_utf8 once, at the end"],
            read: &["README, \"One answer over HTTP\""],
        },
        Criterion {
            id: "level1/transport/broken-text",
            title: "refuses bytes that are not UTF-8",
            points: 1,
            kind: Kind::Bonus,
            requirement: "SourceError::Malformed, also for a character that the end of the body cuts off.",
            hints: &["String::from_utf8 and String::from_utf8_lossy differ in this"],
            read: &["README, \"One answer over HTTP\""],
        },
        Criterion {
            id: "level1/transport/length-limit",
            title: "accepts the limit and not a byte more",
            points: 1,
            kind: Kind::Bonus,
            requirement: "A body of exactly `limit` bytes is accepted, one byte more is SourceError::TooLarge.",
            hints: &["compare the bytes so far plus the chunk with the limit"],
            read: &["README, \"One answer over HTTP\""],
        },
        Criterion {
            id: "level1/transport/endless-body",
            title: "stops reading at the limit",
            points: 1,
            kind: Kind::Bonus,
            requirement: "No chunk is taken after the one that exceeds the limit.",
            hints: &["compare inside the loop, before the chunk is kept"],
            read: &["README, \"One answer over HTTP\""],
        },
        Criterion {
            id: "level1/transport/broken-off",
            title: "reports a body that broke off",
            points: 1,
            kind: Kind::Bonus,
            requirement: "An error of the stream is passed on unchanged. The level's own solution never settles when the connection is lost in mid-body.",
            hints: &["`?` on each chunk"],
            read: &["README, \"One answer over HTTP\""],
        },
        Criterion {
            id: "level1/transport/time-limit",
            title: "ends a silent request at its limit",
            points: 2,
            kind: Kind::Bonus,
            requirement: "SourceError::Timeout with the limit, at the limit; whatever comes in time is passed on unchanged. Checklist: a timeout for every external call.",
            hints: &["tokio::time::timeout gives a Result around the request's own Result"],
            read: &["https://docs.rs/tokio/latest/tokio/time/fn.timeout.html"],
        },
        Criterion {
            id: "level1/transport/gives-up",
            title: "drops a request whose time is over",
            points: 1,
            kind: Kind::Bonus,
            requirement: "The request does not run on behind its limit.",
            hints: &[
                "tokio::time::timeout drops the future it was given; a spawned task would live on",
            ],
            read: &["https://docs.rs/tokio/latest/tokio/time/fn.timeout.html"],
        },
    ],
};

/// Async iteration.
pub(super) const PAGES: Group = Group {
    name: "pages",
    title: "A paged API as a stream",
    file: "level1/src/pages.rs",
    trial: false,
    criteria: &[
        Criterion {
            id: "level1/pages/in-order",
            title: "gives the items of all pages in order",
            points: 1,
            kind: Kind::Bonus,
            requirement: "From page 1 to the page without a next; an empty page is passed over. Lecture, 3.4.",
            hints: &["futures::stream::try_unfold, with the number of the next page as its state"],
            read: &[
                "README, \"Pages as a stream\"",
                "https://docs.rs/futures/latest/futures/stream/fn.try_unfold.html",
            ],
        },
        Criterion {
            id: "level1/pages/on-demand",
            title: "asks for a page when it needs it",
            points: 2,
            kind: Kind::Bonus,
            requirement: "No page before the first item is asked for, and none while items are left. Lecture, 3.4: an async generator is lazy.",
            hints: &[
                "no task and no buffer: fetch inside poll_next, that is inside the closure of unfold",
            ],
            read: &["README, \"Pages as a stream\""],
        },
        Criterion {
            id: "level1/pages/error-ends",
            title: "ends with the first error",
            points: 1,
            kind: Kind::Bonus,
            requirement: "The items before it, the error, the end; no page is asked for after it.",
            hints: &["try_unfold ends after an error by itself; by hand, remember that it is over"],
            read: &["README, \"Pages as a stream\""],
        },
        Criterion {
            id: "level1/pages/names-the-page",
            title: "names the page that failed, and the cause",
            points: 1,
            kind: Kind::Bonus,
            requirement: "FetchError::new(Request::Page(number), cause).",
            hints: &["map_err where the page is fetched"],
            read: &["README, \"Pages as a stream\""],
        },
        Criterion {
            id: "level1/pages/stops-when-dropped",
            title: "gives its request up when it is dropped",
            points: 2,
            kind: Kind::Bonus,
            requirement: "The page under way is dropped with the stream, and no task is left.",
            hints: &["let the stream own the page's future"],
            read: &["README, \"Pages as a stream\""],
        },
    ],
};

/// The unhandled-rejection tracker.
pub(super) const BACKGROUND: Group = Group {
    name: "background",
    title: "Failures of tasks that nobody awaits",
    file: "level1/src/background.rs",
    trial: false,
    criteria: &[
        Criterion {
            id: "level1/background/errors",
            title: "records and reports every error",
            points: 1,
            kind: Kind::Bonus,
            requirement: "With the task's name and the error's text, in the order of the failures, to the record and to the handler; both are in the text of a Failure. Lecture, 5.3.",
            hints: &[
                "wrap the future before you spawn it: what comes out of it is looked at in the task itself",
            ],
            read: &["README, \"Tasks that nobody awaits\""],
        },
        Criterion {
            id: "level1/background/panics",
            title: "records and reports every panic",
            points: 2,
            kind: Kind::Bonus,
            requirement: "With the panic's text. A panic in a task is silent otherwise.",
            hints: &["FutureExt::catch_unwind", "panics::message gives the text"],
            read: &["README, \"Tasks that nobody awaits\""],
        },
        Criterion {
            id: "level1/background/handler-is-contained",
            title: "survives its handler",
            points: 2,
            kind: Kind::Bonus,
            requirement: "A handler that panics, or asks the tracker for its failures, harms neither the record nor the count.",
            hints: &["record first, tell later, and hold no lock while the handler runs"],
            read: &["README, \"Tasks that nobody awaits\""],
        },
        Criterion {
            id: "level1/background/running",
            title: "counts the tasks that are running",
            points: 1,
            kind: Kind::Bonus,
            requirement: "Up when spawned, down when ended, in whichever way.",
            hints: &["a guard that counts down in Drop cannot be forgotten"],
            read: &["README, \"Tasks that nobody awaits\""],
        },
        Criterion {
            id: "level1/background/drained",
            title: "waits until all have ended",
            points: 1,
            kind: Kind::Bonus,
            requirement: "For a shutdown that loses nothing: at once when none is running, else with the last.",
            hints: &["a tokio::sync::watch channel holds the count: wait_for"],
            read: &[
                "https://docs.rs/tokio/latest/tokio/sync/watch/struct.Receiver.html#method.wait_for",
            ],
        },
    ],
};
