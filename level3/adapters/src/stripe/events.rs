//! What Stripe reports by itself, and the signature of a report.
//!
//! The header `Stripe-Signature` has a time and one or more signatures: `t=1492774577,v1=5257a8...`. A
//! signature is the HMAC with SHA-256 of `TIME.BODY`, in hexadecimal, with the secret of the endpoint
//! (<https://docs.stripe.com/webhooks#verify-manually>). During a rotation there is one signature for
//! each secret. A report that is older than the tolerance is refused, so that no third party can repeat
//! one later.
//!
//! Only reports of the objects that this system has made are read. What is kept of one is the part that
//! is needed to handle it; names and addresses of customers are not.

use std::fmt;
use std::time::Duration;

use level3_domain::ids::IntentId;
use level3_domain::provider::Intent;
use level3_domain::refund::MadeRefund;
use ring::hmac;
use serde::Deserialize;
use serde_json::Value;

use super::amount::from_stripe;
use super::body::{IntentBody, RefundBody, word};
use crate::sql::Dispute;

/// How far the time of a signature may be from the present. Stripe's own libraries have the same.
pub const TOLERANCE: Duration = Duration::from_secs(300);
/// The most signatures of a header that are checked.
const SIGNATURES: usize = 16;

/// The secret of an endpoint: `whsec_...`. Its `Debug` output does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointSecret(String);

/// The text is not the secret of an endpoint. The message does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a text that is not the secret of an endpoint, whsec_...")]
pub struct NotASecret;

impl EndpointSecret {
    /// Checks the text. White space around it is removed.
    ///
    /// # Errors
    ///
    /// [`NotASecret`].
    pub fn new(text: &str) -> Result<Self, NotASecret> {
        let text = text.trim();
        let is_plain = |byte: u8| byte.is_ascii_graphic();
        match text.strip_prefix("whsec_") {
            Some(rest) if rest.len() >= 16 && rest.bytes().all(is_plain) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(NotASecret),
        }
    }
}

impl fmt::Debug for EndpointSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointSecret(***)")
    }
}

/// Why a report is not from Stripe, or not from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The header is missing, or has no time or no signature.
    #[error("the header Stripe-Signature is missing or has another form")]
    Malformed,
    /// No signature is that of the body under one of the secrets.
    #[error("no signature fits the body")]
    Wrong,
    /// The signature is right, and its time is too far from the present.
    #[error("the signature is too old, or from the future")]
    OutOfTolerance,
}

/// Checks the signature of a body, byte for byte as it came. `now` is in seconds since 1970.
///
/// Signatures are compared in constant time. The time is checked last, and only of a body that is
/// signed.
///
/// # Errors
///
/// [`SignatureError`].
pub fn verify(
    header: &str,
    body: &[u8],
    secrets: &[EndpointSecret],
    now: i64,
) -> Result<(), SignatureError> {
    let mut time = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", text)) => time = Some(text),
            Some(("v1", text)) if signatures.len() < SIGNATURES => signatures.extend(hex(text)),
            // Other schemes, such as Stripe's v0 for tests.
            _ => {}
        }
    }
    // As Stripe signed it: the text of the number, and not the number.
    let text = time.ok_or(SignatureError::Malformed)?;
    let at: i64 = text.parse().map_err(|_| SignatureError::Malformed)?;
    if signatures.is_empty() {
        return Err(SignatureError::Malformed);
    }
    let signed = [text.as_bytes(), b".", body].concat();
    let fits = |secret: &EndpointSecret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.0.as_bytes());
        signatures.iter().any(|signature| hmac::verify(&key, &signed, signature).is_ok())
    };
    if !secrets.iter().any(fits) {
        return Err(SignatureError::Wrong);
    }
    if now.abs_diff(at) > TOLERANCE.as_secs() {
        return Err(SignatureError::OutOfTolerance);
    }
    Ok(())
}

/// Reads hexadecimal digits; `None` if there are other characters.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

/// The subject of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// An intent of this system. It may have changed since.
    Intent(Intent),
    /// A refund of this system.
    Refund {
        /// The intent that the refund belongs to.
        intent: IntentId,
        /// The refund. It may have changed since.
        made: MadeRefund,
    },
    /// A dispute, of a charge of this system or of another one.
    Dispute(Dispute),
    /// A subject that this system does not handle.
    Other,
}

/// A report that Stripe sends to the webhook of this system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeEvent {
    /// Stripe's name of the report, the same for each repeat.
    pub id: String,
    /// The type of the report, for example `payment_intent.succeeded`.
    pub kind: String,
    /// The subject of the report.
    pub reported: Reported,
    /// The part of it from which [`StripeEvent::read`] reads the same again, as JSON.
    pub detail: String,
}

/// The body is not a report. The message does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is not an event of Stripe")]
pub struct NotAnEvent;

#[derive(Deserialize)]
struct EventBody {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    created: i64,
    data: DataBody,
}

#[derive(Deserialize)]
struct DataBody {
    object: Value,
}

#[derive(Deserialize)]
struct DisputeBody {
    id: String,
    amount: i64,
    currency: String,
    payment_intent: Option<String>,
    reason: String,
    status: String,
}

/// The fields of the objects that are kept.
const KEPT: [&str; 9] = [
    "id",
    "object",
    "amount",
    "currency",
    "status",
    "metadata",
    "payment_intent",
    "reason",
    "charge",
];

impl StripeEvent {
    /// Reads the body of a report, or its `detail`.
    ///
    /// # Errors
    ///
    /// [`NotAnEvent`].
    pub fn read(body: &[u8]) -> Result<Self, NotAnEvent> {
        let EventBody { id, kind, created, data } =
            serde_json::from_slice(body).map_err(|_| NotAnEvent)?;
        let (id, kind) = (word(&id).ok_or(NotAnEvent)?, word(&kind).ok_or(NotAnEvent)?);
        let mut object = data.object;
        if let Some(fields) = object.as_object_mut() {
            fields.retain(|name, _| KEPT.contains(&name.as_str()));
            // Only this system's own names: others may hold anything.
            if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.retain(|name, _| {
                    [super::body::REFERENCE, super::body::REFUND].contains(&name.as_str())
                });
            }
        }
        let detail = serde_json::json!({
            "id": id, "type": kind, "created": created, "data": { "object": object },
        });
        let reported = reported(&kind, created, object);
        Ok(Self { id, kind, reported, detail: detail.to_string() })
    }
}

/// Reads the object. One that cannot be read is not this system's.
fn reported(kind: &str, created: i64, object: Value) -> Reported {
    let read = if kind.starts_with("payment_intent.") {
        serde_json::from_value::<IntentBody>(object)
            .ok()
            .and_then(|body| body.into_intent().ok())
            .map(Reported::Intent)
    } else if kind.starts_with("refund.") || kind == "charge.refund.updated" {
        refund(object)
    } else if kind.starts_with("charge.dispute.") {
        dispute(object, created).map(Reported::Dispute)
    } else {
        None
    };
    read.unwrap_or(Reported::Other)
}

fn refund(object: Value) -> Option<Reported> {
    let body: RefundBody = serde_json::from_value(object).ok()?;
    let intent = IntentId::new(body.intent()).ok()?;
    let made = body.into_made().ok()?;
    made.refund.is_some().then_some(Reported::Refund { intent, made })
}

fn dispute(object: Value, created: i64) -> Option<Dispute> {
    let body: DisputeBody = serde_json::from_value(object).ok()?;
    Some(Dispute {
        id: word(&body.id)?,
        intent: IntentId::new(body.payment_intent?).ok()?,
        amount: from_stripe(body.amount, &body.currency).ok()?,
        reason: word(&body.reason)?,
        is_closed: ["won", "lost", "warning_closed"].contains(&body.status.as_str()),
        status: word(&body.status)?,
        as_of: created,
    })
}

#[cfg(test)]
mod tests;
