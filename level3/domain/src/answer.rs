//! The answer to a payment, as its client gets it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{IntentId, OrderId, PaymentId, TransactionId};
use crate::money::Money;
use crate::payment::InvalidRequest;

/// The status of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Status {
    /// Charged once, and recorded.
    Paid {
        /// The ledger's row.
        transaction: TransactionId,
        /// The provider's intent.
        intent: IntentId,
    },
    /// Refused by the fraud check or by the card's bank. The customer was not charged. This is a
    /// business answer: asking again does not help.
    Declined {
        /// The name of the step that was refused.
        by: String,
        /// The cause, in words. Without secrets.
        reason: String,
    },
    /// Something failed. The customer was not charged, or the charge was refunded.
    Failed {
        /// The step that failed.
        step: String,
        /// The cause, in words. Without secrets.
        reason: String,
        /// Whether the same request, with the same key, may succeed later.
        // Stores of version 0.1 hold it under its former name.
        #[serde(alias = "may_pass")]
        retryable: bool,
    },
    /// The payment failed or its outcome is unknown, and it is being undone. This gateway, or
    /// another one that recovers the payment, continues until it is undone; ask again with the same
    /// key.
    Compensating {
        /// Whether an operator has to look at it: an undo keeps failing.
        parked: bool,
    },
}

/// The answer to a request. It is stored, and every repeat gets it as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The gateway's name of the payment, for support requests.
    pub payment: PaymentId,
    /// The merchant's order.
    pub order: OrderId,
    /// The amount that the request asks for.
    pub amount: Money,
    /// The outcome of the payment.
    #[serde(flatten)]
    pub status: Status,
}

impl Answer {
    /// Returns the answer as JSON: the same bytes every time.
    ///
    /// # Errors
    ///
    /// Never for an answer of a gateway; the error type is that of `serde_json`.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

/// An answer, and whether it is a repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The answer.
    pub answer: Arc<Answer>,
    /// Whether the answer was stored before this request, or belongs to the work of another
    /// request.
    pub replayed: bool,
}

/// A service that a payment needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dependency {
    /// The payment provider.
    Payments,
    /// The fraud check.
    Fraud,
    /// The ledger.
    Ledger,
    /// The receipts.
    Receipts,
}

impl Dependency {
    /// The name in messages and of the breaker: `payments`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Payments => "payments",
            Self::Fraud => "fraud",
            Self::Ledger => "ledger",
            Self::Receipts => "receipts",
        }
    }
}

impl std::fmt::Display for Dependency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Why a request has no answer. No service was called for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayError {
    /// The request is wrong.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The key was used before, for another payment.
    #[error("the key was used before with other parameters")]
    KeyReused,
    /// The breaker of a service is open. Another try may succeed after `retry_after`.
    #[error("{dependency} is down, try again in {} ms", retry_after.as_millis())]
    Unavailable {
        /// The dependency whose breaker is open.
        dependency: Dependency,
        /// The time after which a call may be admitted again.
        retry_after: Duration,
    },
    /// More payments are offered than can be paid in time. No service was called for this one.
    #[error("too many payments at once, try again in {} ms", retry_after.as_millis())]
    Overloaded {
        /// The time after which a payment may be admitted, if no other one arrives first.
        retry_after: Duration,
    },
    /// The gateway accepts no new payments.
    #[error("the gateway is shutting down")]
    ShuttingDown,
    /// The journal cannot be reached. Without a record the gateway calls no service.
    #[error("the journal cannot be reached")]
    JournalUnavailable,
    /// The journal's records under this name are not those of a payment.
    #[error("the journal cannot be read: {0}")]
    JournalUnreadable(String),
}
