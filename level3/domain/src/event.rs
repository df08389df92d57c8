//! The events that a gateway sends to its observer.

use std::time::Duration;

use crate::answer::{Dependency, Status};
use crate::ids::PaymentId;

/// What a breaker does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Calls run.
    Closed,
    /// Calls are refused.
    Open,
    /// A few calls find out whether the dependency is back.
    HalfOpen,
}

/// Something that happened. Nothing in it is a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A payment has begun.
    Begun {
        /// Which.
        payment: PaymentId,
    },
    /// The calls of one step are over, well or not.
    Called {
        /// Which payment.
        payment: PaymentId,
        /// Which step.
        step: &'static str,
        /// How many attempts were made.
        attempts: u32,
        /// How long they waited for the rate limiter.
        waiting: Duration,
        /// How long they waited between attempts.
        backoff: Duration,
        /// How long the services took.
        wire: Duration,
    },
    /// A step is done.
    StepDone {
        /// Which payment.
        payment: PaymentId,
        /// Which step.
        step: &'static str,
        /// How long it took in all.
        took: Duration,
    },
    /// A step has failed.
    StepFailed {
        /// Which payment.
        payment: PaymentId,
        /// Which step.
        step: String,
        /// Why.
        reason: String,
        /// How long it took in all.
        took: Duration,
    },
    /// A step is undone.
    Undone {
        /// Which payment.
        payment: PaymentId,
        /// Which step.
        step: &'static str,
        /// How many attempts it took.
        attempts: u32,
    },
    /// A step could not be undone and waits in the dead letters.
    Parked {
        /// Which payment.
        payment: PaymentId,
        /// Which step.
        step: &'static str,
        /// Why.
        cause: String,
        /// How many attempts were made.
        attempts: u32,
    },
    /// The payment has come to its end: once for each payment, after everything it says is written.
    ///
    /// A parked payment ends when a redrive has settled it.
    Ended {
        /// Which payment.
        payment: PaymentId,
        /// How.
        status: Status,
        /// Since it began, or was taken over.
        took: Duration,
    },
    /// The receipt has gone out.
    ReceiptSent {
        /// Which payment.
        payment: PaymentId,
    },
    /// The receipt could not be sent and waits in the dead letters.
    ReceiptParked {
        /// Which payment.
        payment: PaymentId,
        /// Why.
        cause: String,
    },
    /// A breaker has changed its state.
    Breaker {
        /// Whose.
        dependency: Dependency,
        /// What it does with calls now.
        state: BreakerState,
    },
}

/// Watches a gateway. Called on the gateway's own tasks, so it must not block. A panic of it changes nothing
/// for the gateway.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn on_event(&self, event: Event);
}

impl<F: Fn(Event) + Send + Sync> Observer for F {
    fn on_event(&self, event: Event) {
        self(event);
    }
}

/// Does not look.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn on_event(&self, _event: Event) {}
}
