//! The profile with callbacks, delivered by one task that waits on a channel.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::errors::{FetchError, check_id};
use crate::model::{Profile, User, UserId};
use crate::source::{CallbackSource, Request, SourceError};

type Answer = Result<Profile, FetchError>;

/// Where a load stands: which request is out, and how to end it. Shared by the closures; when the
/// last of them is gone without an answer, the sender is dropped.
struct Load {
    source: Arc<dyn CallbackSource>,
    out: Arc<Mutex<Request>>,
    end: oneshot::Sender<Answer>,
}

/// Fetches the user, then the posts, and calls back with the profile.
pub fn fetch_user_profile<F>(source: Arc<dyn CallbackSource>, id: UserId, callback: F)
where
    F: FnOnce(Result<Profile, FetchError>) + Send + 'static,
{
    let (end, ended) = oneshot::channel();
    let out = Arc::new(Mutex::new(Request::User(id)));
    let last = Arc::clone(&out);
    // Dropped when this function returns.
    let (_returning, returned) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let _ = returned.await;
        let answer = ended.await.unwrap_or_else(|_| {
            let request = *last.lock().unwrap_or_else(PoisonError::into_inner);
            Err(FetchError::new(request, SourceError::CallbackDropped))
        });
        callback(answer);
    });
    let load = Load { source, out, end };
    match check_id(id) {
        Ok(id) => first(load, id),
        Err(error) => finish(load.end, Err(error)),
    }
}

fn finish(end: oneshot::Sender<Answer>, answer: Answer) {
    // The receiver lives in a task that nothing aborts.
    let _ = end.send(answer);
}

fn first(load: Load, id: UserId) {
    let source = Arc::clone(&load.source);
    source.user(
        id,
        Box::new(move |answer| match answer {
            Ok(user) => second(load, id, user),
            Err(cause) => finish(load.end, Err(FetchError::new(Request::User(id), cause))),
        }),
    );
}

fn second(load: Load, id: UserId, user: User) {
    let Load { source, out, end } = load;
    *out.lock().unwrap_or_else(PoisonError::into_inner) = Request::Posts(id);
    source.posts(
        id,
        Box::new(move |answer| {
            let posts = answer.map_err(|cause| FetchError::new(Request::Posts(id), cause));
            finish(end, posts.map(|posts| Profile { user, posts }));
        }),
    );
}
