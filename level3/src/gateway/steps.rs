//! The four critical steps of a payment, and how each is undone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::call::{CallError, Spent, Tried, attempts};
use super::config::StepConfig;
use super::services::Services;
use super::settle;
use super::state::PaymentState;
use crate::deadline::Deadline;
use crate::event::Event;
use crate::ids::PaymentId;
use crate::journal::FailureKind;
use crate::provider::{
    CreateIntent, FraudQuestion, Intent, IntentStatus, NewRow, Operation, ProviderError, RiskScore,
    Row, RowStatus,
};
use crate::saga::{Saga, Step, StepContext, StepError, UndoContext, UndoError};

/// The names of the steps: they stand in journals and answers.
pub(super) const CREATE: &str = "create";
pub(super) const FRAUD: &str = "fraud";
pub(super) const CONFIRM: &str = "confirm";
pub(super) const SAVE: &str = "save";
pub(super) const RECEIPT: &str = "receipt";

type Stepped = Result<PaymentState, StepError>;
type Undone = Result<PaymentState, UndoError>;

/// Create, check, confirm, save. The receipt is no step: it is sent from the outbox, which the row of
/// the last step has filled.
///
/// The check comes before the charge, so that a risky payment costs nobody a refund. Once the customer
/// is charged a crash is no reason to give the money back: confirming is the pivot.
pub(super) fn payment_saga(services: &Arc<Services>) -> Saga<PaymentState> {
    let config = &services.config;
    let limits = config.undo;
    let (for_create, for_check) = (Arc::clone(services), Arc::clone(services));
    let (for_confirm, for_save) = (Arc::clone(services), Arc::clone(services));
    let (for_cancel, for_settle) = (Arc::clone(services), Arc::clone(services));
    let for_void = Arc::clone(services);
    Saga::new("payment")
        .step(
            Step::new(CREATE, move |state, context| {
                create(Arc::clone(&for_create), state, context)
            })
            .undo(limits.create, move |state, context| {
                undo_create(Arc::clone(&for_cancel), state, context)
            }),
        )
        .step(Step::new(FRAUD, move |state, context| check(Arc::clone(&for_check), state, context)))
        .step(
            Step::new(CONFIRM, move |state, context| {
                confirm(Arc::clone(&for_confirm), state, context)
            })
            .undo(limits.confirm, move |state, context| {
                undo_confirm(Arc::clone(&for_settle), state, context)
            })
            .pivot(),
        )
        .step(
            Step::new(SAVE, move |state, context| save(Arc::clone(&for_save), state, context))
                .undo(limits.save, move |state, context| {
                    undo_save(Arc::clone(&for_void), state, context)
                }),
        )
}

/// Runs the attempts of one step and tells what they cost.
async fn stepped<T, Fut>(
    services: &Services,
    id: &PaymentId,
    name: &'static str,
    config: &StepConfig,
    deadline: Deadline,
    spent: &Spent,
    attempt: impl FnMut() -> Fut,
) -> Result<T, StepError>
where
    Fut: Future<Output = Result<T, CallError>>,
{
    let jitter = services.jitter_of(id);
    // The ledger and the fraud check know no keys.
    let keyed = matches!(name, CREATE | CONFIRM);
    let Tried { outcome, attempts, backoff } =
        attempts(config, keyed, &jitter, deadline, attempt).await;
    services.observer.on_event(Event::Called {
        payment: id.clone(),
        step: name,
        attempts,
        waiting: spent.waiting(),
        backoff,
        wire: spent.wire(),
    });
    outcome
}

async fn create(services: Arc<Services>, mut state: PaymentState, context: StepContext) -> Stepped {
    let (config, deadline) = (&services.config.create, context.deadline);
    // The provider has to be asked before the next attempt: repeating the key would repeat the answer.
    let (spent, ask_first) = (Spent::default(), AtomicBool::new(false));
    let intent = stepped(&services, &state.id, CREATE, config, deadline, &spent, || {
        let (services, state, spent, ask_first) = (&services, &state, &spent, &ask_first);
        async move {
            let (payments, limit) = (&services.payments, config.limit);
            if ask_first.load(Ordering::Relaxed) {
                let find = || services.providers.payments.find_intent(state.id.clone());
                match payments.charge(limit, deadline, spent, find).await? {
                    Some(intent) => return fits(state, intent),
                    None => {
                        services.keys.burn(&state.id, Operation::CreateIntent);
                        ask_first.store(false, Ordering::Relaxed);
                    }
                }
            }
            let request = CreateIntent {
                key: services.keys.key(&state.id, Operation::CreateIntent),
                payment: state.id.clone(),
                amount: state.payment.amount,
                card: state.payment.card.clone(),
            };
            let call = || services.providers.payments.create_intent(request);
            let answer = payments.charge(limit, deadline, spent, call).await;
            if answer == Err(CallError::Provider(ProviderError::Internal)) {
                ask_first.store(true, Ordering::Relaxed);
            }
            fits(state, answer?)
        }
    });
    state.intent = Some(intent.await?.id);
    Ok(state)
}

async fn check(services: Arc<Services>, state: PaymentState, context: StepContext) -> Stepped {
    let (config, deadline) = (&services.config.fraud, context.deadline);
    let spent = Spent::default();
    let verdict = stepped(&services, &state.id, FRAUD, config, deadline, &spent, || {
        let (services, state, spent) = (&services, &state, &spent);
        async move {
            let question = FraudQuestion {
                payment: state.id.clone(),
                order: state.payment.order.clone(),
                amount: state.payment.amount,
                email: state.payment.email.clone(),
            };
            let call = || services.providers.fraud.check(question);
            services.fraud.charge(config.limit, deadline, spent, call).await
        }
    });
    // No verdict is no permission; and a check has no effect, whatever became of it.
    let verdict = verdict.await.map_err(|error| StepError::not_done(error.kind, error.message))?;
    if verdict.score >= RiskScore::DECLINED_FROM {
        let message = format!("risk score {}", verdict.score);
        return Err(StepError::not_done(FailureKind::Declined, message));
    }
    Ok(state)
}

async fn confirm(services: Arc<Services>, state: PaymentState, context: StepContext) -> Stepped {
    let (config, deadline) = (&services.config.confirm, context.deadline);
    // The provider has to be asked before the next attempt: repeating the key would repeat the answer.
    let (spent, ask_first) = (Spent::default(), AtomicBool::new(false));
    let Some(intent) = state.intent.clone() else {
        return Err(StepError::not_done(FailureKind::Rejected, "there is no intent"));
    };
    let confirmed = stepped(&services, &state.id, CONFIRM, config, deadline, &spent, || {
        let (services, state, spent, ask_first, intent) =
            (&services, &state, &spent, &ask_first, intent.clone());
        async move {
            let (payments, limit) = (&services.payments, config.limit);
            if ask_first.load(Ordering::Relaxed) {
                let find = || services.providers.payments.find_intent(state.id.clone());
                match payments.charge(limit, deadline, spent, find).await? {
                    Some(found) if found.status != IntentStatus::RequiresConfirmation => {
                        return charged(state, found);
                    }
                    _ => services.keys.burn(&state.id, Operation::Confirm),
                }
            }
            let key = services.keys.key(&state.id, Operation::Confirm);
            let call = || services.providers.payments.confirm(key, intent);
            let answer = payments.charge(limit, deadline, spent, call).await;
            let status = match &answer {
                Ok(intent) => Some(intent.status),
                Err(CallError::Provider(ProviderError::WrongState { status })) => Some(*status),
                _ => None,
            };
            // Where the key would only repeat what it says now, or what it says is not enough.
            let ask = answer == Err(CallError::Provider(ProviderError::Internal))
                || status == Some(IntentStatus::Processing)
                || (answer.is_err() && status == Some(IntentStatus::Succeeded));
            ask_first.store(ask, Ordering::Relaxed);
            match answer {
                // Charged already: by a request whose answer was lost. What it is, find says.
                Err(CallError::Provider(ProviderError::WrongState { .. })) if ask => {
                    Err(CallError::Provider(ProviderError::InFlight))
                }
                answer => charged(state, answer?),
            }
        }
    });
    confirmed.await?;
    Ok(state)
}

async fn save(services: Arc<Services>, mut state: PaymentState, context: StepContext) -> Stepped {
    let (config, deadline) = (&services.config.save, context.deadline);
    let spent = Spent::default();
    let Some(intent) = state.intent.clone() else {
        return Err(StepError::not_done(FailureKind::Rejected, "there is no intent"));
    };
    let row = stepped(&services, &state.id, SAVE, config, deadline, &spent, || {
        let (services, state, spent) = (&services, &state, &spent);
        let row = NewRow {
            payment: state.id.clone(),
            order: state.payment.order.clone(),
            intent: intent.clone(),
            amount: state.payment.amount,
            email: state.payment.email.clone(),
        };
        async move {
            let call = || services.providers.ledger.save(row);
            let row = services.ledger.charge(config.limit, deadline, spent, call).await?;
            recorded(state, row)
        }
    });
    state.transaction = Some(row.await?.transaction);
    Ok(state)
}

fn mismatch(message: &str) -> CallError {
    CallError::Provider(ProviderError::Mismatch { message: message.to_owned() })
}

/// The intent is the one that was asked for.
fn fits(state: &PaymentState, intent: Intent) -> Result<Intent, CallError> {
    if intent.payment != state.id || intent.amount != state.payment.amount {
        return Err(mismatch("another payment or amount"));
    }
    Ok(intent)
}

/// The customer has paid, and the right amount.
fn charged(state: &PaymentState, intent: Intent) -> Result<Intent, CallError> {
    match intent.status {
        IntentStatus::Succeeded if state.intent.as_ref() != Some(&intent.id) => {
            Err(mismatch("another intent"))
        }
        IntentStatus::Succeeded => fits(state, intent),
        IntentStatus::Processing => Err(CallError::Provider(ProviderError::InFlight)),
        IntentStatus::RequiresAction => Err(CallError::Provider(ProviderError::Declined {
            code: "authentication_required".to_owned(),
        })),
        status => Err(CallError::Provider(ProviderError::WrongState { status })),
    }
}

/// The row is there and says what was paid.
fn recorded(state: &PaymentState, row: Row) -> Result<Row, CallError> {
    if row.status != RowStatus::Completed
        || row.payment != state.id
        || row.amount != state.payment.amount
    {
        return Err(mismatch("another row"));
    }
    Ok(row)
}

async fn undo_create(
    services: Arc<Services>,
    mut state: PaymentState,
    context: UndoContext,
) -> Undone {
    if state.settled {
        return Ok(state);
    }
    if state.intent.is_none() {
        state.intent = settle::which_intent(&services, &state, context.deadline).await?;
    }
    if let Some(intent) = state.intent.clone() {
        settle::call_off(&services, &state.id, intent, context.deadline).await?;
    }
    state.settled = true;
    Ok(state)
}

async fn undo_confirm(
    services: Arc<Services>,
    mut state: PaymentState,
    context: UndoContext,
) -> Undone {
    if let (false, Some(intent)) = (state.settled, state.intent.clone()) {
        match context.known {
            crate::saga::Known::Done => {
                settle::give_back(&services, &state.id, intent, context.deadline).await?;
            }
            crate::saga::Known::Unknown => {
                settle::call_off(&services, &state.id, intent, context.deadline).await?;
            }
        }
        state.settled = true;
    }
    Ok(state)
}

async fn undo_save(services: Arc<Services>, state: PaymentState, context: UndoContext) -> Undone {
    let call = || services.providers.ledger.void(state.id.clone());
    services.ledger.undo(context.deadline, call).await.map_err(settle::undo_error)?;
    Ok(state)
}
