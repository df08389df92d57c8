//! The breaker: one struct behind one lock.

use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{BreakerConfig, BreakerConfigError, BreakerError, Snapshot, State, Transition, Trip};

/// A circuit breaker. Share it in an [`Arc`](std::sync::Arc).
pub struct CircuitBreaker<E> {
    name: String,
    config: BreakerConfig<E>,
    machine: Mutex<Machine>,
    states: watch::Sender<State>,
    listener: Option<Box<dyn Fn(&Transition) + Send + Sync>>,
}

#[derive(Debug)]
struct Machine {
    state: State,
    /// Rises with every change.
    period: u64,
    opened_at: Option<Instant>,
    row: u32,
    recent: VecDeque<Instant>,
    probes: usize,
    successes: u32,
    counts: Counts,
    changes: VecDeque<Transition>,
    /// Whether a thread is notifying: it takes what others add.
    notifying: bool,
}

#[derive(Debug, Default)]
struct Counts {
    ok: u64,
    failed: u64,
    neutral: u64,
    dropped: u64,
    refused: u64,
}

impl<E> Debug for CircuitBreaker<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl<E> CircuitBreaker<E> {
    /// A closed breaker.
    ///
    /// # Errors
    ///
    /// [`BreakerConfigError`] when a time is zero.
    pub fn new(name: &str, config: BreakerConfig<E>) -> Result<Self, BreakerConfigError> {
        if config.reset_timeout == Duration::ZERO {
            return Err(BreakerConfigError::ZeroResetTimeout);
        }
        match config.trip {
            Trip::InWindow { window, .. } if window == Duration::ZERO => {
                return Err(BreakerConfigError::ZeroWindow);
            }
            _ => {}
        }
        let machine = Machine {
            state: State::Closed,
            period: 0,
            opened_at: None,
            row: 0,
            recent: VecDeque::new(),
            probes: 0,
            successes: 0,
            counts: Counts::default(),
            changes: VecDeque::new(),
            notifying: false,
        };
        Ok(Self {
            name: name.to_owned(),
            config,
            machine: Mutex::new(machine),
            states: watch::Sender::new(State::Closed),
            listener: None,
        })
    }

    /// The same breaker, which calls `listener` for every change of state, in order.
    #[must_use]
    pub fn with_listener(mut self, listener: impl Fn(&Transition) + Send + Sync + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
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
        let admitted = {
            let (mut machine, now) = self.look();
            match machine.admit(&self.config, now) {
                Ok(()) => Ok(machine.period),
                Err(retry_after) => {
                    machine.counts.refused += 1;
                    Err(retry_after)
                }
            }
        };
        self.notify();
        let period = admitted.map_err(|retry_after| BreakerError::Open { retry_after })?;
        let mut call = Call { breaker: self, period, verdict: None };
        let answer = op().await;
        call.verdict = Some(match &answer {
            Ok(_) => Verdict::Ok,
            Err(error) => match (self.config.is_failure)(error) {
                true => Verdict::Failed,
                false => Verdict::Neutral,
            },
        });
        drop(call);
        answer.map_err(BreakerError::Inner)
    }

    /// Runs `op`, or returns the value of `fallback` when the breaker refuses.
    ///
    /// # Errors
    ///
    /// The operation's error.
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

    /// The state now.
    pub fn state(&self) -> State {
        let state = self.look().0.state;
        self.notify();
        state
    }

    /// The state and the counts now.
    pub fn snapshot(&self) -> Snapshot {
        let snapshot = {
            let (machine, now) = self.look();
            let Counts { ok, failed, neutral, dropped, refused } = machine.counts;
            Snapshot {
                state: machine.state,
                calls: ok + failed + neutral + dropped + refused,
                ok,
                failed,
                neutral,
                dropped,
                refused,
                failures: machine.failures(self.config.trip, now),
                opened_at: machine.opened_at,
                retry_after: machine.rest(self.config.reset_timeout, now),
            }
        };
        self.notify();
        snapshot
    }

    /// The state as it changes.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.states.subscribe()
    }

    /// The machine, as it is at this instant.
    fn look(&self) -> (MutexGuard<'_, Machine>, Instant) {
        let mut machine = self.lock();
        let now = Instant::now();
        if machine.state == State::Open
            && machine.rest(self.config.reset_timeout, now) == Duration::ZERO
        {
            machine.enter(State::HalfOpen, now);
        }
        (machine, now)
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        let mut machine = self.lock();
        if machine.notifying {
            return;
        }
        machine.notifying = true;
        while let Some(change) = machine.changes.pop_front() {
            drop(machine);
            self.states.send_replace(change.to);
            if let Some(listener) = &self.listener {
                let _ = catch_unwind(AssertUnwindSafe(|| listener(&change)));
            }
            machine = self.lock();
        }
        machine.notifying = false;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    Failed,
    Neutral,
}

struct Call<'a, E> {
    breaker: &'a CircuitBreaker<E>,
    period: u64,
    verdict: Option<Verdict>,
}

impl<E> Drop for Call<'_, E> {
    fn drop(&mut self) {
        let config = self.breaker.config;
        let mut machine = self.breaker.lock();
        let now = Instant::now();
        let counts = &mut machine.counts;
        *(match self.verdict {
            Some(Verdict::Ok) => &mut counts.ok,
            Some(Verdict::Failed) => &mut counts.failed,
            Some(Verdict::Neutral) => &mut counts.neutral,
            None => &mut counts.dropped,
        }) += 1;
        if machine.period == self.period {
            machine.probes = machine.probes.saturating_sub(1);
            match self.verdict {
                Some(Verdict::Ok) => machine.succeeded(&config, now),
                Some(Verdict::Failed) => machine.failed(&config, now),
                Some(Verdict::Neutral) | None => {}
            }
        }
        drop(machine);
        self.breaker.notify();
    }
}

impl Machine {
    fn admit<E>(&mut self, config: &BreakerConfig<E>, now: Instant) -> Result<(), Duration> {
        match self.state {
            State::Closed => Ok(()),
            State::Open => Err(self.rest(config.reset_timeout, now)),
            State::HalfOpen if self.probes >= config.probes.get() => Err(config.reset_timeout),
            State::HalfOpen => {
                self.probes += 1;
                Ok(())
            }
        }
    }

    fn succeeded<E>(&mut self, config: &BreakerConfig<E>, now: Instant) {
        self.row = 0;
        if self.state == State::HalfOpen {
            self.successes += 1;
            if self.successes == config.successes_to_close.get() {
                self.enter(State::Closed, now);
            }
        }
    }

    fn failed<E>(&mut self, config: &BreakerConfig<E>, now: Instant) {
        let trips = match (self.state, config.trip) {
            (State::HalfOpen, _) => true,
            (State::Open, _) => false,
            (State::Closed, Trip::Consecutive(most)) => {
                self.row += 1;
                self.row >= most.get()
            }
            (State::Closed, Trip::InWindow { failures, window }) => {
                self.recent.retain(|&then| now.saturating_duration_since(then) < window);
                self.recent.push_back(now);
                u32::try_from(self.recent.len()).unwrap_or(u32::MAX) >= failures.get()
            }
        };
        if trips {
            self.opened_at = Some(now);
            self.enter(State::Open, now);
        }
    }

    fn failures(&self, trip: Trip, now: Instant) -> u32 {
        match trip {
            _ if self.state != State::Closed => 0,
            Trip::Consecutive(_) => self.row,
            Trip::InWindow { window, .. } => {
                let young = |&&then: &&Instant| now.saturating_duration_since(then) < window;
                u32::try_from(self.recent.iter().filter(young).count()).unwrap_or(u32::MAX)
            }
        }
    }

    fn rest(&self, reset_timeout: Duration, now: Instant) -> Duration {
        match (self.state, self.opened_at) {
            (State::Open, Some(at)) => {
                reset_timeout.saturating_sub(now.saturating_duration_since(at))
            }
            _ => Duration::ZERO,
        }
    }

    fn enter(&mut self, to: State, at: Instant) {
        let from = std::mem::replace(&mut self.state, to);
        self.period += 1;
        self.row = 0;
        self.recent.clear();
        self.probes = 0;
        self.successes = 0;
        self.changes.push_back(Transition { from, to, at });
    }
}

#[cfg(test)]
mod tests;
