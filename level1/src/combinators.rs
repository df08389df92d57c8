//! The profile with future combinators, without async/await.
//!
//! This is how a chain of promises reads: each step is a closure, and a value that a later step
//! needs is moved along by hand.
//!
//! Lesson: [`lessons/combinators.md`](crate::lessons::combinators).
//!
//! # Contract
//!
#![doc = include_str!("../contract/combinators.md")]

use std::future::Future;
use std::sync::Arc;

use futures::future::{TryFutureExt, ready};

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
pub fn fetch_user_profile(
    source: Arc<dyn ProfileSource>,
    id: UserId,
) -> impl Future<Output = Result<Profile, FetchError>> + Send + 'static {
    // A future that is ready at once, so that the check is the first link of the chain. `move` gives each
    // closure the values of the one around it, which is how a value reaches a later step.
    ready(check_id(id)).and_then(move |id| {
        fetch_user(&*source, id).and_then(move |user| {
            fetch_posts(&*source, id).map_ok(move |posts| Profile { user, posts })
        })
    })
}

fn fetch_user(
    source: &dyn ProfileSource,
    id: UserId,
) -> impl Future<Output = Result<User, FetchError>> + Send + use<> {
    // `use<>` in the signature: the future borrows nothing from `source`, so it may outlive the borrow.
    source.user(id).map_err(move |cause| FetchError::new(Request::User(id), cause))
}

fn fetch_posts(
    source: &dyn ProfileSource,
    id: UserId,
) -> impl Future<Output = Result<Vec<Post>, FetchError>> + Send + use<> {
    source.posts(id).map_err(move |cause| FetchError::new(Request::Posts(id), cause))
}
