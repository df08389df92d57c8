//! The work behind a key: find out what is known of it, and do what is not done yet.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};
use tracing::Instrument as _;

use super::state::PaymentState;
use super::{Inner, receipts::Letter};
use crate::answer::{Answer, PayError, Status};
use crate::breaker::State;
use crate::deadline::Deadline;
use crate::event::Event;
use crate::ids::PaymentId;
use crate::journal::{Claimed, FailureKind, JournalError, Lease, Opened, SagaId, Story};
use crate::request::Payment;
use crate::saga::{End, Owner, SagaError, SagaEvent};

/// How long a gateway leaves what another one has in hand before it looks again. Its lease lasts much
/// longer: what is not dead is over soon.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);

// starter: drop
/// A final answer, as the store keeps it.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) answer: Arc<Answer>,
    /// Whether another process gave it first.
    pub(super) from_journal: bool,
}

// starter: drop
/// What leaves the key free.
#[derive(Debug, Clone)]
pub(super) enum Ending {
    /// An answer that is not the last word.
    Answered(Arc<Answer>),
    /// No answer: nothing was done.
    Refused(PayError),
}

// starter: drop
impl From<JournalError> for Ending {
    fn from(_: JournalError) -> Self {
        Self::Refused(PayError::JournalUnavailable)
    }
}

// starter: drop
impl From<SagaError> for Ending {
    fn from(error: SagaError) -> Self {
        Self::Refused(match error {
            SagaError::State(why) => PayError::JournalUnreadable(why),
            _ => PayError::JournalUnavailable,
        })
    }
}

/// What a gateway is to do next for a key.
enum Next {
    /// Its run is over, with this answer.
    Over(Arc<Answer>),
    /// Its run ended in a way that another one may not.
    Rerun,
    /// Somebody else has it; look again.
    Again,
}

// starter: drop
impl Inner {
    /// Brings the payment to an end, whatever it takes: this future is not dropped at a deadline.
    pub(super) async fn work(
        self: Arc<Self>,
        payment: Arc<Payment>,
        deadline: Deadline,
    ) -> Result<Kept, Ending> {
        let mut run = 1;
        let (lease, permit, state) = loop {
            let state =
                PaymentState::new(PaymentId::derive(&payment.key, run), Arc::clone(&payment));
            if let Some(refusal) = self.refusal()
                && self.journal.read(SagaId::from(&state.id)).await?.is_none()
            {
                return Err(Ending::Refused(refusal));
            }
            let story = match self.open(&state).await? {
                Ok((lease, permit)) => break (lease, permit, state),
                Err(story) => story,
            };
            // Boxed, so that a payment which nobody knows yet has no room for it.
            match Box::pin(self.known(&state, &story)).await? {
                Next::Over(answer) if is_final(&answer) => {
                    return Ok(Kept { answer, from_journal: true });
                }
                Next::Over(answer) => return Err(Ending::Answered(answer)),
                Next::Rerun => run += 1,
                Next::Again => {}
            }
        };
        let answer = self.new_payment(lease, permit, state, deadline).await;
        if is_final(&answer) {
            Ok(Kept { answer, from_journal: false })
        } else {
            Err(Ending::Answered(answer))
        }
    }

    /// Why no new payment is begun now, if none is.
    fn refusal(&self) -> Option<PayError> {
        if self.payments.is_closed() {
            return Some(PayError::ShuttingDown);
        }
        let open = self.services.critical().into_iter().find(|service| {
            // A payment that has to be undone as soon as it gets there need not begin.
            service.breaker.state() == State::Open
        })?;
        let retry_after = open.breaker.snapshot().retry_after;
        Some(PayError::Unavailable { dependency: open.dependency, retry_after })
    }

    /// Begins a run, or says what is known of it.
    async fn open(
        &self,
        state: &PaymentState,
    ) -> Result<Result<(Lease, OwnedSemaphorePermit), Story>, Ending> {
        let Ok(permit) = Arc::clone(&self.admission).try_acquire_owned() else {
            // What is known already costs nothing.
            return match self.journal.read(SagaId::from(&state.id)).await? {
                Some(story) => Ok(Err(story)),
                None => Err(Ending::Refused(PayError::Overloaded)),
            };
        };
        Ok(match self.saga.open(self.journal.as_ref(), SagaId::from(&state.id), state).await? {
            Opened::New(lease) => Ok((lease, permit)),
            Opened::Known(story) => Err(story),
        })
    }

    async fn new_payment(
        self: &Arc<Self>,
        lease: Lease,
        permit: OwnedSemaphorePermit,
        state: PaymentState,
        deadline: Deadline,
    ) -> Arc<Answer> {
        let begun = Instant::now();
        let (id, payment) = (state.id.clone(), state.payment.clone());
        self.services.observer.on_event(Event::Begun { payment: id.clone() });
        let watcher = |event: SagaEvent<'_>| self.tell(&id, event);
        let owner = Owner { journal: self.journal.as_ref(), lease, watcher: &watcher };
        let span = tracing::info_span!("payment", id = id.as_str());
        let end = self.saga.run(&owner, state, deadline).instrument(span).await;
        match end {
            Ok(end) => self.ended(end, begun, Some(permit)),
            // Somebody else ends it, now or when the journal is back.
            Err(error) => {
                tracing::warn!(payment = id.as_str(), %error, "left to whoever recovers it");
                Arc::new(answer(&id, &payment, Status::Compensating { parked: false }))
            }
        }
    }

    /// Takes up a saga that was claimed, and brings it to its end.
    pub(super) async fn resume(
        self: &Arc<Self>,
        lease: Lease,
        story: &Story,
    ) -> Result<Arc<Answer>, SagaError> {
        let begun = Instant::now();
        let id = PaymentId::try_from(lease.saga.as_str().to_owned())
            .map_err(|why| SagaError::State(why.to_string()))?;
        let watcher = |event: SagaEvent<'_>| self.tell(&id, event);
        let owner = Owner { journal: self.journal.as_ref(), lease, watcher: &watcher };
        let deadline = Deadline::after(self.services.config.total);
        let span = tracing::info_span!("recovery", id = id.as_str());
        let end = self.saga.resume(&owner, story, deadline).instrument(span).await?;
        Ok(self.ended(end, begun, None))
    }

    /// What a run that was begun before comes to.
    async fn known(self: &Arc<Self>, state: &PaymentState, story: &Story) -> Result<Next, Ending> {
        let Some(end) = self.saga.end_of(story)? else {
            return match self.journal.claim(SagaId::from(&state.id)).await? {
                Claimed::Yours(lease, story) => {
                    let mine = self.saga.begun_with(&story)?;
                    self.resume(lease, &story).await?;
                    same(state, &mine)?;
                    Ok(Next::Again)
                }
                Claimed::Busy { remaining } => {
                    sleep(remaining.min(LOOK_AGAIN)).await;
                    Ok(Next::Again)
                }
                Claimed::Ended(_) | Claimed::Unknown => Ok(Next::Again),
            };
        };
        let (ended, status) = status_of(&end);
        same(state, ended)?;
        match status {
            Status::Failed { retryable: true, .. } => Ok(Next::Rerun),
            status => Ok(Next::Over(Arc::new(answer(&ended.id, &ended.payment, status)))),
        }
    }

    /// Everything that follows from the end of a saga, once it is written.
    pub(super) fn ended(
        self: &Arc<Self>,
        end: End<PaymentState>,
        begun: Instant,
        place: Option<OwnedSemaphorePermit>,
    ) -> Arc<Answer> {
        let (state, status) = status_of(&end);
        let answer = Arc::new(answer(&state.id, &state.payment, status.clone()));
        if let End::Parked { stuck, .. } = &end {
            for step in stuck {
                let saga = SagaId::from(&state.id);
                let letter = Letter::Undo { saga, step: step.step.clone() };
                // A full queue loses nothing: the journal knows what is parked.
                if self.letters.push(letter, &step.cause, step.attempts).is_err() {
                    tracing::error!(payment = state.id.as_str(), "the dead letters are full");
                }
            }
            return answer;
        }
        self.services.keys.forget(&state.id);
        let payment = state.id.clone();
        self.services.observer.on_event(Event::Ended { payment, status, took: begun.elapsed() });
        if let End::Completed(state) = &end {
            self.send_receipt(state, place);
        }
        answer
    }

    /// Passes on what happens within a saga.
    fn tell(&self, id: &PaymentId, event: SagaEvent<'_>) {
        let payment = id.clone();
        let event = match event {
            SagaEvent::StepDone { step, took } => Event::StepDone { payment, step, took },
            SagaEvent::StepFailed { failure, took, .. } => Event::StepFailed {
                payment,
                step: failure.step.to_string(),
                reason: failure.message.clone(),
                took,
            },
            SagaEvent::Undone { step, attempts } => Event::Undone { payment, step, attempts },
            SagaEvent::UndoFailed { step, cause, attempts, parked: true } => {
                Event::Parked { payment, step, cause: cause.to_owned(), attempts }
            }
            SagaEvent::StepStarted { .. } | SagaEvent::UndoFailed { .. } => return,
        };
        self.services.observer.on_event(event);
    }
}

/// The journal's payment under this name is the one that is asked for.
fn same(asked: &PaymentState, kept: &PaymentState) -> Result<(), Ending> {
    if asked.payment == kept.payment { Ok(()) } else { Err(Ending::Refused(PayError::KeyReused)) }
}

fn answer(id: &PaymentId, payment: &Payment, status: Status) -> Answer {
    Answer { payment: id.clone(), order: payment.order.clone(), amount: payment.amount, status }
}

/// Whether every repeat gets this answer.
fn is_final(answer: &Answer) -> bool {
    match answer.status {
        Status::Paid { .. } | Status::Declined { .. } => true,
        Status::Failed { retryable, .. } => !retryable,
        Status::Compensating { .. } => false,
    }
}

fn status_of(end: &End<PaymentState>) -> (&PaymentState, Status) {
    match end {
        End::Completed(state) => match (&state.transaction, &state.intent) {
            (Some(transaction), Some(intent)) => {
                let (transaction, intent) = (transaction.clone(), intent.clone());
                (state, Status::Paid { transaction, intent })
            }
            // All steps are done, so both are there; without them nobody may be told "paid".
            _ => (state, Status::Compensating { parked: true }),
        },
        End::Compensated { state, failure } => {
            let (step, reason) = (failure.step.to_string(), failure.message.clone());
            let status = match failure.kind {
                FailureKind::Declined => Status::Declined { by: step, reason },
                kind => Status::Failed { step, reason, retryable: kind.is_transient() },
            };
            (state, status)
        }
        End::Parked { state, .. } => (state, Status::Compensating { parked: true }),
    }
}
