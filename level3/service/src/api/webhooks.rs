//! The notifications of a merchant.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State as Extract};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use level3_adapters::sql::{Delivery, DeliveryQuery, DeliveryState};
use serde_json::{Value, json};

use super::{json_answer, store_problem};
use crate::merchants::Scope;
use crate::problem::{Problem, ProblemKind};
use crate::service::Service;
use crate::time;

/// What the name of a delivery begins with.
const PREFIX: &str = "whd_";
/// The deliveries of a page, unless the client asks for another number.
const DEFAULT_LIMIT: usize = 20;
/// The most deliveries of a page.
const MAX_LIMIT: usize = 100;

/// Lists deliveries, the latest first.
pub(super) async fn list(
    Extract(service): Extract<Service>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let service = &*service.0;
    let caller = service.keys.caller(&headers)?;
    caller.may(Scope::PaymentsRead)?;
    let mut query = read(&uri)?;
    let limit = query.most;
    // One more than is needed shows whether there is another page.
    query.most += 1;
    query.label = Some(caller.merchant.as_str().to_owned());
    let found = service.store.deliveries(query).await;
    let mut found = found.map_err(|error| store_problem(service, &error))?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|last| name(last.number));
    let data: Vec<Value> = found.iter().map(view).collect();
    Ok(json_answer(StatusCode::OK, &json!({ "data": data, "next": next })))
}

/// Makes a delivery once more, whatever its state is.
pub(super) async fn replay(
    Extract(service): Extract<Service>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let service = &*service.0;
    let caller = service.keys.caller(&headers)?;
    caller.may(Scope::PaymentsWrite)?;
    let Path(id) = id.map_err(|_| ProblemKind::NotFound)?;
    let number = number(&id).ok_or(ProblemKind::NotFound)?;
    let label = Some(caller.merchant.as_str().to_owned());
    let replayed = service.store.replay(number, label).await;
    match replayed.map_err(|error| store_problem(service, &error))? {
        true => Ok(json_answer(StatusCode::ACCEPTED, &json!({ "id": id, "state": "pending" }))),
        false => Err(ProblemKind::NotFound.into()),
    }
}

fn name(number: u64) -> String {
    format!("{PREFIX}{number}")
}

fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Reads the parameters of a list.
fn read(uri: &Uri) -> Result<DeliveryQuery, Problem> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| Problem::field("query", "is not a list of names and values"))?;
    let mut query = DeliveryQuery { label: None, state: None, before: None, most: DEFAULT_LIMIT };
    for (name, value) in pairs.0 {
        let refused = |why: &str| Problem::field(&name, why);
        match name.as_str() {
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                let wrong = || refused(&format!("is not a number from 1 to {MAX_LIMIT}"));
                query.most = limit.ok_or_else(wrong)?;
            }
            "after" => {
                let before =
                    number(&value).ok_or_else(|| refused("is not the id of a delivery"))?;
                query.before = Some(before);
            }
            "state" => {
                let state = DeliveryState::from_name(&value);
                query.state = Some(state.ok_or_else(|| refused("is not a state of a delivery"))?);
            }
            _ => {
                return Err(Problem::field("query", "has another name than limit, after, state"));
            }
        }
    }
    Ok(query)
}

/// A delivery as the merchant sees it. `payload` is what was sent.
fn view(delivery: &Delivery) -> Value {
    let is_pending = delivery.state == DeliveryState::Pending;
    json!({
        "id": name(delivery.number),
        "event": delivery.event,
        "endpoint": delivery.endpoint,
        "state": delivery.state.name(),
        "failures": delivery.attempts,
        "cause": delivery.cause,
        "due_at": is_pending.then(|| time::text(delivery.due_at)).flatten(),
        "updated_at": time::text(delivery.changed_at),
        "payload": payload(delivery),
    })
}

/// Returns what is sent, as JSON.
pub(super) fn payload(delivery: &Delivery) -> Value {
    serde_json::from_str(&delivery.body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        let of = |query: &str| read(&format!("/v1/webhook-deliveries?{query}").parse().unwrap());
        let query = of("limit=5&state=dead&after=whd_7").unwrap();
        assert_eq!(
            (query.most, query.state, query.before),
            (5, Some(DeliveryState::Dead), Some(7))
        );
        for wrong in [
            "limit=0",
            "limit=101",
            "state=gone",
            "after=7",
            "after=whd_x",
            "after=whd_+1",
            "page=1",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
