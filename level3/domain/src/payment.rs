//! A payment that has been checked, and why a request is refused.

use serde::{Deserialize, Serialize};

use crate::ids::{CardToken, Email, InvalidText, OrderId, PaymentKey};
use crate::money::{Money, MoneyError, UnknownCurrency};

/// Why a request is refused. No service was called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// The idempotency key is empty, too long, or has characters that an HTTP header cannot carry.
    #[error("the key {0}")]
    Key(InvalidText),
    /// The order's identifier is empty or too long.
    #[error("the order {0}")]
    Order(InvalidText),
    /// The amount is zero, negative or too large.
    #[error(transparent)]
    Amount(#[from] MoneyError),
    /// The code is not one of a known currency.
    #[error(transparent)]
    Currency(#[from] UnknownCurrency),
    /// The text is no e-mail address. The message does not repeat it, since it may be a secret.
    #[error("the e-mail {0}")]
    Email(InvalidText),
    /// The card's token is empty or too long.
    #[error("the card token {0}")]
    Card(InvalidText),
}

/// A request that has passed all checks. Its types hold the checked values, so nothing checks them
/// again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The client's idempotency key.
    pub key: PaymentKey,
    /// The merchant's order.
    pub order: OrderId,
    /// The amount to charge.
    pub amount: Money,
    /// The address that the receipt is sent to.
    pub email: Email,
    /// The provider's token for the card.
    pub card: CardToken,
}
