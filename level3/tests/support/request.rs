//! The request that tests pay with.

use level3::request::PaymentRequest;

pub fn request(key: &str) -> PaymentRequest {
    PaymentRequest {
        key: key.to_owned(),
        order: format!("order of {key}"),
        amount: 1999,
        currency: "USD".to_owned(),
        email: "someone@example.com".to_owned(),
        card: "pm_card_visa".to_owned(),
    }
}
