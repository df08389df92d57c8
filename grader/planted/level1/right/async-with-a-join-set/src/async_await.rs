//! The profile with async/await; in parallel with tasks.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::errors::{FetchError, check_id};
use crate::model::{Post, Profile, User, UserId};
use crate::source::{ProfileSource, Request};

/// Fetches the user, then the posts.
pub async fn fetch_user_profile(
    source: Arc<dyn ProfileSource>,
    id: UserId,
) -> Result<Profile, FetchError> {
    if let Err(error) = check_id(id) {
        return Err(error);
    }
    let user = match source.user(id).await {
        Ok(user) => user,
        Err(cause) => return Err(FetchError::new(Request::User(id), cause)),
    };
    match source.posts(id).await {
        Ok(posts) => Ok(Profile { user, posts }),
        Err(cause) => Err(FetchError::new(Request::Posts(id), cause)),
    }
}

enum Part {
    User(User),
    Posts(Vec<Post>),
}

/// Fetches the user and the posts at the same time.
pub async fn fetch_user_profile_parallel(
    source: Arc<dyn ProfileSource>,
    id: UserId,
) -> Result<Profile, FetchError> {
    check_id(id)?;
    let mut tasks = JoinSet::new();
    let request = source.user(id);
    tasks.spawn(async move {
        request.await.map(Part::User).map_err(|cause| FetchError::new(Request::User(id), cause))
    });
    let request = source.posts(id);
    tasks.spawn(async move {
        request.await.map(Part::Posts).map_err(|cause| FetchError::new(Request::Posts(id), cause))
    });
    let (mut user, mut posts) = (None, None);
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok(Ok(Part::User(value))) => user = Some(value),
            Ok(Ok(Part::Posts(value))) => posts = Some(value),
            Ok(Err(error)) => return Err(error),
            Err(failure) => std::panic::resume_unwind(failure.into_panic()),
        }
    }
    match (user, posts) {
        (Some(user), Some(posts)) => Ok(Profile { user, posts }),
        _ => unreachable!("both tasks have ended well"),
    }
}
