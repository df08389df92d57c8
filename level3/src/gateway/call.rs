//! One call to a service, with its retry, breaker, limiter and time limit.
//!
//! From the outside in: retry, breaker, rate limiter, time limit, call. The order matters. The
//! breaker is inside the retry, so that it counts wire calls and not whole steps; the time limit is
//! inside the breaker, so that a hang is a failure that it sees; the limiter is inside the breaker,
//! so that a refused call costs no slot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures::TryFutureExt as _;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::admission::Admission;
use crate::answer::Dependency;
use crate::breaker::{BreakerError, CircuitBreaker};
use crate::deadline::Deadline;
use crate::journal::FailureKind;
use crate::limiter::{LimitError, Priority, RateLimiter};
use crate::overload::Source;
use crate::provider::{CallFuture, Effect, ProviderError};
use crate::retry::Disposition;

/// The error of a protected call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// The service, or the connection to it, failed.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The breaker refused the call.
    #[error("{dependency} is down")]
    Open { dependency: Dependency },
    /// The limiter has no slot before the deadline.
    #[error(transparent)]
    Limited(#[from] LimitError),
    /// The deadline is too close for the call.
    #[error("no time left for it")]
    NoTime,
}

impl CallError {
    pub(super) fn is_outage(&self) -> bool {
        matches!(self, Self::Provider(error) if error.is_outage())
    }

    pub(super) fn disposition(&self) -> Disposition {
        match self {
            Self::Provider(ProviderError::RateLimited { retry_after: Some(after) }) => {
                Disposition::RetryAfter(*after)
            }
            Self::Provider(error) if error.is_transient() => Disposition::Retry,
            // A further attempt would meet the same open breaker, or even less time.
            _ => Disposition::GiveUp,
        }
    }

    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Provider(error) => error.effect(),
            // Refused before the request was made: nothing has left.
            _ => Effect::None,
        }
    }

    /// Whether the error determines the outcome of earlier attempts too: it is the answer to *this*
    /// key, so an earlier attempt with the same key had the same outcome.
    pub(super) fn settles(&self) -> bool {
        matches!(
            self,
            Self::Provider(
                ProviderError::Declined { .. }
                    | ProviderError::Invalid { .. }
                    | ProviderError::WrongState { .. }
            )
        )
    }

    pub(super) fn kind(&self) -> FailureKind {
        match self {
            Self::Provider(ProviderError::Declined { .. }) => FailureKind::Declined,
            Self::Provider(error) if error.is_transient() => FailureKind::Transient,
            Self::Provider(_) => FailureKind::Rejected,
            Self::Open { .. } | Self::Limited(_) => FailureKind::Unavailable,
            Self::NoTime => FailureKind::Deadline,
        }
    }
}

/// A service with its breaker and, if its account has one, its rate limiter. Shared by all
/// payments.
#[derive(Debug)]
pub(super) struct GuardedService {
    pub(super) dependency: Dependency,
    // One for all payments: each payment learns from the failures of the others.
    pub(super) breaker: CircuitBreaker<CallError>,
    // One for all payments as well, because the provider counts the calls of the whole account.
    pub(super) limiter: Option<RateLimiter>,
    /// The name of the service in the admission of payments, if payments wait for it.
    pub(super) source: Option<Source>,
    // Every call reports here, so that the admission of new payments knows about retries and undos.
    pub(super) admission: Arc<Admission>,
    /// Held by the first call of a payment while it stands in the limiter's queue. So there is one
    /// such call in the queue at most, and the calls of payments that have begun go before all the
    /// others.
    pub(super) newcomers: Semaphore,
}

/// The kind of a call: decides what it waits for, and whether it was reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The first call of a payment.
    Begin,
    /// A further call of a payment that has begun.
    Continue,
    /// A call of an undo.
    Undo,
}

/// The times of a step's calls, in microseconds. Atomic, since the calls of a step share it
/// and a future that holds a reference to it must be `Send`; they are sums, so `Relaxed` is enough.
#[derive(Debug, Default)]
struct CallTimings {
    // Apart, because they have different remedies: a long wait calls for fewer payments, a long
    // call for a faster service.
    waiting: AtomicU64,
    // From the request to the answer, without the wait for the limiter.
    wire: AtomicU64,
}

impl CallTimings {
    fn add(to: &AtomicU64, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        to.fetch_add(micros, Ordering::Relaxed);
    }
}

/// The limits of each call of a step, and how much time the calls have used.
#[derive(Debug)]
pub(super) struct CallBudget {
    /// How long one call may take, once it is sent.
    limit: Duration,
    /// The deadline of the calls.
    deadline: Deadline,
    /// Whether its step is the first of a payment.
    is_first: bool,
    /// How many calls were made. The first one was reserved when the payment was admitted.
    calls: AtomicU32,
    // The event of the step reports these, when its last attempt has ended.
    timings: CallTimings,
}

impl CallBudget {
    pub(super) fn new(limit: Duration, deadline: Deadline) -> Self {
        let (calls, timings) = (AtomicU32::new(0), CallTimings::default());
        Self { limit, deadline, is_first: false, calls, timings }
    }

    /// The same for the first step of a payment.
    pub(super) fn of_the_first_step(self) -> Self {
        Self { is_first: true, ..self }
    }

    pub(super) fn deadline(&self) -> Deadline {
        self.deadline
    }

    pub(super) fn waiting(&self) -> Duration {
        Duration::from_micros(self.timings.waiting.load(Ordering::Relaxed))
    }

    pub(super) fn wire(&self) -> Duration {
        Duration::from_micros(self.timings.wire.load(Ordering::Relaxed))
    }
}

impl GuardedService {
    /// Makes one call for a payment that goes forward, if the breaker admits it.
    pub(super) fn call<T>(
        &self,
        budget: &CallBudget,
        call: impl FnOnce() -> CallFuture<T>,
    ) -> impl Future<Output = Result<T, CallError>> {
        // The breaker is outside of the limiter: a call that it refuses must not take a slot.
        let purpose = if budget.is_first { Purpose::Begin } else { Purpose::Continue };
        let guarded = move || self.send(purpose, budget, call);
        self.breaker.call(guarded).map_err(|error| match error {
            BreakerError::Open { .. } => CallError::Open { dependency: self.dependency },
            BreakerError::Inner(error) => error,
        })
    }

    /// Makes one call that bypasses the breaker, and that the limiter serves before those of
    /// payments that go forward. An undo needs both: an outage is no reason to keep a customer's
    /// money.
    pub(super) async fn call_past_breaker<T>(
        &self,
        deadline: Deadline,
        call: impl FnOnce() -> CallFuture<T>,
    ) -> Result<T, CallError> {
        // One call gets all the time of the attempt: the retries of an undo are the saga's, which
        // writes each of them to the journal.
        let budget = CallBudget::new(deadline.remaining(), deadline);
        self.send(Purpose::Undo, &budget, call).await
    }

    /// Waits for a slot of the rate limiter and makes the call, within its time limit.
    async fn send<T>(
        &self,
        purpose: Purpose,
        budget: &CallBudget,
        call: impl FnOnce() -> CallFuture<T>,
    ) -> Result<T, CallError> {
        let deadline = budget.deadline;
        // First the start of the wait, then that of the call: the event reports the two times
        // apart.
        let mut begun = Instant::now();
        if let Some(limiter) = &self.limiter {
            // The admission has reserved one call for each step. An undo and every retry are calls
            // beyond that, and have to be added, or the account would be overbooked.
            let is_reserved = budget.calls.fetch_add(1, Ordering::Relaxed) == 0;
            if purpose == Purpose::Undo || !is_reserved {
                self.admission.add(1);
            }
            // A caller that drops the future here leaves the queue, and its slot goes to the next
            // one.
            self.wait_for_a_slot(limiter, purpose, deadline).await?;
            let admitted = Instant::now();
            CallTimings::add(&budget.timings.waiting, admitted - begun);
            begun = admitted;
        }
        // The limit of the attempt, cut at the deadline. It counts from here: time in the limiter's
        // queue is not the service's.
        let limit = budget.limit.min(deadline.instant().saturating_duration_since(begun));
        if limit.is_zero() {
            return Err(CallError::NoTime);
        }
        // Dropping the call stops the waiting only. The request may still be executed, so the error
        // is `TimedOut`, whose effect is unknown. `call` is a closure, so that a call that gets no
        // slot makes no request at all.
        let answer = timeout_at(begun + limit, call()).await;
        let answer = answer.unwrap_or(Err(ProviderError::TimedOut { limit }));
        let took = begun.elapsed();
        CallTimings::add(&budget.timings.wire, took);
        // Undos are left out: they run while a service fails, and would lower the limit further.
        if let (Some(source), false) = (self.source, purpose == Purpose::Undo) {
            self.admission.called(source, begun, took, budget.limit);
        }
        if let (Some(limiter), Err(ProviderError::RateLimited { retry_after: Some(after) })) =
            (&self.limiter, &answer)
        {
            // The limit is the account's: a `Retry-After` of one payment holds for all.
            limiter.pause_for(*after);
            self.admission.pause_for(*after);
        }
        Ok(answer?)
    }

    /// Waits until the call may be made. Undos go first, then the calls of payments that have
    /// begun, then those of new payments.
    async fn wait_for_a_slot(
        &self,
        limiter: &RateLimiter,
        purpose: Purpose,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let priority = match purpose {
            Purpose::Undo => Priority::Refund,
            Purpose::Begin | Purpose::Continue => Priority::Charge,
        };
        // Only one new payment waits in the limiter's queue at a time. The others wait here, so
        // that a call of a payment that has begun never stands behind many first calls. The permit
        // is dropped when this function returns: this call has its slot then, and the next newcomer
        // may join the queue.
        let _turn = match purpose {
            // The semaphore is never closed, so `Ok` is a permit.
            Purpose::Begin => deadline.run(self.newcomers.acquire()).await.map(Some),
            Purpose::Continue | Purpose::Undo => Ok(None),
        }
        .map_err(|_| CallError::NoTime)?;
        Ok(limiter.admit(priority, deadline).await?)
    }
}
