//! Debounce, with two timers.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{FutureExt as _, Stream};
use tokio::time::{Instant, Sleep, sleep};

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
        Timers::around(self, how, |_| false)
    }

    fn debounce_reset_when<F>(self, how: Debounce, is_reset: F) -> impl Stream<Item = Self::Item>
    where
        F: Fn(&Self::Item) -> bool,
    {
        Timers::around(self, how, is_reset)
    }

    fn try_debounce<T, E>(self, how: Debounce) -> impl Stream<Item = Result<T, E>>
    where
        Self: Stream<Item = Result<T, E>>,
    {
        Timers::around(self, how, Result::is_err)
    }
}

impl<S: Stream> DebounceExt for S {}

type Timer = Pin<Box<Sleep>>;

/// A burst is open while `quiet` is there.
struct Timers<S: Stream, F> {
    source: Option<Pin<Box<S>>>,
    is_reset: F,
    how: Debounce,
    quiet: Option<Timer>,
    long: Option<Timer>,
    held: Vec<S::Item>,
}

impl<S: Stream, F> Unpin for Timers<S, F> {}

fn is_over(timer: Option<&Timer>) -> bool {
    timer.is_some_and(|timer| timer.deadline() <= Instant::now())
}

/// Asks to be woken when the timer is over. Whether it is over now.
fn wakes(timer: &mut Option<Timer>, cx: &mut Context<'_>) -> bool {
    timer.as_mut().is_some_and(|timer| timer.poll_unpin(cx).is_ready())
}

impl<S: Stream, F: Fn(&S::Item) -> bool> Timers<S, F> {
    fn around(source: S, how: Debounce, is_reset: F) -> Self {
        let source = Some(Box::pin(source));
        Self { source, is_reset, how, quiet: None, long: None, held: Vec::with_capacity(1) }
    }

    fn close(&mut self) -> Option<S::Item> {
        self.quiet = None;
        self.long = None;
        self.held.pop()
    }

    fn begin_long(&mut self) {
        self.long = self.how.max_wait.map(|max| Box::pin(sleep(max)));
    }

    fn time(&mut self) -> Option<S::Item> {
        if is_over(self.quiet.as_ref()) {
            return self.close();
        }
        if is_over(self.long.as_ref()) {
            let value = self.held.pop();
            if value.is_none() {
                return self.close();
            }
            self.begin_long();
            return value;
        }
        None
    }

    fn value(&mut self, item: S::Item) -> Option<S::Item> {
        let first = self.quiet.is_none();
        self.quiet = Some(Box::pin(sleep(self.how.wait)));
        if first {
            self.begin_long();
        }
        match (self.how.edge, first) {
            (Edge::Leading | Edge::Both, true) => Some(item),
            (Edge::Leading, false) => None,
            (Edge::Both, false) | (Edge::Trailing, _) => {
                self.held.clear();
                self.held.push(item);
                None
            }
        }
    }
}

impl<S: Stream, F: Fn(&S::Item) -> bool> Stream for Timers<S, F> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = &mut *self;
        loop {
            if let Some(value) = this.time() {
                return Poll::Ready(Some(value));
            }
            let Some(source) = &mut this.source else { return Poll::Ready(None) };
            let out = match source.as_mut().poll_next(cx) {
                Poll::Ready(Some(item)) if (this.is_reset)(&item) => {
                    this.close();
                    Some(item)
                }
                Poll::Ready(Some(item)) => this.value(item),
                Poll::Ready(None) => {
                    this.source = None;
                    return Poll::Ready(this.close());
                }
                Poll::Pending => {
                    if wakes(&mut this.quiet, cx) || wakes(&mut this.long, cx) {
                        continue;
                    }
                    return Poll::Pending;
                }
            };
            if out.is_some() {
                return Poll::Ready(out);
            }
        }
    }
}
