//! The idempotency keys of calls to the payment provider.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ids::PaymentId;
use crate::provider::{Operation, ProviderKey};

/// Derives keys, and remembers which are burnt.
///
/// A key is burnt when the provider has stored an answer for it that says that nothing was done: a 500
/// without an effect, a refusal. Repeating it repeats the answer, for as long as the provider keeps
/// keys. Nothing is lost when this memory is: the first call with the burnt key brings it back.
#[derive(Debug, Default)]
pub(super) struct Keys {
    // Only payments that met such an answer, until they are settled. A standard mutex, since it is held
    // for a look at the map and never across an await.
    burnt: Mutex<HashMap<(PaymentId, Operation), u32>>,
}

impl Keys {
    /// The key for this purpose: always the same one, unless it is burnt.
    pub(super) fn key(&self, payment: &PaymentId, operation: Operation) -> ProviderKey {
        let burnt = self.lock();
        let generation = match burnt.is_empty() {
            true => 0,
            false => burnt.get(&(payment.clone(), operation)).copied().unwrap_or_default(),
        };
        ProviderKey { generation, ..ProviderKey::new(payment.clone(), operation) }
    }

    /// The key that is used now is burnt.
    pub(super) fn burn(&self, payment: &PaymentId, operation: Operation) {
        *self.lock().entry((payment.clone(), operation)).or_default() += 1;
    }

    /// The payment needs no keys any more.
    pub(super) fn forget(&self, payment: &PaymentId) {
        let mut burnt = self.lock();
        if !burnt.is_empty() {
            burnt.retain(|(known, _), _| known != payment);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(PaymentId, Operation), u32>> {
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
