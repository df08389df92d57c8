//! Debounce: of a burst of values, only the first, only the last, or both come out.
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
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::Stream;
use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

/// The longest time that a [`Debounce`] accepts: 365 days. tokio's timers reach little further.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Which values of a burst come out.
///
/// ```
/// use std::time::Duration;
/// use futures::{StreamExt as _, stream};
/// use level4::debounce::{Debounce, DebounceExt as _, Edge};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// for (edge, expected) in [
///     (Edge::Leading, vec!["a"]),
///     (Edge::Trailing, vec!["abc"]),
///     (Edge::Both, vec!["a", "abc"]),
/// ] {
///     let how = Debounce::new(Duration::from_millis(300), edge)?;
///     let burst = stream::iter(["a", "ab", "abc"]);
///     assert_eq!(burst.debounce(how).collect::<Vec<_>>().await, expected);
/// }
/// # Ok(())
/// # }
/// ```
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

/// The reason why a [`Debounce`] is refused.
///
/// ```
/// use std::time::Duration;
/// use level4::debounce::{ConfigError, Debounce, Edge};
///
/// let refused = Debounce::new(Duration::ZERO, Edge::Trailing);
/// assert_eq!(refused, Err(ConfigError::ZeroWait));
/// let refused = Debounce::new(Duration::MAX, Edge::Trailing);
/// assert_eq!(refused, Err(ConfigError::TooLong(Duration::MAX)));
/// ```
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

/// How a stream is debounced. Its constructors refuse invalid values.
///
/// A *burst* is a row of values of which each comes less than `wait` after the one before it.
///
/// ```
/// use std::time::Duration;
/// use futures::{StreamExt as _, stream};
/// use level4::debounce::{Debounce, DebounceExt as _, Edge};
/// use tokio::time::{Instant, sleep};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // What was typed comes out after a pause of 300 ms, and every second at the latest.
/// let how = Debounce::new(Duration::from_millis(300), Edge::Trailing)?
///     .with_max_wait(Duration::from_secs(1))?;
/// // A key every 200 ms, so that there is no pause.
/// let keys = stream::unfold(0, |typed| async move {
///     sleep(Duration::from_millis(200)).await;
///     Some((typed + 1, typed + 1))
/// });
/// let began = Instant::now();
/// let mut texts = Box::pin(keys.debounce(how));
/// assert!(texts.next().await.is_some());
/// assert_eq!(began.elapsed(), Duration::from_millis(1_200)); // a second after the first key
/// # Ok(())
/// # }
/// ```
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
///
/// ```
/// use std::time::Duration;
/// use futures::{StreamExt as _, stream};
/// use level4::debounce::{Debounce, DebounceExt as _, Edge};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let how = Debounce::new(Duration::from_millis(300), Edge::Trailing)?;
/// // The search box is cleared: nothing that was typed before comes out.
/// let typed = stream::iter(["ru", "rust", "", "to", "tokio"]);
/// let texts = typed.debounce_reset_when(how, |text| text.is_empty());
/// assert_eq!(texts.collect::<Vec<_>>().await, ["", "tokio"]);
/// # Ok(())
/// # }
/// ```
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
        Debounced { source: Some(self), is_reset, burst: Burst::new(how), timer: None }
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

/// The stream: takes values and time to the burst, and what comes out of it to the caller.
#[pin_project]
struct Debounced<S: Stream, F> {
    // `None` when it has ended: a stream must not be polled after its end, and its resources are free.
    #[pin]
    source: Option<S>,
    is_reset: F,
    burst: Burst<S::Item>,
    // There while a value waits, and only then. It is no task: dropping the stream drops it.
    #[pin]
    timer: Option<Sleep>,
}

impl<S: Stream, F: Fn(&S::Item) -> bool> Stream for Debounced<S, F> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut this = self.project();
        loop {
            // The clock is asked before the source. When a timer and a value become ready in the same millisecond,
            // a burst that is over is over, whatever the order in which the runtime woke us. It is asked again for each
            // value: a poll takes values as long as the source has some, and `max_wait` may end meanwhile.
            let now = Instant::now();
            if let Some(value) = this.burst.due(now) {
                return Poll::Ready(Some(value));
            }
            let Some(source) = this.source.as_mut().as_pin_mut() else {
                return Poll::Ready(None);
            };
            match source.poll_next(cx) {
                Poll::Ready(Some(item)) if (this.is_reset)(&item) => {
                    this.burst.clear();
                    return Poll::Ready(Some(item));
                }
                Poll::Ready(Some(item)) => {
                    if let Some(leading) = this.burst.take(item, now) {
                        return Poll::Ready(Some(leading));
                    }
                }
                Poll::Ready(None) => {
                    this.source.set(None);
                    this.timer.set(None);
                    return Poll::Ready(this.burst.clear());
                }
                Poll::Pending => {
                    // Set only here, when the source has no more for now: a hundred values that are ready at once
                    // move the timer once.
                    let Some(deadline) = this.burst.deadline() else {
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
                    ready!(timer.poll(cx)); // and around the loop, where it is due
                }
            }
        }
    }
}

/// What is decided, without a stream and without a clock: every method is told the time.
///
/// Before [`take`](Self::take) the caller asks [`due`](Self::due) at the same time until it yields nothing.
struct Burst<T> {
    how: Debounce,
    open: Option<Open<T>>,
}

/// A burst that is not over.
struct Open<T> {
    /// When its last value came: `wait` is counted from here.
    last: Instant,
    /// When it began, or a value came out since: `max_wait` is counted from here.
    since: Instant,
    waits: Option<T>,
}

impl<T> Burst<T> {
    const fn new(how: Debounce) -> Self {
        Self { how, open: None }
    }

    /// Ends what is over at `now` and returns the value that comes out of it.
    fn due(&mut self, now: Instant) -> Option<T> {
        let open = self.open.as_mut()?;
        let quiet = now.duration_since(open.last) >= self.how.wait;
        let long = self.how.max_wait.is_some_and(|max| now.duration_since(open.since) >= max);
        if !quiet && !long {
            return None;
        }
        let value = open.waits.take();
        if quiet || value.is_none() {
            self.open = None;
        } else {
            // A value came out of a burst that goes on. The next one is no first value: with `Edge::Both` it waits.
            open.since = now;
        }
        value
    }

    /// A value comes. Returns it if it comes out at once.
    fn take(&mut self, value: T, now: Instant) -> Option<T> {
        let edge = self.how.edge;
        match &mut self.open {
            None => {
                let (leads, waits) =
                    if edge.leading() { (Some(value), None) } else { (None, Some(value)) };
                self.open = Some(Open { last: now, since: now, waits });
                leads
            }
            Some(open) => {
                open.last = now;
                if edge.trailing() {
                    open.waits = Some(value);
                }
                None
            }
        }
    }

    /// When a value comes out if none comes before. `None` while none waits: nothing has to be woken for that.
    fn deadline(&self) -> Option<Instant> {
        let open = self.open.as_ref().filter(|open| open.waits.is_some())?;
        let quiet = open.last + self.how.wait;
        Some(self.how.max_wait.map_or(quiet, |max| quiet.min(open.since + max)))
    }

    /// Ends the burst and returns the value that waits.
    fn clear(&mut self) -> Option<T> {
        self.open.take()?.waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{StreamExt as _, stream};

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn how(edge: Edge, max_wait: Option<u64>) -> Debounce {
        let how = Debounce::new(ms(100), edge).expect("100 ms is a wait");
        max_wait.map_or(how, |max| how.with_max_wait(ms(max)).expect("it is more than zero"))
    }

    /// Each input is a value and its time. The output in the same form.
    async fn play(how: Debounce, input: &'static [(char, u64)], end: u64) -> String {
        let began = Instant::now();
        let values = stream::iter(input.iter().copied()).then(move |(value, at)| async move {
            tokio::time::sleep_until(began + ms(at)).await;
            value
        });
        let end =
            stream::once(tokio::time::sleep_until(began + ms(end))).filter_map(async |()| None);
        let out = values.chain(end).debounce(how);
        let out: Vec<_> =
            out.map(|it| format!("{it}@{}", began.elapsed().as_millis())).collect().await;
        out.join(" ")
    }

    const ROW: &[(char, u64)] = &[
        ('a', 0),
        ('b', 50),
        ('c', 100),
        ('d', 150),
        ('e', 200),
        ('f', 250),
        ('g', 300),
        ('h', 350),
        ('i', 400),
        ('j', 450),
    ];
    const PAIRS: &[(char, u64)] = &[('a', 0), ('b', 50), ('c', 600), ('d', 650)];

    #[tokio::test(start_paused = true)]
    async fn the_values_of_lodash() {
        use Edge::{Both, Leading, Trailing};
        for (edge, max_wait, input, expected) in [
            (Trailing, None, ROW, "j@550"),
            (Trailing, Some(250), ROW, "e@250 j@500"),
            (Both, None, ROW, "a@0 j@550"),
            (Both, Some(250), ROW, "a@0 e@250 j@500"),
            (Both, None, PAIRS, "a@0 b@150 c@600 d@750"),
            (Leading, None, PAIRS, "a@0 c@600"),
            (Trailing, Some(250), PAIRS, "b@150 d@750"),
            (Leading, Some(250), ROW, "a@0 f@250"),
        ] {
            assert_eq!(
                play(how(edge, max_wait), input, 2000).await,
                expected,
                "{edge:?} {max_wait:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_brings_out_what_waits() {
        assert_eq!(play(how(Edge::Trailing, None), &[('a', 0), ('b', 50)], 80).await, "b@80");
    }

    #[test]
    fn times_that_make_no_sense_are_refused() {
        assert_eq!(Debounce::new(ms(0), Edge::Both), Err(ConfigError::ZeroWait));
        let longer = LONGEST + Duration::from_nanos(1);
        assert_eq!(Debounce::new(longer, Edge::Both), Err(ConfigError::TooLong(longer)));
        let valid = how(Edge::Both, None);
        assert_eq!(valid.with_max_wait(ms(0)), Err(ConfigError::ZeroMaxWait));
        assert_eq!(valid.with_max_wait(longer), Err(ConfigError::TooLong(longer)));
        assert!(Debounce::new(LONGEST, Edge::Both).is_ok());
    }
}
