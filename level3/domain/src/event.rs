//! The events that a gateway sends to its observer.

use std::time::Duration;

use crate::answer::{Dependency, Status};
use crate::ids::PaymentId;

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Calls run.
    Closed,
    /// Calls are refused.
    Open,
    /// A few calls probe whether the dependency works again.
    HalfOpen,
}

/// Something that happened. Nothing in it is a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A payment has begun.
    Begun {
        /// The payment that the event is about.
        payment: PaymentId,
    },
    /// The calls of one step have ended, with success or not.
    Called {
        /// The payment that the event is about.
        payment: PaymentId,
        /// The name of the step.
        step: &'static str,
        /// The number of attempts.
        attempts: u32,
        /// How long the attempts waited for the rate limiter.
        waiting: Duration,
        /// The time between the attempts.
        backoff: Duration,
        /// The time from the requests to their answers, waits excluded.
        wire: Duration,
    },
    /// A step is done.
    StepDone {
        /// The payment that the event is about.
        payment: PaymentId,
        /// The name of the step.
        step: &'static str,
        /// The time from the first attempt to the outcome, waits included.
        took: Duration,
    },
    /// A step has failed.
    StepFailed {
        /// The payment that the event is about.
        payment: PaymentId,
        /// The name of the step.
        step: String,
        /// The cause, in words. Without secrets.
        reason: String,
        /// The time from the first attempt to the outcome, waits included.
        took: Duration,
    },
    /// A step is undone.
    Undone {
        /// The payment that the event is about.
        payment: PaymentId,
        /// The name of the step.
        step: &'static str,
        /// The number of attempts, the successful one included.
        attempts: u32,
    },
    /// A step could not be undone and waits in the dead letters.
    Parked {
        /// The payment that the event is about.
        payment: PaymentId,
        /// The name of the step.
        step: &'static str,
        /// The cause, in words. Without secrets.
        cause: String,
        /// The number of attempts.
        attempts: u32,
    },
    /// The payment has ended. Emitted once for each payment, after its end is in the journal.
    ///
    /// A parked payment ends when a redrive has settled it.
    Ended {
        /// The payment that the event is about.
        payment: PaymentId,
        /// The final status.
        status: Status,
        /// The time since the payment began, or since this process took it over.
        took: Duration,
    },
    /// The receipt was sent.
    ReceiptSent {
        /// The payment that the event is about.
        payment: PaymentId,
    },
    /// The receipt could not be sent and waits in the dead letters.
    ReceiptParked {
        /// The payment that the event is about.
        payment: PaymentId,
        /// The cause, in words. Without secrets.
        cause: String,
    },
    /// A breaker has changed its state.
    Breaker {
        /// The service behind the breaker.
        dependency: Dependency,
        /// The new state.
        state: BreakerState,
    },
}

/// Watches a gateway. Called on the gateway's own tasks, so it must not block. A panic in the
/// observer does not affect the gateway.
pub trait Observer: Send + Sync {
    /// Called for each event.
    fn on_event(&self, event: Event);
}

impl<F: Fn(Event) + Send + Sync> Observer for F {
    fn on_event(&self, event: Event) {
        self(event);
    }
}

/// An observer that ignores every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn on_event(&self, _event: Event) {}
}
