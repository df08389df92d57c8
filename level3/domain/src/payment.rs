//! A payment that has been checked, and why a request is refused.

use serde::{Deserialize, Serialize};

use crate::ids::{CardToken, Email, InvalidText, OrderId, PaymentKey};
use crate::money::{Money, MoneyError, UnknownCurrency};

/// Why a request is refused. Nothing was called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// The idempotency key is empty, too long or has characters that no header takes.
    #[error("the key {0}")]
    Key(InvalidText),
    /// The order's name is empty or too long.
    #[error("the order {0}")]
    Order(InvalidText),
    /// The amount is zero, negative or too large.
    #[error(transparent)]
    Amount(#[from] MoneyError),
    /// There is no such currency.
    #[error(transparent)]
    Currency(#[from] UnknownCurrency),
    /// No e-mail address. The message does not repeat what was given.
    #[error("the e-mail {0}")]
    Email(InvalidText),
    /// The card's token is empty or too long.
    #[error("the card token {0}")]
    Card(InvalidText),
}

/// A request that has been checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The client's idempotency key.
    pub key: PaymentKey,
    /// The merchant's order.
    pub order: OrderId,
    /// How much.
    pub amount: Money,
    /// Where the receipt goes.
    pub email: Email,
    /// Which card.
    pub card: CardToken,
}
