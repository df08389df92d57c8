//! The requests to the services, and their answers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{CardToken, Email, IntentId, OrderId, PaymentId, TransactionId};
use crate::money::Money;

/// The purpose of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// A call of [`create_intent`](super::PaymentProvider::create_intent).
    CreateIntent,
    /// A call of [`confirm`](super::PaymentProvider::confirm).
    Confirm,
    /// A call of [`cancel`](super::PaymentProvider::cancel).
    Cancel,
    /// A call of [`refund`](super::PaymentProvider::refund).
    Refund,
}

impl Operation {
    /// The name inside a key: `confirm`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateIntent => "create",
            Self::Confirm => "confirm",
            Self::Cancel => "cancel",
            Self::Refund => "refund",
        }
    }
}

/// The idempotency key of one call: derived from the payment and the purpose of the call, so it is
/// the same for every attempt and after every restart.
///
/// The generation rises when the provider has stored an answer that reports no effect, because the
/// provider replays that answer for as long as it keeps the key:
///
/// * a 500, once [`find_intent`](super::PaymentProvider::find_intent) has shown that the failed
///   request had no effect;
/// * the refusal of a cancel or a refund (declined, invalid): the next attempt comes when the
///   reason may be gone.
///
/// Nothing else raises it: not a time-out, not a lost answer, not a 429.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProviderKey {
    /// The payment that the key belongs to.
    pub payment: PaymentId,
    /// What the call does: the purpose of the key.
    pub operation: Operation,
    /// The number of stored answers that reported no effect.
    pub generation: u32,
}

impl ProviderKey {
    /// The first key for this purpose.
    #[must_use]
    pub const fn new(payment: PaymentId, operation: Operation) -> Self {
        Self { payment, operation, generation: 0 }
    }

    /// The key to use after a stored answer that reports no effect.
    #[must_use]
    pub fn next(&self) -> Self {
        Self { generation: self.generation + 1, ..self.clone() }
    }
}

impl fmt::Display for ProviderKey {
    /// Shows the value of the header `Idempotency-Key`: `pay_..._1:confirm:0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.payment, self.operation.name(), self.generation)
    }
}

/// A request to create an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateIntent {
    /// The same for every attempt.
    pub key: ProviderKey,
    /// Kept by the provider as metadata, so that the intent can be found again.
    pub payment: PaymentId,
    /// The amount that the request asks for.
    pub amount: Money,
    /// The card to charge.
    pub card: CardToken,
}

/// The status of an intent.
///
/// Stripe's list without the two that do not occur here: `requires_payment_method` (the card is
/// given at once) and `requires_capture` (capture is automatic).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentStatus {
    /// Created; the card is not charged.
    RequiresConfirmation,
    /// The customer has to do something, such as 3-D Secure. Not paid.
    RequiresAction,
    /// The charge is under way. Not paid yet.
    Processing,
    /// The card is charged.
    Succeeded,
    /// Ended without a charge.
    Canceled,
}

impl fmt::Display for IntentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::RequiresConfirmation => "requires_confirmation",
            Self::RequiresAction => "requires_action",
            Self::Processing => "processing",
            Self::Succeeded => "succeeded",
            Self::Canceled => "canceled",
        })
    }
}

/// A payment intent as the provider reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The provider's name of the intent.
    pub id: IntentId,
    /// Which payment it was made for.
    pub payment: PaymentId,
    /// The amount that the request asks for.
    pub amount: Money,
    /// The status of the intent.
    pub status: IntentStatus,
    /// Whether the whole amount was refunded.
    pub refunded: bool,
}

/// A refund that has been made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The intent that is refunded.
    pub intent: IntentId,
    /// The amount that the request asks for.
    pub amount: Money,
}

/// A question to the fraud check about one payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FraudQuestion {
    /// The payment that the question is about.
    pub payment: PaymentId,
    /// The merchant's order.
    pub order: OrderId,
    /// The amount that the request asks for.
    pub amount: Money,
    /// The address of the customer.
    pub email: Email,
}

/// How risky a payment is: 0 to 100 with two decimals, kept as hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RiskScore {
    /// Hundredths of the score: 9500 is 95.00.
    pub hundredths: u16,
}

impl RiskScore {
    /// The assignment's bound: a score of 95 and more is declined.
    pub const DECLINED_FROM: Self = Self { hundredths: 9500 };
}

impl fmt::Display for RiskScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.hundredths / 100, self.hundredths % 100)
    }
}

/// The answer of the fraud check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FraudAssessment {
    /// The score. The gateway decides what follows from it.
    pub score: RiskScore,
}

/// A payment to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRow {
    /// Unique in the ledger.
    pub payment: PaymentId,
    /// The merchant's order.
    pub order: OrderId,
    /// The intent that was charged.
    pub intent: IntentId,
    /// The amount that the request asks for.
    pub amount: Money,
    /// Where the receipt goes: the outbox entry is written with the row.
    pub email: Email,
}

/// The status of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowStatus {
    /// The payment is paid.
    Completed,
    /// Voided: the payment was undone.
    Voided,
}

/// A recorded payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The row's name.
    pub transaction: TransactionId,
    /// The payment that is recorded.
    pub payment: PaymentId,
    /// The amount that the request asks for.
    pub amount: Money,
    /// The status of the row.
    pub status: RowStatus,
}

/// A mail to the customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The same for every attempt: no second mail for the same transaction.
    pub transaction: TransactionId,
    /// The merchant's order.
    pub order: OrderId,
    /// The amount that was paid.
    pub amount: Money,
    /// The address that the receipt is sent to.
    pub email: Email,
}

/// An entry of the ledger's outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingReceipt {
    /// The payment that the receipt is about.
    pub payment: PaymentId,
    /// The receipt to send.
    pub receipt: Receipt,
}
