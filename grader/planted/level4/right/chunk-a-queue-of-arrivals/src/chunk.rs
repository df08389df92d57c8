//! Chunks, cut off a queue of arrivals.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use tokio::time::{Instant, Sleep, sleep_until};

/// The longest time that [`Chunks`] accepts: 365 days. tokio's timers reach little further.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Why there are no such [`Chunks`].
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
pub trait ChunkExt: Stream + Sized {
    /// Yields the items in chunks.
    fn chunk_within(self, how: Chunks) -> impl Stream<Item = Vec<Self::Item>> {
        self.map(Ok::<_, Infallible>).try_chunk_within(how).map(|chunk| match chunk {
            Ok(chunk) => chunk,
            Err(never) => match never {},
        })
    }

    /// The same for a stream of results: an error comes out after the chunk that it completes.
    fn try_chunk_within<T, E>(self, how: Chunks) -> impl Stream<Item = Result<Vec<T>, E>>
    where
        Self: Stream<Item = Result<T, E>>,
    {
        let mut source = Some(Box::pin(self));
        let mut queue = Arrivals { how, queue: VecDeque::new(), timer: None };
        stream::poll_fn(move |cx| {
            loop {
                if let Some(out) = queue.cut(source.is_none()) {
                    return Poll::Ready(Some(out));
                }
                let Some(items) = source.as_mut() else { return Poll::Ready(None) };
                match items.as_mut().poll_next(cx) {
                    Poll::Ready(Some(item)) => queue.queue.push_back((Instant::now(), item)),
                    Poll::Ready(None) => source = None,
                    Poll::Pending if queue.sleeps(cx) => return Poll::Pending,
                    Poll::Pending => {}
                }
            }
        })
    }
}

impl<S: Stream> ChunkExt for S {}

struct Arrivals<T, E> {
    how: Chunks,
    queue: VecDeque<(Instant, Result<T, E>)>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<T, E> Arrivals<T, E> {
    /// The chunk or the error at the front, if it is complete.
    fn cut(&mut self, over: bool) -> Option<Result<Vec<T>, E>> {
        let (first, item) = self.queue.front()?;
        if item.is_err() {
            return self.queue.pop_front()?.1.err().map(Err);
        }
        // An error can only be the last one: nothing is taken while one is there.
        let failed = self.queue.back().is_some_and(|(_, item)| item.is_err());
        let count = self.queue.len() - usize::from(failed);
        let late = first.elapsed() >= self.how.within;
        if !(over || failed || late || count >= self.how.max.get()) {
            return None;
        }
        Some(Ok(self.queue.drain(..count).filter_map(|(_, item)| item.ok()).collect()))
    }

    /// Whether nothing is due yet. The timer wakes the task when it is.
    fn sleeps(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((first, _)) = self.queue.front() else {
            self.timer = None;
            return true;
        };
        let due = *first + self.how.within;
        let mut timer = match self.timer.take() {
            Some(timer) if timer.deadline() == due => timer,
            _ => Box::pin(sleep_until(due)),
        };
        let sleeps = timer.as_mut().poll(cx).is_pending();
        self.timer = Some(timer);
        sleeps
    }
}
