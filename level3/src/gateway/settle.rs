//! Brings an intent to a state in which the customer has not paid, from any state.
//!
//! It asks the provider to *do* something rather than for the state: an answer about the state may
//! be out of date when it arrives, since the request that timed out may still be under way. A
//! cancelled intent can never be charged; an intent that cannot be cancelled because it has been
//! charged can be refunded. Either settles the intent, in whatever order the requests arrive.

use std::ops::ControlFlow;

use super::call::CallError;
use super::services::Services;
use super::state::PaymentState;
use crate::deadline::Deadline;
use crate::ids::{IntentId, PaymentId};
use crate::provider::{CreateIntent, Intent, IntentStatus, Operation, ProviderError};
use crate::saga::UndoError;

/// The number of burnt keys in a row after which an attempt ends; the next attempt continues from
/// there.
const MAX_BURNT_KEYS: u32 = 4;

/// Converts the error of a call to that of an undo. Only the provider's own refusal is permanent:
/// an open breaker, a missed slot and a lost answer may be different at the next attempt.
pub(super) fn undo_error(error: CallError) -> UndoError {
    match &error {
        // The same call would be refused again, so further attempts only delay the operator.
        CallError::Provider(provider) if !provider.is_transient() => UndoError::permanent(error),
        _ => UndoError::transient(error),
    }
}

/// Makes attempts until one of them ends it. An attempt that met a burnt key continues with a fresh
/// one, up to [`MAX_BURNT_KEYS`] attempts.
async fn until_settled<T, Fut>(attempt: impl Fn() -> Fut) -> Result<T, UndoError>
where
    Fut: Future<Output = Result<ControlFlow<T>, UndoError>>,
{
    // Bounded, because there is no pause in this loop: a provider that answers each fresh key with
    // a 500 must not be flooded. The pauses are between the attempts of the saga.
    for _ in 0..MAX_BURNT_KEYS {
        if let ControlFlow::Break(settled) = attempt().await? {
            return Ok(settled);
        }
    }
    Err(UndoError::transient(ProviderError::Internal))
}

/// Returns the intent of a payment whose create request has an unknown outcome.
///
/// Repeats the request: with the same key the provider returns the intent, or makes it now, or says
/// that the first request is still running. A search could miss a request that is still under way.
///
/// An intent of another payment is left alone, why ever the provider returned it: another customer
/// may have paid with it.
pub(super) async fn resolve_intent(
    services: &Services,
    state: &PaymentState,
    deadline: Deadline,
) -> Result<Option<IntentId>, UndoError> {
    let attempt = async || {
        let request = CreateIntent {
            // Read inside the attempt: the one before may have burnt the key.
            key: services.keys.key(&state.id, Operation::CreateIntent),
            payment: state.id.clone(),
            amount: state.payment.amount,
            card: state.payment.card.clone(),
        };
        let call = || services.providers.payments.create_intent(request);
        match services.payments.call_past_breaker(deadline, call).await {
            // The usual case: the provider replays its answer to the first request, or executes
            // this one.
            Ok(intent) if intent.payment == state.id => Ok(ControlFlow::Break(Some(intent.id))),
            // The answer is about another payment. A search by the payment's own name does not
            // depend on the key, so it may still find the right intent.
            Ok(_) => {
                let found = find(services, &state.id, deadline).await?;
                Ok(ControlFlow::Break(found.map(|intent| intent.id)))
            }
            // A stored 500. Another key is safe only if the request had no effect, which `find`
            // shows.
            Err(CallError::Provider(ProviderError::Internal)) => {
                let found = find(services, &state.id, deadline).await?;
                if found.is_none() {
                    services.keys.burn(&state.id, Operation::CreateIntent);
                    return Ok(ControlFlow::Continue(()));
                }
                Ok(ControlFlow::Break(found.map(|intent| intent.id)))
            }
            // The provider refuses such a request: there is no intent.
            Err(CallError::Provider(error)) if !error.is_transient() => {
                Ok(ControlFlow::Break(None))
            }
            Err(error) => Err(undo_error(error)),
        }
    };
    until_settled(attempt).await
}

/// Cancels the intent or, if it has been charged, refunds it.
pub(super) async fn cancel_or_refund(
    services: &Services,
    state: &PaymentState,
    intent: IntentId,
    deadline: Deadline,
) -> Result<(), UndoError> {
    let payment = &state.id;
    let attempt = async || {
        let key = services.keys.key(payment, Operation::Cancel);
        let call = || services.providers.payments.cancel(key, intent.clone());
        // Both a success and a `WrongState` answer with the status, and the status decides.
        let status = match services.payments.call_past_breaker(deadline, call).await {
            // The status of another intent proves nothing about this customer's money.
            Ok(answer) if answer.id != intent => return Err(mismatch("another intent")),
            Ok(intent) => intent.status,
            Err(CallError::Provider(ProviderError::WrongState { status })) => status,
            Err(CallError::Provider(ProviderError::Internal)) => {
                let found = find(services, payment, deadline).await?;
                // A cancel without an effect may be repeated, and so may one that worked: the key
                // can change in both cases.
                services.keys.burn(payment, Operation::Cancel);
                found.map_or(IntentStatus::RequiresConfirmation, |intent| intent.status)
            }
            Err(error) => return Err(refused(services, payment, Operation::Cancel, error)),
        };
        match status {
            IntentStatus::Canceled | IntentStatus::Succeeded => Ok(ControlFlow::Break(status)),
            // The bank is still deciding about the charge. Neither a cancel nor a refund is
            // possible yet.
            IntentStatus::Processing => Err(UndoError::transient(ProviderError::InFlight)),
            // Not cancelled yet. The loop sends the cancel again, with the key that is current by
            // then.
            IntentStatus::RequiresConfirmation | IntentStatus::RequiresAction => {
                Ok(ControlFlow::Continue(()))
            }
        }
    };
    // If the process dies between the two, the next owner repeats the cancel, learns again that the
    // intent is charged, and refunds it.
    if until_settled(attempt).await? == IntentStatus::Succeeded {
        refund(services, state, intent, deadline).await?;
    }
    Ok(())
}

/// Refunds an intent that has been charged.
pub(super) async fn refund(
    services: &Services,
    state: &PaymentState,
    intent: IntentId,
    deadline: Deadline,
) -> Result<(), UndoError> {
    let payment = &state.id;
    let attempt = async || {
        let key = services.keys.key(payment, Operation::Refund);
        let call = || services.providers.payments.refund(key, intent.clone());
        let error = match services.payments.call_past_breaker(deadline, call).await {
            Ok(refund) if refund.intent == intent && refund.amount == state.payment.amount => {
                return Ok(ControlFlow::Break(()));
            }
            Ok(_) => return Err(mismatch("a refund of another intent or amount")),
            Err(CallError::Provider(
                error @ (ProviderError::Internal
                | ProviderError::Invalid { .. }
                | ProviderError::WrongState { .. }),
            )) => error,
            Err(error) => return Err(refused(services, payment, Operation::Refund, error)),
        };
        // The provider refuses a refund of an intent that is refunded or cancelled already. So a
        // refusal may mean that the work is done, and only the intent itself shows it.
        match find(services, payment, deadline).await? {
            Some(found) if found.refunded || found.status == IntentStatus::Canceled => {
                Ok(ControlFlow::Break(()))
            }
            // The search shows no refund, so the stored 500 had no effect and another key cannot
            // refund twice.
            _ if error == ProviderError::Internal => {
                services.keys.burn(payment, Operation::Refund);
                Ok(ControlFlow::Continue(()))
            }
            _ => Err(refused(services, payment, Operation::Refund, error.into())),
        }
    };
    until_settled(attempt).await
}

/// A refusal is stored under its key: an attempt after its reason is gone needs another key.
fn refused(
    services: &Services,
    payment: &PaymentId,
    operation: Operation,
    error: CallError,
) -> UndoError {
    let error_of_undo = undo_error(error);
    if !error_of_undo.retryable {
        services.keys.burn(payment, operation);
    }
    error_of_undo
}

/// The error for an answer about another object: it proves nothing, and another attempt would get
/// it again.
fn mismatch(message: &str) -> UndoError {
    UndoError::permanent(ProviderError::Mismatch { message: message.to_owned() })
}

/// Returns the provider's intent of a payment. An intent of another payment is an error.
async fn find(
    services: &Services,
    payment: &PaymentId,
    deadline: Deadline,
) -> Result<Option<Intent>, UndoError> {
    let call = || services.providers.payments.find_intent(payment.clone());
    match services.payments.call_past_breaker(deadline, call).await {
        Ok(Some(intent)) if intent.payment != *payment => Err(mismatch("another payment")),
        found => found.map_err(undo_error),
    }
}
