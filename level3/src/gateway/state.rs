//! The state of a payment's saga.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{IntentId, PaymentId, TransactionId};
use crate::request::Payment;

// starter: drop
/// The state of a payment, as the journal has it after each step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PaymentState {
    // The name of the saga, and the base of every key at the provider: a new owner derives the same
    // keys from it.
    pub(super) id: PaymentId,
    // Shared: the state is passed from step to step, and this part of it never changes.
    pub(super) payment: Arc<Payment>,
    /// The intent, once it is created.
    pub(super) intent: Option<IntentId>,
    /// Whether the intent is cancelled or refunded, so that nothing is left to undo.
    pub(super) settled: bool,
    /// The row, once it is written.
    pub(super) transaction: Option<TransactionId>,
}

// starter: drop
impl PaymentState {
    pub(super) fn new(id: PaymentId, payment: Arc<Payment>) -> Self {
        Self { id, payment, intent: None, settled: false, transaction: None }
    }
}
