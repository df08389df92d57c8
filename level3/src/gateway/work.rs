//! The work behind a key: finds the payment's last run, and finishes or begins one.
//!
//! A key has one run after another; a run is a saga, with a name of its own. From the first run on:
//!
//! ```text
//!            ┌── no process has begun it ────────── run the saga ──── answer
//!            │   (refused: overload, outage, shutdown)
//!  open ─────┤
//!            │                 ┌─ over for good ───────────────────── answer
//!            └── begun before ─┼─ failed, may pass ── open the next run
//!                              ├─ owner alive ─────── wait, read again
//!                              └─ owner gone ──────── take it over, read again
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};
use tracing::Instrument as _;

use super::recover::unavailable;
use super::state::PaymentState;
use super::status::{answer, is_final, status_of};
use super::step::PaymentStep;
use super::{Inner, receipts::Undelivered};
use crate::answer::{Answer, PayError, Status};
use crate::breaker::State;
use crate::deadline::Deadline;
use crate::event::Event;
use crate::idempotency::Completion;
use crate::ids::PaymentId;
use crate::journal::{Claimed, Lease, Opened, SagaId, SagaLog};
use crate::request::Payment;
use crate::saga::{SagaError, SagaEvent, SagaOutcome, SagaOwner};

/// How often to poll a payment that another gateway owns. Its lease lasts much
/// longer: a living owner finishes soon.
pub(super) const LEASE_POLL_INTERVAL: Duration = Duration::from_secs(1);

// starter: drop
/// The result of a payment: an answer, or why there is none.
pub(super) type PaymentResult = Result<KnownAnswer, PayError>;

// starter: drop
/// An answer, and whether this request began its run.
#[derive(Debug, Clone)]
pub(super) struct KnownAnswer {
    pub(super) answer: Arc<Answer>,
    /// Whether the answer is that of a run which this request did not begin.
    pub(super) from_journal: bool,
}

/// A run of a payment, as the gateway finds it.
enum Run {
    /// No process had begun it. It is this gateway's now.
    New { lease: Lease, permit: OwnedSemaphorePermit },
    /// The run was begun before.
    Known(SagaLog),
}

/// The next action for a run that was begun before.
enum RunDecision {
    /// The run has ended, with this answer.
    Finished(Arc<Answer>),
    /// The run failed with a transient failure: begin the next run.
    StartNewRun,
    /// The run was under way when the journal was read: read it again.
    ReadAgain,
}

// starter: drop
impl Inner {
    /// Does the work behind a key. The store keeps the answer, unless it may still change.
    ///
    /// This future is not dropped at a deadline.
    pub(super) async fn work(
        self: Arc<Self>,
        payment: Arc<Payment>,
        deadline: Deadline,
    ) -> Completion<PaymentResult> {
        let result = self.pay_once(payment, deadline).await;
        match &result {
            // A final answer is stored. A transient failure frees the key, so that the next request
            // with it may try again; requests that wait for this work get it in both cases.
            Ok(known) if is_final(&known.answer) => Completion::Stored(result),
            _ => Completion::Released(result),
        }
    }

    /// Brings the payment to its end: reads one run after another until a run has a final answer or
    /// can be begun.
    async fn pay_once(self: Arc<Self>, payment: Arc<Payment>, deadline: Deadline) -> PaymentResult {
        // The runs of a key are numbered from 1 without gaps, and the journal has them. So a
        // process that knows nothing of the payment finds its last run by reading one after
        // another.
        let mut number = 1;
        loop {
            let id = self.payment_id(&payment, number);
            let state = PaymentState::new(id, Arc::clone(&payment));
            // Usually the first run is new: one write to the journal, and no read. Another process
            // may begin the same run at any moment. No check before this call could exclude that:
            // the journal decides who is first.
            let saga_log = match self.open(&state).await? {
                Run::New { lease, permit } => {
                    let answer = self.new_payment(lease, permit, state, deadline).await;
                    return Ok(KnownAnswer { answer, from_journal: false });
                }
                Run::Known(saga_log) => saga_log,
            };
            // Boxed to keep this rare path out of the size of the common one, a new payment.
            match Box::pin(self.known(&state, &saga_log)).await? {
                RunDecision::Finished(answer) => {
                    return Ok(KnownAnswer { answer, from_journal: true });
                }
                RunDecision::StartNewRun => number += 1,
                // The same number again: the run may have ended meanwhile.
                RunDecision::ReadAgain => {}
            }
        }
    }

    /// Begins a run, unless it was begun before.
    ///
    /// # Errors
    ///
    /// Returns why no new payment may begin now, if so. A run that was begun before is still found.
    async fn open(&self, state: &PaymentState) -> Result<Run, PayError> {
        let saga = SagaId::from(&state.id);
        // The cheap refusals first: shutdown, an open breaker, overload. None of them writes
        // anything. The place is taken before the journal is asked: a record that is written first
        // would belong to a payment that may find no place.
        let permit = match self.refusal() {
            Some(refusal) => Err(refusal),
            None => {
                let admitted = self.services.admission.admit();
                admitted.map_err(|retry_after| PayError::Overloaded { retry_after })
            }
        };
        match permit {
            Ok(permit) => match self.saga.open(self.journal.as_ref(), saga, state).await {
                Ok(Opened::New(lease)) => Ok(Run::New { lease, permit }),
                // A repeat, for which this request has reserved calls that it does not need.
                Ok(Opened::Known(saga_log)) => {
                    self.services.admission.release_all();
                    Ok(Run::Known(saga_log))
                }
                // The journal may have written the record without saying so. The permit is dropped
                // and nothing was called, so the next owner only has to end that saga.
                Err(error) => {
                    self.services.admission.release_all();
                    Err(error.into())
                }
            },
            Err(refusal) => {
                // Refused, unless the payment was begun before: its answer or its end costs no new
                // payment.
                let saga_log = self.journal.read(saga).await.map_err(unavailable)?;
                saga_log.map(Run::Known).ok_or(refusal)
            }
        }
    }

    /// Returns why no new payment may begin now; `None` if one may.
    fn refusal(&self) -> Option<PayError> {
        if self.payments.is_closed() {
            // Before the breakers: a client that hears of an outage would come back to this
            // process.
            return Some(PayError::ShuttingDown);
        }
        let open = self.services.critical().into_iter().find(|service| {
            // A payment that would have to be undone at this service need not begin.
            service.breaker.state() == State::Open
        })?;
        let retry_after = open.breaker.snapshot().retry_after;
        Some(PayError::Unavailable { dependency: open.dependency, retry_after })
    }

    /// Runs the saga of a new payment.
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
        let observer = |event: SagaEvent<'_>| self.tell(&id, event);
        let owner = SagaOwner { journal: self.journal.as_ref(), lease, observer: &observer };
        let span = tracing::info_span!("payment", id = id.as_str());
        // `observer` can be a borrowed closure, because the saga ends before this function returns.
        let end = self.saga.run(&owner, state, deadline).instrument(span).await;
        match end {
            // How long the payment took of its ten seconds: the admission learns from it.
            Ok(end) => {
                let total = self.services.config.total;
                self.services.admission.ended(begun, begun.elapsed(), total);
                self.ended(end, begun, Some(permit))
            }
            // Another process ends it, now or when the journal is back. The permit is dropped here,
            // since the payment uses no further call of this process.
            Err(error) => {
                tracing::warn!(payment = id.as_str(), %error, "left to the next recovery");
                Arc::new(answer(&id, &payment, Status::Compensating { parked: false }))
            }
        }
    }

    /// Does everything that follows the end of a saga, once the end is written.
    pub(super) fn ended(
        self: &Arc<Self>,
        end: SagaOutcome<PaymentState>,
        begun: Instant,
        place: Option<OwnedSemaphorePermit>,
    ) -> Arc<Answer> {
        let (state, status) = status_of(&end);
        let answer = Arc::new(answer(&state.id, &state.payment, status.clone()));
        if let SagaOutcome::Parked { stuck, .. } = &end {
            for step in stuck {
                let saga = SagaId::from(&state.id);
                let letter = Undelivered::Undo { saga, step: step.step.clone() };
                // A full queue loses nothing: the journal knows what is parked.
                if self.letters.push(letter, &step.cause, step.attempts).is_err() {
                    tracing::error!(payment = state.id.as_str(), "the dead letters are full");
                }
            }
            // The keys stay, because a redrive needs them, and there is no event, because the
            // payment has not ended. `place` is dropped: a redrive is no new payment.
            return answer;
        }
        // Not for a parked payment, which may still need its keys.
        self.services.keys.forget(&state.id);
        if let SagaOutcome::Compensated { failure, .. } = &end
            && failure.step != PaymentStep::Confirm.name()
            && failure.step != PaymentStep::Save.name()
        {
            // A confirm was reserved for it that it does not need.
            self.services.admission.release(1);
        }
        let payment = state.id.clone();
        // The end is in the journal by now: the saga has written it before it returned.
        self.services.observer.on_event(Event::Ended { payment, status, took: begun.elapsed() });
        if let SagaOutcome::Completed(state) = &end {
            self.send_receipt(state, place);
        }
        answer
    }

    /// Decides what to do with a run that was begun before, and takes it over if its owner is gone.
    async fn known(
        self: &Arc<Self>,
        state: &PaymentState,
        saga_log: &SagaLog,
    ) -> Result<RunDecision, PayError> {
        let Some(end) = self.saga.outcome_of(saga_log)? else {
            // The claim returns the log as of now. The one that was read before may be old: the
            // owner may have written more, or ended the saga, in between.
            let claimed = self.journal.claim(SagaId::from(&state.id)).await.map_err(unavailable)?;
            match claimed {
                Claimed::Acquired(lease, saga_log) => {
                    // Read before the payment is resumed, compared after it: a request with other
                    // parameters must not keep a payment open that has no owner.
                    let kept = self.saga.begun_with(&saga_log)?;
                    self.resume(lease, &saga_log).await?;
                    verify_same_payment(state, &kept)?;
                }
                // Its owner lives, or died a moment ago. Either it ends the payment, or its lease
                // ends.
                Claimed::Busy { remaining } => sleep(remaining.min(LEASE_POLL_INTERVAL)).await,
                Claimed::Ended(_) | Claimed::Unknown => {}
            }
            return Ok(RunDecision::ReadAgain);
        };
        let (kept, status) = status_of(&end);
        verify_same_payment(state, kept)?;
        match status {
            // Every effect of the failed run is undone, so the next run cannot charge the customer
            // twice.
            Status::Failed { retryable: true, .. } => Ok(RunDecision::StartNewRun),
            status => {
                let answer = answer(&kept.id, &kept.payment, status);
                Ok(RunDecision::Finished(Arc::new(answer)))
            }
        }
    }

    /// Resumes a saga that was claimed, and brings it to its end.
    pub(super) async fn resume(
        self: &Arc<Self>,
        lease: Lease,
        saga_log: &SagaLog,
    ) -> Result<Arc<Answer>, SagaError> {
        let begun = Instant::now();
        let id = PaymentId::try_from(lease.saga.as_str().to_owned())
            .map_err(|why| SagaError::State(why.to_string()))?;
        let observer = |event: SagaEvent<'_>| self.tell(&id, event);
        let owner = SagaOwner { journal: self.journal.as_ref(), lease, observer: &observer };
        // The first deadline passed with the process that set it. A new one keeps a step that hangs
        // from holding the lease without end.
        let deadline = Deadline::after(self.services.config.total);
        // Counted and not asked for: another gateway has admitted the payment, and it has to end.
        self.services.admission.take_over();
        let span = tracing::info_span!("recovery", id = id.as_str());
        let end = self.saga.resume(&owner, saga_log, deadline).instrument(span).await?;
        // No place to hand on: this gateway has not admitted the payment.
        Ok(self.ended(end, begun, None))
    }

    /// Forwards the events of a saga to the observer.
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
            // Not reported: a step that starts is reported by its end, and an undo that will be
            // tried again is not over.
            SagaEvent::StepStarted { .. } | SagaEvent::UndoFailed { .. } => return,
        };
        self.services.observer.on_event(event);
    }
}

/// Checks that the journal's payment under this name is the requested one.
fn verify_same_payment(asked: &PaymentState, kept: &PaymentState) -> Result<(), PayError> {
    if asked.payment == kept.payment { Ok(()) } else { Err(PayError::KeyReused) }
}
