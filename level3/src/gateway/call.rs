//! One call, with everything around it that protects both sides.
//!
//! From the outside in: retry, breaker, rate limiter, time limit, call. The order matters. The breaker
//! is inside the retry, so that it counts wire calls and not whole steps; the time limit is inside the
//! breaker, so that a hang is a failure that it sees; the limiter is inside the breaker, so that a
//! refused call costs no slot.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::config::StepConfig;
use crate::answer::Dependency;
use crate::breaker::{BreakerError, CircuitBreaker};
use crate::deadline::Deadline;
use crate::journal::FailureKind;
use crate::limiter::{LimitError, Priority, RateLimiter};
use crate::provider::{Answer, Effect, ProviderError};
use crate::retry::{Disposition, Jitter, retry};
use crate::saga::StepError;

/// Why a call gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// The service, or the wire to it.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The breaker let nothing through.
    #[error("{dependency} is down")]
    Open { dependency: Dependency },
    /// The limiter has no slot in time.
    #[error(transparent)]
    Limited(#[from] LimitError),
    /// The deadline is too close to begin.
    #[error("no time left for it")]
    NoTime,
}

impl CallError {
    pub(super) fn is_outage(&self) -> bool {
        matches!(self, Self::Provider(error) if error.is_outage())
    }

    fn disposition(&self) -> Disposition {
        match self {
            Self::Provider(ProviderError::RateLimited { retry_after: Some(after) }) => {
                Disposition::RetryAfter(*after)
            }
            Self::Provider(error) if error.is_transient() => Disposition::Retry,
            _ => Disposition::GiveUp,
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::Provider(error) => error.effect(),
            _ => Effect::None,
        }
    }

    /// Whether it settles what an earlier attempt left open: it is the answer to *this* key, so the
    /// earlier attempt with the same key came to the same.
    fn settles(&self) -> bool {
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

/// A service with its breaker and, if its account has one, its rate limiter. Shared by all payments.
#[derive(Debug)]
pub(super) struct Protected {
    pub(super) dependency: Dependency,
    pub(super) breaker: CircuitBreaker<CallError>,
    pub(super) limiter: Option<RateLimiter>,
}

/// Where the time of a step's calls went, in microseconds.
#[derive(Debug, Default)]
pub(super) struct Spent {
    waiting: AtomicU64,
    wire: AtomicU64,
}

impl Spent {
    fn add(to: &AtomicU64, since: Instant) {
        let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        to.fetch_add(micros, Ordering::Relaxed);
    }

    pub(super) fn waiting(&self) -> Duration {
        Duration::from_micros(self.waiting.load(Ordering::Relaxed))
    }

    pub(super) fn wire(&self) -> Duration {
        Duration::from_micros(self.wire.load(Ordering::Relaxed))
    }
}

impl Protected {
    /// One wire call on behalf of a charge.
    pub(super) async fn charge<T>(
        &self,
        limit: Duration,
        deadline: Deadline,
        spent: &Spent,
        call: impl FnOnce() -> Answer<T>,
    ) -> Result<T, CallError> {
        let guarded = || self.wire(Priority::Charge, limit, deadline, spent, call);
        self.breaker.call(guarded).await.map_err(|error| match error {
            BreakerError::Open { .. } => CallError::Open { dependency: self.dependency },
            BreakerError::Inner(error) => error,
        })
    }

    /// One wire call that undoes something: past the breaker, since an outage is no reason to keep
    /// somebody's money, and before all charges at the limiter.
    pub(super) async fn undo<T>(
        &self,
        deadline: Deadline,
        call: impl FnOnce() -> Answer<T>,
    ) -> Result<T, CallError> {
        let limit = deadline.remaining();
        self.wire(Priority::Refund, limit, deadline, &Spent::default(), call).await
    }

    async fn wire<T>(
        &self,
        priority: Priority,
        limit: Duration,
        deadline: Deadline,
        spent: &Spent,
        call: impl FnOnce() -> Answer<T>,
    ) -> Result<T, CallError> {
        if let Some(limiter) = &self.limiter {
            let since = Instant::now();
            limiter.admit(priority, deadline).await?;
            Spent::add(&spent.waiting, since);
        }
        let limit = limit.min(deadline.remaining());
        if limit.is_zero() {
            return Err(CallError::NoTime);
        }
        let since = Instant::now();
        let answer = timeout(limit, call()).await.unwrap_or(Err(ProviderError::TimedOut { limit }));
        Spent::add(&spent.wire, since);
        if let (Some(limiter), Err(ProviderError::RateLimited { retry_after: Some(after) })) =
            (&self.limiter, &answer)
        {
            // The limit is the account's: what one payment is told holds for all.
            limiter.pause_for(*after);
        }
        Ok(answer?)
    }
}

/// What the attempts of a step came to.
pub(super) struct Tried<T> {
    pub(super) outcome: Result<T, StepError>,
    pub(super) attempts: u32,
    pub(super) backoff: Duration,
}

/// Makes as many attempts as the step has, and says what is known if none succeeds.
///
/// `keyed` says that all attempts carry the same idempotency key, so that a refusal of the last one is
/// an answer to the earlier ones too.
pub(super) async fn attempts<T, Fut>(
    step: &StepConfig,
    keyed: bool,
    jitter: &dyn Jitter,
    deadline: Deadline,
    mut attempt: impl FnMut() -> Fut,
) -> Tried<T>
where
    Fut: Future<Output = Result<T, CallError>>,
{
    // Once one attempt may have had its effect, a later one that had none does not change that.
    let open = AtomicBool::new(false);
    let tried = retry(&step.retry, jitter, deadline, CallError::disposition, |_| {
        let (attempt, open) = (attempt(), &open);
        async move {
            let outcome = attempt.await;
            if let Err(error) = &outcome {
                if keyed && error.settles() {
                    open.store(false, Ordering::Relaxed);
                } else if error.effect() == Effect::Unknown {
                    open.store(true, Ordering::Relaxed);
                }
            }
            outcome
        }
    });
    match tried.await {
        Ok(done) => {
            Tried { outcome: Ok(done.value), attempts: done.attempts, backoff: done.backoff }
        }
        Err(failed) => {
            let error = failed.last.unwrap_or(CallError::NoTime);
            let effect = if open.into_inner() { Effect::Unknown } else { Effect::None };
            let error = StepError { effect, kind: error.kind(), message: error.to_string() };
            Tried { outcome: Err(error), attempts: failed.attempts, backoff: failed.backoff }
        }
    }
}
