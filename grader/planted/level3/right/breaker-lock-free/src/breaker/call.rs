//! The async wrapper around the state machine. While the breaker is closed and nothing fails, a call
//! takes no lock.

use std::fmt::{self, Debug};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::core::{CallOutcome, Core, Rules, Ticket};
use super::{BreakerConfig, BreakerConfigError, BreakerError, Snapshot, State, Transition, Trip};

type Listener = Box<dyn Fn(&Transition) + Send + Sync>;

/// A circuit breaker. Share it in an [`Arc`](std::sync::Arc).
pub struct CircuitBreaker<E> {
    name: Box<str>,
    config: BreakerConfig<E>,
    fast_path: FastPath,
    counts: Counts,
    core: Mutex<Core>,
    // Held while notifying, so that listeners see transitions in order.
    notify_lock: Mutex<()>,
    states: watch::Sender<State>,
    listener: Option<Listener>,
}

/// A copy of what a call needs to know of the core while the breaker is closed and nothing fails.
///
/// It is written under the core's lock, after every change, and read without it. A call that reads it
/// just before a change behaves as if it had come before the change: its ticket is then one of an old
/// generation, whose outcome the core ignores. `Release` pairs with `Acquire`: a call that sees a new
/// generation also sees the `failure_streak` that was written before it.
#[derive(Debug, Default)]
struct FastPath {
    // The generation times 2, plus 1 unless closed: one atomic, so that the two cannot disagree.
    generation: AtomicU64,
    // Whether a success changes anything: only one that ends a streak of failures does.
    failure_streak: AtomicBool,
}

#[derive(Debug, Default)]
struct Counts {
    ok: AtomicU64,
    failed: AtomicU64,
    neutral: AtomicU64,
    dropped: AtomicU64,
    refused: AtomicU64,
}

impl<E> Debug for CircuitBreaker<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("name", &self.name)
            .field("config", &self.config)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl<E> CircuitBreaker<E> {
    /// A closed breaker. `name` is what it is called in messages: the dependency.
    ///
    /// # Errors
    ///
    /// [`BreakerConfigError`] when a time is zero.
    pub fn new(name: &str, config: BreakerConfig<E>) -> Result<Self, BreakerConfigError> {
        if config.reset_timeout.is_zero() {
            return Err(BreakerConfigError::ZeroResetTimeout);
        }
        if let Trip::InWindow { window: Duration::ZERO, .. } = config.trip {
            return Err(BreakerConfigError::ZeroWindow);
        }
        let rules = Rules {
            trip: config.trip,
            reset_timeout: config.reset_timeout,
            probes: config.probes,
            successes_to_close: config.successes_to_close,
        };
        Ok(Self {
            name: name.into(),
            config,
            fast_path: FastPath::default(),
            counts: Counts::default(),
            core: Mutex::new(Core::new(rules)),
            notify_lock: Mutex::new(()),
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

    /// The name that was given to [`new`](Self::new).
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `op`, unless the breaker refuses.
    ///
    /// The result decides by the state in which the call was let in: what comes back after the state
    /// has changed decides nothing any more. An error that is no failure ([`BreakerConfig::is_failure`])
    /// passes through and decides nothing.
    ///
    /// # Errors
    ///
    /// [`BreakerError::Open`] at once when it refuses; `op` is then not called.
    /// [`BreakerError::Inner`] with the operation's error.
    ///
    /// # Panics
    ///
    /// A panic of `op` passes to the caller. It decides nothing and gives a probe's place back.
    ///
    /// # Cancellation
    ///
    /// Dropping the future drops the operation. It decides nothing, since the caller's reasons are not
    /// the dependency's, and gives a probe's place back.
    pub async fn call<T, F>(&self, op: impl FnOnce() -> F) -> Result<T, BreakerError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let running = self.admit().map_err(|retry_after| BreakerError::Open { retry_after })?;
        let result = op().await;
        match result {
            Ok(value) => {
                running.succeeded();
                Ok(value)
            }
            Err(error) => {
                running.failed((self.config.is_failure)(&error));
                Err(BreakerError::Inner(error))
            }
        }
    }

    /// Runs `op`, or returns what `fallback` makes of the time to wait when the breaker refuses. The
    /// fallback's value is no success for the breaker.
    ///
    /// # Errors
    ///
    /// The operation's error: a fallback does not hide it.
    ///
    /// # Panics
    ///
    /// As [`call`](Self::call).
    ///
    /// # Cancellation
    ///
    /// As for [`call`](Self::call).
    pub async fn call_or<T, F>(
        &self,
        op: impl FnOnce() -> F,
        fallback: impl FnOnce(Duration) -> T,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        match self.call(op).await {
            Ok(value) => Ok(value),
            Err(BreakerError::Open { retry_after }) => Ok(fallback(retry_after)),
            Err(BreakerError::Inner(error)) => Err(error),
        }
    }

    /// The state now. Half-open from the instant at which the breaker has been open for its reset
    /// timeout, whether or not a call has come since.
    pub fn state(&self) -> State {
        if self.fast_path.closed().is_some() {
            return State::Closed;
        }
        self.with_core(Core::state)
    }

    /// The figures now.
    pub fn snapshot(&self) -> Snapshot {
        let (state, failures, opened_at, retry_after) = self.with_core(|core, now| {
            (core.state(now), core.failures(now), core.opened_at(), core.retry_after(now))
        });
        let [ok, failed, neutral, dropped, refused] = self.counts.read();
        let calls = ok + failed + neutral + dropped + refused;
        Snapshot {
            state,
            calls,
            ok,
            failed,
            neutral,
            dropped,
            refused,
            failures,
            opened_at,
            retry_after,
        }
    }

    /// The state as it changes. A receiver sees the latest state; see [`Transition::at`] for when
    /// half-open is noticed.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.states.subscribe()
    }

    #[inline]
    fn admit(&self) -> Result<Running<'_, E>, Duration> {
        let ticket = match self.fast_path.closed() {
            Some(ticket) => ticket,
            None => {
                self.with_core(Core::admit).inspect_err(|_| Counts::add(&self.counts.refused))?
            }
        };
        Ok(Running { breaker: self, ticket, ended: false })
    }

    /// Runs `decide` on the core, then publishes its new state to the fast path and to watchers.
    fn with_core<R>(&self, decide: impl FnOnce(&mut Core, Instant) -> R) -> R {
        let mut core = self.lock();
        // Read under the lock, so that the core never sees time go back.
        let result = decide(&mut core, Instant::now());
        self.fast_path.publish(&core);
        let pending = core.has_pending();
        drop(core);
        if pending {
            self.notify();
        }
        result
    }

    /// Notifies of every pending change, in order, without holding the core's lock.
    fn notify(&self) {
        loop {
            let notify_lock = match self.notify_lock.try_lock() {
                Ok(notify_lock) => notify_lock,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                // Another thread is notifying, or this one is, further up its stack, in a listener that
                // called the breaker: it looks for pending changes again after it has released the lock.
                Err(TryLockError::WouldBlock) => return,
            };
            while let Some(transition) = self.next_pending() {
                self.states.send_replace(transition.to);
                if let Some(listener) = &self.listener {
                    // A panic here would pass for a panic of the operation; during one, it would end
                    // the process.
                    let _ = catch_unwind(AssertUnwindSafe(|| listener(&transition)));
                }
            }
            drop(notify_lock);
            if !self.lock().has_pending() {
                return;
            }
        }
    }

    // On its own, so that the lock is gone when it returns.
    fn next_pending(&self) -> Option<Transition> {
        self.lock().take_pending()
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        // No foreign code runs under the lock, so a poisoned core is whole.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that was let in. Dropped without an outcome, it frees its place and decides nothing.
struct Running<'a, E> {
    breaker: &'a CircuitBreaker<E>,
    ticket: Ticket,
    ended: bool,
}

impl<E> Running<'_, E> {
    fn succeeded(mut self) {
        self.ended = true;
        Counts::add(&self.breaker.counts.ok);
        if self.breaker.fast_path.needs_success(self.ticket) {
            self.settle(CallOutcome::Success);
        }
    }

    fn failed(mut self, counts: bool) {
        self.ended = true;
        if counts {
            Counts::add(&self.breaker.counts.failed);
            self.settle(CallOutcome::Failure);
        } else {
            Counts::add(&self.breaker.counts.neutral);
            self.settle(CallOutcome::Ignored);
        }
    }

    fn settle(&self, outcome: CallOutcome) {
        self.breaker.with_core(|core, now| core.settle(self.ticket, outcome, now));
    }
}

impl<E> Drop for Running<'_, E> {
    fn drop(&mut self) {
        if !self.ended {
            Counts::add(&self.breaker.counts.dropped);
            self.settle(CallOutcome::Ignored);
        }
    }
}

// Inlined into the crate that makes the call: a function call would cost as much as these do.
impl FastPath {
    fn publish(&self, core: &Core) {
        let closed = core.is_closed();
        self.failure_streak.store(core.has_streak(), Ordering::Release);
        self.generation.store(core.generation() << 1 | u64::from(!closed), Ordering::Release);
    }

    /// The ticket for a call, if the breaker is closed.
    #[inline]
    fn closed(&self) -> Option<Ticket> {
        let generation = self.generation.load(Ordering::Acquire);
        (generation & 1 == 0).then_some(Ticket(generation >> 1))
    }

    /// Whether the core has to hear of the success of a call that was let in with `ticket`.
    #[inline]
    fn needs_success(&self, ticket: Ticket) -> bool {
        let generation = self.generation.load(Ordering::Acquire);
        let (current, closed) = (generation >> 1 == ticket.0, generation & 1 == 0);
        current && (!closed || self.failure_streak.load(Ordering::Acquire))
    }
}

impl Counts {
    #[inline]
    fn add(count: &AtomicU64) {
        // Figures for people: no decision rests on them, so no order does either.
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> [u64; 5] {
        [&self.ok, &self.failed, &self.neutral, &self.dropped, &self.refused]
            .map(|count| count.load(Ordering::Relaxed))
    }
}
