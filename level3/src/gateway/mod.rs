//! The gateway: makes a payment and answers within ten seconds, whatever happens.
//!
//! ```text
//! pay ── key known? ── admission ── journal ── create ── fraud ── confirm ── save ── answer
//!          │ stored answer, or                                      │ outbox
//!          │ join what is running                                   └── receipt
//! ```
//!
//! * The work behind a key runs in a task of its own: a client that goes away changes nothing.
//! * The steps end early enough that everything can be undone within the ten seconds. If undoing
//!   takes longer, the answer says so and the work goes on.
//! * Every effect is written to the journal before it is tried.
//!   [`Gateway::recover`](crate::gateway::Gateway::recover) finishes what another process
//!   left behind.
//!
//! Lesson: `level3/lessons/gateway.md`.

mod admission;
mod attempts;
mod call;
mod config;
mod keys;
mod receipts;
mod recover;
mod services;
mod settle;
mod state;
mod status;
mod step;
mod steps;
mod work;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::answer::{Dependency, PayError, Reply, Status};
use crate::breaker;
use crate::dead_letters::{DeadLetter, DeadLetters, LetterId, Redriven};
use crate::deadline::Deadline;
use crate::event::Observer;
use crate::idempotency::{Answered, Completion, IdempotencyError, Store};
use crate::ids::{PaymentId, PaymentKey};
use crate::journal::Journal;
use crate::provider::Providers;
use crate::request::{Payment, PaymentRequest};
use crate::saga::{Saga, undo_backoff};

pub use config::{GatewayConfig, GatewayConfigError, StepConfig, UndoLimits};
pub use receipts::Undelivered;
pub use recover::Recovered;

use services::Services;
use state::PaymentState;
use work::{KnownAnswer, PaymentResult};

/// A payment gateway. Cheap to clone; clones share one gateway.
///
/// ```
/// use std::sync::Arc;
/// use level3::answer::Status;
/// use level3::event::NoObserver;
/// use level3::gateway::{Gateway, GatewayConfig};
/// use level3::journal::MemoryJournal;
/// use level3::request::PaymentRequest;
/// use level3_sim::{NoFaults, World};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let world = World::new(NoFaults);
/// let journal = Arc::new(MemoryJournal::new());
/// let gateway =
///     Gateway::new(GatewayConfig::default(), world.providers(), journal, Arc::new(NoObserver))
///         .unwrap();
/// let request = PaymentRequest {
///     key: "order-1".to_owned(),
///     order: "1".to_owned(),
///     amount: 1_050,
///     currency: "USD".to_owned(),
///     email: "ann@example.com".to_owned(),
///     card: "pm_card_visa".to_owned(),
/// };
/// let reply = gateway.pay(request.clone()).await.unwrap();
/// assert!(matches!(reply.answer.status, Status::Paid { .. }));
/// assert!(gateway.pay(request).await.unwrap().replayed); // charged once
/// # }
/// ```
#[derive(Clone)]
pub struct Gateway {
    // Shared by the clones and by every task of a payment, which may outlive the clone that began it.
    inner: Arc<Inner>,
}

struct Inner {
    // In an `Arc`, since the saga hands it to every step as well.
    services: Arc<Services>,
    // Built once: every payment has the same steps, and all that differs is in the state.
    saga: Saga<PaymentState, Services>,
    // The only memory that outlives the process. The store below it serves repeats without a read
    // of the journal.
    journal: Arc<dyn Journal>,
    // The payment itself is the parameters: a key that is used for another payment is refused.
    store: Store<PaymentKey, Arc<Payment>, PaymentResult>,
    // In memory only: parked undos are in the journal and receipts in the outbox, where `recover`
    // finds them.
    letters: DeadLetters<Undelivered>,
    // One permit for each receipt that is being sent.
    receipts: Arc<Semaphore>,
    // What `drain` waits for: payments, new and recovered, and then their receipts. A closed
    // tracker still takes tasks: `refusal` asks whether `payments` is closed before a new payment
    // is begun, and a recovery asks before it takes something over.
    payments: TaskTracker,
    // Apart from `payments`: a drain waits for those first, since each may still hand on to a receipt.
    receipt_tasks: TaskTracker,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway in front of `providers` that writes to `journal`.
    ///
    /// # Errors
    ///
    /// [`GatewayConfigError`] if the configuration is invalid.
    pub fn new(
        config: GatewayConfig,
        providers: Providers,
        journal: Arc<dyn Journal>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, GatewayConfigError> {
        let services = Arc::new(Services::new(config, providers, observer)?);
        let config = &services.config;
        let undo_jitter = Arc::new(crate::retry::SeededJitter::new(config.seed));
        let saga = steps::payment_saga(&services).undo_with(undo_backoff(), undo_jitter);
        if saga.reserve() >= config.total {
            return Err(GatewayConfigError::NoTimeToPay {
                reserve: saga.reserve(),
                total: config.total,
            });
        }
        let inner = Inner {
            saga,
            journal,
            store: Store::new(config.idempotency),
            letters: DeadLetters::new(config.dead_letters, config.park_after),
            receipts: Arc::new(Semaphore::new(config.max_receipts.min(Semaphore::MAX_PERMITS))),
            payments: TaskTracker::new(),
            receipt_tasks: TaskTracker::new(),
            services,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes one payment.
    ///
    /// A repeat with the same key and the same parameters gets the stored answer or joins what is
    /// running, and calls no service. After a transient failure, the same key tries again.
    ///
    /// The answer comes within [`GatewayConfig::total`]. By then the payment is paid, declined or
    /// failed without a charge; or, if that is not reached in time, the answer is
    /// [`Status::Compensating`], and the gateway goes on until it is done.
    ///
    /// # Errors
    ///
    /// [`PayError`]: nothing was done for this request.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancellation
    ///
    /// Dropping the future leaves the payment running to its end. A repeat with the same key gets
    /// its answer.
    pub async fn pay(&self, request: PaymentRequest) -> Result<Reply, PayError> {
        // Taken first: the answer is due that long after the call, whatever the checks below cost.
        let deadline = Deadline::after(self.inner.services.config.total);
        let payment = request.validate()?;
        if let Some(refusal) = self.inner.shed(&payment) {
            return Err(refusal);
        }
        let payment = Arc::new(payment);
        // The store keeps the parameters, and the work needs the payment: both share one copy.
        let params = Arc::clone(&payment);
        // The store calls this only for a new key. `track_future` counts the payment from here on,
        // before the task of the store is spawned, so that a drain cannot miss it. In the caller's
        // span: a task has none of its own, and its log would not say which request it is about.
        let work = || {
            let work = Arc::clone(&self.inner).work(Arc::clone(&payment), deadline);
            let work = work.in_current_span();
            self.inner.payments.track_future(work)
        };
        // The deadline ends this wait and nothing else: the work runs in a task of the store. A
        // caller that drops the future here loses its answer, and the payment goes on.
        let Ok(result) = deadline.run(self.inner.store.run(&payment.key, params, work)).await
        else {
            return Ok(self.inner.unfinished(&payment));
        };
        match result {
            Ok(Answered { completion: Completion::Stored(result), replayed }) => {
                let KnownAnswer { answer, from_journal } = result?;
                Ok(Reply { answer, replayed: replayed || from_journal })
            }
            // Not final, so a repeat may get another answer.
            Ok(Answered { completion: Completion::Released(result), .. }) => {
                Ok(Reply { answer: result?.answer, replayed: false })
            }
            Err(IdempotencyError::Mismatch) => Err(PayError::KeyReused),
            // A key becomes free when the oldest answer expires.
            Err(IdempotencyError::Full { .. }) => {
                let retry_after = self.inner.services.config.total;
                Err(PayError::Overloaded { retry_after })
            }
            // The task has ended without a result. The journal has its effects.
            Err(IdempotencyError::Lost) => Ok(self.inner.unfinished(&payment)),
        }
    }

    /// Returns the undos and receipts that failed, in order of arrival.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter<Undelivered>> {
        self.inner.letters.letters()
    }

    /// Tries every dead letter that is not parked once more. A letter is parked after
    /// [`GatewayConfig::park_after`] failed redrives, until [`unpark`](Self::unpark) releases it.
    ///
    /// A letter stays until its receipt is sent or its payment has ended, also while another
    /// process works on the payment.
    ///
    /// # Cancellation
    ///
    /// Dropping the future stops the attempt that is under way. Its letter stays in the queue.
    pub async fn redrive(&self) -> Redriven {
        let inner = &self.inner;
        inner.letters.redrive(|letter| Arc::clone(inner).redrive_one(letter)).await
    }

    /// Releases a parked dead letter, because an operator has removed its cause: redrives try it
    /// again, with its full number of attempts. Returns false if no parked letter has this id.
    pub fn unpark(&self, id: LetterId) -> bool {
        self.inner.letters.unpark(id)
    }

    /// Returns how many payments are under way, those that are recovered included.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        u32::try_from(self.inner.payments.len()).unwrap_or(u32::MAX)
    }

    /// Returns the state of a service's breaker.
    #[must_use]
    pub fn breaker(&self, dependency: Dependency) -> breaker::State {
        let services = &self.inner.services;
        let protected = match dependency {
            Dependency::Payments => &services.payments,
            Dependency::Fraud => &services.fraud,
            Dependency::Ledger => &services.ledger,
            Dependency::Receipts => &services.receipts,
        };
        protected.breaker.state()
    }

    /// Admits no new payments from now on, and waits until those under way have ended and their
    /// receipts are sent or dead letters. Repeats of answered or running payments are still served.
    /// A recovery takes over no payment from now on, and sends no receipt that it has not begun to
    /// send: the next recovery does.
    ///
    /// Returns how many payments are still under way at `limit`: the journal has them.
    ///
    /// # Cancellation
    ///
    /// Dropping the future stops the waiting; the gateway stays closed.
    pub async fn drain(&self, limit: Duration) -> u32 {
        let (payments, receipt_tasks) = (&self.inner.payments, &self.inner.receipt_tasks);
        // A payment is counted before it asks whether the gateway is closed. So each one is either
        // seen by the wait below or sees this.
        payments.close();
        receipt_tasks.close();
        let all_over = async {
            // In this order: a payment hands on to its receipt.
            payments.wait().await;
            receipt_tasks.wait().await;
        };
        match Deadline::after(limit).run(all_over).await {
            Ok(()) => 0,
            Err(_) => self.in_flight(),
        }
    }
}

// starter: drop
impl Inner {
    /// Returns the name of a run of this payment. Runs are counted from 1.
    fn payment_id(&self, payment: &Payment, run: u32) -> PaymentId {
        PaymentId::derive(&self.journal.store_id(), &payment.key, run)
    }

    /// Refuses a payment that exceeds the capacity before it costs anything: no task, no read of
    /// the journal.
    ///
    /// A repeat is answered at any load, if this process knows its key. A repeat that only the
    /// journal knows is refused with the time after which to try again.
    fn shed(&self, payment: &Payment) -> Option<PayError> {
        // Two short locks, one after the other, so the load may change in between. That is
        // harmless: `open` asks the admission again, under one lock.
        let retry_after = self.services.admission.refusal()?;
        // A closed gateway refuses as well, and says that it shuts down, which tells a client more
        // than "overloaded".
        let goes_on = self.store.contains(&payment.key) || self.payments.is_closed();
        (!goes_on).then_some(PayError::Overloaded { retry_after })
    }

    /// Returns the answer while the payment has no final one.
    fn unfinished(&self, payment: &Payment) -> Reply {
        // A later run may be the one under way, but its number is in the journal, and there is no
        // time left to read it.
        let id = self.payment_id(payment, 1);
        let answer = status::answer(&id, payment, Status::Compensating { parked: false });
        Reply { answer: Arc::new(answer), replayed: false }
    }
}
