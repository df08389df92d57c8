//! Recovery as one loop over states, with finished figures in the map.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
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
        let mut wait = self.first;
        if self.factor.get() > 1 {
            for _ in 1..attempt {
                if wait >= self.longest {
                    break;
                }
                wait = wait.saturating_mul(self.factor.get());
            }
        }
        wait.min(self.longest)
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

type Fallback<T, E> = Box<dyn Fn(&E) -> BoxFuture<'static, Result<T, E>> + Send + Sync>;

/// Where a run is.
enum State<E> {
    Attempt(u32),
    Wait(u32, Duration),
    Over(u32, E),
}

/// Waits and fallbacks in plain lists: there are a few of each.
pub struct Recovery<T, E> {
    waits: Vec<(Class, Waits)>,
    fallbacks: Vec<(&'static str, Fallback<T, E>)>,
    figures: Mutex<HashMap<&'static str, (Metrics<Arc<E>>, u128)>>,
}

impl<T, E> fmt::Debug for Recovery<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery").finish_non_exhaustive()
    }
}

impl<T, E> Default for Recovery<T, E> {
    fn default() -> Self {
        Self { waits: Vec::new(), fallbacks: Vec::new(), figures: Mutex::default() }
    }
}

const fn nothing<E>() -> Metrics<E> {
    Metrics {
        total: 0,
        succeeded: 0,
        failed: 0,
        fallback_succeeded: 0,
        fallback_failed: 0,
        mean: Duration::ZERO,
        errors: Vec::new(),
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
        waits.check()?;
        self.waits.retain(|(known, _)| *known != class);
        self.waits.push((class, waits));
        Ok(())
    }

    /// Sets the fallback of an operation.
    pub fn fallback<F>(
        &mut self,
        op: &'static str,
        fallback: impl Fn(&E) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.fallbacks.retain(|(known, _)| *known != op);
        self.fallbacks.push((op, Box::new(move |error| fallback(error).boxed())));
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
        mut call: impl FnMut() -> F,
    ) -> Result<Recovered<T>, RecoveryError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let began = Instant::now();
        let mut state = State::Attempt(1);
        loop {
            state = match state {
                State::Attempt(number) => match call().await {
                    Ok(value) => {
                        self.ends(op, began, |it| it.succeeded += 1);
                        return Ok(Recovered::Primary(value));
                    }
                    Err(error) => {
                        let kept = Arc::new(error.clone());
                        let mut gone = Vec::new();
                        self.change(op, |(it, _)| {
                            it.errors.push(kept);
                            let more = it.errors.len().saturating_sub(KEPT_ERRORS);
                            gone.extend(it.errors.drain(..more));
                        });
                        drop(gone);
                        if number < max_attempts.get() && error.is_retryable() {
                            State::Wait(number, self.wait(error.class(), number))
                        } else {
                            State::Over(number, error)
                        }
                    }
                },
                State::Wait(number, wait) => {
                    sleep(wait).await;
                    State::Attempt(number + 1)
                }
                State::Over(attempts, error) => {
                    let Some((_, fallback)) = self.fallbacks.iter().find(|(known, _)| *known == op)
                    else {
                        self.ends(op, began, |it| it.failed += 1);
                        return Err(RecoveryError::Failed { op, attempts, error });
                    };
                    return match fallback(&error).await {
                        Ok(value) => {
                            self.ends(op, began, |it| {
                                it.failed += 1;
                                it.fallback_succeeded += 1;
                            });
                            Ok(Recovered::Fallback(value))
                        }
                        Err(fallback) => {
                            self.ends(op, began, |it| {
                                it.failed += 1;
                                it.fallback_failed += 1;
                            });
                            Err(RecoveryError::FallbackFailed { op, attempts, error, fallback })
                        }
                    };
                }
            };
        }
    }

    /// The figures of an operation.
    #[must_use]
    pub fn metrics(&self, op: &str) -> Metrics<E> {
        let it = {
            let figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
            figures.get(op).map_or_else(nothing, |(it, _)| it.clone())
        };
        let errors = it.errors.iter().map(|error| E::clone(error)).collect();
        let Metrics { total, succeeded, failed, fallback_succeeded, fallback_failed, mean, .. } = it;
        Metrics { total, succeeded, failed, fallback_succeeded, fallback_failed, mean, errors }
    }

    fn wait(&self, class: Class, attempt: u32) -> Duration {
        let own = self.waits.iter().find(|(known, _)| *known == class);
        own.map_or_else(|| class.waits(), |(_, waits)| *waits).after(attempt)
    }

    fn change(&self, op: &'static str, change: impl FnOnce(&mut (Metrics<Arc<E>>, u128))) {
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        change(figures.entry(op).or_insert_with(|| (nothing(), 0)));
    }

    fn ends(&self, op: &'static str, began: Instant, how: impl FnOnce(&mut Metrics<Arc<E>>)) {
        self.change(op, |(it, micros)| {
            how(it);
            it.total += 1;
            *micros += began.elapsed().as_micros();
            let mean = *micros / u128::from(it.total);
            it.mean = Duration::from_micros(u64::try_from(mean).unwrap_or(u64::MAX));
        });
    }
}
