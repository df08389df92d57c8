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

mod load;

use std::sync::Arc;

use crate::errors::{FetchError, check_id};
use crate::model::{Profile, UserId};
use crate::source::CallbackSource;

use self::load::Load;

/// Fetches the user, then the posts, and calls back with the profile.
///
/// # Panics
/// When called outside a tokio runtime.
pub fn fetch_user_profile<F>(source: Arc<dyn CallbackSource>, id: UserId, callback: F)
where
    F: FnOnce(Result<Profile, FetchError>) + Send + 'static,
{
    let (load, _gate) = Load::new(Box::new(callback));
    if let Err(error) = check_id(id) {
        load.end(Err(error));
        return;
    }
    load::ask_user(load, source, id);
}
