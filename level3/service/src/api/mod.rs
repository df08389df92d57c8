//! The routes.
//!
//! | module | routes |
//! |---|---|
//! | `payments` | `/v1/payments` |
//! | `refunds` | `/v1/payments/{id}/refunds` |
//! | `webhooks` | `/v1/webhook-deliveries` |
//! | `reports` | `/v1/provider-events` |
//! | `dead_letters` | `/v1/dead-letters` |
//! | `operations` | health, readiness, metrics, the OpenAPI document, the descriptions of problems |

mod dead_letters;
mod operations;
mod payments;
mod refunds;
mod reports;
mod webhooks;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use level3_adapters::sql::StoreError;
use serde_json::Value;

use crate::problem::{Problem, ProblemKind};
use crate::service::{Inner, Service};

/// Every route with its methods, as the OpenAPI document names them.
pub const ROUTES: &[(&str, &str)] = &[
    ("post", "/v1/payments"),
    ("get", "/v1/payments"),
    ("get", "/v1/payments/{id}"),
    ("post", "/v1/payments/{id}/refunds"),
    ("get", "/v1/payments/{id}/refunds"),
    ("get", "/v1/payments/{id}/refunds/{refund}"),
    ("get", "/v1/webhook-deliveries"),
    ("post", "/v1/webhook-deliveries/{id}/replay"),
    ("post", "/v1/provider-events/stripe"),
    ("get", "/v1/dead-letters"),
    ("post", "/v1/dead-letters/redrive"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/openapi.json"),
    ("get", "/problems"),
    ("get", "/problems/{slug}"),
];

pub(crate) fn routes(service: &Service) -> Router {
    Router::new()
        .route("/v1/payments", post(payments::create).get(payments::list))
        .route("/v1/payments/{id}", get(payments::show))
        .route("/v1/payments/{id}/refunds", post(refunds::create).get(refunds::list))
        .route("/v1/payments/{id}/refunds/{refund}", get(refunds::show))
        .route("/v1/webhook-deliveries", get(webhooks::list))
        .route("/v1/webhook-deliveries/{id}/replay", post(webhooks::replay))
        .route("/v1/provider-events/stripe", post(reports::stripe))
        .route("/v1/dead-letters", get(dead_letters::list))
        .route("/v1/dead-letters/redrive", post(dead_letters::redrive))
        .route("/healthz", get(operations::health))
        .route("/readyz", get(operations::ready))
        .route("/metrics", get(operations::metrics))
        .route("/openapi.json", get(operations::openapi))
        .route("/problems", get(operations::problems))
        .route("/problems/{slug}", get(operations::problem))
        .fallback(|| async { Problem::from(ProblemKind::NotFound) })
        .with_state(service.clone())
}

/// Makes an answer in JSON.
fn json_answer(status: StatusCode, body: &Value) -> Response {
    text_answer(status, "application/json", body.to_string())
}

fn text_answer(status: StatusCode, media_type: &'static str, body: String) -> Response {
    let mut response = (status, body).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// Makes the problem of a store that cannot be read. The operator finds the error in the log; it
/// names paths and servers.
fn store_problem(service: &Inner, error: &StoreError) -> Problem {
    tracing::error!(%error, "the store");
    Problem::from(ProblemKind::StoreUnavailable).retry_after(service.config.retry_after)
}
