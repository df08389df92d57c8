//! Resubscription: a stream that outlives the errors of its source.
//!
//! Lesson: `level4/lessons/resubscribe.md`.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::channel::mpsc;
use futures::{SinkExt as _, Stream, StreamExt as _, stream};
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
    let (out, items) = mpsc::channel(0);
    let work = Box::pin(run(make, how, out));
    // What came out is read before the work goes on.
    stream::unfold((Some(work), items), async |(mut work, mut items)| {
        let next = std::future::poll_fn(|cx| {
            loop {
                if let Poll::Ready(item) = items.poll_next_unpin(cx) {
                    return Poll::Ready(item);
                }
                match &mut work {
                    Some(running) => {
                        if running.as_mut().poll(cx).is_pending() {
                            // It may have sent something just now.
                            return match items.poll_next_unpin(cx) {
                                Poll::Ready(item) => Poll::Ready(item),
                                Poll::Pending => Poll::Pending,
                            };
                        }
                        work = None;
                    }
                    None => return Poll::Pending,
                }
            }
        });
        let item = next.await?;
        Some((item, (work, items)))
    })
}

/// How many attempts of each class have failed.
struct Counts<E> {
    how: Resubscribe<E>,
    of_rules: Vec<u32>,
    of_others: u32,
}

impl<E> Counts<E> {
    fn reset(&mut self) {
        self.of_rules.iter_mut().for_each(|count| *count = 0);
        self.of_others = 0;
    }

    /// The wait after this error, if an attempt is left.
    fn add(&mut self, error: &E) -> Option<Duration> {
        let mut fits =
            self.how.rules.iter().zip(&mut self.of_rules).filter(|(rule, _)| (rule.when)(error));
        let (again, count) = match fits.next() {
            Some((rule, count)) => (rule.again, count),
            None => (self.how.otherwise, &mut self.of_others),
        };
        *count = count.saturating_add(1);
        again.wait(*count, self.how.jitter.as_ref())
    }
}

async fn run<S, T, E>(
    mut make: impl FnMut() -> S,
    how: Resubscribe<E>,
    mut out: mpsc::Sender<Result<T, GiveUp<E>>>,
) where
    S: Stream<Item = Result<T, E>>,
{
    let breaker = how.breaker.clone();
    let of_rules = vec![0; how.rules.len()];
    let mut counts = Counts { how, of_rules, of_others: 0 };
    let (mut last, mut subscriptions) = (None, 0);
    loop {
        let begins = async {
            subscriptions += 1;
            let mut source = Box::pin(make());
            match source.next().await {
                Some(Ok(item)) => Ok(Some((item, source))),
                Some(Err(error)) => Err(error),
                None => Ok(None),
            }
        };
        let begun = match &breaker {
            Some(breaker) => breaker.call(move || begins).await,
            None => begins.await.map_err(BreakerError::Inner),
        };
        let error = match begun {
            Ok(None) => return,
            Err(BreakerError::Open { retry_after }) => {
                let open = GiveUp::CircuitOpen { retry_after, last, subscriptions };
                let _ = out.send(Err(open)).await;
                return;
            }
            Err(BreakerError::Inner(error)) => error,
            Ok(Some((first, mut source))) => {
                if counts.how.reset_on_item {
                    counts.reset();
                }
                let mut item = first;
                loop {
                    if out.send(Ok(item)).await.is_err() {
                        return;
                    }
                    match source.next().await {
                        None => return,
                        Some(Ok(next)) => item = next,
                        Some(Err(error)) => break error,
                    }
                }
            }
        };
        let Some(wait) = counts.add(&error) else {
            let _ = out.send(Err(GiveUp::Exhausted { last: error, subscriptions })).await;
            return;
        };
        if let Some(breaker) = &breaker {
            let retry_after = breaker.snapshot().retry_after;
            if retry_after > wait {
                let open = GiveUp::CircuitOpen { retry_after, last: Some(error), subscriptions };
                let _ = out.send(Err(open)).await;
                return;
            }
        }
        last = Some(error);
        if wait > Duration::ZERO {
            sleep(wait).await;
        }
    }
}
