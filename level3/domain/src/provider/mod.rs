//! The services that a payment needs, as traits: a provider of payments such as Stripe, a fraud
//! check, the ledger, and a sender of receipts.
//!
//! A method returns at once; the work happens when its future is polled. Dropping the future stops
//! waiting for the answer, **not** the work: a request that has left may still take effect.
//! Therefore every call with an effect carries a key under which it may be repeated.
//!
//! The futures own what they need, so the traits can be mocked and their futures spawned.

mod error;
mod feed;
mod list;
mod types;

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::ids::{IntentId, PaymentId, TransactionId};

pub use crate::journal::Effect;
pub use error::ProviderError;
pub use feed::{MailFeed, MailTrace};
pub use list::{IntentList, IntentPage};
pub use types::{
    CreateIntent, FraudAssessment, FraudQuestion, Intent, IntentStatus, NewRow, Operation,
    PendingReceipt, ProviderKey, Receipt, Refund, RiskScore, Row, RowStatus,
};

/// The future of a call to a service.
pub type CallFuture<T> = BoxFuture<'static, Result<T, ProviderError>>;

/// A payment provider such as Stripe.
///
/// The rules that every implementation has to keep, because the gateway relies on them (Stripe
/// documents all of them, <https://docs.stripe.com/api/idempotent_requests> and
/// <https://docs.stripe.com/payments/paymentintents/lifecycle>):
///
/// * Once a request with a key has begun to execute, its answer is stored and every repeat of the
///   key gets it, a stored 500 included. The same key with other parameters is
///   [`ProviderError::KeyReused`]; while the first is still running, [`ProviderError::InFlight`].
/// * The provider answers 429 before it looks at the key: the same key may get another answer
///   later.
/// * An intent can be cancelled until it has succeeded, and refunded only after. Any other request
///   gets [`ProviderError::WrongState`], which names the state of the intent.
pub trait PaymentProvider: Send + Sync {
    /// Makes an intent, which charges no card yet (about 200 ms).
    fn create_intent(&self, request: CreateIntent) -> CallFuture<Intent>;
    /// Charges the intent (about 300 ms). Only an answer with [`IntentStatus::Succeeded`] says that
    /// the customer has paid.
    fn confirm(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent>;
    /// Cancels an intent that has not succeeded.
    fn cancel(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent>;
    /// Refunds the whole amount (about 250 ms).
    fn refund(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Refund>;
    /// Returns the intent that was made for a payment, in whatever state it is. Has no effect.
    fn find_intent(&self, payment: PaymentId) -> CallFuture<Option<Intent>>;
}

/// Rates the risk of a payment.
pub trait FraudCheck: Send + Sync {
    /// Scores the payment (about 500 ms). Has no effect.
    fn check(&self, question: FraudQuestion) -> CallFuture<FraudAssessment>;
}

/// The merchant's own record of what was paid.
///
/// Its rows are unique for each payment. A row and its pending receipt are written in one
/// transaction (the *transactional outbox*), so that neither exists without the other.
pub trait Ledger: Send + Sync {
    /// Records a payment as completed (about 100 ms). A repeat for the same payment returns the
    /// existing row; after [`void`](Ledger::void) every save of the payment is refused.
    fn save(&self, row: NewRow) -> CallFuture<Row>;
    /// Voids the row of a payment. If there is none yet, it leaves a mark, so that a save that is
    /// still under way cannot write a row later.
    fn void(&self, payment: PaymentId) -> CallFuture<()>;
    /// Returns the receipts that are still to be sent: the oldest first, `most` at most.
    fn pending_receipts(&self, most: usize) -> CallFuture<Vec<PendingReceipt>>;
    /// Removes a receipt from the outbox. A repeat changes nothing.
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
    /// Charges and refunds cards.
    pub payments: Arc<dyn PaymentProvider>,
    /// Scores a payment by its risk of fraud.
    pub fraud: Arc<dyn FraudCheck>,
    /// Records payments as rows.
    pub ledger: Arc<dyn Ledger>,
    /// Sends receipts by mail.
    pub receipts: Arc<dyn Receipts>,
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Providers")
    }
}
