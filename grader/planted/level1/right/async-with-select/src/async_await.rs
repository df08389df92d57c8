//! The profile with async/await; in parallel with `select!`.

use std::sync::Arc;

use tokio::task::AbortHandle;

use crate::errors::{FetchError, check_id};
use crate::model::{Profile, UserId};
use crate::source::{ProfileSource, Request};

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Fetches the user, then the posts.
pub async fn fetch_user_profile(
    source: Arc<dyn ProfileSource>,
    id: UserId,
) -> Result<Profile, FetchError> {
    let task = tokio::spawn(async move {
        let id = check_id(id)?;
        let failed = |request| move |cause| FetchError::new(request, cause);
        let user = source.user(id).await.map_err(failed(Request::User(id)))?;
        let posts = source.posts(id).await.map_err(failed(Request::Posts(id)))?;
        Ok(Profile { user, posts })
    });
    let _guard = AbortOnDrop(task.abort_handle());
    task.await.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()))
}

/// Fetches the user and the posts at the same time.
pub async fn fetch_user_profile_parallel(
    source: Arc<dyn ProfileSource>,
    id: UserId,
) -> Result<Profile, FetchError> {
    check_id(id)?;
    let mut user_request = source.user(id);
    let mut posts_request = source.posts(id);
    let (mut user, mut posts) = (None, None);
    loop {
        tokio::select! {
            result = &mut user_request, if user.is_none() => {
                user = Some(result.map_err(|cause| FetchError::new(Request::User(id), cause))?);
            }
            result = &mut posts_request, if posts.is_none() => {
                posts = Some(result.map_err(|cause| FetchError::new(Request::Posts(id), cause))?);
            }
        }
        if let (Some(user), Some(posts)) = (&user, &posts) {
            return Ok(Profile { user: user.clone(), posts: posts.clone() });
        }
    }
}
