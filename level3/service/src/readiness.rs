//! Whether the service can take payments now, checked at most once in a while.

use std::sync::Arc;
use std::time::Duration;

use level3_adapters::sql::Store;
use level3_domain::ids::{PaymentId, PaymentKey};
use level3_domain::journal::{SagaId, StoreId};
use level3_domain::provider::{PaymentProvider, ProviderError};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// The limit of one check.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often the provider is asked before it counts as out of reach: one lost answer is no outage.
const ATTEMPTS: u32 = 3;

/// How long the result of a check is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckAges {
    /// The time for which a check of the store is used again.
    pub store: Duration,
    /// That of the provider. Each check is a call, which counts against the account's rate limit.
    pub provider: Duration,
}

impl Default for CheckAges {
    /// One second for the store, and ten for the provider.
    fn default() -> Self {
        Self { store: Duration::from_secs(1), provider: Duration::from_secs(10) }
    }
}

/// A result, and when it was found.
#[derive(Debug, Default)]
struct Cached(Mutex<Option<(Instant, bool)>>);

impl Cached {
    /// Returns the last result while it is young, or checks. The lock is held across the check, so
    /// that many callers at once make one check.
    async fn get(&self, age: Duration, check: impl Future<Output = bool>) -> bool {
        let mut cached = self.0.lock().await;
        if let Some((at, is_fine)) = *cached
            && at.elapsed() < age
        {
            return is_fine;
        }
        let is_fine = check.await;
        *cached = Some((Instant::now(), is_fine));
        is_fine
    }
}

/// The checks of a service.
pub(crate) struct Readiness {
    store: Arc<dyn Store>,
    provider: Arc<dyn PaymentProvider>,
    ages: CheckAges,
    store_is_fine: Cached,
    provider_is_reachable: Cached,
}

/// The result of both checks: whether each answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) store: bool,
    pub(crate) provider: bool,
}

impl Readiness {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        provider: Arc<dyn PaymentProvider>,
        ages: CheckAges,
    ) -> Self {
        let (store_is_fine, provider_is_reachable) = Default::default();
        Self { store, provider, ages, store_is_fine, provider_is_reachable }
    }

    /// Checks the store and the provider at the same time.
    pub(crate) async fn check(&self) -> Checked {
        let store = self.store_is_fine.get(self.ages.store, self.ask_store());
        let provider = self.provider_is_reachable.get(self.ages.provider, self.ask_provider());
        let (store, provider) = futures::future::join(store, provider).await;
        Checked { store, provider }
    }

    /// Reads a saga that does not exist: that needs the connection, the tables and, in a file, the
    /// write lock.
    async fn ask_store(&self) -> bool {
        let read = self.store.read(SagaId::new("readiness"));
        matches!(timeout(PATIENCE, read).await, Ok(Ok(_)))
    }

    /// Searches the intent of a payment that does not exist. Any answer shows that the provider can
    /// be reached, a refusal too.
    async fn ask_provider(&self) -> bool {
        let Ok(key) = PaymentKey::new("readiness") else { return false };
        for _ in 0..ATTEMPTS {
            let payment = PaymentId::derive(&StoreId::unnamed(), &key, 1);
            let answer = timeout(PATIENCE, self.provider.find_intent(payment)).await;
            let is_away = matches!(
                answer,
                Err(_)
                    | Ok(Err(ProviderError::Unavailable
                        | ProviderError::ConnectionLost
                        | ProviderError::TimedOut { .. }))
            );
            if !is_away {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_callers_make_one_check() {
        let (cached, checks) = (Cached::default(), AtomicU32::new(0));
        let age = Duration::from_secs(1);
        let ask = || {
            cached.get(age, async {
                tokio::time::sleep(Duration::from_millis(10)).await;
                checks.fetch_add(1, Ordering::Relaxed) == 0
            })
        };
        let all = futures::future::join_all((0..20).map(|_| ask())).await;
        assert!(all.into_iter().all(|is_fine| is_fine));
        assert_eq!(checks.load(Ordering::Relaxed), 1);
        tokio::time::sleep(age).await;
        assert!(!ask().await, "an old result is not used");
        assert_eq!(checks.load(Ordering::Relaxed), 2);
    }
}
