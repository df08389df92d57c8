//! A payment as a client asks for it, and what has to be right about it before anything is called.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{CardToken, Email, InvalidText, OrderId, PaymentKey};
use crate::money::{Currency, Money, MoneyError, UnknownCurrency};

/// What a client sends: nothing of it has been checked.
#[derive(Clone, PartialEq, Eq)]
pub struct PaymentRequest {
    /// The client's idempotency key: the same for every repeat of the same payment.
    pub key: String,
    /// The merchant's order.
    pub order: String,
    /// How much, in minor units of the currency.
    pub amount: i64,
    /// A code of ISO 4217.
    pub currency: String,
    /// Where the receipt goes. A secret.
    pub email: String,
    /// What the provider knows the card by. A secret.
    pub card: String,
}

impl fmt::Debug for PaymentRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentRequest")
            .field("key", &self.key)
            .field("order", &self.order)
            .field("amount", &self.amount)
            .field("currency", &self.currency)
            .finish_non_exhaustive()
    }
}

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

impl PaymentRequest {
    /// Checks everything that can be checked without asking anybody.
    ///
    /// # Errors
    ///
    /// [`InvalidRequest`] names the first thing that is wrong.
    pub fn validate(&self) -> Result<Payment, InvalidRequest> {
        let currency: Currency = self.currency.parse()?;
        Ok(Payment {
            key: PaymentKey::new(&self.key).map_err(InvalidRequest::Key)?,
            order: OrderId::new(&self.order).map_err(InvalidRequest::Order)?,
            amount: Money::new(self.amount, currency)?,
            email: Email::new(&self.email).map_err(InvalidRequest::Email)?,
            card: CardToken::new(&self.card).map_err(InvalidRequest::Card)?,
        })
    }
}
