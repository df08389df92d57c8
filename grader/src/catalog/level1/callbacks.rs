//! Callbacks: the profile with them, and their way to futures and back.

use crate::catalog::{Criterion, Group, Kind};

/// The profile with callbacks.
pub(super) const CALLBACKS: Group = Group {
    name: "callbacks",
    title: "Error-first callbacks",
    file: "level1/src/callbacks.rs",
    trial: false,
    criteria: &[
        Criterion {
            id: "level1/callbacks/profile",
            title: "gives the user and the posts as the source has them",
            points: 2,
            kind: Kind::Core,
            requirement: "The result is the user {id, name, email} and the posts {id, title, likes, body} of the id that was asked for; likes and body where the source has them, the posts in its order. Level 1, expected output; its own solution drops the likes.",
            hints: &[
                "collect `user` in the closure of the first answer and move it into the second closure",
                "`Profile { user, posts }` is built in the innermost closure: the posts go in as they come",
            ],
            read: &["README, \"The three styles\"", "level1/src/model.rs"],
        },
        Criterion {
            id: "level1/callbacks/user-first",
            title: "asks for the user first, then at once for the posts",
            points: 2,
            kind: Kind::Core,
            requirement: "One request after the other: the user at 0 ms, the posts the moment the user is there, each once. Level 1, the sequential versions of the solution.",
            hints: &["call `source.posts` inside the closure that gets the user"],
            read: &["README, \"The three styles\""],
        },
        Criterion {
            id: "level1/callbacks/no-posts-without-user",
            title: "does not ask for the posts when the user failed",
            points: 1,
            kind: Kind::Core,
            requirement: "A failed user ends the load: its posts are not requested. Level 1, complete error handling.",
            hints: &[
                "an `Err` of the user ends the load: reply with it and make no further request",
            ],
            read: &["README, \"The three styles\""],
        },
        Criterion {
            id: "level1/callbacks/names-the-request",
            title: "names the request that failed, and its cause",
            points: 2,
            kind: Kind::Core,
            requirement: "The error of a failed user names the user, that of failed posts the posts, each with its cause; it reaches the callback.",
            hints: &[
                "each of the two closures knows its request: make the error there",
                "`FetchError::new(Request::Posts(id), cause)` in the second one",
            ],
            read: &["README, \"Errors\""],
        },
        Criterion {
            id: "level1/callbacks/refuses-id-0",
            title: "refuses id 0 before any request",
            points: 1,
            kind: Kind::Core,
            requirement: "The callback gets a validation error for the field id, and no request is made.",
            hints: &["call `check_id` first; on its error reply, and do not call the source"],
            read: &["README, \"Errors\""],
        },
        Criterion {
            id: "level1/callbacks/never-early",
            title: "never calls back before it has returned",
            points: 3,
            kind: Kind::Core,
            requirement: "Also when the source answers, fails or drops its callback at once, and for the id 0, the function returns before the callback runs. Lecture, 1.1: the line after the call runs first.",
            hints: &[
                "the callback may not be called from a stack on which fetch_user_profile still is",
                "spawn a task whose only work is to call back",
            ],
            read: &["README, \"The contract of a callback\""],
        },
        Criterion {
            id: "level1/callbacks/dropped-callback",
            title: "answers when the source drops its callback",
            points: 3,
            kind: Kind::Core,
            requirement: "A callback that the source drops uncalled, for the user or for the posts, becomes an error with the cause CallbackDropped that names the request. Lecture, 2.2: a result that never comes hangs for ever.",
            hints: &[
                "what a closure holds is dropped with it: let it hold a guard",
                "the guard keeps what is needed to answer in an Option; the closure takes it out, and Drop answers if it is still there",
            ],
            read: &[
                "README, \"The contract of a callback\"",
                "https://doc.rust-lang.org/std/ops/trait.Drop.html",
            ],
        },
        Criterion {
            id: "level1/callbacks/loads-keep-apart",
            title: "keeps two loads at once apart",
            points: 1,
            kind: Kind::Core,
            requirement: "Two loads whose answers cross each give their own profile. The level's own solution times all loads under one global label.",
            hints: &["what a load has to remember belongs into its closures"],
            read: &["README, \"The three styles\""],
        },
        Criterion {
            id: "level1/callbacks/own-work",
            title: "makes its requests itself",
            points: 1,
            kind: Kind::Core,
            requirement: "callbacks.rs leans on neither of the other styles, and makes both requests.",
            hints: &[
                "write the two requests in this file; only errors, model and source are shared",
            ],
            read: &["README, \"The three styles\""],
        },
    ],
};

/// promisify and callbackify.
pub(super) const PROMISIFY: Group = Group {
    name: "promisify",
    title: "From callbacks to futures and back",
    file: "level1/src/promisify.rs",
    trial: false,
    criteria: &[
        Criterion {
            id: "level1/promisify/error-first",
            title: "makes a future of an error-first callback",
            points: 1,
            kind: Kind::Bonus,
            requirement: "The future gives what the callback got, at once or later. Lecture, 1.4.",
            hints: &["a oneshot channel: the callback has one end, the future the other"],
            read: &[
                "README, \"Callbacks and futures\"",
                "https://docs.rs/tokio/latest/tokio/sync/oneshot/index.html",
            ],
        },
        Criterion {
            id: "level1/promisify/dropped",
            title: "notices a callback that is dropped uncalled",
            points: 2,
            kind: Kind::Bonus,
            requirement: "CallbackError::Dropped instead of a future that hangs. Lecture, 2.2.",
            hints: &["the receiver of a oneshot channel has an error for a sender that is gone"],
            read: &["README, \"Callbacks and futures\""],
        },
        Criterion {
            id: "level1/promisify/result-first",
            title: "understands callbacks with the result first",
            points: 1,
            kind: Kind::Bonus,
            requirement: "(result, error) instead of (error, result); an error counts also beside a result. Lecture, 1.4, non-standard callbacks.",
            hints: &["match on the pair, the error first"],
            read: &["README, \"Callbacks and futures\""],
        },
        Criterion {
            id: "level1/promisify/neither",
            title: "knows a callback that got nothing",
            points: 1,
            kind: Kind::Bonus,
            requirement: "Called with neither a result nor an error: CallbackError::Empty.",
            hints: &["(None, None) is the one pair left over"],
            read: &["README, \"Callbacks and futures\""],
        },
        Criterion {
            id: "level1/promisify/result-first-dropped",
            title: "notices a dropped callback with the result first",
            points: 1,
            kind: Kind::Bonus,
            requirement: "CallbackError::Dropped here too.",
            hints: &["build promisify_result_first on promisify"],
            read: &["README, \"Callbacks and futures\""],
        },
        Criterion {
            id: "level1/promisify/back-to-callbacks",
            title: "calls back with a future's result, once, and later",
            points: 1,
            kind: Kind::Bonus,
            requirement: "callbackify runs the future in a task and calls back once, after it has returned.",
            hints: &["tokio::spawn a task that awaits the future and then calls"],
            read: &["README, \"Callbacks and futures\""],
        },
        Criterion {
            id: "level1/promisify/panic",
            title: "calls back when the future panics",
            points: 2,
            kind: Kind::Bonus,
            requirement: "CallbackError::Panicked with the panic's text.",
            hints: &[
                "FutureExt::catch_unwind, with AssertUnwindSafe around the future",
                "or a second task that awaits the JoinHandle of the first: its JoinError has the panic",
            ],
            read: &[
                "README, \"Callbacks and futures\"",
                "https://docs.rs/futures/latest/futures/future/trait.FutureExt.html#method.catch_unwind",
            ],
        },
    ],
};
