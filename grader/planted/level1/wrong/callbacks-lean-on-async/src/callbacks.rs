//! The profile with error-first callbacks.
//!
//! A callback is a promise that only discipline keeps: it must be called once, in every case, and
//! never before the function that took it has returned, or the caller's own next line runs at a time
//! that depends on the source. `FnOnce` rules out the second call. The rest is this module's work.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::errors::FetchError;
use crate::model::{Post, Profile, User, UserId};
use crate::promisify::{CallbackError, promisify};
use crate::source::{CallbackSource, ProfileSource, SourceError};

/// Fetches the user, then the posts, and calls back with the profile.
pub fn fetch_user_profile<F>(source: Arc<dyn CallbackSource>, id: UserId, callback: F)
where
    F: FnOnce(Result<Profile, FetchError>) + Send + 'static,
{
    let source = Arc::new(Futures(source));
    tokio::spawn(crate::async_await::fetch_user_profile(source, id).map(callback));
}

struct Futures(Arc<dyn CallbackSource>);

fn cause(error: CallbackError<SourceError>) -> SourceError {
    match error {
        CallbackError::Failed(cause) => cause,
        _ => SourceError::CallbackDropped,
    }
}

impl ProfileSource for Futures {
    fn user(&self, id: UserId) -> BoxFuture<'static, Result<User, SourceError>> {
        let source = Arc::clone(&self.0);
        async move { promisify(|callback| source.user(id, callback)).await.map_err(cause) }.boxed()
    }

    fn posts(&self, id: UserId) -> BoxFuture<'static, Result<Vec<Post>, SourceError>> {
        let source = Arc::clone(&self.0);
        async move { promisify(|callback| source.posts(id, callback)).await.map_err(cause) }.boxed()
    }
}
