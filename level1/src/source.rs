//! Where profiles come from: the traits that the three styles are written against.
//!
//! [`ProfileSource`] answers with futures and [`CallbackSource`] with callbacks; [`CallbackAdapter`]
//! turns the first into the second. Tests and the grader put fakes in their place, the command line
//! tool puts `http::HttpSource` there.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::model::{Page, Post, User, UserId};

/// A source of users and posts that answers with futures.
///
/// The futures are `'static`: they own what they need, as those of `tower::Service` do, so that they
/// can be combined, boxed and spawned freely. A future does nothing before it is polled, and
/// dropping it drops its request.
///
/// A source for a test, which knows one user without posts:
///
/// ```
/// use futures::future::{BoxFuture, FutureExt, ready};
/// use level1::model::{Post, User, UserId};
/// use level1::source::{ProfileSource, SourceError};
///
/// struct OnlyAnn;
///
/// impl ProfileSource for OnlyAnn {
///     fn user(&self, id: UserId) -> BoxFuture<'static, Result<User, SourceError>> {
///         let ann = User { id: 1, name: "Ann".to_owned(), email: "ann@example.com".to_owned() };
///         let missing = SourceError::Status { status: 404 };
///         ready(if id == 1 { Ok(ann) } else { Err(missing) }).boxed()
///     }
///
///     fn posts(&self, _: UserId) -> BoxFuture<'static, Result<Vec<Post>, SourceError>> {
///         ready(Ok(Vec::new())).boxed()
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert_eq!(OnlyAnn.user(1).await.unwrap().name, "Ann");
/// assert_eq!(OnlyAnn.user(2).await, Err(SourceError::Status { status: 404 }));
/// # }
/// ```
pub trait ProfileSource: Send + Sync {
    /// Fetches the user, `/users/:id`.
    fn user(&self, id: UserId) -> BoxFuture<'static, Result<User, SourceError>>;

    /// Fetches the posts of the user, `/users/:id/posts`.
    fn posts(&self, id: UserId) -> BoxFuture<'static, Result<Vec<Post>, SourceError>>;
}

/// The callback of a [`CallbackSource`].
///
/// JavaScript's convention passes `(error, result)`, the error first so that it is not forgotten.
/// [`Result`] says the same and cannot hold both or neither, and `FnOnce` cannot be called twice.
/// The type cannot ensure that it is called.
///
/// ```
/// use level1::source::{Callback, SourceError};
///
/// let callback: Callback<u32> = Box::new(|answer| {
///     assert_eq!(answer, Err(SourceError::Status { status: 404 }));
/// });
/// callback(Err(SourceError::Status { status: 404 }));
/// ```
pub type Callback<T> = Box<dyn FnOnce(Result<T, SourceError>) + Send>;

/// A source of users and posts that answers by calling back.
///
/// An implementation may call back before the method returns, later from any task, or never: in the
/// last case it drops the callback.
///
/// ```
/// use level1::model::{Post, User, UserId};
/// use level1::source::{Callback, CallbackSource, SourceError};
///
/// /// A source for a test, which calls back before the method returns.
/// struct OnlyAnn;
///
/// impl CallbackSource for OnlyAnn {
///     fn user(&self, id: UserId, callback: Callback<User>) {
///         let email = "ann@example.com".to_owned();
///         let ann = User { id: 1, name: "Ann".to_owned(), email };
///         callback(if id == 1 { Ok(ann) } else { Err(SourceError::Status { status: 404 }) });
///     }
///
///     fn posts(&self, _: UserId, callback: Callback<Vec<Post>>) {
///         callback(Ok(Vec::new()));
///     }
/// }
///
/// OnlyAnn.user(1, Box::new(|user| assert_eq!(user.unwrap().name, "Ann")));
/// OnlyAnn.user(2, Box::new(|user| assert!(user.is_err())));
/// ```
pub trait CallbackSource: Send + Sync {
    /// Fetches the user, `/users/:id`.
    fn user(&self, id: UserId, callback: Callback<User>);

    /// Fetches the posts of the user, `/users/:id/posts`.
    fn posts(&self, id: UserId, callback: Callback<Vec<Post>>);
}

/// A source of pages, numbered from 1.
///
/// ```
/// use futures::future::{BoxFuture, FutureExt, ready};
/// use level1::model::Page;
/// use level1::source::{PageSource, SourceError};
///
/// /// The numbers 1 to 4, two on a page.
/// struct Numbers;
///
/// impl PageSource<u32> for Numbers {
///     fn page(&self, number: u32) -> BoxFuture<'static, Result<Page<u32>, SourceError>> {
///         let items = vec![2 * number - 1, 2 * number];
///         ready(Ok(Page { items, has_next: number < 2 })).boxed()
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let last = Numbers.page(2).await.unwrap();
/// assert_eq!((last.items, last.has_next), (vec![3, 4], false));
/// # }
/// ```
pub trait PageSource<T>: Send + Sync {
    /// Fetches the page with this number. The call is the request: an implementation may send it before the future is
    /// polled. Dropping the future drops the request.
    fn page(&self, number: u32) -> BoxFuture<'static, Result<Page<T>, SourceError>>;
}

/// Makes a [`CallbackSource`] of a [`ProfileSource`]: each request runs in a task of its own, which
/// calls back with the answer.
///
/// When the request panics, its task ends and the callback is dropped uncalled.
///
/// ```
/// use std::sync::Arc;
///
/// use futures::future::{BoxFuture, FutureExt, ready};
/// use level1::model::{Post, User, UserId};
/// use level1::source::{CallbackAdapter, CallbackSource, ProfileSource, SourceError};
/// use tokio::sync::oneshot;
///
/// struct NoPosts;
///
/// impl ProfileSource for NoPosts {
///     fn user(&self, _: UserId) -> BoxFuture<'static, Result<User, SourceError>> {
///         ready(Err(SourceError::Status { status: 404 })).boxed()
///     }
///
///     fn posts(&self, _: UserId) -> BoxFuture<'static, Result<Vec<Post>, SourceError>> {
///         ready(Ok(Vec::new())).boxed()
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (sender, receiver) = oneshot::channel();
/// CallbackAdapter::new(Arc::new(NoPosts)).posts(1, Box::new(move |posts| {
///     let _ = sender.send(posts);
/// }));
/// assert_eq!(receiver.await.unwrap(), Ok(Vec::new()));
/// # }
/// ```
#[derive(Clone)]
pub struct CallbackAdapter(Arc<dyn ProfileSource>);

impl CallbackAdapter {
    /// An adapter around the source. Its methods panic when called outside a tokio runtime.
    pub fn new(source: Arc<dyn ProfileSource>) -> Self {
        Self(source)
    }
}

impl fmt::Debug for CallbackAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackAdapter").finish_non_exhaustive()
    }
}

impl CallbackSource for CallbackAdapter {
    fn user(&self, id: UserId, callback: Callback<User>) {
        let answer = self.0.user(id);
        tokio::spawn(async move { callback(answer.await) });
    }

    fn posts(&self, id: UserId, callback: Callback<Vec<Post>>) {
        let answer = self.0.posts(id);
        tokio::spawn(async move { callback(answer.await) });
    }
}

/// One of the requests that a load makes. Its text names it in a log.
///
/// ```
/// use level1::source::Request;
///
/// assert_eq!(Request::Posts(7).to_string(), "posts of user 7");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Request {
    /// `/users/ID`.
    User(UserId),
    /// The posts of the user with this id.
    Posts(UserId),
    /// One page of a paged list; the first is page 1.
    Page(u32),
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user {id}"),
            Self::Posts(id) => write!(f, "posts of user {id}"),
            Self::Page(number) => write!(f, "page {number}"),
        }
    }
}

/// The error of a source.
///
/// ```
/// use std::time::Duration;
///
/// use level1::source::SourceError;
///
/// let error = SourceError::Timeout { limit: Duration::from_secs(2) };
/// assert_eq!(error.to_string(), "no answer within 2000 ms");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The server answered, with a status that is not a success.
    #[error("the server answered with status {status}")]
    Status {
        /// The HTTP status, for example 404.
        status: u16,
    },

    /// No connection, or one that broke before the answer was complete.
    #[error("the connection failed: {reason}")]
    Connection {
        /// The message of the transport.
        reason: String,
    },

    /// The answer was not complete within the time limit.
    #[error("no answer within {} ms", limit.as_millis())]
    Timeout {
        /// The time limit of the request.
        limit: Duration,
    },

    /// The answer is not what the API promises: not UTF-8, not JSON, or JSON of another shape.
    #[error("the answer cannot be understood: {reason}")]
    Malformed {
        /// How the answer differs from the API, as a clause for the message.
        reason: String,
    },

    /// The answer is longer than the reader is ready to take.
    #[error("the answer is longer than {limit} bytes")]
    TooLarge {
        /// The greatest length that is accepted, in bytes.
        limit: usize,
    },

    /// The server redirected the client too often.
    #[error("redirected more than {limit} times")]
    Redirects {
        /// The number of redirections that the source follows at most.
        limit: usize,
    },

    /// The store behind the source failed.
    #[error("the database failed: {reason}")]
    Database {
        /// The message of the database.
        reason: String,
    },

    /// The source dropped the callback without calling it.
    #[error("the source dropped the callback without calling it")]
    CallbackDropped,
}
