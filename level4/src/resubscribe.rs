//! Resubscription: a stream that outlives the errors of its source.
//!
//! ```text
//!    first poll                                          items pass
//!        │                                             ┌────────────┐
//!        ▼         the breaker allows it: `make`       ▼            │
//!    subscribing ─────────────────────────────────▶ subscribed ─────┘
//!      │      ▲                                     │        │
//!      │      │ the wait is over                    │        │ the source ends
//!      │      │                                     │        ▼
//!      │   waiting ◀──── the error may be tried ────┤       end
//!      │                 again: the source is       │
//!      │                 dropped                    │ it may not, or the breaker is open for longer than the wait
//!      ▼                                            ▼
//!    `GiveUp::CircuitOpen`, end                   `GiveUp`, end
//! ```
//!
//! Lesson: `level4/lessons/resubscribe.md`.

use std::fmt;
use std::mem;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
// The interface names their types. A caller gets them from here and needs no dependency on level 3.
pub use level3::{breaker, retry};
use tokio::time::sleep;

use breaker::{BreakerError, CircuitBreaker};
use retry::{Backoff, Jitter, NoJitter};

/// Whether an error is followed by another subscription, and when.
///
/// All numbers are numbers of attempts: the subscription that failed first is one of them.
///
/// ```
/// use std::num::NonZeroU32;
/// use futures::{StreamExt as _, stream};
/// use level4::resubscribe::{Again, GiveUp, Resubscribe, resubscribe};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// // Two attempts, without a wait between them.
/// let otherwise = Again::AtOnce { attempts: NonZeroU32::new(2).unwrap() };
/// let how = Resubscribe { otherwise, ..Resubscribe::default() };
/// let make = || stream::iter([Err::<u32, _>("reset")]);
/// let items: Vec<_> = resubscribe(make, how).collect().await;
/// assert_eq!(items, [Err(GiveUp::Exhausted { last: "reset", subscriptions: 2 })]);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Again {
    /// The first error ends the stream.
    Never,
    /// Each error is followed by another subscription at once, until this number of attempts has failed.
    AtOnce {
        /// The number of attempts.
        attempts: NonZeroU32,
    },
    /// Each error is followed by a wait of the schedule and another subscription, until the schedule's number of
    /// attempts has failed.
    After(Backoff),
}

impl Again {
    /// Returns the wait after this many failed attempts. `None` after the last one.
    fn wait(&self, failed: u32, jitter: &dyn Jitter) -> Option<Duration> {
        // A random number is drawn only if an attempt is left: a test that gives its numbers in a row then knows which
        // wait gets which.
        match self {
            Self::Never => None,
            Self::AtOnce { attempts } => (failed < attempts.get()).then_some(Duration::ZERO),
            Self::After(backoff) => {
                (failed < backoff.attempts().get()).then(|| backoff.delay(failed, jitter.unit()))
            }
        }
    }
}

/// A class of errors, and what follows them.
///
/// ```
/// use futures::{StreamExt as _, stream};
/// use level4::resubscribe::{Again, GiveUp, Resubscribe, Rule, resubscribe};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// // A client that is not signed in must not subscribe again.
/// let rules = vec![Rule { when: |error: &u16| *error == 401, again: Again::Never }];
/// let how = Resubscribe { rules, ..Resubscribe::default() };
/// let make = || stream::iter([Ok("a"), Err(401), Ok("b")]);
/// let items: Vec<_> = resubscribe(make, how).collect().await;
/// assert_eq!(items, [Ok("a"), Err(GiveUp::Exhausted { last: 401, subscriptions: 1 })]);
/// # }
/// ```
pub struct Rule<E> {
    /// Returns whether an error belongs to the class.
    pub when: fn(&E) -> bool,
    /// What follows an error of the class.
    pub again: Again,
}

impl<E> fmt::Debug for Rule<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("again", &self.again).finish_non_exhaustive()
    }
}

/// How a stream subscribes again.
///
/// ```
/// use futures::{StreamExt as _, stream};
/// use level4::resubscribe::{Resubscribe, resubscribe};
/// use tokio::time::Instant;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// // The defaults: three attempts, with waits of 1 s and 2 s.
/// let mut left = vec![Ok(7), Err("reset"), Err("reset")];
/// let make = move || stream::iter(left.pop());
/// let began = Instant::now();
/// let items: Vec<_> = resubscribe(make, Resubscribe::default()).collect().await;
/// assert_eq!(items, [Ok(7)]);
/// assert_eq!(began.elapsed().as_secs(), 3);
/// # }
/// ```
pub struct Resubscribe<E> {
    /// The rules, in order. The first rule whose class an error belongs to decides. Each rule counts its own errors.
    pub rules: Vec<Rule<E>>,
    /// What follows an error of no rule's class. These errors are counted together.
    pub otherwise: Again,
    /// Whether an item sets all counts to zero. Otherwise, the counts are those of the stream's whole life.
    pub reset_on_item: bool,
    /// The source of the random part of each wait of a [`Backoff`].
    pub jitter: Arc<dyn Jitter>,
    /// The breaker that allows or refuses each subscription. It learns how a subscription begins: its first item or its
    /// end is a success, and
    /// [`BreakerConfig::is_failure`](breaker::BreakerConfig::is_failure) judges an error before them. Several streams
    /// may share one breaker.
    pub breaker: Option<Arc<CircuitBreaker<E>>>,
}

impl<E> Default for Resubscribe<E> {
    /// Up to two further attempts follow an error, after 1 and 2 s; an item sets the count to zero; no jitter and no
    /// breaker.
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            otherwise: Again::After(Backoff::default()),
            reset_on_item: true,
            jitter: Arc::new(NoJitter),
            breaker: None,
        }
    }
}

impl<E> fmt::Debug for Resubscribe<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resubscribe")
            .field("rules", &self.rules)
            .field("otherwise", &self.otherwise)
            .field("reset_on_item", &self.reset_on_item)
            .finish_non_exhaustive()
    }
}

/// The last item of a stream that does not subscribe again, with the reason.
///
/// ```
/// use futures::{StreamExt as _, stream};
/// use level4::resubscribe::{GiveUp, Resubscribe, resubscribe};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let make = || stream::iter([Err::<u32, _>("reset")]);
/// let mut items = Box::pin(resubscribe(make, Resubscribe::default()));
/// let text = match items.next().await {
///     Some(Ok(item)) => format!("item {item}"),
///     Some(Err(GiveUp::Exhausted { last, subscriptions })) => format!("{last}, {subscriptions} times"),
///     Some(Err(GiveUp::CircuitOpen { retry_after, .. })) => format!("again in {retry_after:?}"),
///     None => "the end".to_owned(),
/// };
/// assert_eq!(text, "reset, 3 times");
/// assert_eq!(items.next().await, None);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GiveUp<E> {
    /// No attempt is left for errors of this class.
    #[error("gave up after {subscriptions} subscriptions")]
    Exhausted {
        /// The last error.
        #[source]
        last: E,
        /// The number of calls of `make`.
        subscriptions: u64,
    },
    /// The breaker refuses the next subscription.
    #[error("the circuit is open, try again in {} ms", retry_after.as_millis())]
    CircuitOpen {
        /// How long the breaker refuses, as it reports it.
        retry_after: Duration,
        /// The last error. `None`: the breaker has refused the first subscription.
        #[source]
        last: Option<E>,
        /// The number of calls of `make`.
        subscriptions: u64,
    },
}

/// Yields the items of the stream that `make` returns, and calls `make` again when that stream fails.
///
/// The stream does not yield an error that is followed by another subscription. It yields the last one, as [`GiveUp`],
/// and then ends. It also ends when a source ends. A source that has failed is dropped before the wait begins, with
/// everything that it would still have yielded.
///
/// # Panics
///
/// A panic of `make`, of a source or of a rule passes to the caller. The stream must not be polled after it.
///
/// # Cancellation
///
/// Before its first poll the stream has done nothing: it subscribes, reads and waits inside its polls. Dropping it
/// drops the source and the wait, and releases the place of a probe.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use futures::{StreamExt as _, stream};
/// use level4::resubscribe::retry::Backoff;
/// use level4::resubscribe::{Again, Resubscribe, resubscribe};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let mut left = vec![Ok(7), Err("reset"), Err("reset")];
/// let make = move || stream::iter(left.pop());
/// let backoff = Backoff::new(Duration::from_secs(1), 2.0, Duration::from_secs(30), NonZeroU32::MAX);
/// let how = Resubscribe { otherwise: Again::After(backoff.unwrap()), ..Resubscribe::default() };
/// let items: Vec<_> = resubscribe(make, how).collect().await;
/// assert_eq!(items, [Ok(7)]);
/// # }
/// ```
pub fn resubscribe<S, T, E>(
    make: impl FnMut() -> S,
    how: Resubscribe<E>,
) -> impl Stream<Item = Result<T, GiveUp<E>>>
where
    S: Stream<Item = Result<T, E>>,
{
    // One count for each rule, and the last one for all other errors.
    let failed = vec![0; how.rules.len() + 1];
    let driver =
        Driver { make, how, failed, subscriptions: 0, state: State::Subscribing { last: None } };
    // `unfold` keeps the future of a step until it is ready, so a caller that drops `next()` cuts off no wait and no
    // subscription. In a box: each step takes the driver and returns it, and a pointer is cheaper to move than 200
    // bytes.
    stream::unfold(Box::new(driver), Driver::step)
}

/// The state of a stream between two items.
struct Driver<F, S, E> {
    make: F,
    how: Resubscribe<E>,
    /// The failed attempts of each class. Apart, so that a flood of errors of one class does not use up the attempts of
    /// another.
    failed: Vec<u32>,
    /// How many times `make` was called, for the error only. No decision depends on it.
    subscriptions: u64,
    state: State<S, E>,
}

/// What a step does next. The last error travels along: if a breaker refuses the next subscription, the caller gets
/// it. A source is in a box: it may be one that must not be moved once it was polled, and each step moves the state.
/// `Over` ends the stream with the next poll.
enum State<S, E> {
    Subscribing { last: Option<E> },
    Subscribed(Pin<Box<S>>),
    Waiting { wait: Duration, last: E },
    Over,
}

impl<F, S, T, E> Driver<F, S, E>
where
    F: FnMut() -> S,
    S: Stream<Item = Result<T, E>>,
{
    /// Runs until there is an item or an error to yield.
    async fn step(mut self: Box<Self>) -> Option<(Result<T, GiveUp<E>>, Box<Self>)> {
        loop {
            // Takes the state by value, to move source and error into the next one. `Over` is what stays if a branch
            // sets none: each way that gives up ends the stream without a line of its own.
            match mem::replace(&mut self.state, State::Over) {
                State::Over => return None,
                State::Waiting { wait, last } => {
                    // A sleep of zero would still last until the next millisecond, and `AtOnce` says at once.
                    if !wait.is_zero() {
                        sleep(wait).await;
                    }
                    self.state = State::Subscribing { last: Some(last) };
                }
                State::Subscribing { last } => match self.subscribe().await {
                    Ok(Some((item, source))) => {
                        // At the first item only: until the subscription fails, no count rises again.
                        if self.how.reset_on_item {
                            self.failed.fill(0);
                        }
                        self.state = State::Subscribed(source);
                        return Some((Ok(item), self));
                    }
                    Ok(None) => return None,
                    Err(BreakerError::Open { retry_after }) => {
                        let subscriptions = self.subscriptions;
                        let open = GiveUp::CircuitOpen { retry_after, last, subscriptions };
                        return Some((Err(open), self));
                    }
                    Err(BreakerError::Inner(error)) => {
                        if let Some(give_up) = self.fails(error) {
                            return Some((Err(give_up), self));
                        }
                    }
                },
                State::Subscribed(mut source) => match source.next().await? {
                    Ok(item) => {
                        self.state = State::Subscribed(source);
                        return Some((Ok(item), self));
                    }
                    Err(error) => {
                        // Before the wait: a source that has failed must hold no connection while the stream waits. It
                        // also goes before the rule runs, which is the caller's code and may panic.
                        drop(source);
                        if let Some(give_up) = self.fails(error) {
                            return Some((Err(give_up), self));
                        }
                    }
                },
            }
        }
    }

    /// Makes a subscription and waits for its first item or its end. This part is the breaker's call: a subscription
    /// that lives for a week must not be a probe for a week.
    async fn subscribe(&mut self) -> Result<Option<(T, Pin<Box<S>>)>, BreakerError<E>> {
        // Two borrows of single fields, so that the breaker can be borrowed beside them.
        let (make, subscriptions) = (&mut self.make, &mut self.subscriptions);
        // A future does nothing before it is polled: if the breaker refuses, `make` is not called and not counted.
        let first = async {
            *subscriptions += 1;
            let mut source = Box::pin(make());
            let first = source.next().await.transpose()?;
            Ok(first.map(|item| (item, source)))
        };
        match &self.how.breaker {
            Some(breaker) => breaker.call(|| first).await,
            None => first.await.map_err(BreakerError::Inner),
        }
    }

    /// Counts a failed attempt, and begins a wait or returns why the stream gives up.
    fn fails(&mut self, last: E) -> Option<GiveUp<E>> {
        let rules = &self.how.rules;
        let class = rules.iter().position(|rule| (rule.when)(&last));
        let again = class.and_then(|class| rules.get(class)).map(|rule| rule.again);
        let failed = &mut self.failed[class.unwrap_or(rules.len())];
        *failed = failed.saturating_add(1);
        let again = again.unwrap_or(self.how.otherwise);
        let subscriptions = self.subscriptions;
        let Some(wait) = again.wait(*failed, &*self.how.jitter) else {
            return Some(GiveUp::Exhausted { last, subscriptions });
        };
        // Zero unless the breaker is open. An open breaker refuses until its time is over: the answer after a shorter
        // wait is known now, and the caller gets it now. With an equal wait, the breaker allows a probe by then.
        let open_for = self.how.breaker.as_ref().map(|breaker| breaker.snapshot().retry_after);
        if let Some(retry_after) = open_for.filter(|open_for| *open_for > wait) {
            return Some(GiveUp::CircuitOpen { retry_after, last: Some(last), subscriptions });
        }
        self.state = State::Waiting { wait, last };
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    use breaker::BreakerConfig;
    use tokio::time::Instant;

    type Script = Vec<Result<u32, u16>>;

    /// What comes out of the scripts, one for each subscription, and when they were subscribed to.
    async fn play(
        scripts: Vec<Script>,
        how: Resubscribe<u16>,
    ) -> (Vec<Result<u32, GiveUp<u16>>>, Vec<u64>) {
        let began = Instant::now();
        let (mut scripts, times) = (scripts.into_iter(), RefCell::new(Vec::new()));
        let make = || {
            times.borrow_mut().push(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
            futures::stream::iter(scripts.next().unwrap_or_default())
        };
        let items = futures::StreamExt::collect(resubscribe(make, how)).await;
        (items, times.into_inner())
    }

    fn after(attempts: u32) -> Again {
        let attempts = NonZeroU32::new(attempts).expect("not zero");
        let (base, cap) = (Duration::from_secs(1), Duration::from_secs(10));
        Again::After(Backoff::new(base, 2.0, cap, attempts).expect("a schedule"))
    }

    fn fails(times: usize) -> Vec<Script> {
        vec![vec![Err(503)]; times]
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_until_the_last_attempt() {
        let how = Resubscribe { otherwise: after(4), ..Resubscribe::default() };
        let (items, times) = play(fails(9), how).await;
        assert_eq!(items, [Err(GiveUp::Exhausted { last: 503, subscriptions: 4 })]);
        assert_eq!(times, [0, 1000, 3000, 7000]);
    }

    #[tokio::test(start_paused = true)]
    async fn each_class_counts_for_itself() {
        let rules = vec![Rule { when: |error| *error == 429, again: after(3) }];
        let how = Resubscribe { rules, otherwise: after(2), ..Resubscribe::default() };
        let scripts =
            vec![vec![Err(429)], vec![Err(503)], vec![Err(429)], vec![Ok(1)], vec![Ok(2)]];
        let (items, times) = play(scripts, how).await;
        assert_eq!(items, [Ok(1)]);
        assert_eq!(times, [0, 1000, 2000, 4000]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_item_resets_the_counts_where_that_is_asked() {
        for (reset_on_item, expected) in [(true, 6), (false, 3)] {
            let scripts = vec![vec![Ok(1), Err(503)]; 6];
            let at_once = Again::AtOnce { attempts: NonZeroU32::MIN.saturating_add(2) };
            let how = Resubscribe { otherwise: at_once, reset_on_item, ..Resubscribe::default() };
            let (items, times) = play(scripts, how).await;
            assert_eq!(items.iter().filter(|item| item.is_ok()).count(), expected);
            assert!(times.iter().all(|at| *at == 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_breaker_ends_it_at_once() {
        let breaker =
            CircuitBreaker::new("prices", BreakerConfig::payment(|_| true)).expect("a breaker");
        let breaker = Some(Arc::new(breaker));
        let how =
            || Resubscribe { otherwise: after(9), breaker: breaker.clone(), ..Default::default() };
        let (items, times) = play(fails(9), how()).await;
        let retry_after = Duration::from_secs(60);
        let open = |last, subscriptions| GiveUp::CircuitOpen { retry_after, last, subscriptions };
        assert_eq!(items, [Err(open(Some(503), 5))]);
        assert_eq!(times, [0, 1000, 3000, 7000, 15_000]);
        let (items, times) = play(fails(9), how()).await;
        assert_eq!((items, times), (vec![Err(open(None, 0))], Vec::new()));
    }
}
