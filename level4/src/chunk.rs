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

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use pin_project::pin_project;
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
/// An item counts from the poll in which the stream takes it from its source, and the stream takes items only
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
        Chunked::new(self.map(Ok::<_, Infallible>), how).map(|chunk| match chunk {
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
        Chunked::new(self, how)
    }
}

impl<S: Stream> ChunkExt for S {}

/// The stream: takes items and time to the open chunk, and complete chunks to the caller.
#[pin_project]
struct Chunked<S, T, E> {
    // `None` when it has ended: a stream must not be polled after its end, and its resources are free.
    #[pin]
    source: Option<S>,
    open: Open<T>,
    /// The error whose chunk has just come out. It comes out at the next poll, before anything else is taken.
    failed: Option<E>,
    // Made only when the source is pending and a chunk is open. It is no task: dropping the stream drops it.
    #[pin]
    timer: Option<Sleep>,
}

impl<S, T, E> Chunked<S, T, E> {
    const fn new(source: S, how: Chunks) -> Self {
        Self { source: Some(source), open: Open::new(how), failed: None, timer: None }
    }
}

impl<S: Stream<Item = Result<T, E>>, T, E> Stream for Chunked<S, T, E> {
    type Item = Result<Vec<T>, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        // The clock is asked before the source. When the timer and an item become ready in the same millisecond, the
        // chunk is over, whatever the order in which the runtime woke us. It is asked once: a poll takes no more than
        // `max` items, and a look at the clock costs thirty times as much as an item.
        let now = Instant::now();
        if let Some(chunk) = this.open.due(now) {
            return Poll::Ready(Some(Ok(chunk)));
        }
        loop {
            if let Some(error) = this.failed.take() {
                return Poll::Ready(Some(Err(error)));
            }
            let Some(source) = this.source.as_mut().as_pin_mut() else {
                return Poll::Ready(None);
            };
            match source.poll_next(cx) {
                Poll::Ready(Some(Ok(item))) => {
                    if let Some(chunk) = this.open.take(item, now) {
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    *this.failed = Some(error);
                    // What came before the error comes out before it. Without such items: around the loop.
                    if let Some(chunk) = this.open.complete() {
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                }
                Poll::Ready(None) => {
                    this.source.set(None);
                    this.timer.set(None);
                    return Poll::Ready(this.open.complete().map(Ok));
                }
                Poll::Pending => {
                    // Set only here, when the source has no more for now: a thousand items that are ready at once
                    // need no timer.
                    let Some(deadline) = this.open.deadline() else {
                        this.timer.set(None);
                        return Poll::Pending;
                    };
                    match this.timer.as_mut().as_pin_mut() {
                        Some(timer) if timer.deadline() == deadline => {}
                        Some(timer) => timer.reset(deadline),
                        None => this.timer.set(Some(sleep_until(deadline))),
                    }
                    let Some(timer) = this.timer.as_mut().as_pin_mut() else {
                        return Poll::Pending;
                    };
                    ready!(timer.poll(cx));
                    return Poll::Ready(this.open.complete().map(Ok));
                }
            }
        }
    }
}

/// What is decided, without a stream and without a clock: every method receives the time.
///
/// Before [`take`](Self::take) the caller asks [`due`](Self::due) at the same time until it yields nothing.
struct Open<T> {
    how: Chunks,
    items: Vec<T>,
    /// When the first of the items came. `None` while there are none.
    since: Option<Instant>,
}

impl<T> Open<T> {
    const fn new(how: Chunks) -> Self {
        Self { how, items: Vec::new(), since: None }
    }

    /// The chunk, if its time is over at `now`.
    fn due(&mut self, now: Instant) -> Option<Vec<T>> {
        let over = now.duration_since(self.since?) >= self.how.within;
        if over { self.complete() } else { None }
    }

    /// An item comes. Returns the chunk if it is complete with it.
    fn take(&mut self, item: T, now: Instant) -> Option<Vec<T>> {
        self.since.get_or_insert(now);
        // No capacity in advance: `max` may be any number, and most chunks may be small.
        self.items.push(item);
        if self.items.len() >= self.how.max.get() { self.complete() } else { None }
    }

    /// When the chunk comes out if no item comes before. `None` while there is none: no wake-up is needed.
    fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + self.how.within)
    }

    /// Ends the chunk and returns it. The time of the next one begins with its first item.
    fn complete(&mut self) -> Option<Vec<T>> {
        self.since.take()?;
        Some(std::mem::take(&mut self.items))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use futures::{Stream, StreamExt as _, stream};
    use tokio::time::{Instant, sleep_until};

    use super::{ChunkExt as _, Chunks, ConfigError, LONGEST};

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn how(max: usize) -> Chunks {
        let max = NonZeroUsize::new(max).expect("a size");
        Chunks::new(max, ms(100)).expect("100 ms is a time")
    }

    /// Items and errors (`#`), each at its time, and the end.
    fn source(
        input: &'static [(char, u64)],
        end: u64,
    ) -> impl Stream<Item = Result<char, &'static str>> {
        let began = Instant::now();
        let items = stream::iter(input.iter().copied()).then(move |(item, at)| async move {
            sleep_until(began + ms(at)).await;
            if item == '#' { Err("broken") } else { Ok(item) }
        });
        let end = stream::once(sleep_until(began + ms(end))).filter_map(async |()| None);
        items.chain(end)
    }

    async fn play(how: Chunks, input: &'static [(char, u64)], end: u64) -> String {
        let began = Instant::now();
        let out = source(input, end).try_chunk_within(how).map(|chunk| {
            let chunk = chunk.map_or_else(|_| "#".to_owned(), |chunk| chunk.iter().collect());
            format!("{chunk}@{}", began.elapsed().as_millis())
        });
        out.collect::<Vec<_>>().await.join(" ")
    }

    #[tokio::test(start_paused = true)]
    async fn number_and_time_complete_a_chunk() {
        let input = &[('a', 30), ('b', 60), ('c', 140), ('d', 150), ('e', 160), ('f', 170)];
        assert_eq!(play(how(3), input, 200).await, "ab@130 cde@160 f@200");
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_comes_after_its_chunk() {
        let input = &[('a', 10), ('#', 20), ('#', 30), ('b', 40)];
        assert_eq!(play(how(3), input, 50).await, "a@20 #@20 #@30 b@50");
    }

    #[test]
    fn times_that_make_no_sense_are_refused() {
        let longer = LONGEST + Duration::from_nanos(1);
        assert_eq!(Chunks::new(NonZeroUsize::MIN, ms(0)), Err(ConfigError::ZeroTime));
        assert_eq!(Chunks::new(NonZeroUsize::MIN, longer), Err(ConfigError::TooLong(longer)));
        assert!(Chunks::new(NonZeroUsize::MAX, LONGEST).is_ok());
    }
}
