//! Level 1: one user profile, fetched in three styles.
//!
//! The profile of a user is put together from two requests, `/api/users/:id` and
//! `/api/users/:id/posts`. The same function is written with error-first callbacks, with future
//! combinators and with async/await, and all of them give the same results and the same errors.
//! `README.md` beside this crate is the assignment; `comparison-report.md` sets the styles side by
//! side.
//!
//! | module | what it is | whose |
//! | --- | --- | --- |
//! | [`model`] | the profile and its parts | given |
//! | [`panics`] | the message of a panic | given |
//! | [`source`] | where profiles come from: the traits to program against, and their errors | given |
//! | `http` | a source over HTTP, behind the feature of that name | given |
//! | [`errors`] | the error of a load: which request failed, of which class, and why | exercise |
//! | [`callbacks`], [`combinators`], [`async_await`] | the three styles | exercise |
//! | [`transport`] | reading one HTTP answer: status, body, time limit | exercise, bonus |
//! | [`promisify`] | from callback to future and back | exercise, bonus |
//! | [`promise`] | JavaScript's promise, written by hand | exercise, bonus |
//! | [`pages`] | a paged API as a stream | exercise, bonus |
//! | [`background`] | failures of tasks that are not awaited | exercise, bonus |
//! | [`lessons`] | a chapter for each exercise; only in this documentation and in its tests | given |

pub mod model;
pub mod panics;
pub mod source;

#[cfg(feature = "http")]
pub mod http;

#[cfg(any(doc, doctest))]
pub mod lessons;

pub mod async_await;
pub mod background;
pub mod callbacks;
pub mod combinators;
pub mod errors;
pub mod pages;
pub mod promise;
pub mod promisify;
pub mod transport;

/// What the grader says that these sources are, if it has them compiled: how it notices a stale build.
#[doc(hidden)]
pub const BUILT_FROM: Option<&str> = option_env!("COURSE_SOURCES_LEVEL1");
