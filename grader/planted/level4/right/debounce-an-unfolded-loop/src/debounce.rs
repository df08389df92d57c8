//! Debounce, as an unfolded loop.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use tokio::time::{Instant, sleep_until};

/// The longest time that a [`Debounce`] accepts: 365 days. tokio's timers reach little further.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Which values of a burst come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Edge {
    /// The first value, at once. The others are dropped.
    Leading,
    /// The last value, when the burst is over.
    Trailing,
    /// The first value at once, and the last one when the burst is over. A burst of one value has no last one.
    Both,
}

/// Why there is no such [`Debounce`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `wait` is zero: every value would be a burst of its own.
    #[error("wait is zero; it must be at least a nanosecond")]
    ZeroWait,
    /// The longest wait is zero: no value could wait for a later one.
    #[error("max_wait is zero; it must be at least a nanosecond")]
    ZeroMaxWait,
    /// A time is longer than [`LONGEST`].
    #[error("{0:?} is longer than {LONGEST:?}, the longest time that a timer can wait")]
    TooLong(Duration),
}

/// How a stream is debounced. Valid, because only valid ones can be made.
///
/// A *burst* is a row of values of which each comes less than `wait` after the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debounce {
    wait: Duration,
    edge: Edge,
    max_wait: Option<Duration>,
}

impl Debounce {
    /// Bursts end when no value has come for `wait`, and `edge` says which of their values come out.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ZeroWait`], or [`ConfigError::TooLong`] above [`LONGEST`].
    pub const fn new(wait: Duration, edge: Edge) -> Result<Self, ConfigError> {
        if wait.is_zero() {
            return Err(ConfigError::ZeroWait);
        }
        if wait.as_nanos() > LONGEST.as_nanos() {
            return Err(ConfigError::TooLong(wait));
        }
        Ok(Self { wait, edge, max_wait: None })
    }

    /// The same, but in a burst that does not end a value comes out at least every `max_wait`.
    ///
    /// `max_wait` is counted from the first value of a burst, and then from each value that has come out since.
    /// When it is over and no value waits, the burst is over.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ZeroMaxWait`], or [`ConfigError::TooLong`] above [`LONGEST`]. `max_wait` may be shorter than
    /// `wait`.
    pub const fn with_max_wait(self, max_wait: Duration) -> Result<Self, ConfigError> {
        if max_wait.is_zero() {
            return Err(ConfigError::ZeroMaxWait);
        }
        if max_wait.as_nanos() > LONGEST.as_nanos() {
            return Err(ConfigError::TooLong(max_wait));
        }
        Ok(Self { max_wait: Some(max_wait), ..self })
    }
}

pub trait DebounceExt: Stream + Sized {
    fn debounce(self, how: Debounce) -> impl Stream<Item = Self::Item> {
        steps(self, how, |_| false)
    }

    fn debounce_reset_when<F>(self, how: Debounce, is_reset: F) -> impl Stream<Item = Self::Item>
    where
        F: Fn(&Self::Item) -> bool,
    {
        steps(self, how, is_reset)
    }

    fn try_debounce<T, E>(self, how: Debounce) -> impl Stream<Item = Result<T, E>>
    where
        Self: Stream<Item = Result<T, E>>,
    {
        steps(self, how, Result::is_err)
    }
}

impl<S: Stream> DebounceExt for S {}

struct Steps<S: Stream, F> {
    source: Pin<Box<S>>,
    over: bool,
    is_reset: F,
    how: Debounce,
    /// When the last value came, and from when on the longest wait is counted.
    burst: Option<(Instant, Instant)>,
    held: Option<S::Item>,
}

fn steps<S: Stream, F: Fn(&S::Item) -> bool>(
    source: S,
    how: Debounce,
    is_reset: F,
) -> impl Stream<Item = S::Item> {
    let source = Box::pin(source);
    let steps = Steps { source, over: false, is_reset, how, burst: None, held: None };
    stream::unfold(steps, |mut steps| async move {
        let item = steps.next().await?;
        Some((item, steps))
    })
}

impl<S: Stream, F: Fn(&S::Item) -> bool> Steps<S, F> {
    /// When the burst is over, if no value comes, and when the longest wait is.
    fn ends(&self) -> Option<(Instant, Option<Instant>)> {
        let (last, since) = self.burst?;
        Some((last + self.how.wait, self.how.max_wait.map(|max| since + max)))
    }

    async fn next(&mut self) -> Option<S::Item> {
        loop {
            let now = Instant::now();
            if let (Some((quiet, long)), Some((last, _))) = (self.ends(), self.burst) {
                if now >= quiet {
                    self.burst = None;
                } else if long.is_some_and(|long| now >= long) {
                    self.burst = self.held.is_some().then_some((last, now));
                }
                if (now >= quiet || long.is_some_and(|long| now >= long)) && self.held.is_some() {
                    return self.held.take();
                }
            }
            if self.over {
                return None;
            }
            let due = self.ends().filter(|_| self.held.is_some());
            let came = match due {
                None => self.source.next().await,
                Some((quiet, long)) => tokio::select! {
                    biased;
                    () = sleep_until(long.map_or(quiet, |long| quiet.min(long))) => continue,
                    came = self.source.next() => came,
                },
            };
            let Some(item) = came else {
                self.over = true;
                self.burst = None;
                return self.held.take();
            };
            if (self.is_reset)(&item) {
                self.burst = None;
                self.held = None;
                return Some(item);
            }
            let now = Instant::now();
            // A first value was taken while the source was silent: the burst before it may be over.
            if self.held.is_none() {
                let over = self.ends().is_some_and(|(quiet, long)| {
                    now >= quiet || long.is_some_and(|long| now >= long)
                });
                if over {
                    self.burst = None;
                }
            }
            match self.burst {
                Some((_, since)) => {
                    self.burst = Some((now, since));
                    if self.how.edge != Edge::Leading {
                        self.held = Some(item);
                    }
                }
                None => {
                    self.burst = Some((now, now));
                    if self.how.edge != Edge::Trailing {
                        return Some(item);
                    }
                    self.held = Some(item);
                }
            }
        }
    }
}
