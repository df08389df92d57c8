//! Steps of the load that make no request.

use super::Profile;
use crate::model::{Post, User};

/// What is left to do once the user is there.
pub(super) fn profile_of(user: User) -> impl FnOnce(Vec<Post>) -> Profile + Send {
    move |posts| Profile { user, posts }
}
