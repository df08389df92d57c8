//! Counts the calls to any payment provider.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use level3_domain::ids::{IntentId, PaymentId};
use level3_domain::provider::{
    CallFuture, CreateIntent, Intent, PaymentProvider, ProviderKey, Refund,
};
use tokio::time::Instant;

/// Wraps a payment provider and counts its calls.
pub struct Metered {
    inner: Arc<dyn PaymentProvider>,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    all: u64,
    /// The calls of the last second.
    last: VecDeque<Instant>,
}

impl Metered {
    pub fn new(inner: Arc<dyn PaymentProvider>) -> Self {
        Self { inner, calls: Mutex::default() }
    }

    /// Returns the number of calls.
    pub fn all(&self) -> u64 {
        self.calls().all
    }

    /// Returns the number of calls in the last second.
    pub fn last_second(&self) -> usize {
        let mut calls = self.calls();
        calls.forget(Instant::now());
        calls.last.len()
    }

    fn count(&self) -> &dyn PaymentProvider {
        let now = Instant::now();
        let mut calls = self.calls();
        calls.all += 1;
        calls.last.push_back(now);
        calls.forget(now);
        self.inner.as_ref()
    }

    fn calls(&self) -> std::sync::MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    fn forget(&mut self, now: Instant) {
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= Duration::from_secs(1);
        while self.last.front().is_some_and(is_old) {
            self.last.pop_front();
        }
    }
}

impl PaymentProvider for Metered {
    fn create_intent(&self, request: CreateIntent) -> CallFuture<Intent> {
        self.count().create_intent(request)
    }

    fn confirm(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        self.count().confirm(key, intent)
    }

    fn cancel(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        self.count().cancel(key, intent)
    }

    fn refund(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Refund> {
        self.count().refund(key, intent)
    }

    fn find_intent(&self, payment: PaymentId) -> CallFuture<Option<Intent>> {
        self.count().find_intent(payment)
    }
}

#[cfg(test)]
mod tests {
    use level3_domain::ids::PaymentKey;
    use level3_domain::journal::StoreId;
    use level3_sim::{NoFaults, World};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_second_slides() {
        let meter = Metered::new(World::new(NoFaults).providers().payments);
        let payment = PaymentId::derive(&StoreId::unnamed(), &PaymentKey::new("a").unwrap(), 1);
        for _ in 0..3 {
            // 100 ms each.
            meter.find_intent(payment.clone()).await.unwrap();
        }
        assert_eq!((meter.all(), meter.last_second()), (3, 3));
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert_eq!((meter.all(), meter.last_second()), (3, 1));
    }
}
