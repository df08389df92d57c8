//! The profile with error-first callbacks.
//!
//! A callback must be called once, in every case, and never before the function that took it has
//! returned; otherwise the order of the callback and the caller's next line depends on the source.
//! `FnOnce` rules out a second call. This module guarantees the rest.
//!
//! Lesson: [`lessons/callbacks.md`](crate::lessons::callbacks).
//!
//! # Contract
//!
#![doc = include_str!("../contract/callbacks.md")]

use std::sync::Arc;

use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::errors::{FetchError, check_id};
use crate::model::{Profile, UserId};
use crate::source::{Callback, CallbackSource, Request, SourceError};

/// Fetches the user, then the posts, and calls back with the profile.
///
/// `callback` is called exactly once, whatever the source does, and never before this function has
/// returned, also when the source answers at once. It runs in a task of the tokio runtime; a panic in
/// it ends that task alone.
///
/// The posts are requested after the user has arrived, and not at all when the user failed. A load
/// cannot be cancelled. A source that neither calls nor drops its callback keeps the caller waiting:
/// time limits are the source's task.
///
/// # Errors
/// The callback gets
/// - [`FetchError::Validation`] for the id 0, before any request;
/// - the error of the request that failed, as [`FetchError::new`] classifies it;
/// - that of [`CallbackDropped`](crate::source::SourceError::CallbackDropped) when the source drops its callback uncalled.
///
/// # Panics
/// When called outside a tokio runtime.
pub fn fetch_user_profile<F>(source: Arc<dyn CallbackSource>, id: UserId, callback: F)
where
    F: FnOnce(Result<Profile, FetchError>) + Send + 'static,
{
    // The reply waits until this guard is dropped, which is when this function returns.
    let (_returning, returned) = oneshot::channel();
    let reply = Reply { callback: Box::new(callback), returned, runtime: Handle::current() };

    // `?` has no caller to return to here: every way out has to go through the callback.
    let id = match check_id(id) {
        Ok(id) => id,
        Err(error) => return reply.send(Err(error)),
    };
    // The closure for the user outlives this function, so it owns its share of the source.
    let rest = Arc::clone(&source);
    source.user(
        id,
        answer_to(Request::User(id), reply, move |user, reply| {
            rest.posts(
                id,
                answer_to(Request::Posts(id), reply, move |posts, reply| {
                    reply.send(Ok(Profile { user, posts }));
                }),
            );
        }),
    );
}

/// The callback for one request: goes on with `next` when it succeeded and ends the load when it
/// failed or is dropped uncalled.
fn answer_to<T, N>(request: Request, reply: Reply, next: N) -> Callback<T>
where
    N: FnOnce(T, Reply) + Send + 'static,
{
    // The guard moves into the closure. If the source drops the closure uncalled, the guard is dropped with it
    // and answers.
    let mut unanswered = Unanswered { request, reply: Some(reply) };
    Box::new(move |answer| {
        // Taken out, so that the guard's destructor, which runs at the end of this call, finds nothing to send.
        let Some(reply) = unanswered.reply.take() else { return };
        match answer {
            Ok(value) => next(value, reply),
            Err(cause) => reply.send(Err(FetchError::new(request, cause))),
        }
    })
}

/// A request whose callback was not called yet. When it is dropped with the callback, it sends the error.
struct Unanswered {
    /// Named by the error that the drop sends.
    request: Request,
    /// `None` once the callback was called: then the drop has nothing to send.
    reply: Option<Reply>,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            reply.send(Err(FetchError::new(self.request, SourceError::CallbackDropped)));
        }
    }
}

/// The way back to the caller. `send` consumes it, so there is one answer at most.
struct Reply {
    /// The caller's callback. Boxed, so that the type of the reply does not depend on it.
    callback: Box<dyn FnOnce(Result<Profile, FetchError>) + Send>,
    /// Resolves when `fetch_user_profile` has returned, whether it sends or only drops the other end.
    returned: oneshot::Receiver<()>,
    /// Taken at the start: a source may call back, or drop, on a thread outside the runtime.
    runtime: Handle,
}

impl Reply {
    fn send(self, result: Result<Profile, FetchError>) {
        let Self { callback, returned, runtime } = self;
        // A task is what `setImmediate` is in Node. On a runtime with several threads it may start
        // at once on another one, hence the wait for the return.
        runtime.spawn(returned.map(move |_| callback(result)));
    }
}
