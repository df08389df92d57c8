//! The attempts at one step of one payment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt as _;

use super::call::{CallBudget, CallError};
use super::config::StepConfig;
use super::services::Services;
use super::step::PaymentStep;
use crate::deadline::Deadline;
use crate::event::Event;
use crate::ids::PaymentId;
use crate::provider::Effect;
use crate::retry::retry;
use crate::saga::StepError;

/// One step of one payment, with the values that all its attempts share.
pub(super) struct StepAttempts<'a> {
    // Borrowed, like the rest: an attempt never outlives the step that makes it.
    services: &'a Services,
    // Seeds the jitter, and names the payment in the event.
    payment: &'a PaymentId,
    // Decides whether a later answer settles earlier attempts: only if all carry one key.
    step: PaymentStep,
    // The schedule of the retries and the time of one call of this step.
    config: &'a StepConfig,
    /// The limits of the calls, and the times that they took. The attempts share it.
    pub(super) budget: CallBudget,
}

/// The result of the attempts.
pub(super) struct AttemptsReport<T> {
    /// The value, or the error with the effect of all attempts together.
    pub(super) outcome: Result<T, StepError>,
    /// The number of attempts, for the event and for a dead letter.
    pub(super) attempts: u32,
    /// The time between the attempts, for the event.
    backoff: Duration,
}

impl<'a> StepAttempts<'a> {
    pub(super) fn new(
        services: &'a Services,
        payment: &'a PaymentId,
        step: PaymentStep,
        config: &'a StepConfig,
        deadline: Deadline,
    ) -> Self {
        let budget = CallBudget::new(config.limit, deadline);
        let budget = if step == PaymentStep::Create { budget.of_the_first_step() } else { budget };
        Self { services, payment, step, config, budget }
    }

    /// Makes the attempts of the step, and returns the known effect if none succeeds.
    pub(super) async fn run_unreported<T, Fut>(
        &self,
        attempt: impl Fn() -> Fut,
    ) -> AttemptsReport<T>
    where
        Fut: Future<Output = Result<T, CallError>>,
    {
        // Once one attempt may have had its effect, a later one that had none does not change that;
        // only an answer to the key that both carry does. Atomic because the future must be `Send`
        // and the attempts share it; they follow one another, so there is nothing to order.
        let open = AtomicBool::new(false);
        let note = |outcome: &Result<T, CallError>| match outcome {
            Err(error) if self.step.is_keyed() && error.settles() => {
                open.store(false, Ordering::Relaxed);
            }
            Err(error) if error.effect() == Effect::Unknown => open.store(true, Ordering::Relaxed),
            _ => {}
        };
        // `inspect` sees each outcome before the retry decides about it. `retry` keeps the last
        // error only, and that error alone does not say what an earlier attempt may have done.
        let op = |_| attempt().inspect(note);
        // A jitter of the payment's own: its waits do not depend on the payments beside it.
        let jitter = self.services.jitter_of(self.payment);
        let (policy, deadline) = (&self.config.retry, self.budget.deadline());
        match retry(policy, &jitter, deadline, CallError::disposition, op).await {
            Ok(done) => AttemptsReport {
                outcome: Ok(done.value),
                attempts: done.attempts,
                backoff: done.backoff,
            },
            Err(failed) => {
                // Without an attempt there is no last error: the deadline was too close for the
                // first one.
                let error = failed.last.unwrap_or(CallError::NoTime);
                let effect = if open.into_inner() { Effect::Unknown } else { Effect::None };
                let error = StepError { effect, kind: error.kind(), message: error.to_string() };
                AttemptsReport {
                    outcome: Err(error),
                    attempts: failed.attempts,
                    backoff: failed.backoff,
                }
            }
        }
    }

    /// Runs the attempts ([`run_unreported`](Self::run_unreported)) and emits an event with their
    /// times.
    pub(super) async fn run<T, Fut>(&self, attempt: impl Fn() -> Fut) -> AttemptsReport<T>
    where
        Fut: Future<Output = Result<T, CallError>>,
    {
        let report = self.run_unreported(attempt).await;
        self.services.observer.on_event(Event::Called {
            payment: self.payment.clone(),
            step: self.step.name(),
            attempts: report.attempts,
            waiting: self.budget.waiting(),
            backoff: report.backoff,
            wire: self.budget.wire(),
        });
        report
    }
}
