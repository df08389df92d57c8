//! The breaker of the lesson.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{BreakerConfig, BreakerError, BreakerConfigError, Snapshot, State, Transition, Trip};

/// A circuit breaker.
pub struct CircuitBreaker<E> {
    name: String,
    config: BreakerConfig<E>,
    inner: Mutex<Inner>,
    states: watch::Sender<State>,
    listener: Option<Box<dyn Fn(&Transition) + Send + Sync>>,
}

struct Inner {
    state: State,
    failure_count: u32,
    success_count: u32,
    next_attempt: Instant,
    opened_at: Option<Instant>,
    ok: u64,
    failed: u64,
    refused: u64,
}

impl<E> CircuitBreaker<E> {
    /// A closed breaker.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn new(name: &str, config: BreakerConfig<E>) -> Result<Self, BreakerConfigError> {
        let inner = Inner {
            state: State::Closed,
            failure_count: 0,
            success_count: 0,
            next_attempt: Instant::now(),
            opened_at: None,
            ok: 0,
            failed: 0,
            refused: 0,
        };
        Ok(Self {
            name: name.to_owned(),
            config,
            inner: Mutex::new(inner),
            states: watch::Sender::new(State::Closed),
            listener: None,
        })
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

    fn go(&self, inner: &mut Inner, to: State) {
        let transition = Transition { from: inner.state, to, at: Instant::now() };
        inner.state = to;
        self.states.send_replace(to);
        if let Some(listener) = &self.listener {
            listener(&transition);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics under the lock")
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
        {
            let mut inner = self.lock();
            if inner.state == State::Open {
                let retry_after = inner.next_attempt.saturating_duration_since(Instant::now());
                if !retry_after.is_zero() {
                    inner.refused += 1;
                    return Err(BreakerError::Open { retry_after });
                }
                self.go(&mut inner, State::HalfOpen);
            }
        }
        match op().await {
            Ok(value) => {
                let mut inner = self.lock();
                inner.ok += 1;
                inner.failure_count = 0;
                if inner.state == State::HalfOpen {
                    inner.success_count += 1;
                    if inner.success_count >= self.config.successes_to_close.get() {
                        inner.success_count = 0;
                        self.go(&mut inner, State::Closed);
                    }
                }
                Ok(value)
            }
            Err(error) => {
                let mut inner = self.lock();
                inner.failed += 1;
                inner.failure_count += 1;
                inner.success_count = 0;
                let (Trip::Consecutive(most) | Trip::InWindow { failures: most, .. }) =
                    self.config.trip;
                if inner.failure_count >= most.get() {
                    let now = Instant::now();
                    inner.next_attempt = now + self.config.reset_timeout;
                    inner.opened_at = Some(now);
                    self.go(&mut inner, State::Open);
                }
                Err(BreakerError::Inner(error))
            }
        }
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
        self.lock().state
    }

    /// The figures.
    pub fn snapshot(&self) -> Snapshot {
        let inner = self.lock();
        Snapshot {
            state: inner.state,
            calls: inner.ok + inner.failed + inner.refused,
            ok: inner.ok,
            failed: inner.failed,
            neutral: 0,
            dropped: 0,
            refused: inner.refused,
            failures: inner.failure_count,
            opened_at: inner.opened_at,
            retry_after: inner.next_attempt.saturating_duration_since(Instant::now()),
        }
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
