//! The profile with error-first callbacks.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::errors::{FetchError, check_id};
use crate::model::{Profile, UserId};
use crate::source::{Callback, CallbackSource, Request, SourceError};

type Source = Arc<dyn CallbackSource>;
type Answer = Result<Profile, FetchError>;

/// Fetches the user, then the posts, and calls back with the profile.
pub fn fetch_user_profile<F>(source: Source, id: UserId, callback: F)
where
    F: FnOnce(Answer) + Send + 'static,
{
    let (_until_the_return, returned) = oneshot::channel::<()>();
    let runtime = Handle::current();
    let finish: Finish = Box::new(move |answer| {
        runtime.spawn(async move {
            let _ = returned.await;
            callback(answer);
        });
    });
    if let Err(error) = check_id(id) {
        return finish(Err(error));
    }
    let second = Arc::clone(&source);
    ask(&source, <dyn CallbackSource>::user, Request::User(id), finish, move |user, finish| {
        ask(&second, <dyn CallbackSource>::posts, Request::Posts(id), finish, |posts, finish| {
            finish(Ok(Profile { user, posts }));
        });
    });
}

type Finish = Box<dyn FnOnce(Answer) + Send>;

/// Makes one request by its method, and goes on with its value.
fn ask<T: 'static>(
    source: &Source,
    method: fn(&(dyn CallbackSource + 'static), UserId, Callback<T>),
    request: Request,
    finish: Finish,
    next: impl FnOnce(T, Finish) + Send + 'static,
) {
    let (Request::User(id) | Request::Posts(id)) = request else { return };
    let open = Open { request, finish: Mutex::new(Some(finish)) };
    let callback: Callback<T> = Box::new(move |answer| {
        let Some(finish) = open.take() else { return };
        match answer {
            Ok(value) => next(value, finish),
            Err(cause) => finish(Err(FetchError::new(request, cause))),
        }
    });
    method(&**source, id, callback);
}

/// A request without an answer.
struct Open {
    request: Request,
    finish: Mutex<Option<Finish>>,
}

impl Open {
    fn take(&self) -> Option<Finish> {
        self.finish.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(finish) = self.take() {
            finish(Err(FetchError::new(self.request, SourceError::CallbackDropped)));
        }
    }
}
