//! The four critical steps of a payment, and how each is undone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::attempts::StepAttempts;
use super::call::CallError;
use super::services::Services;
use super::settle;
use super::state::PaymentState;
use super::step::PaymentStep;
use crate::journal::FailureKind;
use crate::provider::{
    CreateIntent, FraudQuestion, Intent, IntentStatus, NewRow, Operation, ProviderError, RiskScore,
    Row, RowStatus,
};
use crate::saga::{Saga, Step, StepContext, StepError, StepOutcome, UndoContext, UndoError};

type Stepped = Result<PaymentState, StepError>;
type Undone = Result<PaymentState, UndoError>;

/// Create, check, confirm, save. The receipt is no step: it is sent from the outbox, which the row
/// of the last step has filled.
///
/// The check comes before the charge, so that a risky payment costs no refund. Confirming is the
/// pivot: once the customer is charged, a crash is no reason to undo the payment.
pub(super) fn payment_saga(services: &Arc<Services>) -> Saga<PaymentState, Services> {
    let limits = services.config.undo;
    Saga::sharing("payment", Arc::clone(services))
        .step(Step::new(PaymentStep::Create.name(), create).undo(limits.create, undo_create))
        .step(Step::new(PaymentStep::Fraud.name(), check))
        .step(
            Step::new(PaymentStep::Confirm.name(), confirm)
                .undo(limits.confirm, undo_confirm)
                .pivot(),
        )
        .step(Step::new(PaymentStep::Save.name(), save).undo(limits.save, undo_save))
}

/// Creates the intent. It charges no card yet, so an undo can cancel it.
async fn create(mut state: PaymentState, context: StepContext<Services>) -> Stepped {
    let services = &context.shared;
    let (payments, keys) = (&services.payments, &services.keys);
    let config = &services.config.create;
    let attempts =
        StepAttempts::new(services, &state.id, PaymentStep::Create, config, context.deadline);
    // The provider has to be asked before the next attempt: repeating the key would repeat the
    // answer. Atomic because the future must be `Send` and the attempts share it; they follow one
    // another, so there is nothing to order.
    let ask_first = AtomicBool::new(false);
    let attempt = async || {
        // The last answer was a 500, which the provider stores: the same key would get it again.
        // `find` shows whether that call had an effect, and only if it had none may the next call
        // use another key.
        if ask_first.load(Ordering::Relaxed) {
            let find = || services.providers.payments.find_intent(state.id.clone());
            match payments.call(&attempts.budget, find).await? {
                Some(intent) => return verify_intent(&state, intent),
                None => {
                    keys.burn(&state.id, Operation::CreateIntent);
                    ask_first.store(false, Ordering::Relaxed);
                }
            }
        }
        let call = || {
            services.providers.payments.create_intent(CreateIntent {
                key: keys.key(&state.id, Operation::CreateIntent),
                payment: state.id.clone(),
                amount: state.payment.amount,
                card: state.payment.card.clone(),
            })
        };
        let answer = payments.call(&attempts.budget, call).await;
        // Other errors are not stored, or the same key resolves them.
        if answer == Err(CallError::Provider(ProviderError::Internal)) {
            ask_first.store(true, Ordering::Relaxed);
        }
        verify_intent(&state, answer?)
    };
    // The id goes into the state, and with it into the journal: every later step and every undo
    // needs it.
    let intent = attempts.run(attempt).await.outcome?.id;
    state.intent = Some(intent);
    Ok(state)
}

/// Asks the fraud check for a score.
async fn check(state: PaymentState, context: StepContext<Services>) -> Stepped {
    let services = &context.shared;
    let config = &services.config.fraud;
    let attempts =
        StepAttempts::new(services, &state.id, PaymentStep::Fraud, config, context.deadline);
    let attempt = || {
        services.fraud.call(&attempts.budget, || {
            services.providers.fraud.check(FraudQuestion {
                payment: state.id.clone(),
                order: state.payment.order.clone(),
                amount: state.payment.amount,
                email: state.payment.email.clone(),
            })
        })
    };
    // Fail closed: without a score the payment is not approved. The check has no effect, so a
    // failed one leaves nothing to undo.
    let verdict = attempts.run(attempt).await.outcome;
    let verdict = verdict.map_err(|error| StepError::not_done(error.kind, error.message))?;
    // `not_done`: nothing was charged. The undo of `create` cancels the intent.
    if verdict.score >= RiskScore::DECLINED_FROM {
        let message = format!("risk score {}", verdict.score);
        return Err(StepError::not_done(FailureKind::Declined, message));
    }
    Ok(state)
}

/// Confirms the intent, which charges the card.
async fn confirm(state: PaymentState, context: StepContext<Services>) -> Stepped {
    let services = &context.shared;
    let (payments, keys) = (&services.payments, &services.keys);
    let Some(intent) = &state.intent else {
        return Err(StepError::not_done(FailureKind::Rejected, "there is no intent"));
    };
    let config = &services.config.confirm;
    let attempts =
        StepAttempts::new(services, &state.id, PaymentStep::Confirm, config, context.deadline);
    // The provider has to be asked before the next attempt: repeating the key would repeat the
    // answer.
    let ask_first = AtomicBool::new(false);
    let attempt = async || {
        // `find` shows what the last request did. An intent that still waits for its confirmation
        // was not charged, so another key is safe; every other status is the answer.
        if ask_first.load(Ordering::Relaxed) {
            let find = || services.providers.payments.find_intent(state.id.clone());
            match payments.call(&attempts.budget, find).await? {
                Some(found) if found.status != IntentStatus::RequiresConfirmation => {
                    return verify_charged(&state, found);
                }
                _ => keys.burn(&state.id, Operation::Confirm),
            }
        }
        let call = || {
            let key = keys.key(&state.id, Operation::Confirm);
            services.providers.payments.confirm(key, intent.clone())
        };
        let answer = payments.call(&attempts.budget, call).await;
        let status = match &answer {
            Ok(intent) => Some(intent.status),
            Err(CallError::Provider(ProviderError::WrongState { status })) => Some(*status),
            _ => None,
        };
        // If the key would only get this answer again, or if the answer is not sufficient.
        let ask = answer == Err(CallError::Provider(ProviderError::Internal))
            || status == Some(IntentStatus::Processing)
            || (answer.is_err() && status == Some(IntentStatus::Succeeded));
        ask_first.store(ask, Ordering::Relaxed);
        match answer {
            // Already charged, by a request whose answer was lost: `find` has the result.
            Err(CallError::Provider(ProviderError::WrongState { .. })) if ask => {
                Err(CallError::Provider(ProviderError::InFlight))
            }
            answer => verify_charged(&state, answer?),
        }
    };
    attempts.run(attempt).await.outcome?;
    Ok(state)
}

/// Writes the row. The ledger's key is the payment, so a repeat gets the row of the first attempt.
async fn save(mut state: PaymentState, context: StepContext<Services>) -> Stepped {
    let services = &context.shared;
    let Some(intent) = &state.intent else {
        return Err(StepError::not_done(FailureKind::Rejected, "there is no intent"));
    };
    let config = &services.config.save;
    let attempts =
        StepAttempts::new(services, &state.id, PaymentStep::Save, config, context.deadline);
    let attempt = async || {
        let call = || {
            services.providers.ledger.save(NewRow {
                payment: state.id.clone(),
                order: state.payment.order.clone(),
                intent: intent.clone(),
                amount: state.payment.amount,
                email: state.payment.email.clone(),
            })
        };
        verify_row(&state, services.ledger.call(&attempts.budget, call).await?)
    };
    // The client's answer and the receipt carry the row's name.
    let transaction = attempts.run(attempt).await.outcome?.transaction;
    state.transaction = Some(transaction);
    Ok(state)
}

/// The error for an answer that does not fit the question. Its effect is unknown: the call did
/// something.
fn mismatch(message: &str) -> CallError {
    CallError::Provider(ProviderError::Mismatch { message: message.to_owned() })
}

/// Checks that the intent is that of this payment.
fn verify_intent(state: &PaymentState, intent: Intent) -> Result<Intent, CallError> {
    // A refunded charge keeps the status `succeeded`, so the status alone does not show that it is
    // paid.
    if intent.refunded {
        return Err(mismatch("its charge was refunded"));
    }
    if intent.payment != state.id || intent.amount != state.payment.amount {
        return Err(mismatch("another payment or amount"));
    }
    Ok(intent)
}

/// Checks that the customer has paid the right amount.
fn verify_charged(state: &PaymentState, intent: Intent) -> Result<Intent, CallError> {
    match intent.status {
        IntentStatus::Succeeded if state.intent.as_ref() != Some(&intent.id) => {
            Err(mismatch("another intent"))
        }
        IntentStatus::Succeeded => verify_intent(state, intent),
        // Transient: the bank has not decided yet. The next attempt asks `find`.
        IntentStatus::Processing => Err(CallError::Provider(ProviderError::InFlight)),
        // The customer would have to authenticate, and this gateway has no way to ask for it.
        IntentStatus::RequiresAction => Err(CallError::Provider(ProviderError::Declined {
            code: "authentication_required".to_owned(),
        })),
        status => Err(CallError::Provider(ProviderError::WrongState { status })),
    }
}

/// Checks that the row has the values of the payment.
fn verify_row(state: &PaymentState, row: Row) -> Result<Row, CallError> {
    if row.status != RowStatus::Completed
        || row.payment != state.id
        || row.amount != state.payment.amount
    {
        return Err(mismatch("another row"));
    }
    Ok(row)
}

/// Cancels the intent, or refunds it if it has been charged after all.
async fn undo_create(mut state: PaymentState, context: UndoContext<Services>) -> Undone {
    let services = &context.shared;
    // The undo of `confirm` ran first and has cancelled or refunded the intent.
    if state.settled {
        return Ok(state);
    }
    // The answer of `create` was lost, so the state has no id. There may still be an intent.
    if state.intent.is_none() {
        state.intent = settle::resolve_intent(services, &state, context.deadline).await?;
    }
    if let Some(intent) = state.intent.clone() {
        settle::cancel_or_refund(services, &state, intent, context.deadline).await?;
    }
    state.settled = true;
    Ok(state)
}

/// Refunds the charge, or settles the intent if it is unknown whether there is a charge.
async fn undo_confirm(mut state: PaymentState, context: UndoContext<Services>) -> Undone {
    let services = &context.shared;
    if let (false, Some(intent)) = (state.settled, state.intent.clone()) {
        match context.known {
            StepOutcome::Done => {
                settle::refund(services, &state, intent, context.deadline).await?;
            }
            StepOutcome::Unknown => {
                settle::cancel_or_refund(services, &state, intent, context.deadline).await?;
            }
        }
        state.settled = true;
    }
    Ok(state)
}

async fn undo_save(state: PaymentState, context: UndoContext<Services>) -> Undone {
    let services = &context.shared;
    let call = || services.providers.ledger.void(state.id.clone());
    services.ledger.call_past_breaker(context.deadline, call).await.map_err(settle::undo_error)?;
    Ok(state)
}
