//! Reports of the payment provider.

use axum::extract::{Request, State as Extract};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::payments::read;
use super::{json_answer, store_problem};
use crate::inbox::NotTaken;
use crate::problem::{Problem, ProblemKind};
use crate::service::Service;

/// The longest report, in bytes. An object of Stripe with all its fields is larger than a request of a
/// merchant.
const MAX_REPORT: usize = 256 * 1024;
/// The header with the signature.
const SIGNATURE: &str = "stripe-signature";

/// Takes a report. The answer is sent when the report is durable.
pub(super) async fn stripe(
    Extract(service): Extract<Service>,
    request: Request,
) -> Result<Response, Problem> {
    let service = &*service.0;
    let (head, body) = request.into_parts();
    let mut signatures = head.headers.get_all(SIGNATURE).iter();
    let signature = match (signatures.next(), signatures.next()) {
        (Some(one), None) => one.to_str().unwrap_or_default(),
        // Before the body is read: a stranger sends no more than a head.
        _ => return Err(ProblemKind::NotSigned.into()),
    };
    // As it came: the signature is that of its bytes.
    let body = read(body, MAX_REPORT).await?;
    let taken = service.inbox.take(signature, &body).await;
    match taken {
        Ok(is_new) => {
            service.metrics.reported(if is_new { "taken" } else { "repeated" });
            Ok(json_answer(StatusCode::OK, &json!({ "received": true })))
        }
        Err(NotTaken::Closed) => Err(ProblemKind::NotFound.into()),
        Err(NotTaken::Signature(error)) => {
            Err(Problem::new(ProblemKind::NotSigned, error.to_string()))
        }
        Err(NotTaken::Unreadable) => Err(Problem::field("", "the body is not an event")),
        Err(NotTaken::Store(error)) => Err(store_problem(service, &error)),
    }
}
