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
use crate::provider::{
    CreateIntent, Intent, IntentStatus, Operation, ProviderError, ProviderKey,
};
use crate::saga::UndoError;

/// Stored 500s in a row after which an attempt ends; the next one starts with the first key again.
const GENERATIONS: u32 = 4;

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
    let mut key = ProviderKey::new(state.id.clone(), Operation::CreateIntent);
    for _ in 0..GENERATIONS {
        let request = CreateIntent {
            key: key.clone(),
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
                key = key.next();
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
    let mut key = ProviderKey::new(payment.clone(), Operation::Cancel);
    for _ in 0..GENERATIONS {
        let call = || services.providers.payments.cancel(key.clone(), intent.clone());
        let status = match services.payments.undo(deadline, call).await {
            Ok(intent) => intent.status,
            Err(CallError::Provider(ProviderError::WrongState { status })) => status,
            Err(CallError::Provider(ProviderError::Internal)) => {
                key = key.next();
                match find(services, payment, deadline).await? {
                    Some(intent) => intent.status,
                    None => IntentStatus::RequiresConfirmation,
                }
            }
            Err(error) => return Err(undo_error(error)),
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
    let mut key = ProviderKey::new(payment.clone(), Operation::Refund);
    for _ in 0..GENERATIONS {
        let call = || services.providers.payments.refund(key.clone(), intent.clone());
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
                _ if error == ProviderError::Internal => key = key.next(),
                _ => return Err(UndoError::permanent(error)),
            },
            Err(error) => return Err(undo_error(error)),
        }
    }
    Err(UndoError::transient(ProviderError::Internal))
}

async fn find(
    services: &Services,
    payment: &PaymentId,
    deadline: Deadline,
) -> Result<Option<Intent>, UndoError> {
    let call = || services.providers.payments.find_intent(payment.clone());
    services.payments.undo(deadline, call).await.map_err(undo_error)
}
