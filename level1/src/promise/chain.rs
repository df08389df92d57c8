//! The chain: `then`, `catch` and `finally`.

use super::{Broken, Promise};

/// A value that a handler may return: a promise, for which the chain waits, or something that is already settled.
///
/// The trait keeps chains flat: a handler that returns a promise of a `U` makes a promise of a `U`,
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
    /// Converts the value into a promise.
    fn into_promise(self) -> Promise<T, E>;
}

impl<T, E> IntoPromise<T, E> for Promise<T, E> {
    fn into_promise(self) -> Promise<T, E> {
        self
    }
}

/// `Ok` corresponds to `return` in a JavaScript handler, `Err` to `throw`.
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
    /// Calls the handler with the value. What the handler returns settles the promise that `then` returns. If
    /// the handler returns a promise, the chain waits for it.
    ///
    /// A rejection passes the handler unchanged and does not call it: so an error travels down a chain to the
    /// first [`catch`](Self::catch). A panic in the handler becomes [`Broken::Panicked`].
    ///
    /// As in JavaScript, the handler never runs inside of the call of `then`, also on a settled promise, and
    /// runs whether or not the outcome is awaited. It runs in a task: on a runtime with one thread after the code
    /// that called `then` has awaited something, on one with several threads perhaps at once, on another thread.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    pub fn then<U, R, F>(self, on_fulfilled: F) -> Promise<U, E>
    where
        U: Send + 'static,
        R: IntoPromise<U, E>,
        F: FnOnce(T) -> R + Send + 'static,
    {
        // A task for each link of the chain, which runs whether or not the result is awaited. It never runs inside of
        // this call, so a handler of a settled promise does not run in the middle of its caller's statement. A link
        // polls only the slot before it, so a chain of thousands is no deep recursion.
        Promise::from_future(async move {
            // `?` is the rejection that passes: the handler is dropped uncalled.
            let value = self.await?;
            // Called inside of the future, so that `from_future` catches its panic. What it returns has become a
            // promise before the wait, so it need not be `Send`.
            let next = on_fulfilled(value).into_promise();
            next.await
        })
    }

    /// Calls the handler with the error. The handler recovers with `Ok`, rejects again with `Err`, or returns a
    /// promise, for which the chain waits. A value passes unchanged and does not call the handler. Otherwise
    /// `catch` works as [`then`](Self::then) does.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    pub fn catch<R, F>(self, on_rejected: F) -> Promise<T, E>
    where
        R: IntoPromise<T, E>,
        F: FnOnce(E) -> R + Send + 'static,
    {
        Promise::from_future(async move {
            // The handler gets every rejection: also `Broken`, as an `E`, which no code of the chain has returned.
            match self.await {
                Ok(value) => Ok(value),
                Err(error) => {
                    let next = on_rejected(error).into_promise();
                    next.await
                }
            }
        })
    }

    /// Calls the handler when the promise is settled, in either way, waits for what it returns, and
    /// passes the result on unchanged. Only a failure of the handler replaces the result: an error that
    /// the handler returns, or its panic as [`Broken::Panicked`].
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    pub fn finally<R, F>(self, on_settled: F) -> Promise<T, E>
    where
        R: IntoPromise<(), E>,
        F: FnOnce() -> R + Send + 'static,
    {
        Promise::from_future(async move {
            // Without `?`: the handler runs after a rejection too.
            let result = self.await;
            let cleanup = on_settled().into_promise();
            // The value of the handler is `()`, so it cannot replace the result by accident; its error does, as in
            // JavaScript, or a failed cleanup would go unnoticed.
            cleanup.await?;
            result
        })
    }
}
