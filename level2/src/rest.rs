//! The outcomes that are still to come when a load returns early.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use futures::stream::{BoxStream, StreamExt as _};

/// The outcomes that are still to come, as a [`Stream`]: each is yielded when it is known, and
/// the stream ends after the last one.
///
/// The stream owns the calls that are still running. Dropping it stops them.
///
/// ```
/// use futures::StreamExt;
/// use level2::rest::Rest;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let mut rest = Rest::new(futures::stream::iter(["sales", "low-stock"]));
/// assert_eq!(rest.next().await, Some("sales"));
/// assert_eq!(rest.next().await, Some("low-stock"));
/// assert_eq!(rest.next().await, None);
/// # }
/// ```
pub struct Rest<T> {
    // Owns the calls that are still running: dropping it drops them, which is how they stop. Boxed, so that the
    // signature of a load does not name the combinators that it is made of.
    stream: BoxStream<'static, T>,
}

impl<T> Rest<T> {
    /// Wraps a stream of outcomes. `stream` must stop its work when it is dropped.
    pub fn new(stream: impl Stream<Item = T> + Send + 'static) -> Self {
        Self { stream: stream.boxed() }
    }
}

impl<T> Stream for Rest<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.stream.poll_next_unpin(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl<T> fmt::Debug for Rest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").finish_non_exhaustive()
    }
}
