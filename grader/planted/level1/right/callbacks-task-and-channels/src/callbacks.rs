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

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::errors::{FetchError, check_id};
use crate::model::{Profile, User, UserId};
use crate::source::{Callback, CallbackSource, Request, SourceError};

type Answer<T> = oneshot::Receiver<Result<T, SourceError>>;

/// Fetches the user, then the posts, and calls back with the profile.
///
/// # Panics
/// When called outside a tokio runtime.
pub fn fetch_user_profile<F>(source: Arc<dyn CallbackSource>, id: UserId, callback: F)
where
    F: FnOnce(Result<Profile, FetchError>) + Send + 'static,
{
    let (_until_return, returned) = oneshot::channel::<()>();
    let checked = check_id(id);
    let asks = checked.is_ok();
    let (answers, user) = channel();
    let rest = Arc::clone(&source);
    tokio::spawn(async move {
        let result = match checked {
            Ok(id) => load(rest, id, user).await,
            Err(error) => Err(error),
        };
        let _ = returned.await;
        callback(result);
    });
    if asks {
        source.user(id, answers);
    }
}

/// What happens after the user was asked for.
async fn load(
    source: Arc<dyn CallbackSource>,
    id: UserId,
    user: Answer<User>,
) -> Result<Profile, FetchError> {
    let user = answered(Request::User(id), user).await?;
    let (answers, posts) = channel();
    // A panic drops the callback, or comes after its call: the channel knows.
    let _ = catch_unwind(AssertUnwindSafe(|| source.posts(id, answers)));
    drop(source);
    let posts = answered(Request::Posts(id), posts).await?;
    Ok(Profile { user, posts })
}

fn channel<T: Send + 'static>() -> (Callback<T>, Answer<T>) {
    let (sender, receiver) = oneshot::channel();
    let callback = move |answer| {
        let _ = sender.send(answer);
    };
    (Box::new(callback), receiver)
}

async fn answered<T>(request: Request, answer: Answer<T>) -> Result<T, FetchError> {
    let answer = answer.await.unwrap_or(Err(SourceError::CallbackDropped));
    answer.map_err(|cause| FetchError::new(request, cause))
}
