//! Refunds of a payment.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State as Extract};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use level3_adapters::sql::{NewRefund, RefundRefusal, RefundRow, RefundState};
use level3_domain::ids::PaymentId;
use level3_domain::refund::RefundId;
use serde_json::{Value, json};

use super::payments::{REPLAYED, is_json, key, read};
use super::{json_answer, store_problem};
use crate::filed::name_of;
use crate::merchants::{MerchantId, Scope};
use crate::payment::State;
use crate::payment::view;
use crate::problem::{Problem, ProblemKind};
use crate::refunds::{Asked, body, view as shown};
use crate::service::{Inner, Service};

/// Refunds a payment, or a part of it.
///
/// When the client disconnects, this future is dropped, and the refund goes on.
pub(super) async fn create(
    Extract(service): Extract<Service>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let service = &*service.0;
    let (head, bytes) = request.into_parts();
    let caller = service.keys.caller(&head.headers)?;
    caller.may(Scope::RefundsWrite)?;
    let Path(name) = name.map_err(|_| ProblemKind::NotFound)?;
    let key = key(&head.headers, &caller.merchant)?;
    is_json(&head.headers)?;
    let asked = body::read(&read(bytes, service.config.max_body).await?)?;
    let payment = paid(service, &caller.merchant, &name).await?;
    let refund = RefundId::derive(&service.store.store_id(), &key);
    let unavailable = |error| store_problem(service, &error);
    if service.is_draining() {
        // A repeat still gets its answer.
        let known = service.store.refund(refund.clone()).await.map_err(unavailable)?;
        if known.is_none() {
            let retry = service.config.retry_after;
            return Err(Problem::from(ProblemKind::ShuttingDown).retry_after(retry));
        }
    }
    let new = NewRefund { refund, payment: payment.clone(), asked };
    match service.refunds.ask(new).await.map_err(unavailable)? {
        Asked::Recorded { row, .. } if row.payment != payment || row.asked != asked => {
            Err(ProblemKind::KeyReused.into())
        }
        Asked::Recorded { row, before } => {
            let (refund, merchant) = (row.refund.as_str(), caller.merchant.as_str());
            tracing::info!(refund, payment = name, merchant, "the refund has an answer");
            let mut response = answered(&row).into_response();
            let replayed = if before { "true" } else { "false" };
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static(replayed));
            Ok(response)
        }
        Asked::Refused(RefundRefusal::NotPaid) => Err(not_paid(&name)),
        Asked::Refused(RefundRefusal::Exceeds { left }) => {
            Err(Problem::from(ProblemKind::RefundExceeds).with("payment", name).with("left", left))
        }
        Asked::Unknown => Err(ProblemKind::TimedOut.into()),
    }
}

/// Returns the run of the payment that is paid.
async fn paid(service: &Inner, merchant: &MerchantId, name: &str) -> Result<PaymentId, Problem> {
    let found = view::find(service.store.as_ref(), merchant, name).await;
    let found = found.map_err(|error| store_problem(service, &error))?;
    let found = found.ok_or(ProblemKind::NotFound)?;
    match (found.state(), found.last_run()) {
        (State::Paid, Some(run)) => Ok(run),
        _ => Err(not_paid(name)),
    }
}

fn not_paid(name: &str) -> Problem {
    Problem::from(ProblemKind::NotPaid).with("payment", name)
}

/// Turns a refund into an answer. Only 201 says that the provider has accepted it.
fn answered(row: &RefundRow) -> Result<Response, Problem> {
    let payment = name_of(row.payment.as_str());
    let status = match row.state {
        RefundState::Succeeded => StatusCode::CREATED,
        RefundState::Processing => StatusCode::ACCEPTED,
        RefundState::Failed => {
            let reason = row.cause.as_deref().unwrap_or_default();
            return Err(Problem::new(ProblemKind::RefundFailed, reason)
                .with("payment", payment)
                .with("refund", row.refund.as_str()));
        }
    };
    let mut response = json_answer(status, &shown::refund(row));
    let place = format!("/v1/payments/{payment}/refunds/{}", row.refund);
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

/// The refunds of a payment of the merchant.
async fn rows(service: &Inner, headers: &HeaderMap, name: &str) -> Result<Vec<RefundRow>, Problem> {
    let caller = service.keys.caller(headers)?;
    caller.may(Scope::PaymentsRead)?;
    let unavailable = |error| store_problem(service, &error);
    let found = view::find(service.store.as_ref(), &caller.merchant, name).await;
    let found = found.map_err(unavailable)?.ok_or(ProblemKind::NotFound)?;
    match found.last_run() {
        Some(run) => service.store.refunds_of(run).await.map_err(unavailable),
        None => Ok(Vec::new()),
    }
}

/// Lists the refunds of a payment, the oldest first.
pub(super) async fn list(
    Extract(service): Extract<Service>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let rows = rows(&service.0, &headers, &name).await?;
    let data: Vec<Value> = rows.iter().map(shown::refund).collect();
    Ok(json_answer(StatusCode::OK, &json!({ "data": data })))
}

/// Shows a refund.
pub(super) async fn show(
    Extract(service): Extract<Service>,
    names: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (name, refund) = names.map(|Path(names)| names).unwrap_or_default();
    let rows = rows(&service.0, &headers, &name).await?;
    let row = rows.iter().find(|row| row.refund.as_str() == refund).ok_or(ProblemKind::NotFound)?;
    Ok(json_answer(StatusCode::OK, &shown::refund(row)))
}
