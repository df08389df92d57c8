//! The profile with async/await and with combinators.

use crate::catalog::{Criterion, Group, Kind};

/// The profile with async/await, in sequence.
pub(super) const SEQUENTIAL: Group = Group {
    name: "sequential",
    title: "async/await, one request after the other",
    file: "level1/src/async_await.rs",
    trial: false,
    criteria: &[
        Criterion {
            id: "level1/sequential/profile",
            title: "gives the user and the posts as the source has them",
            points: 2,
            kind: Kind::Core,
            requirement: "The result is the user {id, name, email} and the posts {id, title, likes, body} of the id that was asked for; likes and body where the source has them, the posts in its order. Level 1, expected output; its own solution drops the likes.",
            hints: &["two lines with `.await?`, then `Ok(Profile { user, posts })`"],
            read: &["README, \"The three styles\"", "level1/src/model.rs"],
        },
        Criterion {
            id: "level1/sequential/user-first",
            title: "asks for the user first, then at once for the posts",
            points: 2,
            kind: Kind::Core,
            requirement: "One request after the other: the user at 0 ms, the posts the moment the user is there, each once. Level 1, the sequential versions of the solution.",
            hints: &["`.await` the user before the line that asks for the posts"],
            read: &["README, \"The three styles\""],
        },
        Criterion {
            id: "level1/sequential/no-posts-without-user",
            title: "does not ask for the posts when the user failed",
            points: 1,
            kind: Kind::Core,
            requirement: "A failed user ends the load: its posts are not requested. Level 1, complete error handling.",
            hints: &["`?` behind the user's `.await` leaves the function at once"],
            read: &["README, \"The three styles\""],
        },
        Criterion {
            id: "level1/sequential/names-the-request",
            title: "names the request that failed, and its cause",
            points: 2,
            kind: Kind::Core,
            requirement: "The error of a failed user names the user, that of failed posts the posts, each with its cause.",
            hints: &[
                "`map_err` on each request, before the `?`",
                "`source.posts(id).await.map_err(|cause| FetchError::new(Request::Posts(id), cause))?`",
            ],
            read: &["README, \"Errors\""],
        },
        Criterion {
            id: "level1/sequential/refuses-id-0",
            title: "refuses id 0 before any request",
            points: 1,
            kind: Kind::Core,
            requirement: "The id 0 is a validation error for the field id, and no request is made. Lecture, 5.1, validation of the input.",
            hints: &["`let id = check_id(id)?;` as the first line"],
            read: &["README, \"Errors\""],
        },
        Criterion {
            id: "level1/sequential/stops-when-dropped",
            title: "gives its request up when it is dropped",
            points: 2,
            kind: Kind::Core,
            requirement: "Dropping the future drops the request under way, and no task is left behind.",
            hints: &[
                "a request that is awaited in place is dropped with the future; one that was spawned is not",
                "if you spawn, keep the task in a JoinSet: it aborts its tasks when it is dropped",
            ],
            read: &["https://docs.rs/tokio/latest/tokio/task/struct.JoinSet.html"],
        },
        Criterion {
            id: "level1/sequential/own-work",
            title: "makes its requests itself",
            points: 1,
            kind: Kind::Core,
            requirement: "async_await.rs leans on neither of the other styles, and makes both requests. Level 1: three versions of the function.",
            hints: &[
                "write the two requests in this file; only errors, model and source are shared",
            ],
            read: &["README, \"The three styles\""],
        },
    ],
};

/// The profile with async/await, both requests at once.
pub(super) const PARALLEL: Group = Group {
    name: "parallel",
    title: "async/await, both requests at once",
    file: "level1/src/async_await.rs",
    trial: false,
    criteria: &[
        Criterion {
            id: "level1/parallel/profile",
            title: "gives the user and the posts as the source has them",
            points: 2,
            kind: Kind::Core,
            requirement: "The same profile as the other loads. Level 1, expected output.",
            hints: &[
                "`try_join!` gives both values as a pair, in the order in which you named the futures",
            ],
            read: &["README, \"The three styles\""],
        },
        Criterion {
            id: "level1/parallel/both-at-once",
            title: "makes both requests at once",
            points: 3,
            kind: Kind::Core,
            requirement: "Both requests at 0 ms; the load takes as long as the slower one, 300 ms of 300 and 100. Lecture, 3.3.",
            hints: &[
                "two `.await` in a row are one after the other, however they are written: a future does nothing until it is polled",
                "`tokio::try_join!(user, posts)` polls both",
            ],
            read: &["https://docs.rs/tokio/latest/tokio/macro.try_join.html"],
        },
        Criterion {
            id: "level1/parallel/fails-at-the-first",
            title: "fails at the first failure",
            points: 3,
            kind: Kind::Core,
            requirement: "The first failure ends the load at that moment, not when the other request is done. Lecture, 2.5, `Promise.all`.",
            hints: &[
                "`join!` waits for both, `try_join!` ends at the first error",
                "with tasks: look at whichever ends first (`JoinSet::join_next`, `select!`), not at one and then the other",
            ],
            read: &["https://docs.rs/tokio/latest/tokio/macro.try_join.html"],
        },
        Criterion {
            id: "level1/parallel/drops-the-other",
            title: "gives the other request up after a failure",
            points: 2,
            kind: Kind::Core,
            requirement: "When one request has failed, the other is dropped, and no task is left behind. The lecture's `Promise.all` lets it run on.",
            hints: &["a future that is dropped stops; a task has to be aborted"],
            read: &["https://docs.rs/tokio/latest/tokio/task/struct.JoinHandle.html#method.abort"],
        },
        Criterion {
            id: "level1/parallel/names-the-request",
            title: "names the request that failed, and its cause",
            points: 2,
            kind: Kind::Core,
            requirement: "The error names the request that failed first, with its cause.",
            hints: &[
                "wrap each request before you join the two",
                "`try_join!(fetch_user(..), fetch_posts(..))`, where each of the two maps its own error",
            ],
            read: &["README, \"Errors\""],
        },
        Criterion {
            id: "level1/parallel/refuses-id-0",
            title: "refuses id 0 before any request",
            points: 1,
            kind: Kind::Core,
            requirement: "The id 0 is a validation error for the field id, and no request is made.",
            hints: &["`let id = check_id(id)?;` as the first line"],
            read: &["README, \"Errors\""],
        },
        Criterion {
            id: "level1/parallel/stops-when-dropped",
            title: "gives both requests up when it is dropped",
            points: 2,
            kind: Kind::Core,
            requirement: "Dropping the future drops both requests, and no task is left behind.",
            hints: &[
                "futures that are joined in place are dropped together with the load; tasks live on unless they are aborted",
            ],
            read: &["https://docs.rs/tokio/latest/tokio/task/struct.JoinSet.html"],
        },
    ],
};

/// The profile with future combinators.
pub(super) const COMBINATORS: Group = Group {
    name: "combinators",
    title: "Future combinators, without async/await",
    file: "level1/src/combinators.rs",
    trial: false,
    criteria: &[
        Criterion {
            id: "level1/combinators/profile",
            title: "gives the user and the posts as the source has them",
            points: 2,
            kind: Kind::Core,
            requirement: "The result is the user {id, name, email} and the posts {id, title, likes, body} of the id that was asked for; likes and body where the source has them, the posts in its order. Level 1, expected output; its own solution drops the likes.",
            hints: &[
                "`map_ok` builds the profile where both values are at hand",
                "`fetch_user(..).and_then(move |user| fetch_posts(..).map_ok(move |posts| Profile { user, posts }))`",
            ],
            read: &["README, \"The three styles\"", "level1/src/model.rs"],
        },
        Criterion {
            id: "level1/combinators/user-first",
            title: "asks for the user first, then at once for the posts",
            points: 2,
            kind: Kind::Core,
            requirement: "One request after the other: the user at 0 ms, the posts the moment the user is there, each once. Level 1, the sequential versions of the solution.",
            hints: &["`and_then` begins its closure when the future before it has succeeded"],
            read: &["README, \"The three styles\""],
        },
        Criterion {
            id: "level1/combinators/no-posts-without-user",
            title: "does not ask for the posts when the user failed",
            points: 1,
            kind: Kind::Core,
            requirement: "A failed user ends the load: its posts are not requested. Level 1, complete error handling.",
            hints: &[
                "`and_then` passes by its closure when the future before it fails; `then` does not",
            ],
            read: &["README, \"The three styles\""],
        },
        Criterion {
            id: "level1/combinators/names-the-request",
            title: "names the request that failed, and its cause",
            points: 2,
            kind: Kind::Core,
            requirement: "The error of a failed user names the user, that of failed posts the posts, each with its cause.",
            hints: &[
                "`map_err` on each request, before `and_then`",
                "`source.posts(id).map_err(move |cause| FetchError::new(Request::Posts(id), cause))`",
            ],
            read: &["README, \"Errors\""],
        },
        Criterion {
            id: "level1/combinators/refuses-id-0",
            title: "refuses id 0 before any request",
            points: 1,
            kind: Kind::Core,
            requirement: "The id 0 is a validation error for the field id, and no request is made.",
            hints: &[
                "`future::ready(check_id(id))` is a future that may already have failed: begin the chain with it",
            ],
            read: &["README, \"Errors\""],
        },
        Criterion {
            id: "level1/combinators/stops-when-dropped",
            title: "gives its request up when it is dropped",
            points: 2,
            kind: Kind::Core,
            requirement: "Dropping the future drops the request under way, and no task is left behind.",
            hints: &[
                "combinators own the futures they combine, so dropping the chain is enough: spawn nothing",
            ],
            read: &["https://docs.rs/futures/latest/futures/future/trait.TryFutureExt.html"],
        },
        Criterion {
            id: "level1/combinators/no-async",
            title: "is written without async and await",
            points: 2,
            kind: Kind::Core,
            requirement: "Neither word is a token of the file, nor of the modules below it, macros included. Level 1, version 2: promises.",
            hints: &[
                "what would be behind an `.await` becomes the closure of `and_then`",
                "`futures::future::TryFutureExt` has and_then, map_ok and map_err",
            ],
            read: &["https://docs.rs/futures/latest/futures/future/trait.TryFutureExt.html"],
        },
        Criterion {
            id: "level1/combinators/own-work",
            title: "makes its requests itself",
            points: 1,
            kind: Kind::Core,
            requirement: "combinators.rs leans on neither of the other styles, and makes both requests.",
            hints: &[
                "write the two requests in this file; only errors, model and source are shared",
            ],
            read: &["README, \"The three styles\""],
        },
    ],
};
