//! A journal that files each payment under its merchant.
//!
//! The gateway knows one space of keys. The service gives each merchant a space of its own within
//! it: the gateway's key of a payment is `MERCHANT/KEY`. A merchant's name has no slash, so two
//! merchants never have the same key, and the name can be read off every key.

use std::sync::Arc;

use level3_adapters::sql::Store;
use level3_domain::ids::{InvalidText, PaymentId, PaymentKey};
use level3_domain::journal::{
    Claimed, Journal, JournalFuture, Lease, Opened, Payload, Record, SagaId, SagaLog, Standing,
    StoreId,
};
use level3_domain::payment::Payment;
use serde::Deserialize;

use crate::merchants::MerchantId;
use crate::webhooks::event;

/// The longest key of a client, in characters: the gateway's key has room for the merchant as well.
pub const MAX_CLIENT_KEY: usize = 200;

/// Makes the gateway's key of a payment.
///
/// # Errors
///
/// [`InvalidText`] if the client's key is empty, too long or has characters that no key may have.
pub fn gateway_key(merchant: &MerchantId, key: &str) -> Result<PaymentKey, InvalidText> {
    if key.is_empty() {
        return Err(InvalidText::Empty);
    }
    let chars = key.chars().count();
    if chars > MAX_CLIENT_KEY {
        return Err(InvalidText::TooLong { chars, most: MAX_CLIENT_KEY });
    }
    PaymentKey::new(format!("{merchant}/{key}"))
}

/// Returns the merchant and the client's key from the gateway's key.
pub(crate) fn parts(key: &PaymentKey) -> Option<(&str, &str)> {
    key.as_str().split_once('/')
}

/// The part of a payment's first record that the service reads.
#[derive(Debug, Clone, Deserialize)]
struct Begun {
    payment: Payment,
}

/// Returns the payment that a saga began with; `None` if it is of another kind.
pub(crate) fn payment_of(state: &Payload) -> Option<Payment> {
    state.read::<Begun>().ok().map(|begun| begun.payment)
}

/// The journal of a store, which files each payment under its merchant in the transaction that
/// begins it. So a list of payments has every payment that was accepted, and no other.
#[derive(Clone)]
pub struct FiledJournal(Arc<dyn Store>);

impl std::fmt::Debug for FiledJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FiledJournal").field(&Store::place(&*self.0)).finish()
    }
}

impl FiledJournal {
    /// Wraps the journal of a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }
}

/// Returns the label of a new saga. A payment is filed once, with its first run: it is one entry in
/// a list however often it was tried.
fn label(saga: &SagaId, first: &Record) -> Option<String> {
    let Record::Begun { state, .. } = first else { return None };
    let is_first_run = saga.as_str().strip_suffix(FIRST_RUN).is_some();
    let payment = is_first_run.then(|| payment_of(state)).flatten()?;
    parts(&payment.key).map(|(merchant, _)| merchant.to_owned())
}

/// The end of the name of a payment's first run.
const FIRST_RUN: &str = "_1";

/// Returns the name of a payment, which is that of its runs without their number.
pub(crate) fn name_of(run: &str) -> &str {
    run.rsplit_once('_').map_or(run, |(name, _)| name)
}

/// Returns the number of a run.
pub(crate) fn number_of_run(run: &str) -> Option<u32> {
    run.rsplit_once('_').and_then(|(_, number)| number.parse().ok())
}

/// Returns the run with this number, counted from 1; `None` if the name is not that of a payment.
pub(crate) fn run_of(name: &str, number: u32) -> Option<PaymentId> {
    let digits = name.strip_prefix("pay_")?;
    let is_fine =
        digits.len() == 32 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_fine.then(|| PaymentId::try_from(format!("{name}_{number}")).ok()).flatten()
}

impl Journal for FiledJournal {
    fn store_id(&self) -> StoreId {
        Journal::store_id(&*self.0)
    }

    fn open(&self, saga: SagaId, first: Record) -> JournalFuture<'_, Opened> {
        match label(&saga, &first) {
            Some(label) => self.0.open_labelled(saga, first, label),
            None => self.0.open(saga, first),
        }
    }

    /// With the end of a saga, the event that its merchant is notified of.
    fn append(&self, lease: &Lease, records: Vec<Record>) -> JournalFuture<'_, ()> {
        match event::of_saga(&self.store_id(), &lease.saga, &records) {
            Some(note) => self.0.append_noted(lease, records, note),
            None => self.0.append(lease, records),
        }
    }

    fn claim(&self, saga: SagaId) -> JournalFuture<'_, Claimed> {
        self.0.claim(saga)
    }

    fn read(&self, saga: SagaId) -> JournalFuture<'_, Option<SagaLog>> {
        self.0.read(saga)
    }

    fn list(&self, standing: Standing) -> JournalFuture<'_, Vec<SagaId>> {
        self.0.list(standing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merchants_have_key_spaces_of_their_own() {
        let merchant = |name: &str| name.parse::<MerchantId>().unwrap();
        let key = |name: &str, key: &str| gateway_key(&merchant(name), key).unwrap();
        assert_ne!(key("a", "b/c"), key("a-b", "c"));
        assert_eq!(parts(&key("shop", "a/b")), Some(("shop", "a/b")));
        let longest = "k".repeat(MAX_CLIENT_KEY);
        assert!(gateway_key(&merchant(&"m".repeat(MerchantId::LONGEST)), &longest).is_ok());
        assert!(gateway_key(&merchant("a"), &format!("{longest}k")).is_err());
        assert_eq!(gateway_key(&merchant("a"), ""), Err(InvalidText::Empty));
        assert_eq!(gateway_key(&merchant("a"), "\u{e4}"), Err(InvalidText::Characters));
    }

    #[test]
    fn a_payment_and_its_runs_have_names() {
        let name = "pay_0bafe22156d2698c143b86040446d366";
        let run = run_of(name, 12).unwrap();
        assert_eq!(run.as_str(), "pay_0bafe22156d2698c143b86040446d366_12");
        assert_eq!(name_of(run.as_str()), name);
        for bad in ["", "pay_", "pay_0bafe22156d2698c143b86040446d366_1", "run-1", "pay_../../x"] {
            assert_eq!(run_of(bad, 1), None, "{bad}");
        }
    }
}
