//! Recovery: retries by the class of the error, then a fallback, with figures for each operation.
//!
//! ```text
//!            it may be retried, and attempts are left
//!          ┌─────────── waits, by its class ◀───────────┐
//!          ▼                                            │
//!   ──▶ attempt ──── fails ─────────────────────────────┤
//!          │                                            │ it was the last attempt, or may not be retried
//!          └─ succeeds ──▶ Primary                      ▼
//!                                                  ┌─ fallback ──── succeeds ──▶ Fallback
//!                                    there is none │     │
//!                             Failed ◀─────────────┘     └─ fails ──▶ FallbackFailed, with both errors
//! ```
//!
//! Lesson: `level4/lessons/recovery.md`.

mod book;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};

use book::Book;

/// The most errors that are kept of one operation. For one more, the oldest is dropped.
pub const KEPT_ERRORS: usize = 100;

/// The kind of an error. It decides whether another attempt follows, and after which wait.
///
/// ```
/// use level4::recovery::Class;
///
/// assert_eq!(Class::of_status(429), Class::RateLimit);
/// assert!(Class::of_status(503).is_retryable());
/// assert!(!Class::of_status(404).is_retryable());
/// assert_eq!(Class::RateLimit.waits().first.as_secs(), 3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// There was no answer: the connection was refused or reset, or the time was up.
    Network,
    /// The service refused the request because there were too many.
    RateLimit,
    /// The service has a problem.
    Server,
    /// The request is wrong. The same request fails again.
    Client,
    /// The program has a fault, which no attempt repairs.
    Bug,
    /// A class that the application defines. The text is its name.
    Other(&'static str),
}

impl Class {
    /// Returns the class of an HTTP status that is an error: 429 is `RateLimit`, the rest of 400 to 499 `Client`, 500
    /// to 599 `Server`. Every other status is `Other("status")`.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        match status {
            429 => Self::RateLimit,
            400..=499 => Self::Client,
            500..=599 => Self::Server,
            _ => Self::Other("status"),
        }
    }

    /// Returns whether another attempt may help: not after `Client` and `Bug`.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        !matches!(self, Self::Client | Self::Bug)
    }

    /// Returns the waits of the class, which a [`Recovery`] uses unless its owner has set others: 3, 9, 27, 30, 30 s
    /// and so on for `RateLimit`, and 1, 2, 4, 8, 16, 30, 30 s and so on for every other class.
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

/// Tells a [`Recovery`] the class of an error.
///
/// ```
/// use level4::recovery::{Class, Classify};
///
/// #[derive(Debug, Clone)]
/// enum ApiError {
///     Refused,
///     Answered { status: u16 },
/// }
///
/// impl Classify for ApiError {
///     fn class(&self) -> Class {
///         match self {
///             Self::Refused => Class::Network,
///             Self::Answered { status } => Class::of_status(*status),
///         }
///     }
/// }
///
/// assert!(ApiError::Refused.is_retryable());
/// assert!(!ApiError::Answered { status: 404 }.is_retryable());
/// ```
pub trait Classify {
    /// Returns the class of the error.
    fn class(&self) -> Class;

    /// Returns whether another attempt may help. By default the class decides.
    fn is_retryable(&self) -> bool {
        self.class().is_retryable()
    }
}

/// The waits between attempts: `first`, and each one `factor` times the one before, up to `longest`.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
/// use level4::recovery::Waits;
///
/// let waits = Waits {
///     first: Duration::from_millis(100),
///     factor: NonZeroU32::new(10).unwrap(),
///     longest: Duration::from_secs(5),
/// };
/// let millis = [1, 2, 3, 4].map(|attempt| waits.after(attempt).as_millis());
/// assert_eq!(millis, [100, 1_000, 5_000, 5_000]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// The wait after the first failed attempt.
    pub first: Duration,
    /// The factor between one wait and the next. With 1 all waits are equal.
    pub factor: NonZeroU32,
    /// The longest wait. A wait that would grow beyond it is this one.
    pub longest: Duration,
}

impl Waits {
    /// Returns the wait after the failed attempt number `attempt`. The first attempt is 1; 0 counts as 1.
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
        // In 128 bits: a power that does not fit there is longer than every longest wait, so saturating is exact. A
        // power that saturates at 32 bits is not: with a first wait of some nanoseconds, that is a few seconds.
        let grown = u128::from(self.factor.get()).saturating_pow(attempt.saturating_sub(1));
        let nanos = self.first.as_nanos().saturating_mul(grown);
        if nanos < self.longest.as_nanos() {
            Duration::from_nanos_u128(nanos)
        } else {
            self.longest
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        // Zero times any factor is zero: every client would call a service that fails as fast as it can.
        if self.first.is_zero() {
            Err(ConfigError::ZeroWait)
        } else if self.longest < self.first {
            Err(ConfigError::LongestBelowFirst { first: self.first, longest: self.longest })
        } else {
            Ok(())
        }
    }
}

/// The reason why [`Recovery::on_class`] refused waits.
///
/// ```
/// use std::time::Duration;
/// use level4::recovery::{Class, ConfigError, Recovery, Waits};
/// # use level4::recovery::Classify;
/// # #[derive(Clone)]
/// # struct Down;
/// # impl Classify for Down {
/// #     fn class(&self) -> Class {
/// #         Class::Network
/// #     }
/// # }
///
/// let mut recovery = Recovery::<(), Down>::new();
/// let never = Waits { first: Duration::ZERO, ..Class::Network.waits() };
/// assert_eq!(recovery.on_class(Class::Network, never), Err(ConfigError::ZeroWait));
/// ```
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

/// The value of a run, with its origin.
///
/// ```
/// # use std::num::NonZeroU32;
/// # use level4::recovery::{Class, Classify};
/// use level4::recovery::{Recovered, Recovery};
/// # #[derive(Debug, Clone)]
/// # struct Down;
/// # impl Classify for Down {
/// #     fn class(&self) -> Class {
/// #         Class::Network
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let mut recovery = Recovery::<_, Down>::new();
/// recovery.fallback("price", |_| async { Ok(41) });
/// let text = match recovery.run("price", NonZeroU32::MIN, || async { Err(Down) }).await.unwrap() {
///     Recovered::Primary(price) => format!("{price}"),
///     Recovered::Fallback(price) => format!("{price}, as of yesterday"),
/// };
/// assert_eq!(text, "41, as of yesterday");
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered<T> {
    /// The operation succeeded, perhaps not at its first attempt.
    Primary(T),
    /// The operation failed, and its fallback succeeded. A page should say so.
    Fallback(T),
}

impl<T> Recovered<T> {
    /// Returns the value and forgets its origin.
    pub fn into_value(self) -> T {
        match self {
            Self::Primary(value) | Self::Fallback(value) => value,
        }
    }
}

/// The reason why a run has no value.
///
/// ```
/// # use level4::recovery::{Class, Classify};
/// use std::num::NonZeroU32;
/// use level4::recovery::{Recovery, RecoveryError};
/// # #[derive(Debug, Clone)]
/// # struct Down;
/// # impl Classify for Down {
/// #     fn class(&self) -> Class {
/// #         Class::Network
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let recovery = Recovery::<(), Down>::new();
/// let two = NonZeroU32::new(2).unwrap();
/// let failed = recovery.run("price", two, || async { Err(Down) }).await.unwrap_err();
/// let RecoveryError::Failed { op, attempts, .. } = failed else { panic!("there is no fallback") };
/// assert_eq!((op, attempts), ("price", 2));
/// # }
/// ```
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

/// The figures of one operation at one moment. They do not count runs that were dropped or have panicked.
///
/// ```
/// # use std::num::NonZeroU32;
/// # use std::time::Duration;
/// # use level4::recovery::{Class, Classify};
/// # use tokio::time::sleep;
/// use level4::recovery::Recovery;
/// # #[derive(Debug, Clone)]
/// # struct Down;
/// # impl Classify for Down {
/// #     fn class(&self) -> Class {
/// #         Class::Network
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let recovery = Recovery::<(), Down>::new();
/// let call = || async {
///     sleep(Duration::from_millis(200)).await;
///     Ok(())
/// };
/// recovery.run("price", NonZeroU32::MIN, call).await.unwrap();
/// let metrics = recovery.metrics("price");
/// assert_eq!((metrics.total, metrics.succeeded, metrics.failed), (1, 1, 0));
/// assert_eq!(metrics.mean, Duration::from_millis(200));
/// assert!(metrics.errors.is_empty());
/// # }
/// ```
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
    /// The errors of the last [`KEPT_ERRORS`] failed attempts, the oldest first. Errors of fallbacks are not kept.
    pub errors: Vec<E>,
}

/// A fallback: from the operation's error to a value or to another error. Closure and future are boxed, since those of
/// different operations have different types and lie in one map. The future does not borrow the error: the fallback
/// copies from it what it needs.
type Fallback<T, E> = Box<dyn Fn(&E) -> BoxFuture<'static, Result<T, E>> + Send + Sync>;

/// Runs operations with retries and fallbacks, and counts how they end.
///
/// It is set up once and then shared, in an `Arc` for instance. There is no background task: attempts, waits and
/// fallbacks run inside the caller's future.
///
/// ```
/// use std::num::NonZeroU32;
/// use level4::recovery::{Class, Classify, Recovered, Recovery};
///
/// #[derive(Debug, Clone)]
/// struct Down;
/// impl Classify for Down {
///     fn class(&self) -> Class {
///         Class::Network
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let mut recovery = Recovery::new();
/// recovery.fallback("user", |_| async { Ok("the name from the cache") });
/// let attempts = NonZeroU32::new(3).unwrap();
/// // Three calls, with waits of 1 s and 2 s; then the fallback.
/// let name = recovery.run("user", attempts, || async { Err(Down) }).await;
/// assert!(matches!(name, Ok(Recovered::Fallback("the name from the cache"))));
/// assert_eq!(recovery.metrics("user").failed, 1);
/// # }
/// ```
pub struct Recovery<T, E> {
    /// Only the classes whose waits the owner has changed. They need no lock: setting them takes `&mut self`, so no
    /// run reads them meanwhile.
    waits: HashMap<Class, Waits>,
    /// By the name of the operation. They need no lock for the same reason.
    fallbacks: HashMap<&'static str, Fallback<T, E>>,
    /// By the name of the operation. Runs write them through `&self`, hence the lock. It is std's: each use is a
    /// count or a copy, and none waits.
    books: Mutex<BTreeMap<&'static str, Book<E>>>,
}

impl<T, E> fmt::Debug for Recovery<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery").finish_non_exhaustive()
    }
}

// By hand: a derived `Default` would ask `T` and `E` to have one.
impl<T, E> Default for Recovery<T, E> {
    fn default() -> Self {
        Self {
            waits: HashMap::new(),
            fallbacks: HashMap::new(),
            books: Mutex::new(BTreeMap::new()),
        }
    }
}

impl<T, E: Classify + Clone> Recovery<T, E> {
    /// Makes a recovery with the waits of [`Class::waits`] and without fallbacks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the waits after errors of `class`. They replace earlier ones.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], if the waits make no sense. The class keeps the waits that it had.
    pub fn on_class(&mut self, class: Class, waits: Waits) -> Result<(), ConfigError> {
        waits.check()?;
        self.waits.insert(class, waits);
        Ok(())
    }

    /// Sets the fallback of the operation `op`. It replaces an earlier one.
    ///
    /// A run whose last attempt has failed calls it once, with the error of that attempt.
    pub fn fallback<F>(
        &mut self,
        op: &'static str,
        fallback: impl Fn(&E) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.fallbacks.insert(op, Box::new(move |error| fallback(error).boxed()));
    }

    /// Runs an operation: up to `max_attempts` calls of `call`, the first one included, and then the fallback of `op`.
    ///
    /// The name is a literal, so that the text of the program bounds the number of names: figures are kept for each
    /// name.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`], when the last attempt has failed and there is no fallback, or the fallback has failed too.
    ///
    /// # Panics
    ///
    /// A panic of `call` or of the fallback passes to the caller. The run is not counted.
    ///
    /// # Cancellation
    ///
    /// Before its first poll the future has done nothing. Dropping it stops the attempt, the wait or the fallback, and
    /// nothing follows. The run is not counted.
    pub async fn run<F>(
        &self,
        op: &'static str,
        max_attempts: NonZeroU32,
        call: impl FnMut() -> F,
    ) -> Result<Recovered<T>, RecoveryError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        // At the first poll, since the body of an `async fn` begins there: the time from the call to it is not the
        // operation's.
        let began = Instant::now();
        let (attempts, error) = match self.attempts(op, max_attempts, call).await {
            Ok(value) => {
                self.write(op, |book| book.ended(began, |it| it.succeeded += 1));
                return Ok(Recovered::Primary(value));
            }
            Err(failed) => failed,
        };
        let Some(fallback) = self.fallbacks.get(op) else {
            self.write(op, |book| book.ended(began, |it| it.failed += 1));
            return Err(RecoveryError::Failed { op, attempts, error });
        };
        // The run is not counted before this: one that is dropped here or panics must not be in the figures.
        let second = fallback(&error).await;
        // All counts in one step, after the fallback: `failed` is then always the sum of the runs with and without a
        // fallback, in every snapshot.
        self.write(op, |book| {
            book.ended(began, |it| {
                it.failed += 1;
                match second {
                    Ok(_) => it.fallback_succeeded += 1,
                    Err(_) => it.fallback_failed += 1,
                }
            });
        });
        match second {
            Ok(value) => Ok(Recovered::Fallback(value)),
            Err(fallback) => Err(RecoveryError::FallbackFailed { op, attempts, error, fallback }),
        }
    }

    /// Returns a copy of an operation's figures as they are now. All are zero for a name without runs.
    #[must_use]
    pub fn metrics(&self, op: &str) -> Metrics<E> {
        // Reads only: asking for an unknown name adds no book, so that a caller with made-up names fills no memory.
        let (mut metrics, errors) = {
            let books = lock(&self.books);
            books.get(op).map_or_else(|| Book::default().metrics(), Book::metrics)
        };
        // Without the lock: the `clone` of an error may be slow, and may use this object.
        metrics.errors = errors.iter().map(|error| E::clone(error)).collect();
        metrics
    }

    /// Returns the first value, or the number of attempts and the error of the last one.
    async fn attempts<F>(
        &self,
        op: &'static str,
        max_attempts: NonZeroU32,
        mut call: impl FnMut() -> F,
    ) -> Result<T, (u32, E)>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut attempt = 1;
        loop {
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            // Cloned before the lock and dropped after it: both are the application's code, which may be slow, and
            // which may use this object and would wait for itself.
            let kept = Arc::new(error.clone());
            // Noted before the decision, so that the error of the last attempt is kept too.
            let gone = self.write(op, |book| book.note(kept));
            drop(gone);
            if attempt >= max_attempts.get() || !error.is_retryable() {
                return Err((attempt, error));
            }
            // By the class of this error: one run may meet a limit first and a broken network then. The number is
            // that of all attempts, so the waits grow across classes.
            let class = error.class();
            let waits = self.waits.get(&class).copied().unwrap_or_else(|| class.waits());
            // The last attempt has returned above: no caller waits for an attempt that does not follow.
            sleep(waits.after(attempt)).await;
            attempt += 1;
        }
    }

    /// Changes the book of an operation. `change` runs under the lock, so it calls no code of the application.
    fn write<R>(&self, op: &'static str, change: impl FnOnce(&mut Book<E>) -> R) -> R {
        change(lock(&self.books).entry(op).or_default())
    }
}

/// Locks, also after a panic: only an error's `clone` in `metrics` can panic under the lock, and it changes nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Broken(Class);

    impl Classify for Broken {
        fn class(&self) -> Class {
            self.0
        }
    }

    const THREE: NonZeroU32 = NonZeroU32::new(3).expect("not 0");

    #[test]
    fn waits_grow_up_to_the_longest() {
        let seconds = |class: Class, attempt| class.waits().after(attempt).as_secs();
        assert_eq!([1, 2, 3, 4, 5].map(|n| seconds(Class::RateLimit, n)), [3, 9, 27, 30, 30]);
        assert_eq!([0, 1, 2, 3, 6].map(|n| seconds(Class::Server, n)), [1, 1, 2, 4, 30]);
        assert_eq!(seconds(Class::Server, u32::MAX), 30);
    }

    #[test]
    fn statuses_have_classes() {
        let classes = [429, 404, 499, 500, 599, 302].map(Class::of_status);
        let (client, server) = (Class::Client, Class::Server);
        let other = Class::Other("status");
        assert_eq!(classes, [Class::RateLimit, client, client, server, server, other]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut recovery = Recovery::<(), Broken>::new();
        let waits = Class::Server.waits();
        let zero = Waits { first: Duration::ZERO, ..waits };
        assert_eq!(recovery.on_class(Class::Server, zero), Err(ConfigError::ZeroWait));
        let (first, longest) = (waits.first, Duration::from_millis(999));
        let refused = recovery.on_class(Class::Server, Waits { longest, ..waits });
        assert_eq!(refused, Err(ConfigError::LongestBelowFirst { first, longest }));
    }

    #[tokio::test(start_paused = true)]
    async fn retries_then_falls_back() {
        let mut recovery = Recovery::new();
        recovery.fallback("a", |error: &Broken| {
            let class = error.0;
            async move { Ok(class) }
        });
        let mut calls = 0;
        let began = Instant::now();
        let run = recovery.run("a", THREE, || {
            calls += 1;
            async { Err(Broken(Class::Server)) }
        });
        assert_eq!(run.await, Ok(Recovered::Fallback(Class::Server)));
        assert_eq!((calls, began.elapsed().as_secs()), (3, 3));
        let metrics = recovery.metrics("a");
        assert_eq!((metrics.total, metrics.failed, metrics.fallback_succeeded), (1, 1, 1));
        assert_eq!((metrics.mean, metrics.errors.len()), (Duration::from_secs(3), 3));
    }

    #[tokio::test(start_paused = true)]
    async fn both_errors_are_reported() {
        let mut recovery = Recovery::<(), _>::new();
        recovery.fallback("a", |_| async { Err(Broken(Class::Bug)) });
        let error = recovery.run("a", THREE, || async { Err(Broken(Class::Client)) }).await;
        let (error_of, fallback) = (Broken(Class::Client), Broken(Class::Bug));
        let expected =
            RecoveryError::FallbackFailed { op: "a", attempts: 1, error: error_of, fallback };
        assert_eq!(error, Err(expected));
    }
}
