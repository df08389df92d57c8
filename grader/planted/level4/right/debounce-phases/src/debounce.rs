//! Debounce: of a burst of values, only the ones that matter come out.
//!
//! ```text
//!           a value: a burst begins                 a value: it waits in place of the older one
//!  ┌──────┐ leading: it comes out at once  ┌───────┐ ◀──┐  (leading alone: it is dropped)
//!  │ idle │ ─────────────────────────────▶ │ burst │ ───┘
//!  └──────┘ otherwise: it waits            └───────┘ ◀──┐ max_wait is over and a value waits:
//!      ▲                                    │   │  └────┘ it comes out, max_wait begins again
//!      │  no value for `wait`:              │   │
//!      │  what waits comes out              │   │ max_wait is over and nothing waits
//!      ├────────────────────────────────────┘   │
//!      ├────────────────────────────────────────┘
//!      └── a reset: it comes out at once, what waits is dropped
//!
//!  the source ends: what waits comes out, then the end
//! ```
//!
//! Lesson: `level4/lessons/debounce.md`.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

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

impl Edge {
    const fn leading(self) -> bool {
        matches!(self, Self::Leading | Self::Both)
    }

    const fn trailing(self) -> bool {
        matches!(self, Self::Trailing | Self::Both)
    }
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

/// Debounce for every stream.
///
/// What the three methods have in common:
///
/// A value counts from the moment at which the stream takes it from its source, and the stream takes values only
/// while it is polled. What is due comes out before the next value is taken. When the source ends, the value that
/// waits comes out, and then the stream ends.
///
/// At most one value waits. A panic of the source passes to the caller.
///
/// # Cancellation
///
/// The stream does nothing before it is polled. Dropping it drops the source, the value that waits and the timer.
pub trait DebounceExt: Stream + Sized {
    /// Yields the values that `how` chooses of each burst.
    fn debounce(self, how: Debounce) -> impl Stream<Item = Self::Item> {
        self.debounce_reset_when(how, |_| false)
    }

    /// The same, but an item for which `is_reset` holds comes out at once, drops the value that waits, and ends the
    /// burst: the next value begins another one.
    ///
    /// An example is a search box that was cleared: its empty text must not wait, and nothing that was typed before
    /// may come after it.
    ///
    /// # Panics
    ///
    /// A panic of `is_reset` passes to the caller.
    fn debounce_reset_when<F>(self, how: Debounce, is_reset: F) -> impl Stream<Item = Self::Item>
    where
        F: Fn(&Self::Item) -> bool,
    {
        Debounced { source: Some(Box::pin(self)), is_reset, how, phase: Phase::Idle, timer: None }
    }

    /// The same for a stream of results: an error comes out at once, drops the value that waits, and ends the
    /// burst. The stream goes on as long as its source does.
    fn try_debounce<T, E>(self, how: Debounce) -> impl Stream<Item = Result<T, E>>
    where
        Self: Stream<Item = Result<T, E>>,
    {
        // For a burst, an error is a reset: it does not wait, and what was waiting is out of date.
        self.debounce_reset_when(how, Result::is_err)
    }
}

impl<S: Stream> DebounceExt for S {}

/// The stream.
struct Debounced<S: Stream, F> {
    source: Option<Pin<Box<S>>>,
    is_reset: F,
    how: Debounce,
    phase: Phase<S::Item>,
    /// It may ring too early: then it is set again. It never rings too late.
    timer: Option<Pin<Box<Sleep>>>,
}

/// Nothing in it is pinned in place: the source and the timer have boxes.
impl<S: Stream, F> Unpin for Debounced<S, F> {}

enum Phase<T> {
    /// No burst.
    Idle,
    /// A burst in which nothing waits.
    Spent { last: Instant, since: Instant },
    /// A burst in which this value waits.
    Holds { value: T, last: Instant, since: Instant },
}

impl<S: Stream, F> Debounced<S, F> {
    /// What comes out by the time alone.
    fn due(&mut self, now: Instant) -> Option<S::Item> {
        let is_quiet = |last| now.duration_since(last) >= self.how.wait;
        let is_long = |since| self.how.max_wait.is_some_and(|max| now.duration_since(since) >= max);
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => None,
            Phase::Spent { last, since } => {
                if !is_quiet(last) && !is_long(since) {
                    self.phase = Phase::Spent { last, since };
                }
                None
            }
            Phase::Holds { value, last, .. } if is_quiet(last) => Some(value),
            Phase::Holds { value, last, since } if is_long(since) => {
                self.phase = Phase::Spent { last, since: now };
                Some(value)
            }
            holds => {
                self.phase = holds;
                None
            }
        }
    }

    /// A value comes; it may come out at once.
    fn take(&mut self, value: S::Item, now: Instant) -> Option<S::Item> {
        let (since, leads) = match &self.phase {
            Phase::Idle => (now, self.how.edge.leading()),
            Phase::Spent { since, .. } | Phase::Holds { since, .. } => (*since, false),
        };
        if !leads && self.how.edge.trailing() {
            self.phase = Phase::Holds { value, last: now, since };
            return None;
        }
        self.phase = Phase::Spent { last: now, since };
        leads.then_some(value)
    }

    fn deadline(&self) -> Option<Instant> {
        let Phase::Holds { last, since, .. } = &self.phase else { return None };
        let quiet = *last + self.how.wait;
        Some(self.how.max_wait.map_or(quiet, |max| quiet.min(*since + max)))
    }
}

impl<S: Stream, F: Fn(&S::Item) -> bool> Stream for Debounced<S, F> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.get_mut();
        loop {
            let due = this.due(Instant::now());
            if due.is_some() {
                return Poll::Ready(due);
            }
            let Some(source) = &mut this.source else { return Poll::Ready(None) };
            if let Poll::Ready(next) = source.as_mut().poll_next(cx) {
                let Some(item) = next else {
                    (this.source, this.timer) = (None, None);
                    return Poll::Ready(match std::mem::replace(&mut this.phase, Phase::Idle) {
                        Phase::Holds { value, .. } => Some(value),
                        Phase::Idle | Phase::Spent { .. } => None,
                    });
                };
                if (this.is_reset)(&item) {
                    this.phase = Phase::Idle;
                    return Poll::Ready(Some(item));
                }
                if let Some(first) = this.take(item, Instant::now()) {
                    return Poll::Ready(Some(first));
                }
                continue;
            }
            let Some(deadline) = this.deadline() else {
                this.timer = None;
                return Poll::Pending;
            };
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            while timer.as_mut().poll(cx).is_ready() {
                if timer.deadline() >= deadline {
                    break;
                }
                // It was set for a value that has been replaced since.
                timer.as_mut().reset(deadline);
            }
            if !timer.is_elapsed() {
                return Poll::Pending;
            }
        }
    }
}
