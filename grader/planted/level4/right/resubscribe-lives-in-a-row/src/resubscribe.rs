//! Resubscription: a stream that outlives the errors of its source.
//!
//! Lesson: `level4/lessons/resubscribe.md`.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt as _, future, stream};
// The interface names their types, so that its user needs no dependency on level 3.
pub use level3::{breaker, retry};
use tokio::time::sleep;

use breaker::{BreakerError, CircuitBreaker};
use retry::{Backoff, Jitter, NoJitter};

/// Whether an error is followed by another subscription, and when.
///
/// Everything counts attempts: the subscription that failed first is one of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Again {
    /// The first error ends the stream.
    Never,
    /// At once, until this number of attempts has failed.
    AtOnce {
        /// The number of attempts.
        attempts: NonZeroU32,
    },
    /// After the waits of the schedule, until its number of attempts has failed.
    After(Backoff),
}

impl Again {
    /// The wait after this many failed attempts. `None` after the last one.
    fn wait(&self, failed: u32, jitter: &dyn Jitter) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::AtOnce { attempts } => (failed < attempts.get()).then_some(Duration::ZERO),
            Self::After(backoff) => {
                (failed < backoff.attempts().get()).then(|| backoff.delay(failed, jitter.unit()))
            }
        }
    }
}

/// What follows the errors of one class.
pub struct Rule<E> {
    /// Whether an error belongs to the class.
    pub when: fn(&E) -> bool,
    /// What follows it.
    pub again: Again,
}

impl<E> fmt::Debug for Rule<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("again", &self.again).finish_non_exhaustive()
    }
}

/// How a stream subscribes again.
pub struct Resubscribe<E> {
    /// The first rule whose class an error belongs to decides. Each rule counts its own errors.
    pub rules: Vec<Rule<E>>,
    /// What follows an error that no rule is about. These errors are counted together.
    pub otherwise: Again,
    /// Whether an item sets all counts to zero. Without it, the counts are those of the stream's whole life.
    pub reset_on_item: bool,
    /// Where each wait of a [`Backoff`] draws its random part.
    pub jitter: Arc<dyn Jitter>,
    /// Decides whether there is a subscription, and learns how it begins: its first item or its end is a success, an
    /// error before them is what [`BreakerConfig::is_failure`](breaker::BreakerConfig::is_failure) says. Several streams may share one.
    pub breaker: Option<Arc<CircuitBreaker<E>>>,
}

impl<E> Default for Resubscribe<E> {
    /// Every error is followed by up to two further attempts, after 1 and 2 s; an item sets the count to zero; no jitter
    /// and no breaker.
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

/// Why the stream does not subscribe again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GiveUp<E> {
    /// The last attempt for errors of this class has failed.
    #[error("gave up after {subscriptions} subscriptions")]
    Exhausted {
        /// The last error.
        #[source]
        last: E,
        /// How many subscriptions there were.
        subscriptions: u64,
    },
    /// The breaker refuses the subscription.
    #[error("the circuit is open, try again in {} ms", retry_after.as_millis())]
    CircuitOpen {
        /// How long the breaker refuses, as it says itself.
        retry_after: Duration,
        /// The last error. `None`: the breaker has refused the first subscription.
        #[source]
        last: Option<E>,
        /// How many subscriptions there were.
        subscriptions: u64,
    },
}

/// Yields the items of what `make` returns, and subscribes again when that fails.
pub fn resubscribe<S, T, E>(
    make: impl FnMut() -> S,
    how: Resubscribe<E>,
) -> impl Stream<Item = Result<T, GiveUp<E>>>
where
    S: Stream<Item = Result<T, E>>,
{
    let failed = vec![0; how.rules.len() + 1];
    let lives = Lives { make, how, failed, subscriptions: 0, error: Slot::default(), over: false };
    stream::unfold(lives, Lives::next).flatten()
}

/// The error that ended the last source.
struct Slot<E>(Arc<Mutex<Option<E>>>);

impl<E> Default for Slot<E> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }
}

impl<E> Slot<E> {
    fn put(&self, error: E) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn take(&self) -> Option<E> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// One life after the other, each of them a stream without its error.
struct Lives<F, E> {
    make: F,
    how: Resubscribe<E>,
    failed: Vec<u32>,
    subscriptions: u64,
    error: Slot<E>,
    over: bool,
}

impl<F, E> Lives<F, E> {
    async fn next<S, T>(
        mut self,
    ) -> Option<(impl Stream<Item = Result<T, GiveUp<E>>> + use<F, S, T, E>, Self)>
    where
        F: FnMut() -> S,
        S: Stream<Item = Result<T, E>>,
    {
        let mut last = None;
        loop {
            match self.error.take() {
                _ if self.over => return None,
                None if self.subscriptions > 0 => return None, // the source has ended
                None => {}
                Some(error) => match self.pause(&error) {
                    Pause::For(Duration::ZERO) => last = Some(error),
                    Pause::For(wait) => {
                        last = Some(error);
                        sleep(wait).await;
                    }
                    Pause::NoAttempt => {
                        let subscriptions = self.subscriptions;
                        let give_up = GiveUp::Exhausted { last: error, subscriptions };
                        self.over = true;
                        return Some((life(Some(Err(give_up)), None, &self.error), self));
                    }
                    Pause::Open(retry_after) => {
                        let (last, subscriptions) = (Some(error), self.subscriptions);
                        let give_up = GiveUp::CircuitOpen { retry_after, last, subscriptions };
                        self.over = true;
                        return Some((life(Some(Err(give_up)), None, &self.error), self));
                    }
                },
            }
            let begins = async {
                self.subscriptions += 1;
                let mut source = Box::pin((self.make)());
                let first = source.next().await.transpose()?;
                Ok(first.map(|item| (item, source)))
            };
            let begun = match self.how.breaker.clone() {
                Some(breaker) => breaker.call(move || begins).await,
                None => begins.await.map_err(BreakerError::Inner),
            };
            match begun {
                Ok(None) => return None,
                Ok(Some((item, source))) => {
                    if self.how.reset_on_item {
                        self.failed.fill(0);
                    }
                    return Some((life(Some(Ok(item)), Some(source), &self.error), self));
                }
                Err(BreakerError::Inner(error)) => self.error.put(error),
                Err(BreakerError::Open { retry_after }) => {
                    let subscriptions = self.subscriptions;
                    let give_up = GiveUp::CircuitOpen { retry_after, last, subscriptions };
                    self.over = true;
                    return Some((life(Some(Err(give_up)), None, &self.error), self));
                }
            }
        }
    }

    fn pause(&mut self, error: &E) -> Pause {
        let others = self.how.rules.len();
        let class = self.how.rules.iter().position(|rule| (rule.when)(error)).unwrap_or(others);
        let again = if class == others { self.how.otherwise } else { self.how.rules[class].again };
        self.failed[class] = self.failed[class].saturating_add(1);
        let Some(wait) = again.wait(self.failed[class], self.how.jitter.as_ref()) else {
            return Pause::NoAttempt;
        };
        match self.how.breaker.as_ref().map(|breaker| breaker.snapshot().retry_after) {
            Some(open) if open > wait => Pause::Open(open),
            _ => Pause::For(wait),
        }
    }
}

enum Pause {
    For(Duration),
    NoAttempt,
    Open(Duration),
}

/// What comes out of one subscription: its items up to its error, which goes into the slot.
fn life<S, T, E>(
    first: Option<Result<T, GiveUp<E>>>,
    rest: Option<S>,
    error: &Slot<E>,
) -> impl Stream<Item = Result<T, GiveUp<E>>> + use<S, T, E>
where
    S: Stream<Item = Result<T, E>>,
{
    let slot = Slot(Arc::clone(&error.0));
    let rest = stream::iter(rest).flatten().scan((), move |(), item| {
        future::ready(match item {
            Ok(item) => Some(Ok(item)),
            Err(error) => {
                slot.put(error);
                None
            }
        })
    });
    stream::iter(first).chain(rest)
}
