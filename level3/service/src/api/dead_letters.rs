//! Dead letters of all merchants: undos and receipts that failed.

use std::sync::Arc;

use axum::extract::State as Extract;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use level3_adapters::sql::DeadLetter;
use serde_json::{Value, json};

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
    let data: Vec<Value> = letters.iter().map(letter).collect();
    Ok(json_answer(StatusCode::OK, &json!({ "data": data })))
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

/// Tries every dead letter of this process once more, the parked ones too: the operator who asks is
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
    let body = json!({ "delivered": redriven.delivered, "failed": failed });
    Ok(json_answer(StatusCode::OK, &body))
}
