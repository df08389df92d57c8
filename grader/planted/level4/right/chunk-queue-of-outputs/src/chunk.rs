//! Chunks: the items of a stream in groups, bounded by number and by time.
//!
//! ```text
//!           an item: a chunk begins, its time runs        an item: it joins the chunk
//!  ┌───────┐ ─────────────────────────────────────▶ ┌──────┐ ◀──┐
//!  │ empty │                                        │ open │ ───┘
//!  └───────┘ ◀───────────────────────────────────── └──────┘
//!              it has `max` items: it comes out         │
//!              `within` is over: it comes out           │
//!              an error: it comes out, then the error ──┘
//!
//!  the source ends: the open chunk comes out, then the end
//! ```
//!
//! Lesson: `level4/lessons/chunk.md`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tokio::time::{Instant, Sleep, sleep_until};

/// The longest time that [`Chunks`] accepts: 365 days. tokio's timers reach little further.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Why there are no such [`Chunks`].
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use level4::chunk::{Chunks, ConfigError};
///
/// assert_eq!(Chunks::new(NonZeroUsize::MIN, Duration::ZERO), Err(ConfigError::ZeroTime));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `within` is zero: no item could wait for another one.
    #[error("within is zero; it must be at least a nanosecond")]
    ZeroTime,
    /// `within` is longer than [`LONGEST`].
    #[error("{0:?} is longer than {LONGEST:?}, the longest time that a timer can wait")]
    TooLong(Duration),
}

/// When a chunk is complete. Valid, because only valid ones can be made.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use futures::{StreamExt, stream};
/// use level4::chunk::{ChunkExt, Chunks};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let rows = Chunks::new(NonZeroUsize::try_from(3)?, Duration::from_millis(100))?;
/// let chunks: Vec<Vec<i32>> = stream::iter(1..=7).chunk_within(rows).collect().await;
/// assert_eq!(chunks, [vec![1, 2, 3], vec![4, 5, 6], vec![7]]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunks {
    max: NonZeroUsize,
    within: Duration,
}

impl Chunks {
    /// A chunk is complete when it has `max` items, or when `within` has gone by since its first item.
    ///
    /// Any `max` is accepted: room is made for the items that come, not for those that may come.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ZeroTime`], or [`ConfigError::TooLong`] above [`LONGEST`].
    pub const fn new(max: NonZeroUsize, within: Duration) -> Result<Self, ConfigError> {
        if within.is_zero() {
            return Err(ConfigError::ZeroTime);
        }
        if within.as_nanos() > LONGEST.as_nanos() {
            return Err(ConfigError::TooLong(within));
        }
        Ok(Self { max, within })
    }
}

/// Chunks for every stream.
///
/// What both methods have in common:
///
/// Every item comes out once, in the order of the source. No chunk is empty.
///
/// An item counts from the moment at which the stream takes it from its source, and the stream takes items only
/// while it is polled. A chunk that is due comes out before another item is taken. When the source ends, the open
/// chunk comes out, and then the stream ends.
///
/// At most `max` items wait. While a chunk is complete and not taken, the source is not polled: a slow caller slows
/// the source down. A panic of the source passes to the caller.
///
/// # Cancellation
///
/// The stream does nothing before it is polled. Dropping it drops the source, the items of the open chunk and the
/// timer.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use futures::{StreamExt, stream};
/// use level4::chunk::{ChunkExt, Chunks};
/// use tokio::time::Instant;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let rows = Chunks::new(NonZeroUsize::try_from(3)?, Duration::from_millis(100))?;
/// let began = Instant::now();
/// // Two items, and then silence: the time completes the chunk.
/// let source = stream::iter(["a", "b"]).chain(stream::pending());
/// let mut chunks = Box::pin(source.chunk_within(rows));
/// assert_eq!(chunks.next().await, Some(vec!["a", "b"]));
/// assert_eq!(began.elapsed(), Duration::from_millis(100));
/// # Ok(())
/// # }
/// ```
pub trait ChunkExt: Stream + Sized {
    /// Yields the items in chunks.
    fn chunk_within(self, how: Chunks) -> impl Stream<Item = Vec<Self::Item>> {
        // A stream of items is a stream of results that has no errors.
        Chunked::new(self, how, Ok::<_, Infallible>).map(|chunk| match chunk {
            Ok(chunk) => chunk,
            Err(never) => match never {},
        })
    }

    /// Yields the values of a stream of results in chunks. An error completes the open chunk: the chunk comes out at
    /// once, and the error after it. The stream goes on as long as its source does.
    fn try_chunk_within<T, E>(self, how: Chunks) -> impl Stream<Item = Result<Vec<T>, E>>
    where
        Self: Stream<Item = Result<T, E>>,
    {
        Chunked::new(self, how, |item| item)
    }
}

impl<S: Stream> ChunkExt for S {}

/// The stream. What is complete stands in `out` before anything else is taken.
struct Chunked<S: Stream, T, E> {
    source: Option<Pin<Box<S>>>,
    split: fn(S::Item) -> Result<T, E>,
    how: Chunks,
    items: Vec<T>,
    out: VecDeque<Result<Vec<T>, E>>,
    /// When the open chunk is due. `None`: no chunk is open.
    due: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S: Stream, T, E> Unpin for Chunked<S, T, E> {}

impl<S: Stream, T, E> Chunked<S, T, E> {
    fn new(source: S, how: Chunks, split: fn(S::Item) -> Result<T, E>) -> Self {
        let (items, out) = (Vec::new(), VecDeque::new());
        Self { source: Some(Box::pin(source)), split, how, items, out, due: None, timer: None }
    }

    fn complete(&mut self) {
        self.due = None;
        if !self.items.is_empty() {
            self.out.push_back(Ok(std::mem::take(&mut self.items)));
        }
    }

    fn takes(&mut self, next: Option<Result<T, E>>) {
        match next {
            Some(Ok(item)) => {
                if self.items.is_empty() {
                    self.due = Some(Instant::now() + self.how.within);
                }
                self.items.push(item);
                if self.items.len() == self.how.max.get() {
                    self.complete();
                }
            }
            Some(Err(error)) => {
                self.complete();
                self.out.push_back(Err(error));
            }
            None => {
                (self.source, self.timer) = (None, None);
                self.complete();
            }
        }
    }
}

impl<S: Stream, T, E> Stream for Chunked<S, T, E> {
    type Item = Result<Vec<T>, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if this.due.is_some_and(|due| Instant::now() >= due) {
                this.complete();
            }
            if let Some(first) = this.out.pop_front() {
                return Poll::Ready(Some(first));
            }
            let Some(source) = &mut this.source else { return Poll::Ready(None) };
            if let Poll::Ready(next) = source.as_mut().poll_next(cx) {
                let next = next.map(this.split);
                this.takes(next);
                continue;
            }
            let Some(due) = this.due else {
                this.timer = None;
                return Poll::Pending;
            };
            // A timer for each chunk that has to wait.
            if this.timer.as_ref().is_none_or(|timer| timer.deadline() != due) {
                this.timer = Some(Box::pin(sleep_until(due)));
            }
            if this.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_pending()) {
                return Poll::Pending;
            }
        }
    }
}
