//! Refunds in full and in part, from the request to the provider's answer.
//!
//! | module | what it has |
//! |---|---|
//! | `body` | the checks of a request's body |
//! | `next` | the decisions: what follows from an error, when to try again. Pure |
//! | `flights` | one task for each refund that this process works on |
//! | `view` | a refund as JSON |
//!
//! The store records a refund before the provider is called, and adds up what the refunds of the
//! payment take in the same transaction. Whatever happens after that, a process that finds the
//! refund without an outcome continues it: it first asks the provider for the refunds of the charge,
//! and only if this one is not among them sends the request, with the same idempotency key.

pub(crate) mod body;
mod flights;
mod next;
pub(crate) mod view;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use level3_adapters::sql::{
    NewRefund, RefundBegun, RefundClaim, RefundOutcome, RefundRefusal, RefundRow, RefundTurn,
    Store, StoreError,
};
use level3_domain::provider::{CallFuture, ProviderError};
use level3_domain::refund::{MadeRefund, PartRefund, PartRefunds, RefundId, RefundKey};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::metrics::Metrics;
use crate::webhooks::event;
use flights::{Flights, Place};
use next::{After, Look};

/// How long a client waits for the outcome. Less than the limit of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one call of the provider may take.
const CALL: Duration = Duration::from_secs(5);
/// The calls of one turn at a refund. After that the next turn waits.
const CALLS: u32 = 4;
/// The turns at the same time: refunds come beside the calls that the gateway's limiter counts.
const AT_ONCE: usize = 8;
/// The most refunds without an outcome that are read at once.
const READ: usize = 1000;
/// How often the store is asked for refunds without an outcome.
const EVERY: Duration = Duration::from_secs(1);

/// The outcome of a request for a refund.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The refund is recorded: its row now, and whether it was recorded before.
    Recorded { row: RefundRow, before: bool },
    /// The refund is refused and not recorded.
    Refused(RefundRefusal),
    /// The store has not answered in time. A repeat finds out.
    Unknown,
}

/// The refunds of a service. Cheap to clone; clones share one state.
#[derive(Clone)]
pub(crate) struct Refunds(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    provider: Arc<dyn PartRefunds>,
    metrics: Metrics,
    flights: Flights,
    slots: Semaphore,
    /// When a refund without an outcome has its next turn. Lost with the process: the next one
    /// begins at once.
    due: Mutex<HashMap<RefundId, Instant>>,
}

impl Refunds {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        provider: Arc<dyn PartRefunds>,
        metrics: Metrics,
    ) -> Self {
        let (flights, slots) = (Flights::default(), Semaphore::new(AT_ONCE));
        Self(Arc::new(Shared { store, provider, metrics, flights, slots, due: Mutex::default() }))
    }

    /// Records a refund, or finds the one of before, and waits for its outcome for a while.
    ///
    /// Dropping the future stops the waiting; the refund goes on in a task of its own.
    pub(crate) async fn ask(&self, new: NewRefund) -> Result<Asked, StoreError> {
        let until = Instant::now() + PATIENCE;
        let name = new.refund.clone();
        let mut place = self.0.flights.enter(&name);
        while let Place::Joined(flight) = place {
            if timeout_at(until, flight.ended()).await.is_err() {
                return self.found(&name, true).await;
            }
            place = self.0.flights.enter(&name);
        }
        let Place::Started(flight) = place else { return Ok(Asked::Unknown) };
        let (reply, begun) = oneshot::channel();
        let shared = Arc::clone(&self.0);
        let ended = flight.follow();
        tokio::spawn(async move {
            let begun = shared.store.begin_refund(new).await;
            let work = begun.as_ref().ok().and_then(|begun| match begun {
                RefundBegun::New(turn) => Some((turn.row.refund.clone(), Some(turn.clone()))),
                RefundBegun::Known(row) if is_open(row) => Some((row.refund.clone(), None)),
                _ => None,
            });
            // The client may have gone.
            let _ = reply.send(begun);
            if let Some((name, turn)) = work {
                shared.work(name, turn).await;
            }
            drop(flight);
        });
        let begun = match timeout_at(until, begun).await {
            Ok(Ok(begun)) => begun?,
            _ => return Ok(Asked::Unknown),
        };
        let before = match begun {
            RefundBegun::Refused(refusal) => return Ok(Asked::Refused(refusal)),
            RefundBegun::Known(row) if !is_open(&row) => {
                return Ok(Asked::Recorded { row, before: true });
            }
            RefundBegun::Known(_) => true,
            RefundBegun::New(_) => false,
        };
        // In time or not: the store has the state.
        let _ = timeout_at(until, ended.ended()).await;
        self.found(&name, before).await
    }

    async fn found(&self, name: &RefundId, before: bool) -> Result<Asked, StoreError> {
        let row = self.0.store.refund(name.clone()).await?;
        Ok(row.map_or(Asked::Unknown, |row| Asked::Recorded { row, before }))
    }

    /// Works on refunds without an outcome, those of earlier processes too. Never returns.
    pub(crate) async fn follow(&self) {
        loop {
            match self.0.store.open_refunds(READ).await {
                Ok(open) => self.begin_due(open),
                Err(error) => tracing::warn!(%error, "the refunds cannot be read"),
            }
            sleep(EVERY).await;
        }
    }

    fn begin_due(&self, open: Vec<RefundId>) {
        let now = Instant::now();
        let mut due = self.0.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.retain(|name, at| *at > now && open.contains(name));
        let names: Vec<_> = open.into_iter().filter(|name| !due.contains_key(name)).collect();
        drop(due);
        for name in names {
            let Place::Started(flight) = self.0.flights.enter(&name) else { continue };
            let shared = Arc::clone(&self.0);
            tokio::spawn(async move {
                shared.work(name, None).await;
                drop(flight);
            });
        }
    }

    /// Waits until this process works on no refund, at most for this time.
    pub(crate) async fn idle(&self, limit: Duration) {
        // What is left after the limit is in the store.
        let _ = timeout(limit, self.0.flights.empty()).await;
    }
}

fn is_open(row: &RefundRow) -> bool {
    row.state == level3_adapters::sql::RefundState::Processing
}

impl Shared {
    /// Works on a refund for one turn. `turn` is the claim, if this process has it already.
    async fn work(&self, name: RefundId, turn: Option<RefundTurn>) {
        // Before the claim: one that waits for its place must not keep another process from the refund.
        // The semaphore is never closed.
        let Ok(_slot) = self.slots.acquire().await else { return };
        let turn = match turn {
            Some(turn) => Some(turn),
            None => self.claimed(&name).await,
        };
        if let Some(turn) = turn {
            self.turn(turn).await;
        }
    }

    /// Claims a refund; `None` if it has an outcome, or is another process's for now.
    async fn claimed(&self, name: &RefundId) -> Option<RefundTurn> {
        match self.store.claim_refund(name.clone()).await {
            Ok(RefundClaim::Yours(turn)) => Some(turn),
            Ok(RefundClaim::Busy { remaining }) => {
                self.wait(name, remaining);
                None
            }
            Ok(RefundClaim::Settled(_) | RefundClaim::Unknown) => None,
            Err(error) => {
                tracing::warn!(refund = name.as_str(), %error, "a refund cannot be claimed");
                None
            }
        }
    }

    fn wait(&self, name: &RefundId, time: Duration) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.insert(name.clone(), Instant::now() + time);
    }

    /// Works on a refund until it has an outcome, or for a few calls.
    async fn turn(&self, turn: RefundTurn) {
        let refund = turn.row.refund.clone();
        match self.calls(&turn).await {
            Ok(outcome) => {
                let name = match &outcome {
                    RefundOutcome::Succeeded(_) => "succeeded",
                    RefundOutcome::Failed(_) => "failed",
                };
                let (store, payment) = (self.store.store_id(), &turn.row.payment);
                let note = match &outcome {
                    RefundOutcome::Succeeded(_) => event::of_refund(&store, &refund, payment),
                    RefundOutcome::Failed(_) => event::of_failed_refund(&store, &refund, payment),
                };
                match self.store.settle_refund(&turn, outcome, Some(note)).await {
                    Ok(true) => {
                        tracing::info!(refund = refund.as_str(), outcome = name, "refunded");
                        self.metrics.refunded(name);
                    }
                    // Another process has claimed it. The key at the provider is the same.
                    Ok(false) => {}
                    // The claim stays with this process, whose next turn finds the provider's refund.
                    Err(error) => {
                        tracing::warn!(refund = refund.as_str(), %error, "no outcome recorded");
                    }
                }
            }
            Err((generation, cause)) => {
                tracing::warn!(refund = refund.as_str(), cause, "a refund has no outcome yet");
                self.wait(&refund, next::pause(turn.row.attempts));
                // If this fails, the claim stays with this process, and the generation as it was:
                // the provider repeats its answer, and the next turn finds out the same.
                let _ = self.store.refund_attempted(&turn, generation, cause, true).await;
            }
        }
    }

    /// Makes calls until one has an outcome. An error comes with the generation of the next call.
    async fn calls(&self, turn: &RefundTurn) -> Result<RefundOutcome, (u32, String)> {
        let row = &turn.row;
        let mut generation = row.generation;
        // An earlier turn may have sent the request.
        let mut look = (turn.claim > 1).then_some(Look::Sent);
        let mut cause = String::new();
        for call in 1..=CALLS {
            if let Some(why) = look.take() {
                match limited(self.provider.refunds_of(row.payment.clone(), row.intent.clone()))
                    .await
                {
                    Ok(found) => {
                        if let Some(outcome) = next::found(&found, row) {
                            return Ok(outcome);
                        }
                        if why == Look::Burnt {
                            // Durable before it is used: the next owner must not go back.
                            generation += 1;
                            let written =
                                self.store.refund_attempted(turn, generation, cause.clone(), false);
                            if !matches!(written.await, Ok(true)) {
                                return Err((generation, cause));
                            }
                        }
                    }
                    Err(error) => return Err((generation, error.to_string())),
                }
            }
            let request = PartRefund {
                key: RefundKey { refund: row.refund.clone(), generation },
                payment: row.payment.clone(),
                intent: row.intent.clone(),
                amount: row.amount,
            };
            let made: Result<MadeRefund, _> = limited(self.provider.refund_part(request)).await;
            let error = match made {
                Ok(made) => return Ok(next::outcome(&made)),
                Err(error) => error,
            };
            cause = error.to_string();
            match next::after(&error) {
                After::Failed => return Ok(RefundOutcome::Failed(cause)),
                After::Look(why) => look = Some(why),
                After::Again => {}
                After::Later => break,
            }
            if call < CALLS {
                sleep(next::short_pause(call)).await;
            }
        }
        Err((generation, cause))
    }
}

/// Makes a call with a limit. A request that was sent may still take effect after it.
async fn limited<T>(call: CallFuture<T>) -> Result<T, ProviderError> {
    timeout(CALL, call).await.unwrap_or(Err(ProviderError::TimedOut { limit: CALL }))
}
