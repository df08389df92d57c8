//! What the tests have in common.

use std::time::Duration;

use level3_adapters::Limits;
use level3_adapters::stripe::{Stripe, StripeConfig, StripeKey};
use level3_domain::ids::{CardToken, IntentId, PaymentId, PaymentKey};
use level3_domain::journal::StoreId;
use level3_domain::money::{Currency, Money};
use level3_domain::provider::{CreateIntent, Operation, ProviderKey};
use serde_json::{Value, json};

/// The key of all tests. It must not be found in anything that is shown.
pub const KEY: &str = "sk_test_51HiddenHiddenHidden";

pub fn config(url: &str) -> StripeConfig {
    let key = StripeKey::new(KEY).expect("a key of test mode");
    StripeConfig { base_url: url.to_owned(), ..StripeConfig::new(key) }
}

pub fn stripe(url: &str) -> Stripe {
    Stripe::new(config(url)).expect("a valid configuration")
}

/// Longer than anything here takes, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Limits that no busy machine reaches, with a short one for the body.
pub const PATIENT: Limits =
    Limits { connect: PATIENCE, read: PATIENCE, total: PATIENCE, body: 2000 };

/// A client with these limits.
pub fn limited(url: &str, limits: Limits) -> Stripe {
    Stripe::new(StripeConfig { limits, ..config(url) }).expect("a valid configuration")
}

pub fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::USD).expect("an amount")
}

pub fn payment(name: &str) -> PaymentId {
    PaymentId::derive(&StoreId::unnamed(), &PaymentKey::new(name).expect("a key"), 1)
}

pub fn intent_id(name: &str) -> IntentId {
    IntentId::new(name).expect("a name")
}

pub fn key(name: &str, operation: Operation) -> ProviderKey {
    ProviderKey::new(payment(name), operation)
}

pub fn create(name: &str, amount: Money) -> CreateIntent {
    CreateIntent {
        key: key(name, Operation::CreateIntent),
        payment: payment(name),
        amount,
        card: CardToken::new("pm_card_visa").expect("a token"),
    }
}

/// An intent as Stripe shows it, with more fields than are read.
pub fn intent_json(id: &str, name: &str, status: &str) -> Value {
    json!({
        "object": "payment_intent", "id": id, "livemode": false, "created": 1_795_438_931,
        "amount": 1999, "currency": "usd", "status": status, "client_secret": "not_ours_to_show",
        "metadata": { "payment": payment(name).as_str() }, "latest_charge": null,
    })
}

/// An error as Stripe shows it. The message is for people, and must not be found in what is shown.
pub fn error_json(class: &str, code: &str) -> Value {
    json!({ "error": {
        "type": class, "code": code, "message": format!("A sentence about {KEY}."),
        "doc_url": "https://stripe.com/docs/error-codes",
    } })
}
