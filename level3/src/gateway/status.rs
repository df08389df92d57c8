//! From the outcome of a payment's saga to the client's answer.

use super::state::PaymentState;
use crate::answer::{Answer, Status};
use crate::ids::PaymentId;
use crate::journal::FailureKind;
use crate::request::Payment;
use crate::saga::SagaOutcome;

// starter: drop
/// Makes the answer to a payment.
pub(super) fn answer(id: &PaymentId, payment: &Payment, status: Status) -> Answer {
    Answer { payment: id.clone(), order: payment.order.clone(), amount: payment.amount, status }
}

// starter: drop
/// Whether the status is final, so that every repeat gets it.
pub(super) fn is_final(answer: &Answer) -> bool {
    match answer.status {
        Status::Paid { .. } | Status::Declined { .. } => true,
        Status::Failed { retryable, .. } => !retryable,
        // A later answer will differ, so it must not be stored under the key.
        Status::Compensating { .. } => false,
    }
}

// starter: drop
/// Returns the client's status for an outcome of the saga, and the state that the saga ended with.
pub(super) fn status_of(end: &SagaOutcome<PaymentState>) -> (&PaymentState, Status) {
    match end {
        SagaOutcome::Completed(state) => match (&state.transaction, &state.intent) {
            (Some(transaction), Some(intent)) => {
                let (transaction, intent) = (transaction.clone(), intent.clone());
                (state, Status::Paid { transaction, intent })
            }
            // All steps are done, so both are there; without them the answer must not be "paid".
            _ => (state, Status::Compensating { parked: true }),
        },
        SagaOutcome::Compensated { state, failure } => {
            let (step, reason) = (failure.step.to_string(), failure.message.clone());
            let status = match failure.kind {
                // A decline is an answer of the bank or the fraud check. Every other kind is a
                // failure of a service or of this system.
                FailureKind::Declined => Status::Declined { by: step, reason },
                kind => Status::Failed { step, reason, retryable: kind.is_transient() },
            };
            (state, status)
        }
        SagaOutcome::Parked { state, .. } => (state, Status::Compensating { parked: true }),
    }
}
