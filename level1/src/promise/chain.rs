//! `then`, `catch` and `finally`.

use super::{Broken, Promise};

/// What a handler may return: a promise, which is waited for, or something that is settled already.
///
/// This is what keeps chains flat: a handler that returns a promise of a `U` makes a promise of a `U`,
/// not a promise of a promise.
///
/// ```
/// use level1::promise::{Broken, IntoPromise, Promise};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let plain: Promise<u32, Broken> = Ok(42).into_promise();
/// let promise: Promise<u32, Broken> = plain.into_promise();
/// assert_eq!(promise.await, Ok(42));
/// # }
/// ```
pub trait IntoPromise<T, E> {
    /// The promise of the value.
    fn into_promise(self) -> Promise<T, E>;
}

impl<T, E> IntoPromise<T, E> for Promise<T, E> {
    fn into_promise(self) -> Promise<T, E> {
        self
    }
}

/// `Ok` is what `return` is in a JavaScript handler, `Err` is its `throw`.
impl<T, E> IntoPromise<T, E> for Result<T, E>
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    fn into_promise(self) -> Promise<T, E> {
        match self {
            Ok(value) => Promise::resolved(value),
            Err(error) => Promise::rejected(error),
        }
    }
}

/// For handlers of [`Promise::finally`] that have nothing to wait for.
impl<E> IntoPromise<(), E> for ()
where
    E: From<Broken> + Send + 'static,
{
    fn into_promise(self) -> Promise<(), E> {
        Promise::resolved(())
    }
}

impl<T, E> Promise<T, E>
where
    T: Send + 'static,
    E: From<Broken> + Send + 'static,
{
    /// Goes on with the value. What the handler returns settles the promise that `then` returns; a
    /// promise that it returns is waited for.
    ///
    /// A rejection passes by the handler unchanged, which is how an error travels down a chain to the
    /// first [`catch`](Self::catch). A panic in the handler becomes [`Broken::Panicked`].
    ///
    /// As in JavaScript, the handler runs after `then` has returned, also on a settled promise, and
    /// whether or not the outcome is awaited.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    pub fn then<U, R, F>(self, on_fulfilled: F) -> Promise<U, E>
    where
        U: Send + 'static,
        R: IntoPromise<U, E>,
        F: FnOnce(T) -> R + Send + 'static,
    {
        Promise::from_future(async move {
            let value = self.await?;
            let next = on_fulfilled(value).into_promise();
            next.await
        })
    }

    /// Goes on with the error: recovers with `Ok`, throws again with `Err`, or waits for a promise. A
    /// value passes by unchanged. For the rest it is like [`then`](Self::then).
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    pub fn catch<R, F>(self, on_rejected: F) -> Promise<T, E>
    where
        R: IntoPromise<T, E>,
        F: FnOnce(E) -> R + Send + 'static,
    {
        Promise::from_future(async move {
            match self.await {
                Ok(value) => Ok(value),
                Err(error) => {
                    let next = on_rejected(error).into_promise();
                    next.await
                }
            }
        })
    }

    /// Runs the handler when the promise is settled, in either way, waits for what it returns, and
    /// passes the result on unchanged. Only a failure of the handler itself takes its place: an error
    /// that it returns, or its panic as [`Broken::Panicked`].
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    pub fn finally<R, F>(self, on_settled: F) -> Promise<T, E>
    where
        R: IntoPromise<(), E>,
        F: FnOnce() -> R + Send + 'static,
    {
        Promise::from_future(async move {
            let result = self.await;
            let cleanup = on_settled().into_promise();
            cleanup.await?;
            result
        })
    }
}
