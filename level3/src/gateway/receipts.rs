//! Receipts, for which no payment waits, and the redrive of dead letters.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument as _;

use super::Inner;
use super::attempts::StepAttempts;
use super::state::PaymentState;
use super::step::PaymentStep;
use crate::dead_letters::DeadLetter;
use crate::deadline::Deadline;
use crate::event::Event;
use crate::journal::{Claimed, SagaId};
use crate::provider::{PendingReceipt, Receipt};

/// An undo or a receipt that failed.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use level3::event::NoObserver;
/// # use level3::gateway::GatewayConfig;
/// # use level3::journal::MemoryJournal;
/// # use level3::request::PaymentRequest;
/// use level3::gateway::{Gateway, Undelivered};
/// use level3_sim::{CallSite, Fault, Script, World};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let world = World::new(Script::new().always(CallSite::Receipt, Fault::FailBefore));
/// # let journal = Arc::new(MemoryJournal::new());
/// # let config = GatewayConfig::default();
/// # let gateway = Gateway::new(config, world.providers(), journal, Arc::new(NoObserver)).unwrap();
/// # let request = PaymentRequest {
/// #     key: "order-1".to_owned(),
/// #     order: "1".to_owned(),
/// #     amount: 1_050,
/// #     currency: "USD".to_owned(),
/// #     email: "ann@example.com".to_owned(),
/// #     card: "pm_card_visa".to_owned(),
/// # };
/// gateway.pay(request).await.unwrap();
/// gateway.drain(Duration::from_secs(60)).await; // until the attempts to send the receipt have failed
/// let letters = gateway.dead_letters();
/// let lines = letters.iter().map(|letter| match &*letter.item {
///     Undelivered::Receipt(pending) => format!("no receipt for order {}", pending.receipt.order),
///     Undelivered::Undo { saga, step } => format!("{step} of {saga} is not undone"),
/// });
/// assert_eq!(lines.collect::<Vec<_>>(), ["no receipt for order 1"]);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undelivered {
    /// A step of a payment could not be undone.
    Undo {
        /// The saga of the payment.
        saga: SagaId,
        /// The name of the step.
        step: String,
    },
    /// A receipt could not be sent.
    Receipt(PendingReceipt),
}

impl Inner {
    /// Sends the receipt of a payment whose row is written. The outbox entry was written with the
    /// row: if this process dies, the recovery finds it there.
    ///
    /// The payment keeps its place until the receipt has one, so that receipts that wait for a slow
    /// mail service count as load.
    pub(super) fn send_receipt(
        self: &Arc<Self>,
        state: &PaymentState,
        place: Option<OwnedSemaphorePermit>,
    ) {
        let Some(transaction) = state.transaction.clone() else { return };
        let receipt = Receipt {
            transaction,
            order: state.payment.order.clone(),
            amount: state.payment.amount,
            email: state.payment.email.clone(),
        };
        self.deliver(PendingReceipt { payment: state.id.clone(), receipt }, place);
    }

    /// Sends a receipt in the background. A drain waits for it from now on.
    pub(super) fn deliver(
        self: &Arc<Self>,
        pending: PendingReceipt,
        place: Option<OwnedSemaphorePermit>,
    ) {
        let inner = Arc::clone(self);
        let (queue, observer) = (Arc::clone(&self.receipts), Arc::clone(&self.services.observer));
        let task = async move {
            // Held until the task ends, which bounds how many receipts are sent at once.
            let _one_of_many = queue.acquire_owned().await;
            // Only now: a receipt that waits for its turn keeps its payment's place.
            drop(place);
            let payment = pending.payment.clone();
            match inner.try_receipt(&pending).await {
                Ok(()) => observer.on_event(Event::ReceiptSent { payment }),
                Err((cause, tries)) => {
                    // In memory, so that an operator can redrive it now. A restart finds it in the
                    // outbox.
                    let letter = Undelivered::Receipt(pending);
                    if inner.letters.push(letter, &cause, tries).is_err() {
                        // The outbox still has it.
                        tracing::error!(payment = payment.as_str(), "the dead letters are full");
                    }
                    observer.on_event(Event::ReceiptParked { payment, cause });
                }
            }
        };
        self.receipt_tasks.spawn(task.in_current_span());
    }

    /// Sends the receipt and removes it from the outbox.
    ///
    /// A panic of the mail client is a failure: without a dead letter only the next recovery would
    /// find the receipt.
    async fn try_receipt(&self, pending: &PendingReceipt) -> Result<(), (String, u32)> {
        // `AssertUnwindSafe`: the receipt is only read, and the services guard their own state.
        let sent = AssertUnwindSafe(self.send_and_note(pending)).catch_unwind().await;
        sent.unwrap_or_else(|_| Err(("the client of the mail service panicked".to_owned(), 1)))
    }

    async fn send_and_note(&self, pending: &PendingReceipt) -> Result<(), (String, u32)> {
        let services = &self.services;
        let (payment, config) = (&pending.payment, &services.config.receipt);
        let attempts =
            StepAttempts::new(services, payment, PaymentStep::Receipt, config, Deadline::never());
        let send = || {
            let call = || services.providers.receipts.send(pending.receipt.clone());
            services.receipts.call(&attempts.budget, call)
        };
        let sent = attempts.run(send).await;
        sent.outcome.map_err(|error| (error.message, sent.attempts))?;
        // The mail is sent before the outbox is updated. In the other order a crash in between
        // would lose the receipt; in this order it is sent again, and the mail service knows its
        // transaction.
        let note = || {
            let transaction = pending.receipt.transaction.clone();
            let call = || services.providers.ledger.receipt_sent(transaction);
            services.ledger.call(&attempts.budget, call)
        };
        if let Err(error) = attempts.run_unreported(note).await.outcome {
            // The mail is sent. A repeat because of the outbox sends no second one.
            tracing::warn!(payment = payment.as_str(), %error, "still in the outbox");
        }
        Ok(())
    }

    /// One more attempt for a dead letter.
    pub(super) async fn redrive_one(
        self: Arc<Self>,
        letter: DeadLetter<Undelivered>,
    ) -> Result<(), String> {
        match letter.item.as_ref() {
            Undelivered::Receipt(pending) => {
                self.try_receipt(pending).await.map_err(|(cause, _)| cause)?;
                let payment = pending.payment.clone();
                self.services.observer.on_event(Event::ReceiptSent { payment });
                Ok(())
            }
            // Another process may have redriven the same saga meanwhile, so the journal decides who
            // does it.
            Undelivered::Undo { saga, .. } => match self.journal.claim(saga.clone()).await {
                Ok(Claimed::Acquired(lease, saga_log)) => self.redrive_undo(lease, &saga_log).await,
                Ok(Claimed::Busy { .. }) => Err("another process works on it".to_owned()),
                Ok(Claimed::Ended(_)) => Ok(()),
                Ok(Claimed::Unknown) => Err("the journal does not know it".to_owned()),
                Err(error) => Err(error.to_string()),
            },
        }
    }
}
