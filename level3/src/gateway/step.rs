//! The steps of a payment, by name.

/// The steps of a payment: the four steps of its saga, and the receipt that follows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PaymentStep {
    /// Creates the intent.
    Create,
    /// Asks the fraud check for a score.
    Fraud,
    /// Charges the customer.
    Confirm,
    /// Writes the ledger's row.
    Save,
    /// Sends the receipt.
    Receipt,
}

impl PaymentStep {
    /// The name in journals, answers and events. It must never change: journals are kept.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Fraud => "fraud",
            Self::Confirm => "confirm",
            Self::Save => "save",
            Self::Receipt => "receipt",
        }
    }

    /// Whether all attempts carry the same idempotency key, so that the answer to one of them is
    /// the answer to those before it too. The ledger, the fraud check and the receipts know no
    /// keys.
    pub(super) const fn is_keyed(self) -> bool {
        // Only the provider takes keys. The others are idempotent by the payment or have no effect.
        matches!(self, Self::Create | Self::Confirm)
    }
}
