//! The services that a payment needs, as traits: a provider of payments such as Stripe, a fraud check,
//! the ledger, and a sender of receipts.
//!
//! A method returns at once; the work happens when its future is polled. Dropping the future stops
//! waiting for the answer, **not** the work: a request that has left may still take effect. Therefore
//! every call with an effect carries a key under which it may be repeated.
//!
//! The futures own what they need, so the traits can be mocked and their futures spawned.

mod error;
mod list;
mod types;

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::ids::{IntentId, PaymentId, TransactionId};

pub use crate::journal::Effect;
pub use error::ProviderError;
pub use list::{IntentList, IntentPage};
pub use types::{
    CreateIntent, FraudAssessment, FraudQuestion, Intent, IntentStatus, NewRow, Operation,
    PendingReceipt, ProviderKey, Receipt, Refund, RiskScore, Row, RowStatus,
};

/// The future of a call to a service.
pub type CallFuture<T> = BoxFuture<'static, Result<T, ProviderError>>;

/// A payment provider such as Stripe.
///
/// What every implementation has to keep, because the gateway relies on it (all of it documented by
/// Stripe, <https://docs.stripe.com/api/idempotent_requests> and
/// <https://docs.stripe.com/payments/paymentintents/lifecycle>):
///
/// * Once a request with a key has begun to execute, its answer is stored and every repeat of the key
///   gets it, a stored 500 included. The same key with other parameters is
///   [`ProviderError::KeyReused`]; while the first is still running, [`ProviderError::InFlight`].
/// * 429 is answered before the key is looked at: the same key may get another answer later.
/// * An intent can be cancelled until it has succeeded, and refunded only after. Everything else is
///   [`ProviderError::WrongState`], which says what state it is in.
pub trait PaymentProvider: Send + Sync {
    /// Makes an intent, which charges no card yet (about 200 ms).
    fn create_intent(&self, request: CreateIntent) -> CallFuture<Intent>;
    /// Charges the intent (about 300 ms). Only an answer with [`IntentStatus::Succeeded`] says that the
    /// customer has paid.
    fn confirm(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent>;
    /// Ends an intent that has not succeeded.
    fn cancel(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent>;
    /// Gives the whole amount back (about 250 ms).
    fn refund(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Refund>;
    /// Returns the intent that was made for a payment, in whatever state it is. Has no effect.
    fn find_intent(&self, payment: PaymentId) -> CallFuture<Option<Intent>>;
}

/// Says how risky a payment is.
pub trait FraudCheck: Send + Sync {
    /// Scores the payment (about 500 ms). Without an effect.
    fn check(&self, question: FraudQuestion) -> CallFuture<FraudAssessment>;
}

/// The merchant's own record of what was paid.
///
/// Its rows are unique for each payment. A row and its pending receipt are written in one transaction
/// (the *transactional outbox*), so that neither is ever there without the other.
pub trait Ledger: Send + Sync {
    /// Records a payment as completed (about 100 ms). A repeat for the same payment gives the row that
    /// is there; after [`void`](Ledger::void) it is refused for good.
    fn save(&self, row: NewRow) -> CallFuture<Row>;
    /// Takes the row back. Where there is none yet it leaves a mark, so that a save which is still
    /// under way cannot write one later.
    fn void(&self, payment: PaymentId) -> CallFuture<()>;
    /// Receipts that are still to be sent, the oldest first, `most` at most.
    fn pending_receipts(&self, most: usize) -> CallFuture<Vec<PendingReceipt>>;
    /// Takes a receipt off the list. A repeat changes nothing.
    fn receipt_sent(&self, transaction: TransactionId) -> CallFuture<()>;
}

/// Sends receipts.
pub trait Receipts: Send + Sync {
    /// Sends one mail (about 400 ms). A repeat for the same transaction sends no second one.
    fn send(&self, receipt: Receipt) -> CallFuture<()>;
}

/// Everything that a payment needs. Cheap to clone.
#[derive(Clone)]
pub struct Providers {
    /// Charges and refunds.
    pub payments: Arc<dyn PaymentProvider>,
    /// Scores.
    pub fraud: Arc<dyn FraudCheck>,
    /// Records.
    pub ledger: Arc<dyn Ledger>,
    /// Sends mail.
    pub receipts: Arc<dyn Receipts>,
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Providers")
    }
}
