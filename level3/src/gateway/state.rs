//! What a payment's saga works with.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{IntentId, PaymentId, TransactionId};
use crate::request::Payment;

// starter: drop
/// The state of a payment, as it stands in the journal after each step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PaymentState {
    pub(super) id: PaymentId,
    // Shared: the state is handed on from step to step, and this part of it never changes.
    pub(super) payment: Arc<Payment>,
    /// Once the intent is made.
    pub(super) intent: Option<IntentId>,
    /// Once it is cancelled or refunded: nothing of it is left to undo.
    pub(super) settled: bool,
    /// Once the row is written.
    pub(super) transaction: Option<TransactionId>,
}

// starter: drop
impl PaymentState {
    pub(super) fn new(id: PaymentId, payment: Arc<Payment>) -> Self {
        Self { id, payment, intent: None, settled: false, transaction: None }
    }
}
