//! The bodies of Stripe's answers, and the checks before they are used.
//!
//! Only the fields that are used are read: Stripe may add others at any time and calls that
//! compatible
//! (<https://docs.stripe.com/upgrades#what-changes-does-stripe-consider-to-be-backwards-compatible>).

use std::collections::HashMap;

use level3_domain::ids::{IntentId, PaymentId};
use level3_domain::provider::{Intent, IntentStatus, Refund};
use level3_domain::refund::{Made, MadeRefund, RefundId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::amount::from_stripe;
use super::error::{ErrorClass, Refusal, StripeError};
use crate::http::Answered;

/// The name of this system's reference in the metadata of an intent.
pub(super) const REFERENCE: &str = "payment";
/// The name of this system's reference in the metadata of a refund.
pub(super) const REFUND: &str = "refund";

#[derive(Deserialize)]
pub(super) struct IntentBody {
    pub(super) id: String,
    amount: i64,
    currency: String,
    status: String,
    #[serde(default)]
    metadata: HashMap<String, String>,
    /// The charge, if the request has asked for it; otherwise only its id.
    #[serde(default)]
    latest_charge: Value,
}

#[derive(Deserialize)]
pub(super) struct RefundBody {
    amount: i64,
    currency: String,
    payment_intent: String,
    status: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    metadata: HashMap<String, String>,
}

/// A page of refunds.
#[derive(Deserialize)]
pub(super) struct RefundPage {
    pub(super) data: Vec<RefundBody>,
    pub(super) has_more: bool,
}

/// A page of a list or of a search.
#[derive(Deserialize)]
pub(super) struct PageBody {
    pub(super) data: Vec<IntentBody>,
    pub(super) has_more: bool,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorFields,
}

#[derive(Deserialize)]
struct ErrorFields {
    #[serde(rename = "type", default)]
    class: String,
    code: Option<String>,
    decline_code: Option<String>,
    param: Option<String>,
    payment_intent: Option<StatusBody>,
}

#[derive(Deserialize)]
struct StatusBody {
    status: String,
}

/// Reads an answer: the requested object, or the error.
pub(super) fn read<T: DeserializeOwned>(answered: &Answered) -> Result<T, StripeError> {
    let status = answered.status.as_u16();
    if answered.status.is_success() {
        return serde_json::from_slice(&answered.body).map_err(|error| {
            // The message of the parser may repeat the text, so only the place is kept.
            let (line, column) = (error.line(), error.column());
            let reason = format!("{:?} at {line}:{column}", error.classify());
            StripeError::Unreadable { status, reason }
        });
    }
    Err(match refusal(answered) {
        Some(refusal) => StripeError::Refused(Box::new(refusal)),
        None => StripeError::Unreadable { status, reason: "not an error of Stripe".to_owned() },
    })
}

/// Returns why the request was refused. A proxy between the client and Stripe may have answered:
/// then a status of 4xx says nothing about what Stripe did. A rate limit or an outage counts even
/// if a proxy reports it.
fn refusal(answered: &Answered) -> Option<Refusal> {
    let fields = serde_json::from_slice::<ErrorBody>(&answered.body).ok().map(|body| body.error);
    let status = answered.status.as_u16();
    if fields.is_none() && status != 429 && !answered.status.is_server_error() {
        return None;
    }
    let should_retry = match answered.header("stripe-should-retry") {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    };
    let mut refusal = Refusal {
        status,
        class: ErrorClass::Api,
        code: None,
        param: None,
        intent_status: None,
        request: answered.header("request-id").and_then(word),
        should_retry,
        retry_after: answered.retry_after(),
    };
    if let Some(fields) = fields {
        refusal.class = ErrorClass::named(&fields.class);
        // If there are both, "insufficient_funds" says more than "card_declined".
        let codes = [fields.decline_code, fields.code];
        refusal.code = codes.into_iter().flatten().find_map(|code| word(&code));
        refusal.param = fields.param.as_deref().and_then(word);
        refusal.intent_status =
            fields.payment_intent.and_then(|intent| status_named(&intent.status));
    }
    Some(refusal)
}

/// Keeps a text that can only be a code, the name of a parameter or an id. Any other text is
/// written for people and may repeat the request, so it stays out of errors and logs.
pub(super) fn word(text: &str) -> Option<String> {
    let is_word = (1..=100).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte));
    is_word.then(|| text.to_owned())
}

/// Returns the status of an intent.
///
/// A declined confirmation leads to `requires_payment_method`; `requires_capture` does not occur
/// unless another system changes the intent. In both, as in `requires_action`, the intent waits for
/// an action, the customer has not paid, and the intent can be cancelled.
fn status_named(name: &str) -> Option<IntentStatus> {
    Some(match name {
        "requires_confirmation" => IntentStatus::RequiresConfirmation,
        "requires_action" | "requires_payment_method" | "requires_capture" => {
            IntentStatus::RequiresAction
        }
        "processing" => IntentStatus::Processing,
        "succeeded" => IntentStatus::Succeeded,
        "canceled" => IntentStatus::Canceled,
        _ => return None,
    })
}

fn mismatch(message: &str) -> StripeError {
    StripeError::Mismatch { message: message.to_owned() }
}

impl IntentBody {
    /// Returns the payment of this system that the intent was made for; `None` for an intent of
    /// another use of the account.
    pub(super) fn payment(&self) -> Option<PaymentId> {
        self.metadata.get(REFERENCE).and_then(|text| PaymentId::try_from(text.clone()).ok())
    }

    pub(super) fn into_intent(self) -> Result<Intent, StripeError> {
        Ok(Intent {
            payment: self.payment().ok_or_else(|| mismatch("an intent without our reference"))?,
            id: IntentId::new(&self.id).map_err(|_| mismatch("an intent without an id"))?,
            amount: from_stripe(self.amount, &self.currency)?,
            status: status_named(&self.status).ok_or_else(|| mismatch("an unknown status"))?,
            refunded: self.latest_charge.get("refunded").is_some_and(|refunded| *refunded == true),
        })
    }
}

impl RefundBody {
    /// A refund that is pending counts as made, since the gateway cannot do more for it
    /// (<https://docs.stripe.com/refunds#refund-object>).
    pub(super) fn into_refund(self) -> Result<Refund, StripeError> {
        if !matches!(self.status.as_str(), "succeeded" | "pending") {
            let status = word(&self.status).unwrap_or_default();
            return Err(StripeError::RefundFailed { status });
        }
        Ok(Refund {
            intent: IntentId::new(&self.payment_intent)
                .map_err(|_| mismatch("a refund of no intent"))?,
            amount: from_stripe(self.amount, &self.currency)?,
        })
    }

    /// The intent that is refunded.
    pub(super) fn intent(&self) -> &str {
        &self.payment_intent
    }

    /// The provider's own name of it, for the next page.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn into_made(self) -> Result<MadeRefund, StripeError> {
        let made = match self.status.as_str() {
            "succeeded" | "pending" | "requires_action" => Made::Accepted,
            "failed" | "canceled" => Made::Failed,
            _ => return Err(mismatch("an unknown status of a refund")),
        };
        let provider_id = word(&self.id).ok_or_else(|| mismatch("a refund without an id"))?;
        let refund =
            self.metadata.get(REFUND).and_then(|text| RefundId::try_from(text.clone()).ok());
        Ok(MadeRefund {
            provider_id,
            refund,
            amount: from_stripe(self.amount, &self.currency)?,
            made,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_for_people_are_no_words() {
        assert_eq!(word("insufficient_funds").as_deref(), Some("insufficient_funds"));
        assert_eq!(word("metadata[payment]").as_deref(), Some("metadata[payment]"));
        let long = "x".repeat(101);
        for text in ["", "Invalid API Key provided: sk_test_1", "someone@example.com", &long] {
            assert_eq!(word(text), None, "{text}");
        }
    }
}
