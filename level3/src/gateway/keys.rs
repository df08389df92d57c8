//! The idempotency keys of calls to the payment provider.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ids::PaymentId;
use crate::provider::{Operation, ProviderKey};

/// Derives keys, and remembers the burnt ones.
///
/// A key is burnt when the provider has stored an answer under it that says that the call had no
/// effect: a 500 without an effect, or a refusal. A call with a burnt key gets that answer again,
/// for as long as the provider keeps keys. A restart may lose this memory: the first call with a
/// burnt key restores it.
#[derive(Debug, Default)]
pub(super) struct Keys {
    // Only payments that met such an answer, until they are settled. A standard mutex, since it is
    // held for one access to the map and never across an await.
    burnt: Mutex<HashMap<(PaymentId, Operation), u32>>,
}

impl Keys {
    /// Returns the key for this purpose: always the same one, unless it is burnt.
    pub(super) fn key(&self, payment: &PaymentId, operation: Operation) -> ProviderKey {
        let burnt = self.lock();
        let generation = match burnt.is_empty() {
            true => 0,
            false => burnt.get(&(payment.clone(), operation)).copied().unwrap_or_default(),
        };
        ProviderKey { generation, ..ProviderKey::new(payment.clone(), operation) }
    }

    /// Marks the current key as burnt.
    pub(super) fn burn(&self, payment: &PaymentId, operation: Operation) {
        *self.lock().entry((payment.clone(), operation)).or_default() += 1;
    }

    /// Forgets the payment: it needs no more keys.
    pub(super) fn forget(&self, payment: &PaymentId) {
        let mut burnt = self.lock();
        if !burnt.is_empty() {
            burnt.retain(|(known, _), _| known != payment);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(PaymentId, Operation), u32>> {
        // No method leaves the map half changed, so a panic under the lock does no harm.
        self.burnt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PaymentKey;
    use crate::journal::StoreId;

    #[test]
    fn a_payment_that_is_over_takes_no_other_ones_keys_with_it() {
        let id = |key: &str| {
            PaymentId::derive(&StoreId::unnamed(), &PaymentKey::new(key).expect("a key"), 1)
        };
        let (over, running, keys) = (id("over"), id("running"), Keys::default());
        let unburnt = keys.key(&running, Operation::Refund);
        for payment in [&over, &running] {
            keys.burn(payment, Operation::Refund);
        }
        let burnt = keys.key(&running, Operation::Refund);
        assert_ne!(burnt, unburnt);
        keys.forget(&over);
        assert_eq!(keys.key(&running, Operation::Refund), burnt);
        assert_eq!(keys.lock().len(), 1);
        assert_eq!(keys.key(&running, Operation::Confirm).generation, 0, "another purpose");
    }
}
