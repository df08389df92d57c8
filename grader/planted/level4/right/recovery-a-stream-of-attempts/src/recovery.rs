//! Recovery as a stream of attempts, with a cell of figures for each operation.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream};
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};

/// How many errors of an operation are kept.
pub const KEPT_ERRORS: usize = 100;

/// What kind of error it is. It decides how long to wait before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// There was no answer: refused, reset, timed out.
    Network,
    /// Too many requests.
    RateLimit,
    /// The service has a problem.
    Server,
    /// The request is wrong. It is as wrong the second time.
    Client,
    /// The program is wrong, which no attempt repairs.
    Bug,
    /// A class of the application's own.
    Other(&'static str),
}

impl Class {
    /// The class of an HTTP status that is an error: 429 is `RateLimit`, the rest of 400 to 499 `Client`, 500 to 599
    /// `Server`. Every other status is `Other("status")`.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        match status {
            429 => Self::RateLimit,
            400..=499 => Self::Client,
            500..=599 => Self::Server,
            _ => Self::Other("status"),
        }
    }

    /// Whether another attempt may help: not after `Client` and `Bug`.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        !matches!(self, Self::Client | Self::Bug)
    }

    /// The waits of the class, unless a [`Recovery`] has others: 3, 9, 27, 30, 30 s and so on for `RateLimit`, and 1,
    /// 2, 4, 8, 16, 30, 30 s and so on for every other class.
    #[must_use]
    pub const fn waits(self) -> Waits {
        let longest = Duration::from_secs(30);
        let [two, three] = [NonZeroU32::new(2).expect("not 0"), NonZeroU32::new(3).expect("not 0")];
        match self {
            Self::RateLimit => Waits { first: Duration::from_secs(3), factor: three, longest },
            _ => Waits { first: Duration::from_secs(1), factor: two, longest },
        }
    }
}

/// Says what a [`Recovery`] has to know about an error.
pub trait Classify {
    /// The class of the error.
    fn class(&self) -> Class;

    /// Whether another attempt may help. By default the class decides.
    fn is_retryable(&self) -> bool {
        self.class().is_retryable()
    }
}

/// The waits between attempts: `first`, and each one `factor` times the one before, up to `longest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// The wait after the first failed attempt.
    pub first: Duration,
    /// One: all waits are equal.
    pub factor: NonZeroU32,
    /// No wait is longer.
    pub longest: Duration,
}

impl Waits {
    /// The wait after the failed attempt number `attempt`. The first one is 1; 0 counts as 1.
    ///
    /// ```
    /// use std::time::Duration;
    /// use level4::recovery::Class;
    ///
    /// let waits = Class::RateLimit.waits();
    /// let seconds = [1, 2, 3, 4, 5].map(|attempt| waits.after(attempt).as_secs());
    /// assert_eq!(seconds, [3, 9, 27, 30, 30]);
    /// ```
    #[must_use]
    pub fn after(&self, attempt: u32) -> Duration {
        let grown = u128::from(self.factor.get()).saturating_pow(attempt.saturating_sub(1));
        let nanos = self.first.as_nanos().saturating_mul(grown);
        Duration::from_nanos_u128(nanos.min(self.longest.as_nanos()))
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.first.is_zero() {
            Err(ConfigError::ZeroWait)
        } else if self.longest < self.first {
            Err(ConfigError::LongestBelowFirst { first: self.first, longest: self.longest })
        } else {
            Ok(())
        }
    }
}

/// Why waits were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The first wait is zero, and so are all others: attempts would follow one another without a pause.
    #[error("the first wait is zero; a service that fails needs a pause")]
    ZeroWait,
    /// The longest wait is below the first one.
    #[error("the longest wait ({longest:?}) is below the first one ({first:?})")]
    LongestBelowFirst {
        /// The first wait.
        first: Duration,
        /// The longest wait.
        longest: Duration,
    },
}

/// The value of a run, and where it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered<T> {
    /// The operation succeeded, perhaps not at its first attempt.
    Primary(T),
    /// The operation failed, and its fallback succeeded. A page should say so.
    Fallback(T),
}

impl<T> Recovered<T> {
    /// The value, wherever it is from.
    pub fn into_value(self) -> T {
        match self {
            Self::Primary(value) | Self::Fallback(value) => value,
        }
    }
}

/// Why a run has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError<E> {
    /// The operation failed, and it has no fallback.
    #[error("`{op}` failed, attempts: {attempts}: {error}")]
    Failed {
        /// The name of the operation.
        op: &'static str,
        /// How often it was called.
        attempts: u32,
        /// The error of the last attempt.
        error: E,
    },
    /// The operation failed, and so did its fallback.
    #[error("`{op}` failed, attempts: {attempts}: {error}; so did its fallback: {fallback}")]
    FallbackFailed {
        /// The name of the operation.
        op: &'static str,
        /// How often it was called.
        attempts: u32,
        /// The error of the last attempt.
        error: E,
        /// The error of the fallback.
        fallback: E,
    },
}

/// The figures of one operation at one moment. Runs that were dropped or have panicked are not in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics<E> {
    /// How many runs have ended. Each counts once, with or without a fallback.
    pub total: u64,
    /// Runs whose operation succeeded.
    pub succeeded: u64,
    /// Runs whose operation failed at its last attempt.
    pub failed: u64,
    /// Failed runs whose fallback succeeded.
    pub fallback_succeeded: u64,
    /// Failed runs whose fallback failed.
    pub fallback_failed: u64,
    /// The mean time from the first poll of a run to its end, with waits and fallback. Zero without runs.
    pub mean: Duration,
    /// The errors of the last [`KEPT_ERRORS`] failed attempts, the oldest first. Those of fallbacks are not among them.
    pub errors: Vec<E>,
}

type Fallback<T, E> = Arc<dyn Fn(&E) -> BoxFuture<'static, Result<T, E>> + Send + Sync>;

/// What is known of an operation: counters that change one by one, behind a lock that makes a run one step.
struct Cell<E> {
    counts: RwLock<[AtomicU64; 4]>,
    nanos: AtomicU64,
    errors: Mutex<Vec<Arc<E>>>,
}

impl<E> Default for Cell<E> {
    fn default() -> Self {
        Self { counts: RwLock::default(), nanos: AtomicU64::new(0), errors: Mutex::default() }
    }
}

const SUCCEEDED: usize = 0;
const FAILED: usize = 1;
const WELL: usize = 2;
const BADLY: usize = 3;

impl<E: Clone> Cell<E> {
    fn note(&self, error: &E) {
        let kept = Arc::new(error.clone());
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = (errors.len() >= KEPT_ERRORS).then(|| errors.remove(0));
        errors.push(kept);
        drop(errors);
        drop(gone);
    }

    fn ends(&self, began: Instant, which: &[usize]) {
        let counts = self.counts.read().unwrap_or_else(PoisonError::into_inner);
        for index in which {
            counts[*index].fetch_add(1, SeqCst);
        }
        let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(took, SeqCst);
    }

    fn metrics(&self) -> Metrics<E> {
        // Alone: no run is half counted.
        let counts = self.counts.write().unwrap_or_else(PoisonError::into_inner);
        let [succeeded, failed, fallback_succeeded, fallback_failed] =
            [SUCCEEDED, FAILED, WELL, BADLY].map(|index| counts[index].load(SeqCst));
        let total = succeeded + failed;
        let mean = Duration::from_nanos(self.nanos.load(SeqCst) / total.max(1));
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone();
        drop(counts);
        let errors = errors.iter().map(|error| E::clone(error)).collect();
        Metrics { total, succeeded, failed, fallback_succeeded, fallback_failed, mean, errors }
    }
}

/// A name belongs to a fallback and to a cell.
pub struct Recovery<T, E> {
    waits: HashMap<Class, Waits>,
    fallbacks: HashMap<&'static str, Fallback<T, E>>,
    cells: Mutex<HashMap<&'static str, Arc<Cell<E>>>>,
}

impl<T, E> fmt::Debug for Recovery<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery").finish_non_exhaustive()
    }
}

impl<T, E> Default for Recovery<T, E> {
    fn default() -> Self {
        Self { waits: HashMap::new(), fallbacks: HashMap::new(), cells: Mutex::default() }
    }
}

impl<T, E: Classify + Clone> Recovery<T, E> {
    /// One without waits and fallbacks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the waits of a class.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn on_class(&mut self, class: Class, waits: Waits) -> Result<(), ConfigError> {
        waits.check().map(|()| drop(self.waits.insert(class, waits)))
    }

    /// Sets the fallback of an operation.
    pub fn fallback<F>(
        &mut self,
        op: &'static str,
        fallback: impl Fn(&E) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.fallbacks.insert(op, Arc::new(move |error| fallback(error).boxed()));
    }

    /// Runs an operation.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`].
    pub async fn run<F>(
        &self,
        op: &'static str,
        max_attempts: NonZeroU32,
        call: impl FnMut() -> F,
    ) -> Result<Recovered<T>, RecoveryError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let began = Instant::now();
        let cell = {
            let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(cells.entry(op).or_default())
        };
        // Each item is the outcome of an attempt; the stream ends when no further one may follow.
        let start = Some((1_u32, Duration::ZERO, call));
        let outcomes = stream::unfold(start, |next| async {
            let (number, wait, mut call) = next?;
            if number > 1 {
                sleep(wait).await;
            }
            match call().await {
                Ok(value) => Some(((number, Ok(value)), None)),
                Err(error) => {
                    cell.note(&error);
                    let more = number < max_attempts.get() && error.is_retryable();
                    let wait = self.wait(&error, number);
                    Some(((number, Err(error)), more.then(|| (number + 1, wait, call))))
                }
            }
        });
        let last = outcomes.fold(None, |_, outcome| std::future::ready(Some(outcome))).await;
        let (attempts, error) = match last {
            Some((_, Ok(value))) => {
                cell.ends(began, &[SUCCEEDED]);
                return Ok(Recovered::Primary(value));
            }
            Some((attempts, Err(error))) => (attempts, error),
            None => unreachable!("there is a first attempt"),
        };
        let second = match self.fallbacks.get(op) {
            Some(fallback) => Some(fallback(&error).await),
            None => None,
        };
        match second {
            None => {
                cell.ends(began, &[FAILED]);
                Err(RecoveryError::Failed { op, attempts, error })
            }
            Some(Ok(value)) => {
                cell.ends(began, &[FAILED, WELL]);
                Ok(Recovered::Fallback(value))
            }
            Some(Err(fallback)) => {
                cell.ends(began, &[FAILED, BADLY]);
                Err(RecoveryError::FallbackFailed { op, attempts, error, fallback })
            }
        }
    }

    /// The figures of an operation.
    #[must_use]
    pub fn metrics(&self, op: &str) -> Metrics<E> {
        let cell = {
            let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
            cells.get(op).map(Arc::clone).unwrap_or_default()
        };
        cell.metrics()
    }

    fn wait(&self, error: &E, attempt: u32) -> Duration {
        let class = error.class();
        self.waits.get(&class).map_or_else(|| class.waits(), |waits| *waits).after(attempt)
    }
}
