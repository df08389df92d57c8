//! Dead letters of all merchants: undos, receipts and notifications that failed.

use std::sync::Arc;

use axum::extract::State as Extract;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use level3_adapters::sql::{DeadLetter, Delivery, DeliveryQuery, DeliveryState};
use serde_json::{Value, json};

use super::webhooks::payload;
use super::{json_answer, store_problem};
use crate::filed::name_of;
use crate::merchants::Scope;
use crate::problem::{Problem, ProblemKind};
use crate::service::Service;

/// The most dead letters of each kind that are listed.
const LISTED: usize = 1000;

/// Lists the dead letters of the store.
pub(super) async fn list(
    Extract(service): Extract<Service>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let service = &*service.0;
    service.keys.caller(&headers)?.may(Scope::Operator)?;
    let letters = service.store.dead_letters(LISTED).await;
    let letters = letters.map_err(|error| store_problem(service, &error))?;
    let mut data: Vec<Value> = letters.iter().map(letter).collect();
    let dead = service.store.deliveries(dead()).await;
    let dead = dead.map_err(|error| store_problem(service, &error))?;
    data.extend(dead.iter().map(notification));
    Ok(json_answer(StatusCode::OK, &json!({ "data": data })))
}

/// Selects the notifications that were given up.
fn dead() -> DeliveryQuery {
    let state = Some(DeliveryState::Dead);
    DeliveryQuery { label: None, state, before: None, most: LISTED }
}

fn notification(delivery: &Delivery) -> Value {
    let data = &payload(delivery)["data"];
    // A refund names its payment.
    let payment = data.get("payment").or(data.get("id"));
    json!({
        "kind": "webhook", "payment": payment, "endpoint": delivery.endpoint,
        "event": delivery.event, "cause": delivery.cause, "failures": delivery.attempts,
    })
}

fn letter(letter: &DeadLetter) -> Value {
    match letter {
        DeadLetter::Undo { saga, stuck } => {
            let steps = stuck.iter().map(
                |step| json!({ "step": step.step, "cause": step.cause, "attempts": step.attempts }),
            );
            let steps: Vec<Value> = steps.collect();
            json!({ "kind": "undo", "payment": name_of(saga.as_str()), "steps": steps })
        }
        DeadLetter::Receipt { payment, cause, failures } => json!({
            "kind": "receipt", "payment": name_of(payment.as_str()), "cause": cause,
            "failures": failures,
        }),
    }
}

/// Tries every dead letter of this process and every notification of the store once more, the parked ones too: the operator who asks is
/// the one that they are parked for.
///
/// When the client disconnects, the redrive goes on.
pub(super) async fn redrive(
    Extract(service): Extract<Service>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let service = service.0;
    let caller = service.keys.caller(&headers)?;
    caller.may(Scope::Operator)?;
    // The guard moves into the task: a second redrive is refused until this one has ended.
    let alone = Arc::clone(&service.redriving).try_lock_owned().map_err(|_| ProblemKind::Busy)?;
    tracing::info!(merchant = %caller.merchant, key = %caller.key, "the dead letters are redriven");
    let (inner, retry) = (Arc::clone(&service), service.config.retry_after);
    let redriven = tokio::spawn(async move {
        for letter in inner.gateway.dead_letters() {
            inner.gateway.unpark(letter.id);
        }
        let redriven = inner.gateway.redrive().await;
        drop(alone);
        redriven
    });
    let Ok(redriven) = redriven.await else {
        return Err(Problem::from(ProblemKind::Internal).retry_after(retry));
    };
    let failed = redriven.failed + redriven.parked;
    let unavailable = |error| store_problem(&service, &error);
    let mut queued = 0;
    for dead in service.store.deliveries(dead()).await.map_err(unavailable)? {
        let replayed = service.store.replay(dead.number, None).await;
        queued += usize::from(replayed.map_err(unavailable)?);
    }
    let body = json!({ "delivered": redriven.delivered, "failed": failed, "queued": queued });
    Ok(json_answer(StatusCode::OK, &body))
}
