//! The profile with async/await, one request after the other and both at once.
//!
//! Lessons: [`lessons/sequential.md`](crate::lessons::sequential),
//! [`lessons/parallel.md`](crate::lessons::parallel).
//!
//! # Contract of the sequential load
//!
#![doc = include_str!("../contract/sequential.md")]
//!
//! # Contract of the parallel load
//!
#![doc = include_str!("../contract/parallel.md")]

use std::sync::Arc;

use crate::errors::{FetchError, check_id};
use crate::model::{Post, Profile, User, UserId};
use crate::source::{ProfileSource, Request};

/// Fetches the user, then the posts.
///
/// The posts are requested after the user has arrived, and not at all when the user failed. Dropping
/// the future gives up the request that is under way.
///
/// # Errors
/// [`FetchError::Validation`] for the id 0, before any request; otherwise the error of the request
/// that failed, as [`FetchError::new`] classifies it.
pub async fn fetch_user_profile(
    source: Arc<dyn ProfileSource>,
    id: UserId,
) -> Result<Profile, FetchError> {
    let id = check_id(id)?;
    // `.await` polls the request to its end before the next line runs, and `?` ends the load at an error: so
    // no request for the posts is made when the user failed.
    let user = fetch_user(&*source, id).await?;
    let posts = fetch_posts(&*source, id).await?;
    Ok(Profile { user, posts })
}

/// Fetches the user and the posts at the same time.
///
/// Takes as long as the slower of the two. The first failure ends the load at once and drops the other
/// request; when both fail in the same instant, either may be reported. Dropping the future drops both
/// requests.
///
/// The price: the posts are requested even for a user who does not exist.
///
/// # Errors
/// [`FetchError::Validation`] for the id 0, before any request; otherwise the error of the request
/// that failed first, as [`FetchError::new`] classifies it.
pub async fn fetch_user_profile_parallel(
    source: Arc<dyn ProfileSource>,
    id: UserId,
) -> Result<Profile, FetchError> {
    let id = check_id(id)?;
    // Both futures belong to this one, and `try_join!` polls them in turn. At the first error it returns, which
    // drops the other request.
    let (user, posts) = tokio::try_join!(fetch_user(&*source, id), fetch_posts(&*source, id))?;
    Ok(Profile { user, posts })
}

async fn fetch_user(source: &dyn ProfileSource, id: UserId) -> Result<User, FetchError> {
    // The error is made where the request is made: further out the two requests look alike.
    source.user(id).await.map_err(|cause| FetchError::new(Request::User(id), cause))
}

async fn fetch_posts(source: &dyn ProfileSource, id: UserId) -> Result<Vec<Post>, FetchError> {
    source.posts(id).await.map_err(|cause| FetchError::new(Request::Posts(id), cause))
}
