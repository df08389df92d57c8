//! The schemas of the document.

use level3_adapters::sql::{DeliveryState, RefundState};
use serde_json::{Map, Value, json};

use crate::payment::State;
use crate::problem::ProblemKind;
use crate::webhooks::EventType;

/// Returns every schema.
pub(super) fn all() -> Value {
    let mut all = payments();
    if let (Value::Object(all), Value::Object(more)) = (&mut all, webhooks()) {
        all.extend(more);
    }
    all
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn list(of: &str) -> Value {
    json!({ "type": "array", "items": { "$ref": format!("#/components/schemas/{of}") } })
}

/// What merchants are notified of.
fn webhooks() -> Value {
    let delivery_states: Vec<_> = DeliveryState::ALL.iter().map(|state| state.name()).collect();
    let event_types: Vec<_> = EventType::ALL.iter().map(|event| event.name()).collect();
    json!({
        "Dispute": object(json!({
            "id": text(), "payment": { "$ref": "#/components/schemas/PaymentId" },
            "amount": { "type": "integer", "minimum": 1 }, "currency": text(),
            "reason": text(), "status": text(), "closed": { "type": "boolean" },
            "updated_at": time(),
        }), &[]),
        "Received": object(json!({ "received": { "const": true } }), &[]),
        "DeliveryId": { "type": "string", "pattern": "^whd_[0-9]+$" },
        "DeliveryState": { "type": "string", "enum": delivery_states },
        "DeliveryPage": object(json!({
            "data": list("Delivery"), "next": { "type": ["string", "null"] },
        }), &[]),
        "Delivery": object(json!({
            "id": { "$ref": "#/components/schemas/DeliveryId" },
            "event": { "type": "string", "description": "The header webhook-id of the notification." },
            "endpoint": text(), "state": { "$ref": "#/components/schemas/DeliveryState" },
            "failures": count(), "cause": { "type": ["string", "null"] },
            "due_at": { "type": ["string", "null"], "format": "date-time" }, "updated_at": time(),
            "payload": { "$ref": "#/components/schemas/Event" },
        }), &[]),
        "Event": object(json!({
            "type": { "type": "string", "enum": event_types }, "timestamp": time(),
            "data": { "type": "object", "description": "A PaymentSummary, a Refund or a Dispute." },
        }), &[]),
        "Replayed": object(json!({
            "id": { "$ref": "#/components/schemas/DeliveryId" }, "state": { "const": "pending" },
        }), &[]),
    })
}

fn payments() -> Value {
    let types: Vec<_> = ProblemKind::ALL.iter().map(|kind| kind.type_uri()).collect();
    let states: Vec<_> = State::ALL.iter().map(|state| state.name()).collect();
    let refund_states: Vec<_> = RefundState::ALL.iter().map(|state| state.name()).collect();
    let up = || json!({ "enum": ["up", "down"] });
    let amount = || {
        json!({
            "type": "integer", "minimum": 1, "maximum": level3_domain::money::MAX_MINOR,
            "description": "Minor units of the currency: 1050 with USD is 10.50 USD, 1050 with JPY is 1050 JPY.",
        })
    };
    let currency = || json!({ "type": "string", "pattern": "^[A-Za-z]{3}$", "description": "The code of ISO 4217." });
    json!({
        "Any": { "type": "object" },
        "PaymentId": { "type": "string", "pattern": "^pay_[0-9a-f]{32}$" },
        "State": { "type": "string", "enum": states },
        "NewPayment": object(json!({
            "order": { "type": "string", "minLength": 1, "maxLength": 100, "description": "The merchant's order." },
            "amount": amount(), "currency": currency(),
            "email": { "type": "string", "maxLength": 254, "description": "Where the receipt goes." },
            "card": { "type": "string", "minLength": 1, "maxLength": 255, "description": "The provider's token for the card, such as pm_card_visa; never the card's number." },
        }), &[]),
        "PaymentAnswer": object(json!({
            "id": { "$ref": "#/components/schemas/PaymentId" }, "order": text(), "amount": amount(),
            "currency": currency(), "state": { "$ref": "#/components/schemas/State" },
            "transaction": text(), "intent": text(),
        }), &["transaction", "intent"]),
        "RefundId": { "type": "string", "pattern": "^re_[0-9a-f]{32}$" },
        "NewRefund": object(json!({
            "amount": {
                "type": "integer", "minimum": 1, "maximum": level3_domain::money::MAX_MINOR,
                "description": "Minor units of the payment's currency. Without it, all that is left of the charge.",
            },
        }), &["amount"]),
        "Refund": object(json!({
            "id": { "$ref": "#/components/schemas/RefundId" },
            "payment": { "$ref": "#/components/schemas/PaymentId" },
            "amount": amount(), "currency": currency(),
            "state": { "type": "string", "enum": refund_states },
            "created_at": time(), "updated_at": time(),
            "reason": { "type": "string", "description": "Why it failed." },
        }), &["reason"]),
        "Refunds": object(json!({ "data": list("Refund") }), &[]),
        "PaymentSummary": summary(json!({}), &[]),
        "Payment": summary(json!({ "runs": list("Run"), "disputes": list("Dispute") }), &[]),
        "Failure": object(json!({
            "step": text(), "reason": text(),
            "retryable": { "type": "boolean", "description": "Whether a repeat with the same key tries again." },
        }), &[]),
        "Run": object(json!({
            "number": { "type": "integer", "minimum": 1 },
            "state": { "$ref": "#/components/schemas/State" },
            "started_at": time(), "updated_at": time(), "steps": list("Step"),
        }), &[]),
        "Step": object(json!({
            "step": text(),
            "state": { "enum": ["running", "done", "failed", "undoing", "undone", "parked"] },
            "started_at": time(), "ended_at": { "type": ["string", "null"], "format": "date-time" },
            "undo_attempts": count(),
        }), &[]),
        "PaymentPage": object(json!({
            "data": list("PaymentSummary"), "next": { "type": ["string", "null"] },
        }), &[]),
        "DeadLetters": object(json!({ "data": list("DeadLetter") }), &[]),
        "DeadLetter": object(json!({
            "kind": { "enum": ["undo", "receipt", "webhook"] },
            "payment": { "$ref": "#/components/schemas/PaymentId" },
            "steps": { "type": "array", "items": { "$ref": "#/components/schemas/StuckStep" } },
            "cause": text(), "failures": count(), "endpoint": text(), "event": text(),
        }), &["steps", "cause", "failures", "endpoint", "event"]),
        "StuckStep": object(json!({ "step": text(), "cause": text(), "attempts": count() }), &[]),
        "Redriven": object(json!({
            "delivered": count(), "failed": count(),
            "queued": { "type": "integer", "minimum": 0, "description": "Notifications that will be sent once more." },
        }), &[]),
        "Health": object(json!({ "status": { "const": "up" } }), &[]),
        "Ready": object(json!({
            "ready": { "type": "boolean" }, "draining": { "type": "boolean" },
            "store": up(), "provider": up(),
        }), &[]),
        "Problem": {
            "type": "object", "description": "A problem of RFC 9457.",
            "required": ["type", "title", "status"],
            "properties": {
                "type": { "type": "string", "enum": types },
                "title": text(), "status": { "type": "integer" }, "detail": text(),
                "errors": { "type": "array", "items": {
                    "type": "object", "required": ["pointer", "detail"],
                    "properties": { "pointer": text(), "detail": text() },
                } },
                "payment": { "$ref": "#/components/schemas/PaymentId" }, "step": text(),
                "refund": { "$ref": "#/components/schemas/RefundId" },
                "left": { "type": "integer", "minimum": 0, "description": "What can still be refunded, in minor units." },
            },
        },
        "ProblemType": object(json!({
            "type": { "type": "string", "enum": types }, "status": { "type": "integer" },
            "title": text(), "charged": text(), "next": text(),
        }), &[]),
        "ProblemTypes": object(json!({ "data": list("ProblemType") }), &[]),
    })
}

/// Describes a payment without its runs, and with more fields.
fn summary(more: Value, optional: &[&str]) -> Value {
    let mut properties = json!({
        "id": { "$ref": "#/components/schemas/PaymentId" },
        "idempotency_key": text(), "order": text(),
        "amount": { "type": "integer", "minimum": 1 }, "currency": text(),
        "state": { "$ref": "#/components/schemas/State" },
        "created_at": time(), "updated_at": time(),
        "transaction": text(), "intent": text(),
        "receipt": { "enum": ["pending", "sent"] },
        "refunded": { "type": "integer", "minimum": 0, "description": "What the customer has got back, in minor units." },
        "failure": { "$ref": "#/components/schemas/Failure" },
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut properties, more) {
        all.extend(more);
    }
    let only_sometimes = ["transaction", "intent", "receipt", "refunded", "failure"];
    object(properties, &[optional, &only_sometimes].concat())
}

/// Describes an object that has no other fields than these, all of them except the optional ones.
fn object(properties: Value, optional: &[&str]) -> Value {
    let required: Vec<_> = properties
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
        .filter(|name| !optional.contains(&name.as_str()))
        .cloned()
        .collect();
    json!({
        "type": "object", "required": required, "properties": properties,
        "additionalProperties": false,
    })
}
