//! Recovery: finishes the payments that another process left open.
//!
//! Lesson: `level3/lessons/recovery.md`.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::Instrument as _;

use super::receipts::Undelivered;
use super::work::LEASE_POLL_INTERVAL;
use super::{Gateway, Inner};
use crate::answer::{PayError, Status};
use crate::deadline::Deadline;
use crate::ids::PaymentId;
use crate::journal::{Claimed, JournalError, Lease, Record, SagaId, SagaLog, Standing};
use crate::saga::{SagaError, SagaOutcome, SagaOwner, ignore_events};

/// How many sagas, and how many receipts, one recovery works on at the same time.
// They call the services that new payments need as well: a restart with thousands of open sagas
// must not crowd those out.
const RECOVERY_CONCURRENCY: usize = 64;
// Bounds the memory for one answer of the ledger. The next recovery reads the rest.
const MAX_RECEIPTS_PER_RECOVERY: usize = 10_000;

/// The result of a recovery.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use level3::event::NoObserver;
/// # use level3::journal::MemoryJournal;
/// # use level3::request::PaymentRequest;
/// # use tokio::time::sleep;
/// use level3::gateway::{Gateway, GatewayConfig, Recovered};
/// use level3_sim::{MortalJournal, NoFaults, Process, World};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # let (world, journal) = (World::new(NoFaults), MemoryJournal::new());
/// # let gateway_of = |process: &Process| {
/// #     let journal = Arc::new(MortalJournal::new(&journal, process));
/// #     let providers = world.providers_of(process);
/// #     Gateway::new(GatewayConfig::default(), providers, journal, Arc::new(NoObserver)).unwrap()
/// # };
/// # let request = PaymentRequest {
/// #     key: "order-1".to_owned(),
/// #     order: "1".to_owned(),
/// #     amount: 1_050,
/// #     currency: "USD".to_owned(),
/// #     email: "ann@example.com".to_owned(),
/// #     card: "pm_card_visa".to_owned(),
/// # };
/// let process = Process::new();
/// let gateway = gateway_of(&process);
/// tokio::spawn(async move { gateway.pay(request).await });
/// sleep(Duration::from_millis(500)).await; // the fraud check is running
/// process.kill();
///
/// let other = gateway_of(&Process::new());
/// let recovered = other.recover().await.unwrap();
/// assert_eq!(recovered, Recovered { undone: 1, ..Recovered::default() });
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// The number of payments that the recovery has finished: they are paid.
    pub finished: usize,
    /// The number of payments that the recovery has undone.
    pub undone: usize,
    /// The number of payments with an undo that failed: see the dead letters.
    pub parked: usize,
    /// Receipts from the outbox that are being sent.
    pub receipts: usize,
}

impl Gateway {
    /// Brings every payment that another process has left open to its end, makes dead letters of
    /// the parked ones, and sends the receipts that are still in the outbox.
    ///
    /// Waits for payments whose owner may still be alive until they or their leases have ended. Any
    /// number of gateways may recover at once: each payment is claimed by one of them. Run it again
    /// after a crash in the middle of it. Once the gateway [drains](Self::drain), a recovery ends what it
    /// has begun, and leaves the rest to the next one.
    ///
    /// # Errors
    ///
    /// [`PayError::JournalUnavailable`] or [`PayError::JournalUnreadable`]. Payments that were
    /// recovered until then stay recovered.
    ///
    /// # Cancellation
    ///
    /// Dropping the future leaves the payments that were claimed running to their end.
    pub async fn recover(&self) -> Result<Recovered, PayError> {
        let mut recovered = Recovered::default();
        let turns = Arc::new(Semaphore::new(RECOVERY_CONCURRENCY));
        let mut running = FuturesUnordered::new();
        // The list is a snapshot: another process may end or claim any of these sagas meanwhile.
        // `take_over` finds that out for each of them.
        for saga in self.inner.journal.list(Standing::Open).await.map_err(unavailable)? {
            let (inner, turns) = (Arc::clone(&self.inner), Arc::clone(&turns));
            // In a task of its own, so that a claimed payment reaches its end. Futures that this
            // function polls itself would stop where they are when the caller drops it. All tasks
            // exist at once and are small; the semaphore bounds how many of them work.
            let task = async move {
                // The semaphore is never closed, so this is a permit.
                let turn = turns.acquire_owned().await;
                let status = inner.take_over(saga).await;
                // Named and dropped here, so that it is held across the whole take-over.
                drop(turn);
                status
            };
            running.push(tokio::spawn(task.in_current_span()));
        }
        while let Some(status) = running.next().await {
            // A task that panicked leaves its saga open, and the lease ends by itself. An error
            // returns at once; the other tasks go on without this loop.
            match status.unwrap_or(Ok(None))? {
                Some(Status::Paid { .. }) => recovered.finished += 1,
                Some(Status::Compensating { .. }) => recovered.parked += 1,
                Some(_) => recovered.undone += 1,
                None => {}
            }
        }
        // After the payments: an undo that is parked just now has its letter already, and is not
        // added twice.
        self.inner.collect_parked().await?;
        recovered.receipts = self.inner.collect_receipts().await;
        Ok(recovered)
    }
}

pub(super) fn unavailable(_: JournalError) -> PayError {
    PayError::JournalUnavailable
}

impl From<SagaError> for PayError {
    fn from(error: SagaError) -> Self {
        match error {
            SagaError::State(why) => Self::JournalUnreadable(why),
            _ => Self::JournalUnavailable,
        }
    }
}

impl Inner {
    /// Claims a saga as soon as it has no owner, and brings it to its end. `None` if another
    /// process did, or if the gateway drains before the saga is claimed.
    async fn take_over(self: Arc<Self>, saga: SagaId) -> Result<Option<Status>, PayError> {
        loop {
            // Read before the claim: a saga of another kind must not be claimed, since this gateway
            // cannot end it.
            let saga_log = self.journal.read(saga.clone()).await.map_err(unavailable)?;
            if !saga_log.is_some_and(|saga_log| self.is_payment(&saga_log)) {
                return Ok(None);
            }
            // Counted before the claim, so that a drain that begins in between waits for the
            // payment.
            let under_way = self.payments.token();
            // Asked after that, as for a new payment: a drain either waits for this payment or has
            // closed the gateway by now. Without the question a drain that ends while the recovery
            // reads the journal or waits for a lease would leave a payment running.
            if self.payments.is_closed() {
                return Ok(None);
            }
            match self.journal.claim(saga.clone()).await.map_err(unavailable)? {
                Claimed::Acquired(lease, saga_log) => {
                    return match self.resume(lease, &saga_log).await {
                        Ok(answer) => Ok(Some(answer.status.clone())),
                        // This gateway was too slow, and another one has claimed the saga. Its
                        // outcome is reported there.
                        Err(SagaError::Fenced) => Ok(None),
                        Err(error) => Err(error.into()),
                    };
                }
                Claimed::Busy { remaining } => {
                    // A drain must not wait for a payment that another process owns. No lease and
                    // no lock is held during the sleep, so a caller that drops the future here
                    // leaves nothing behind.
                    drop(under_way);
                    sleep(remaining.min(LEASE_POLL_INTERVAL)).await;
                }
                Claimed::Ended(_) | Claimed::Unknown => return Ok(None),
            }
        }
    }

    /// A journal may keep other sagas as well.
    fn is_payment(&self, saga_log: &SagaLog) -> bool {
        matches!(saga_log.records.first(), Some(Record::Begun { kind, .. }) if kind == self.saga.kind())
    }

    /// Adds the undos that another process has parked to this gateway's dead letters.
    async fn collect_parked(&self) -> Result<(), PayError> {
        // Read once. A letter that another task adds meanwhile could appear twice, and a redrive of
        // either copy ends the saga.
        let known = self.letters.letters();
        for saga in self.journal.list(Standing::Parked).await.map_err(unavailable)? {
            let Some(saga_log) = self.journal.read(saga.clone()).await.map_err(unavailable)? else {
                continue;
            };
            if !self.is_payment(&saga_log) {
                continue;
            }
            if let Some(SagaOutcome::Parked { stuck, .. }) = self.saga.outcome_of(&saga_log)? {
                for step in stuck {
                    let letter = Undelivered::Undo { saga: saga.clone(), step: step.step };
                    let is_known = known.iter().any(|known| *known.item == letter);
                    if !is_known && self.letters.push(letter, step.cause, step.attempts).is_err() {
                        // The rest stays in the journal.
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends the receipts that were not sent. A failure is no reason to fail the recovery: they
    /// stay in the outbox.
    async fn collect_receipts(self: &Arc<Self>) -> usize {
        // Counted before the question, and until the last receipt is counted for itself: see
        // `take_over`.
        let _collecting = self.receipt_tasks.token();
        if self.receipt_tasks.is_closed() {
            return 0;
        }
        let config = &self.services.config.receipt;
        let known = self.letters.letters();
        let deadline = Deadline::after(config.limit);
        let read = || self.services.providers.ledger.pending_receipts(MAX_RECEIPTS_PER_RECOVERY);
        // Past the breaker: a recovery may run right after an outage, while the breaker is still
        // open.
        let Ok(pending) = self.services.ledger.call_past_breaker(deadline, read).await else {
            return 0;
        };
        let mut taken = 0;
        for receipt in pending {
            let letter = Undelivered::Receipt(receipt.clone());
            let is_known = known.iter().any(|known| *known.item == letter);
            // A row that is still to be voided has its entry in the outbox as well. A payment that
            // this recovery has just finished may be sending its receipt already. The mail service
            // knows the transaction, so the second mail is not sent.
            if !is_known && self.is_paid(&receipt.payment).await {
                self.deliver(receipt, None);
                taken += 1;
            }
        }
        taken
    }

    /// Whether the payment has ended and is paid.
    async fn is_paid(&self, payment: &PaymentId) -> bool {
        match self.journal.read(SagaId::from(payment)).await {
            Ok(Some(saga_log)) => {
                matches!(self.saga.outcome_of(&saga_log), Ok(Some(SagaOutcome::Completed(_))))
            }
            // Unknown counts as unpaid: a receipt for a payment that is undone later would be
            // untrue. The entry stays in the outbox for the next recovery.
            _ => false,
        }
    }

    /// Tries the parked undos of a saga once more.
    pub(super) async fn redrive_undo(
        self: &Arc<Self>,
        lease: Lease,
        saga_log: &SagaLog,
    ) -> Result<(), String> {
        let begun = tokio::time::Instant::now();
        let owner = SagaOwner { journal: self.journal.as_ref(), lease, observer: &ignore_events };
        let deadline = Deadline::after(self.services.config.total);
        match self.saga.resume(&owner, saga_log, deadline).await {
            Ok(SagaOutcome::Parked { stuck, .. }) => {
                // The journal has every cause; the letter keeps the first.
                Err(stuck.into_iter().map(|step| step.cause).next().unwrap_or_default())
            }
            Ok(end) => {
                self.ended(end, begun, None);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}
