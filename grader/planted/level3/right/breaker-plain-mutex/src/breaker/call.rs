//! The breaker in one piece.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{BreakerConfig, BreakerError, ConfigError, Snapshot, State, Transition, Trip};

/// A circuit breaker.
pub struct CircuitBreaker<E> {
    name: String,
    config: BreakerConfig<E>,
    inner: Mutex<Inner>,
    states: watch::Sender<State>,
    listener: Option<Box<dyn Fn(&Transition) + Send + Sync>>,
}

#[derive(Default)]
struct Inner {
    state: Phase,
    epoch: u64,
    opened_at: Option<Instant>,
    ok: u64,
    failed: u64,
    neutral: u64,
    dropped: u64,
    refused: u64,
}

enum Phase {
    Closed { failures: Vec<Instant> },
    Open { until: Instant },
    HalfOpen { running: usize, good: u32 },
}

impl Default for Phase {
    fn default() -> Self {
        Self::Closed { failures: Vec::new() }
    }
}

impl Inner {
    fn name(&self) -> State {
        match self.state {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    fn go(&mut self, state: Phase, now: Instant, told: &mut Vec<Transition>) {
        let from = self.name();
        self.state = state;
        self.epoch += 1;
        told.push(Transition { from, to: self.name(), at: now });
    }
}

struct Probe<'a, E> {
    breaker: &'a CircuitBreaker<E>,
    epoch: u64,
    outcome: Option<Option<bool>>,
}

impl<E> Drop for Probe<'_, E> {
    fn drop(&mut self) {
        let reset = self.breaker.config.reset_timeout;
        let outcome = self.outcome;
        let epoch = self.epoch;
        let config = self.breaker.config;
        self.breaker.change(|inner, now, told| {
            match outcome {
                Some(Some(true)) => inner.ok += 1,
                Some(Some(false)) => inner.failed += 1,
                Some(None) => inner.neutral += 1,
                None => inner.dropped += 1,
            }
            if inner.epoch != epoch {
                return;
            }
            let verdict = outcome.flatten();
            let mut next = None;
            match &mut inner.state {
                Phase::Closed { failures } => match (verdict, config.trip) {
                    (Some(true), Trip::Consecutive(_)) => failures.clear(),
                    (Some(false), Trip::Consecutive(most)) => {
                        failures.push(now);
                        if failures.len() == most.get() as usize {
                            next = Some(Phase::Open { until: now + reset });
                        }
                    }
                    (Some(false), Trip::InWindow { failures: most, window }) => {
                        failures.push(now);
                        failures.retain(|at| now - *at < window);
                        if failures.len() == most.get() as usize {
                            next = Some(Phase::Open { until: now + reset });
                        }
                    }
                    _ => {}
                },
                Phase::HalfOpen { running, good } => {
                    *running -= 1;
                    match verdict {
                        Some(true) => {
                            *good += 1;
                            if *good == config.successes_to_close.get() {
                                next = Some(Phase::default());
                            }
                        }
                        Some(false) => next = Some(Phase::Open { until: now + reset }),
                        None => {}
                    }
                }
                Phase::Open { .. } => {}
            }
            if let Some(next) = next {
                if matches!(next, Phase::Open { .. }) {
                    inner.opened_at = Some(now);
                }
                inner.go(next, now, told);
            }
        });
    }
}

impl<E> CircuitBreaker<E> {
    /// A closed breaker.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn new(name: &str, config: BreakerConfig<E>) -> Result<Self, ConfigError> {
        if config.reset_timeout == Duration::ZERO {
            return Err(ConfigError::ZeroResetTimeout);
        }
        match config.trip {
            Trip::InWindow { window, .. } if window == Duration::ZERO => {
                Err(ConfigError::ZeroWindow)
            }
            _ => Ok(Self {
                name: name.to_owned(),
                config,
                inner: Mutex::default(),
                states: watch::Sender::new(State::Closed),
                listener: None,
            }),
        }
    }

    /// With a listener.
    #[must_use]
    pub fn with_listener(self, listener: impl Fn(&Transition) + Send + Sync + 'static) -> Self {
        Self { listener: Some(Box::new(listener)), ..self }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Looks whether the open time is over, does something, and tells of what has changed.
    fn change<R>(&self, f: impl FnOnce(&mut Inner, Instant, &mut Vec<Transition>) -> R) -> R {
        let mut told = Vec::new();
        let result = {
            let mut inner = self.inner.lock().expect("nothing panics under the lock");
            let now = Instant::now();
            if let Phase::Open { until } = inner.state
                && now >= until
            {
                inner.go(Phase::HalfOpen { running: 0, good: 0 }, now, &mut told);
            }
            f(&mut inner, now, &mut told)
        };
        for transition in &told {
            self.states
                .send_if_modified(|state| std::mem::replace(state, transition.to) != transition.to);
            if let Some(listener) = &self.listener {
                listener(transition);
            }
        }
        result
    }

    fn enter(&self) -> Result<Probe<'_, E>, Duration> {
        let probes = self.config.probes.get();
        let epoch = self.change(|inner, now, _| {
            let wait = match &mut inner.state {
                Phase::Closed { .. } => return Ok(inner.epoch),
                Phase::HalfOpen { running, .. } if *running < probes => {
                    *running += 1;
                    return Ok(inner.epoch);
                }
                Phase::HalfOpen { .. } => Duration::ZERO,
                Phase::Open { until } => *until - now,
            };
            inner.refused += 1;
            Err(wait)
        })?;
        Ok(Probe { breaker: self, epoch, outcome: None })
    }

    /// Runs `op`, unless the breaker refuses.
    ///
    /// # Errors
    ///
    /// [`BreakerError`].
    pub async fn call<T, F>(&self, op: impl FnOnce() -> F) -> Result<T, BreakerError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut probe = match self.enter() {
            Ok(probe) => probe,
            Err(retry_after) => return Err(BreakerError::Open { retry_after }),
        };
        let result = op().await;
        probe.outcome = Some(match &result {
            Ok(_) => Some(true),
            Err(error) if (self.config.is_failure)(error) => Some(false),
            Err(_) => None,
        });
        result.map_err(BreakerError::Inner)
    }

    /// Runs `op`, or falls back while open.
    ///
    /// # Errors
    ///
    /// The operation's.
    pub async fn call_or<T, F>(
        &self,
        op: impl FnOnce() -> F,
        fallback: impl FnOnce(Duration) -> T,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.call(op).await.or_else(|error| match error {
            BreakerError::Open { retry_after } => Ok(fallback(retry_after)),
            BreakerError::Inner(error) => Err(error),
        })
    }

    /// The state.
    pub fn state(&self) -> State {
        self.change(|inner, _, _| inner.name())
    }

    /// The figures.
    pub fn snapshot(&self) -> Snapshot {
        let trip = self.config.trip;
        self.change(|inner, now, _| Snapshot {
            state: inner.name(),
            calls: inner.ok + inner.failed + inner.neutral + inner.dropped + inner.refused,
            ok: inner.ok,
            failed: inner.failed,
            neutral: inner.neutral,
            dropped: inner.dropped,
            refused: inner.refused,
            failures: match (&inner.state, trip) {
                (Phase::Closed { failures }, Trip::Consecutive(_)) => failures.len() as u32,
                (Phase::Closed { failures }, Trip::InWindow { window, .. }) => {
                    failures.iter().filter(|at| now - **at < window).count() as u32
                }
                _ => 0,
            },
            opened_at: inner.opened_at,
            retry_after: match inner.state {
                Phase::Open { until } => until - now,
                _ => Duration::ZERO,
            },
        })
    }

    /// The state as it changes.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.states.subscribe()
    }
}

impl<E> fmt::Debug for CircuitBreaker<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker").field("name", &self.name).finish_non_exhaustive()
    }
}
