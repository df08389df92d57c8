//! What operators and their tools read.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as Extract};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use level3_adapters::sql::{DeliveryQuery, DeliveryState};
use level3_domain::journal::Standing;
use serde_json::{Value, json};

use super::{json_answer, text_answer};
use crate::merchants::Scope;
use crate::metrics::Stored;
use crate::openapi;
use crate::problem::{Problem, ProblemKind};
use crate::readiness::Checked;
use crate::service::{Inner, Service};

/// The format of the figures.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// More dead letters and refunds than this are counted as this many.
const COUNTED: usize = 10_000;

/// The process runs and answers. Checks nothing else: a restart repairs no other part.
pub(super) async fn health() -> Response {
    json_answer(StatusCode::OK, &json!({ "status": "up" }))
}

/// Whether payments can be taken now.
pub(super) async fn ready(Extract(service): Extract<Service>) -> Response {
    let service = &service.0;
    let draining = service.is_draining();
    let Checked { store, provider } = service.readiness.check().await;
    let word = |is_fine| if is_fine { "up" } else { "down" };
    let is_ready = store && provider && !draining;
    let body = json!({
        "ready": is_ready, "draining": draining, "store": word(store), "provider": word(provider),
    });
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json_answer(status, &body)
}

/// The figures.
pub(super) async fn metrics(
    Extract(service): Extract<Service>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let service = &*service.0;
    service.keys.caller(&headers)?.may(Scope::MetricsRead)?;
    let stored = stored(service).await;
    if stored.is_none() {
        service.metrics.store_failed();
    }
    let text = service.metrics.text(&service.gateway, stored);
    // Writing into a `String` does not fail.
    let text = text.map_err(|_| Problem::from(ProblemKind::Internal))?;
    Ok(text_answer(StatusCode::OK, OPENMETRICS, text))
}

/// Counts what has not ended. The store has an index of exactly that, however many payments it has.
async fn stored(service: &Inner) -> Option<Stored> {
    let open = service.store.list(Standing::Open).await.ok()?.len();
    let parked = service.store.list(Standing::Parked).await.ok()?.len();
    let dead_letters = service.store.dead_letters(COUNTED).await.ok()?.len();
    let state = Some(DeliveryState::Dead);
    let dead = DeliveryQuery { label: None, state, before: None, most: COUNTED };
    let dead_letters = dead_letters + service.store.deliveries(dead).await.ok()?.len();
    let open_refunds = service.store.open_refunds(COUNTED).await.ok()?.len();
    Some(Stored { open, parked, dead_letters, open_refunds })
}

/// The OpenAPI document.
pub(super) async fn openapi() -> Response {
    text_answer(StatusCode::OK, "application/json", openapi::document().to_string())
}

/// All kinds of problems.
pub(super) async fn problems() -> Response {
    let all: Vec<Value> = ProblemKind::ALL.iter().map(|kind| kind.description()).collect();
    json_answer(StatusCode::OK, &json!({ "data": all }))
}

/// One kind of problem: what its type refers to.
pub(super) async fn problem(
    slug: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(slug) = slug.map_err(|_| ProblemKind::NotFound)?;
    let kind = ProblemKind::from_slug(&slug).ok_or(ProblemKind::NotFound)?;
    Ok(json_answer(StatusCode::OK, &kind.description()))
}
