//! Requests for payments.

use level3::request::PaymentRequest;

/// A request that is right in every field.
pub fn request(key: &str) -> PaymentRequest {
    PaymentRequest {
        key: key.to_owned(),
        order: format!("order {key}"),
        amount: 1999,
        currency: "USD".to_owned(),
        email: "someone@example.com".to_owned(),
        card: "pm_card_secret".to_owned(),
    }
}
