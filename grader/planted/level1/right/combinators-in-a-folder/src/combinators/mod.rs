//! The profile with future combinators, without async/await.

mod steps;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;

use futures::future::{TryFutureExt, ready};

use crate::errors::{FetchError, check_id};
use crate::model::{Profile, UserId};
use crate::source::ProfileSource;

/// A request whose error names it.
macro_rules! request {
    ($source:expr, $method:ident, $name:ident, $id:expr) => {{
        let id = $id;
        let named = move |cause| FetchError::new(crate::source::Request::$name(id), cause);
        ProfileSource::$method(&*$source, id).map_err(named)
    }};
}

/// Fetches the user, then the posts.
pub fn fetch_user_profile(
    source: Arc<dyn ProfileSource>,
    id: UserId,
) -> impl Future<Output = Result<Profile, FetchError>> + Send + 'static {
    ready(check_id(id)).and_then(move |id| {
        let user = request!(source, user, User, id);
        user.and_then(move |user| request!(source, posts, Posts, id).map_ok(steps::profile_of(user)))
    })
}
