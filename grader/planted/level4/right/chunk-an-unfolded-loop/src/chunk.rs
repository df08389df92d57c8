//! Chunks, as an unfolded loop.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use tokio::time::{Instant, sleep_until};

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
        let state = (Some(Box::pin(self)), None);
        stream::unfold(state, move |(mut source, failed)| async move {
            if let Some(error) = failed {
                return Some((Err(error), (source, None)));
            }
            let mut chunk: Vec<T> = Vec::new();
            let mut due = None;
            while chunk.len() < how.max.get() {
                let items = source.as_mut()?;
                let next = match due {
                    None => items.next().await,
                    Some(due) => tokio::select! {
                        biased;
                        () = sleep_until(due) => break,
                        next = items.next() => next,
                    },
                };
                match next {
                    Some(Ok(item)) => {
                        due.get_or_insert_with(|| Instant::now() + how.within);
                        chunk.push(item);
                    }
                    Some(Err(error)) if chunk.is_empty() => {
                        return Some((Err(error), (source, None)));
                    }
                    Some(Err(error)) => return Some((Ok(chunk), (source, Some(error)))),
                    None => {
                        source = None;
                        break;
                    }
                }
            }
            if chunk.is_empty() { None } else { Some((Ok(chunk), (source, None))) }
        })
    }
}

impl<S: Stream> ChunkExt for S {}
