//! The services behind a gateway, each with its breaker and its limiter.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::admission::Admission;
use super::call::{CallError, GuardedService};
use super::config::{GatewayConfig, GatewayConfigError};
use super::keys::Keys;
use crate::answer::Dependency;
use crate::breaker::{BreakerConfig, CircuitBreaker};
use crate::event::{Event, Observer};
use crate::ids::PaymentId;
use crate::limiter::RateLimiter;
use crate::overload::Source;
use crate::provider::Providers;
use crate::retry::SeededJitter;

/// An observer whose panics are contained: they do not stop a payment.
struct ContainedObserver(Arc<dyn Observer>);

impl Observer for ContainedObserver {
    fn on_event(&self, event: Event) {
        // `AssertUnwindSafe`: the observer is responsible for its own state, and is called again.
        if catch_unwind(AssertUnwindSafe(|| self.0.on_event(event))).is_err() {
            tracing::error!("the observer panicked");
        }
    }
}

/// The services that all payments share: one breaker for each, one limiter for the account.
pub(super) struct Services {
    pub(super) config: GatewayConfig,
    pub(super) providers: Providers,
    pub(super) observer: Arc<dyn Observer>,
    // The only service with a rate limiter: the limit is that of the account at the provider.
    pub(super) payments: GuardedService,
    pub(super) fraud: GuardedService,
    pub(super) ledger: GuardedService,
    // Not critical: a breaker that is open here refuses no payment.
    pub(super) receipts: GuardedService,
    // Shared by all payments of this gateway, since a burnt key is burnt for each attempt with it.
    pub(super) keys: Keys,
    // In an `Arc`, since each service reports the times of its calls to it.
    pub(super) admission: Arc<Admission>,
    // The source of each payment's own jitter; no payment draws from it directly.
    jitter: SeededJitter,
}

impl Services {
    pub(super) fn new(
        config: GatewayConfig,
        providers: Providers,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, GatewayConfigError> {
        // Wrapped once, here: every other place can call the observer without a thought for its
        // panics.
        let observer: Arc<dyn Observer> = Arc::new(ContainedObserver(observer));
        let limiter = RateLimiter::new(config.rate, config.rate_window)?;
        let admission = Arc::new(Admission::new(&config));
        let guarded =
            |dependency: Dependency, limiter| -> Result<GuardedService, GatewayConfigError> {
                // A decline or bad input is an answer of a healthy service, so `is_outage` does not
                // count it.
                let config = BreakerConfig::payment(CallError::is_outage);
                let observer = Arc::clone(&observer);
                let breaker =
                    CircuitBreaker::new(dependency.name(), config)?.with_listener(move |change| {
                        observer.on_event(Event::Breaker { dependency, state: change.to });
                    });
                // Only services that a payment waits for limit how many payments are admitted.
                let source = match dependency {
                    Dependency::Payments => Some(Source::Payments),
                    Dependency::Fraud => Some(Source::Fraud),
                    Dependency::Ledger => Some(Source::Ledger),
                    Dependency::Receipts => None,
                };
                let admission = Arc::clone(&admission);
                Ok(GuardedService {
                    dependency,
                    source,
                    breaker,
                    limiter,
                    admission,
                    newcomers: Semaphore::new(1),
                })
            };
        Ok(Self {
            payments: guarded(Dependency::Payments, Some(limiter))?,
            fraud: guarded(Dependency::Fraud, None)?,
            ledger: guarded(Dependency::Ledger, None)?,
            receipts: guarded(Dependency::Receipts, None)?,
            keys: Keys::default(),
            admission: Arc::clone(&admission),
            jitter: SeededJitter::new(config.seed),
            config,
            providers,
            observer,
        })
    }

    /// Returns the jitter of one payment: payments that failed together do not retry together, and
    /// a payment draws the same numbers after a restart.
    pub(super) fn jitter_of(&self, payment: &PaymentId) -> SeededJitter {
        // Eight bytes of the key's hash, behind "pay_".
        let digits = payment.as_str().get(4..20).unwrap_or_default();
        self.jitter.fork(u64::from_str_radix(digits, 16).unwrap_or_default())
    }

    /// The services without which no payment can succeed.
    pub(super) fn critical(&self) -> [&GuardedService; 3] {
        [&self.payments, &self.fraud, &self.ledger]
    }
}
