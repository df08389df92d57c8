//! Getting an intent to a state in which nobody has paid, from whatever state it is in.
//!
//! It asks the provider to *do* something rather than what is the case: an answer about the state may
//! be out of date when it arrives, since the request that timed out may still be on its way. A
//! cancelled intent can never be charged; one that cannot be cancelled because it has been charged can
//! be refunded. Either settles it, whatever order the requests arrive in.

use super::call::CallError;
use super::services::Services;
use super::state::PaymentState;
use crate::deadline::Deadline;
use crate::ids::{IntentId, PaymentId};
use crate::provider::{CreateIntent, Intent, IntentStatus, Operation, ProviderError};
use crate::saga::UndoError;

/// Burnt keys in a row after which an attempt ends; the next one goes on from there.
const BURNT_AT_MOST: u32 = 4;

pub(super) fn undo_error(error: CallError) -> UndoError {
    match &error {
        CallError::Provider(provider) if !provider.is_transient() => UndoError::permanent(error),
        _ => UndoError::transient(error),
    }
}

/// The intent of a payment whose request for one has no known outcome.
///
/// Repeats the request: with the same key it gives the intent that was made, or makes it now, or says
/// that the first request is still running. Looking for it could miss one that is still on its way.
pub(super) async fn which_intent(
    services: &Services,
    state: &PaymentState,
    deadline: Deadline,
) -> Result<Option<IntentId>, UndoError> {
    for _ in 0..BURNT_AT_MOST {
        let request = CreateIntent {
            key: services.keys.key(&state.id, Operation::CreateIntent),
            payment: state.id.clone(),
            amount: state.payment.amount,
            card: state.payment.card.clone(),
        };
        let call = || services.providers.payments.create_intent(request);
        match services.payments.undo(deadline, call).await {
            Ok(intent) => return Ok(Some(intent.id)),
            Err(CallError::Provider(ProviderError::Internal)) => {
                if let Some(intent) = find(services, &state.id, deadline).await? {
                    return Ok(Some(intent.id));
                }
                services.keys.burn(&state.id, Operation::CreateIntent);
            }
            // The provider takes no such request: there is no intent.
            Err(CallError::Provider(error)) if !error.is_transient() => return Ok(None),
            Err(error) => return Err(undo_error(error)),
        }
    }
    Err(UndoError::transient(ProviderError::Internal))
}

/// Cancels the intent or, if it has been charged, gives the money back.
pub(super) async fn call_off(
    services: &Services,
    payment: &PaymentId,
    intent: IntentId,
    deadline: Deadline,
) -> Result<(), UndoError> {
    for _ in 0..BURNT_AT_MOST {
        let key = services.keys.key(payment, Operation::Cancel);
        let call = || services.providers.payments.cancel(key, intent.clone());
        let status = match services.payments.undo(deadline, call).await {
            Ok(intent) => intent.status,
            Err(CallError::Provider(ProviderError::WrongState { status })) => status,
            Err(CallError::Provider(ProviderError::Internal)) => {
                let found = find(services, payment, deadline).await?;
                services.keys.burn(payment, Operation::Cancel);
                found.map_or(IntentStatus::RequiresConfirmation, |intent| intent.status)
            }
            Err(error) => return Err(refused(services, payment, Operation::Cancel, error)),
        };
        match status {
            IntentStatus::Canceled => return Ok(()),
            IntentStatus::Succeeded => {
                return give_back(services, payment, intent, deadline).await;
            }
            IntentStatus::Processing => return Err(UndoError::transient(ProviderError::InFlight)),
            IntentStatus::RequiresConfirmation | IntentStatus::RequiresAction => {}
        }
    }
    Err(UndoError::transient(ProviderError::Internal))
}

/// Refunds an intent that has been charged.
pub(super) async fn give_back(
    services: &Services,
    payment: &PaymentId,
    intent: IntentId,
    deadline: Deadline,
) -> Result<(), UndoError> {
    for _ in 0..BURNT_AT_MOST {
        let key = services.keys.key(payment, Operation::Refund);
        let call = || services.providers.payments.refund(key, intent.clone());
        match services.payments.undo(deadline, call).await {
            Ok(_) => return Ok(()),
            Err(CallError::Provider(
                error @ (ProviderError::Internal
                | ProviderError::Invalid { .. }
                | ProviderError::WrongState { .. }),
            )) => match find(services, payment, deadline).await? {
                Some(found) if found.refunded || found.status == IntentStatus::Canceled => {
                    return Ok(());
                }
                _ if error == ProviderError::Internal => {
                    services.keys.burn(payment, Operation::Refund);
                }
                _ => return Err(refused(services, payment, Operation::Refund, error.into())),
            },
            Err(error) => return Err(refused(services, payment, Operation::Refund, error)),
        }
    }
    Err(UndoError::transient(ProviderError::Internal))
}

/// A refusal is stored for its key: whoever tries again, when its reason is gone, needs another one.
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

async fn find(
    services: &Services,
    payment: &PaymentId,
    deadline: Deadline,
) -> Result<Option<Intent>, UndoError> {
    let call = || services.providers.payments.find_intent(payment.clone());
    services.payments.undo(deadline, call).await.map_err(undo_error)
}
