//! The profile with boxed futures.

use std::future::Future;
use std::sync::Arc;

use futures::future::{self, BoxFuture, FutureExt};

use crate::errors::{FetchError, check_id};
use crate::model::{Profile, User, UserId};
use crate::source::{ProfileSource, Request};

type Load<T> = BoxFuture<'static, Result<T, FetchError>>;

/// Fetches the user, then the posts.
pub fn fetch_user_profile(
    source: Arc<dyn ProfileSource>,
    id: UserId,
) -> impl Future<Output = Result<Profile, FetchError>> + Send + 'static {
    future::lazy(move |_| check_id(id)).then(move |checked| -> Load<Profile> {
        match checked {
            Err(error) => future::err(error).boxed(),
            Ok(id) => load(source, id),
        }
    })
}

fn load(source: Arc<dyn ProfileSource>, id: UserId) -> Load<Profile> {
    let user = source.user(id);
    user.then(move |user| match user {
        Err(cause) => future::ready(Err(FetchError::new(Request::User(id), cause))).boxed(),
        Ok(user) => with_posts(&source, id, user),
    })
    .boxed()
}

fn with_posts(source: &Arc<dyn ProfileSource>, id: UserId, user: User) -> Load<Profile> {
    source
        .posts(id)
        .map(move |posts| match posts {
            Err(cause) => Err(FetchError::new(Request::Posts(id), cause)),
            Ok(posts) => Ok(Profile { user, posts }),
        })
        .boxed()
}
