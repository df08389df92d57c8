//! A payment as a client asks for it, and what has to be right about it before anything is called.

use std::fmt;

use crate::ids::{CardToken, Email, OrderId, PaymentKey};
use crate::money::{Currency, Money};

pub use crate::payment::{InvalidRequest, Payment};

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
