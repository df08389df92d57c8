//! Payments.

use axum::body::{Body, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State as Extract};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use level3_domain::answer::{Answer, PayError, Reply, Status};
use level3_domain::ids::PaymentKey;
use serde_json::Value;

use super::{json_answer, store_problem, text_answer};
use crate::card_number;
use crate::filed::{gateway_key, name_of};
use crate::merchants::{MerchantId, Scope};
use crate::payment::list::{self, ListQuery};
use crate::payment::view::{self, AnswerView};
use crate::payment::{State, body};
use crate::problem::{Problem, ProblemKind};
use crate::service::{Inner, Service};

/// The header with the client's key.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says whether an answer about a payment is a repeat, a decline too.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Makes a payment.
///
/// When the client disconnects, this future is dropped, and the payment goes on: the gateway works
/// in a task of its own.
pub(super) async fn create(
    Extract(service): Extract<Service>,
    request: Request,
) -> Result<Response, Problem> {
    let service = &*service.0;
    let (head, body) = request.into_parts();
    // Before the body is read: a stranger sends no more than a head.
    let caller = service.keys.caller(&head.headers)?;
    caller.may(Scope::PaymentsWrite)?;
    let key = key(&head.headers, &caller.merchant)?;
    is_json(&head.headers)?;
    let body = read(body, service.config.max_body).await?;
    let asked = body::read(&body, &key)?;
    let (email, card) = (asked.email.clone(), asked.card.clone());
    let reply = service.gateway.pay(asked).await;
    match reply {
        Ok(Reply { answer, replayed }) => {
            // Connects the log of the request with that of the payment, which runs in another task.
            let (payment, merchant) = (name_of(answer.payment.as_str()), caller.merchant.as_str());
            tracing::info!(payment, merchant, replayed, "the payment has an answer");
            if matches!(answer.status, Status::Compensating { .. }) {
                service.unsettled.notify_one();
            }
            let redact = |text: &str| text.replace(&email, "***").replace(&card, "***");
            let mut response = answered(&answer, redact).into_response();
            let replayed = if replayed { "true" } else { "false" };
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static(replayed));
            Ok(response)
        }
        Err(error) => Err(refused(service, &error)),
    }
}

/// Reads the idempotency key.
pub(super) fn key(headers: &HeaderMap, merchant: &MerchantId) -> Result<PaymentKey, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let key = keys.next().ok_or(ProblemKind::KeyMissing)?;
    if keys.next().is_some() {
        return Err(Problem::field("Idempotency-Key", "is there twice"));
    }
    let not_ascii = || Problem::field("Idempotency-Key", "has characters that are not allowed");
    let key = key.to_str().map_err(|_| not_ascii())?;
    if card_number::is_in(key) {
        return Err(Problem::field("Idempotency-Key", "looks like the number of a card"));
    }
    gateway_key(merchant, key).map_err(body::key)
}

pub(super) fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = given.and_then(|value| value.split(';').next()).map(str::trim);
    match essence {
        Some(essence) if essence.eq_ignore_ascii_case("application/json") => Ok(()),
        _ => Err(ProblemKind::MediaType.into()),
    }
}

pub(super) async fn read(body: Body, limit: usize) -> Result<axum::body::Bytes, Problem> {
    // The other error is a client that stops in the middle, which gets no answer.
    let too_large = || Problem::new(ProblemKind::TooLarge, format!("{limit} bytes at most"));
    to_bytes(body, limit).await.map_err(|_| too_large())
}

/// Turns an answer of the gateway into one of HTTP. Only 201 says that the customer has paid.
fn answered(answer: &Answer, redact: impl Fn(&str) -> String) -> Result<Response, Problem> {
    let name = name_of(answer.payment.as_str());
    let about = |kind, reason: &str, step: &str| {
        Problem::new(kind, redact(reason)).with("payment", name).with("step", step)
    };
    let (status, state) = match &answer.status {
        Status::Paid { .. } => (StatusCode::CREATED, State::Paid),
        Status::Compensating { parked } => {
            (StatusCode::ACCEPTED, if *parked { State::Parked } else { State::Compensating })
        }
        Status::Declined { by, reason } => return Err(about(ProblemKind::Declined, reason, by)),
        Status::Failed { step, reason, retryable } => {
            let kind = if *retryable { ProblemKind::Failed } else { ProblemKind::Rejected };
            return Err(about(kind, reason, step));
        }
    };
    // A struct of texts and numbers is always JSON.
    let body = serde_json::to_string(&AnswerView::new(answer, state))
        .map_err(|_| Problem::from(ProblemKind::Internal))?;
    let mut response = text_answer(status, "application/json", body);
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/payments/{name}")) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

/// Turns a refusal of the gateway into a problem.
fn refused(service: &Inner, error: &PayError) -> Problem {
    let retry = service.config.retry_after;
    match error {
        PayError::KeyReused => ProblemKind::KeyReused.into(),
        PayError::Overloaded { retry_after } => {
            Problem::from(ProblemKind::Overloaded).retry_after(*retry_after)
        }
        PayError::Unavailable { dependency, retry_after } => {
            Problem::new(ProblemKind::Unavailable, format!("{dependency} is down"))
                .retry_after(*retry_after)
        }
        PayError::ShuttingDown => Problem::from(ProblemKind::ShuttingDown).retry_after(retry),
        PayError::JournalUnavailable => {
            service.unsettled.notify_one();
            Problem::from(ProblemKind::StoreUnavailable).retry_after(retry)
        }
        // The body was checked before, so neither can come from the client.
        PayError::Invalid(_) | PayError::JournalUnreadable(_) => {
            tracing::error!("a payment that cannot be read");
            ProblemKind::Internal.into()
        }
    }
}

/// Shows a payment with its steps.
pub(super) async fn show(
    Extract(service): Extract<Service>,
    name: Result<Path<String>, PathRejection>,

    headers: HeaderMap,
) -> Result<Response, Problem> {
    let service = &*service.0;
    let caller = service.keys.caller(&headers)?;
    caller.may(Scope::PaymentsRead)?;
    // A name that is no UTF-8 is that of no payment.
    let Path(name) = name.map_err(|_| ProblemKind::NotFound)?;
    let found = view::find(service.store.as_ref(), &caller.merchant, &name).await;
    match found.map_err(|error| store_problem(service, &error))? {
        Some(found) => Ok(json_answer(StatusCode::OK, &found.full())),
        None => Err(ProblemKind::NotFound.into()),
    }
}

/// Lists payments.
pub(super) async fn list(
    Extract(service): Extract<Service>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let service = &*service.0;
    let caller = service.keys.caller(&headers)?;
    caller.may(Scope::PaymentsRead)?;
    let query = ListQuery::read(&uri)?;
    let page: Value = list::page(service.store.as_ref(), &caller.merchant, query)
        .await
        .map_err(|error| store_problem(service, &error))?;
    Ok(json_answer(StatusCode::OK, &page))
}
