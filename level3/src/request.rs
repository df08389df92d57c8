//! The client's request for a payment, and the checks that it has to pass before any service is called.
//!
//! Lesson: `level3/lessons/request.md`.

use std::fmt;

use crate::ids::{CardToken, Email, OrderId, PaymentKey};
use crate::money::{Currency, Money};

pub use crate::payment::{InvalidRequest, Payment};

/// A request as the client sends it, unchecked. Its `Debug` output contains no part of the secrets.
///
/// ```
/// use level3::request::{InvalidRequest, PaymentRequest};
///
/// let request = PaymentRequest {
///     key: "order-1".to_owned(),
///     order: "1".to_owned(),
///     amount: 1_050,
///     currency: "USD".to_owned(),
///     email: "ann@example.com".to_owned(),
///     card: "pm_card_visa".to_owned(),
/// };
/// assert_eq!(request.validate()?.amount.to_string(), "10.50 USD");
///
/// let free = PaymentRequest { amount: 0, ..request };
/// assert!(matches!(free.validate(), Err(InvalidRequest::Amount(_))));
/// # Ok::<(), InvalidRequest>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PaymentRequest {
    /// The client's idempotency key: the same for every repeat of the same payment.
    pub key: String,
    /// The merchant's order.
    pub order: String,
    /// The amount in minor units of the currency.
    pub amount: i64,
    /// The currency's code by ISO 4217, such as `USD`.
    pub currency: String,
    /// The address that the receipt is sent to. A secret.
    pub email: String,
    /// The provider's token for the card. A secret.
    pub card: String,
}

impl fmt::Debug for PaymentRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the e-mail and the card: a request ends up in logs.
        f.debug_struct("PaymentRequest")
            .field("key", &self.key)
            .field("order", &self.order)
            .field("amount", &self.amount)
            .field("currency", &self.currency)
            .finish_non_exhaustive()
    }
}

impl PaymentRequest {
    /// Checks everything that can be checked without calling a service.
    ///
    /// Each field of the payment holds what the same field of the request held. This method refuses a bad field
    /// instead of repairing it, and neither trims nor changes a good one.
    ///
    /// # Errors
    ///
    /// [`InvalidRequest`], with the first check that failed. The currency is checked first, since the
    /// limits of the amount depend on it; the order of the other checks is free.
    pub fn validate(&self) -> Result<Payment, InvalidRequest> {
        // Each constructor checks its own value, so a `Payment` is proof that every check has passed: the gateway
        // repeats none of them. Each `?` returns before any service is called, so a bad request leaves no trace
        // that has to be undone.
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
