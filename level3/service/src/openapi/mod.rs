//! The OpenAPI 3.1 document of the service.
//!
//! Written as data: a test compares it with the routes and the problems, and another one reads it
//! with a library that is not ours.

mod schemas;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::filed::MAX_CLIENT_KEY;
use crate::problem::{PROBLEM_JSON, ProblemKind};

/// Returns the document.
#[must_use]
pub fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Payment gateway",
            "version": env_version(),
            "description": "Makes payments that are neither lost nor doubled. An answer is sent after its record is durable.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": [
            { "name": "payments", "description": "Payments of the key's merchant." },
            { "name": "refunds", "description": "Refunds of payments, in full and in part." },
            { "name": "webhooks", "description": "Notifications of the key's merchant." },
            { "name": "operations", "description": "For operators and their tools." },
        ],
        "security": [{ "key": [] }],
        "paths": paths(),
        "components": {
            "securitySchemes": { "key": {
                "type": "http", "scheme": "bearer",
                "description": "An API key of a merchant: `pgk_ID_SECRET`.",
            } },
            "schemas": schemas::all(),
        },
    })
}

/// The version of the workspace.
fn env_version() -> &'static str {
    option_env!("CARGO_PKG_VERSION").unwrap_or("0")
}

fn paths() -> Value {
    use ProblemKind as P;

    let id = json!({
        "name": "id", "in": "path", "required": true, "schema": { "$ref": "#/components/schemas/PaymentId" },
    });
    let refund = json!({
        "name": "refund", "in": "path", "required": true, "schema": { "$ref": "#/components/schemas/RefundId" },
    });
    let slug = json!({
        "name": "slug", "in": "path", "required": true, "schema": { "type": "string" },
    });
    let reading = [
        P::Unauthorized,
        P::Forbidden,
        P::RateLimited,
        P::StoreUnavailable,
        P::TimedOut,
        P::Internal,
    ];
    json!({
        "/v1/payments": {
            "post": {
                "operationId": "createPayment", "tags": ["payments"],
                "summary": "Make a payment (scope payments:write)",
                "description": "Answers within ten seconds. The same key with the same body gets the same answer, or joins the payment that is under way. When the client disconnects, the payment goes on.",
                "parameters": [idempotency_key("Names the payment: the same for every repeat. Keys of other merchants do not collide with it.")],
                "requestBody": { "required": true, "content": {
                    "application/json": { "schema": { "$ref": "#/components/schemas/NewPayment" } },
                } },
                "responses": responses(&[
                    ("201", "The customer has paid.", "PaymentAnswer"),
                    ("202", "The payment has not ended; read it at Location.", "PaymentAnswer"),
                ], &[
                    P::InvalidRequest, P::KeyMissing, P::Unauthorized, P::Declined, P::Forbidden,
                    P::TooLarge, P::MediaType, P::KeyReused, P::Rejected, P::RateLimited, P::Internal, P::Failed,
                    P::Overloaded, P::Unavailable, P::ShuttingDown, P::StoreUnavailable, P::TimedOut,
                ]),
            },
            "get": {
                "operationId": "listPayments", "tags": ["payments"],
                "summary": "List payments, the newest first (scope payments:read)",
                "description": "A page may have fewer payments than `limit` although `next` is not null: a filter reads a bounded number of payments for each page.",
                "parameters": [
                    parameter("limit", "The most payments of the page.", json!({ "type": "integer", "minimum": 1, "maximum": 100, "default": 20 })),
                    parameter("after", "The value of `next` of the page before.", json!({ "$ref": "#/components/schemas/PaymentId" })),
                    parameter("state", "Only payments in this state.", json!({ "$ref": "#/components/schemas/State" })),
                    parameter("created_from", "Only payments that were begun at this time or later.", json!({ "type": "string", "format": "date-time" })),
                    parameter("created_to", "Only payments that were begun before this time.", json!({ "type": "string", "format": "date-time" })),
                ],
                "responses": responses(&[("200", "A page.", "PaymentPage")],
                    &[&[P::InvalidRequest][..], &reading].concat()),
            },
        },
        "/v1/payments/{id}": { "get": {
            "operationId": "showPayment", "tags": ["payments"],
            "summary": "Show a payment with its steps and times (scope payments:read)",
            "parameters": [id.clone()],
            "responses": responses(&[("200", "The payment.", "Payment")],
                &[&[P::NotFound][..], &reading].concat()),
        } },
        "/v1/payments/{id}/refunds": {
            "post": {
                "operationId": "createRefund", "tags": ["refunds"],
                "summary": "Refund a payment, or a part of it (scope refunds:write)",
                "description": "Refunds have a space of idempotency keys of their own. The refunds of a payment never exceed its charge: a refund that is under way counts, one that has failed does not. When the client disconnects, the refund goes on.",
                "parameters": [id.clone(), idempotency_key("Names the refund: the same for every repeat.")],
                "requestBody": { "required": true, "content": {
                    "application/json": { "schema": { "$ref": "#/components/schemas/NewRefund" } },
                } },
                "responses": responses(&[
                    ("201", "The provider has accepted the refund.", "Refund"),
                    ("202", "The refund has no outcome yet; read it at Location.", "Refund"),
                ], &[
                    P::InvalidRequest, P::KeyMissing, P::Unauthorized, P::Forbidden, P::NotFound, P::NotPaid,
                    P::TooLarge, P::MediaType, P::KeyReused, P::RefundExceeds, P::RefundFailed, P::RateLimited,
                    P::Internal, P::ShuttingDown, P::StoreUnavailable, P::TimedOut,
                ]),
            },
            "get": {
                "operationId": "listRefunds", "tags": ["refunds"],
                "summary": "List the refunds of a payment, the oldest first (scope payments:read)",
                "parameters": [id.clone()],
                "responses": responses(&[("200", "The refunds.", "Refunds")],
                    &[&[P::NotFound][..], &reading].concat()),
            },
        },
        "/v1/payments/{id}/refunds/{refund}": { "get": {
            "operationId": "showRefund", "tags": ["refunds"],
            "summary": "Show a refund (scope payments:read)",
            "parameters": [id, refund],
            "responses": responses(&[("200", "The refund.", "Refund")],
                &[&[P::NotFound][..], &reading].concat()),
        } },
        "/v1/webhook-deliveries": { "get": {
            "operationId": "listDeliveries", "tags": ["webhooks"],
            "summary": "List the notifications of the merchant, the latest first (scope payments:read)",
            "parameters": [
                parameter("limit", "The most deliveries of the page.", json!({ "type": "integer", "minimum": 1, "maximum": 100, "default": 20 })),
                parameter("after", "The value of `next` of the page before.", json!({ "$ref": "#/components/schemas/DeliveryId" })),
                parameter("state", "Only deliveries in this state.", json!({ "$ref": "#/components/schemas/DeliveryState" })),
            ],
            "responses": responses(&[("200", "A page.", "DeliveryPage")],
                &[&[P::InvalidRequest][..], &reading].concat()),
        } },
        "/v1/webhook-deliveries/{id}/replay": { "post": {
            "operationId": "replayDelivery", "tags": ["webhooks"],
            "summary": "Send a notification once more, whatever its state is (scope payments:write)",
            "parameters": [{
                "name": "id", "in": "path", "required": true, "schema": { "$ref": "#/components/schemas/DeliveryId" },
            }],
            "responses": responses(&[("202", "It will be sent.", "Replayed")],
                &[&[P::NotFound][..], &reading].concat()),
        } },
        "/v1/provider-events/stripe": { "post": {
            "operationId": "takeStripeEvent", "tags": ["operations"], "security": [],
            "summary": "Take a report of Stripe, signed with Stripe-Signature",
            "description": "Answers when the report is durable. It is handled afterwards; a repeat changes nothing.",
            "parameters": [{
                "name": "Stripe-Signature", "in": "header", "required": true, "schema": { "type": "string" },
            }],
            "requestBody": { "required": true, "content": {
                "application/json": { "schema": { "$ref": "#/components/schemas/Any" } },
            } },
            "responses": responses(&[("200", "The service has it.", "Received")],
                &[P::InvalidRequest, P::NotSigned, P::NotFound, P::TooLarge, P::StoreUnavailable, P::TimedOut, P::Internal]),
        } },
        "/v1/dead-letters": { "get": {
            "operationId": "listDeadLetters", "tags": ["operations"],
            "summary": "List the undos, receipts and notifications that failed (scope operator)",
            "responses": responses(&[("200", "The dead letters of all merchants.", "DeadLetters")], &reading),
        } },
        "/v1/dead-letters/redrive": { "post": {
            "operationId": "redrive", "tags": ["operations"],
            "summary": "Try the failed undos, receipts and notifications once more (scope operator)",
            "description": "Goes on when the client disconnects or the answer is `request-timeout`.",
            "responses": responses(&[("200", "Every letter was tried.", "Redriven")],
                &[P::Unauthorized, P::Forbidden, P::Busy, P::RateLimited, P::StoreUnavailable, P::TimedOut, P::Internal]),
        } },
        "/healthz": { "get": open("health", "Whether the process answers",
            responses(&[("200", "It does.", "Health")], &[])) },
        "/readyz": { "get": open("ready", "Whether payments can be taken now",
            responses(&[("200", "They can.", "Ready"), ("503", "They cannot.", "Ready")], &[])) },
        "/metrics": { "get": {
            "operationId": "metrics", "tags": ["operations"],
            "summary": "Figures in the format of OpenMetrics (scope metrics:read)",
            "responses": with_text(responses(&[], &[P::Unauthorized, P::Forbidden, P::RateLimited, P::TimedOut, P::Internal])),
        } },
        "/openapi.json": { "get": open("openapi", "This document",
            responses(&[("200", "An OpenAPI 3.1 document.", "Any")], &[])) },
        "/problems": { "get": open("problems", "Every type of problem",
            responses(&[("200", "The types.", "ProblemTypes")], &[])) },
        "/problems/{slug}": { "get": {
            "operationId": "problem", "tags": ["operations"], "security": [],
            "summary": "What the type of a problem refers to", "parameters": [slug],
            "responses": responses(&[("200", "The type.", "ProblemType")], &[P::NotFound]),
        } },
    })
}

/// Describes the header with the client's key.
fn idempotency_key(description: &str) -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header", "required": true, "description": description,
        "schema": { "type": "string", "minLength": 1, "maxLength": MAX_CLIENT_KEY, "pattern": "^[ -~]+$" },
    })
}

/// Describes an operation that needs no key.
fn open(id: &str, summary: &str, responses: Value) -> Value {
    json!({
        "operationId": id, "tags": ["operations"], "summary": summary, "security": [],
        "responses": responses,
    })
}

fn parameter(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

/// Describes the answers of an operation. Problems with the same status share an entry.
fn responses(good: &[(&str, &str, &str)], problems: &[ProblemKind]) -> Value {
    let mut all = Map::new();
    for (status, description, schema) in good {
        let reference = json!({ "$ref": format!("#/components/schemas/{schema}") });
        let content = json!({ "application/json": { "schema": reference } });
        let mut answer = json!({ "description": description, "content": content });
        if *schema == "PaymentAnswer" || *schema == "Refund" && *status != "200" {
            answer["headers"] = json!({
                "Location": header("Where to read it.", json!({ "type": "string" })),
                "Idempotency-Replayed": replayed(),
            });
        }
        all.insert((*status).to_owned(), answer);
    }
    for kind in ProblemKind::ALL.iter().filter(|kind| problems.contains(kind)) {
        let status = kind.status().as_u16().to_string();
        let line = format!("`{}`: {}.", kind.type_uri(), kind.title());
        let entry = all.entry(status).or_insert_with(|| {
            let schema = json!({ "$ref": "#/components/schemas/Problem" });
            json!({ "description": "", "content": { PROBLEM_JSON: { "schema": schema } } })
        });
        let before = entry["description"].as_str().unwrap_or_default();
        entry["description"] = json!(format!("{before} {line}").trim_start());
        match kind {
            ProblemKind::Declined
            | ProblemKind::Rejected
            | ProblemKind::Failed
            | ProblemKind::RefundFailed => {
                entry["headers"]["Idempotency-Replayed"] = replayed();
            }
            kind if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS]
                .contains(&kind.status()) =>
            {
                let seconds = json!({ "type": "integer", "minimum": 1 });
                let after = header("Seconds after which a repeat may succeed.", seconds);
                entry["headers"]["Retry-After"] = after;
            }
            _ => {}
        }
    }
    Value::Object(all)
}

fn replayed() -> Value {
    header("Whether this is a repeat.", json!({ "type": "boolean" }))
}

fn header(description: &str, schema: Value) -> Value {
    json!({ "description": description, "schema": schema })
}

fn with_text(mut responses: Value) -> Value {
    let content = json!({ "application/openmetrics-text": { "schema": { "type": "string" } } });
    responses["200"] = json!({ "description": "The figures.", "content": content });
    responses
}
