//! What the payment provider reports by itself: late charges, failed refunds, disputes.
//!
//! A report is checked by its signature, written to the store under the provider's name of it, and then
//! acknowledged. It is handled afterwards. No decision rests on the report alone: handling one compares
//! the provider's present state with the store's, as `payment-gateway reconcile` does. So a repeat, a
//! report that comes late, and two in the wrong order change nothing.
//!
//! | report | what is done |
//! |---|---|
//! | `payment_intent.*` | the intent is compared with the journal and the ledger: a charge whose payment was undone is refunded, one without a row is recorded |
//! | `refund.*` | a refund that the provider reports as failed is recorded as failed, and the merchant is notified |
//! | `charge.dispute.*` | the dispute is recorded, and the merchant is notified |
//! | any other | nothing |

mod handle;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use level3_adapters::reconcile::Reconciler;
use level3_adapters::sql::{Arrival, NewArrival, Store, StoreError};
use level3_adapters::stripe::events::{EndpointSecret, SignatureError, StripeEvent, verify};
use level3_domain::refund::PartRefunds;
use tokio::time::{Instant, sleep, timeout};

use crate::metrics::Metrics;
use crate::time;
use handle::Handled;

/// How often the store is asked for reports.
const EVERY: Duration = Duration::from_millis(250);
/// The most reports that are handled at once.
const AT_ONCE: usize = 8;
/// The most reports that are read at once.
const READ: usize = 1000;
/// How long handling a report may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The part of a service that takes reports of the provider.
#[derive(Clone)]
pub struct Reports {
    /// The secrets with which the provider signs, all of them valid. Without one, no report is taken.
    pub secrets: Vec<EndpointSecret>,
    /// Repairs what a report shows.
    pub reconciler: Reconciler,
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reports").field("secrets", &self.secrets.len()).finish_non_exhaustive()
    }
}

/// Why a report is not taken.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// The service takes none.
    Closed,
    /// It is not signed by the provider.
    Signature(SignatureError),
    /// It is signed, and cannot be read.
    Unreadable,
    /// The store cannot be used. The provider sends the report again.
    Store(StoreError),
}

/// The reports of a service. Cheap to clone; clones share one state.
#[derive(Clone)]
pub(crate) struct Inbox(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    refunds: Arc<dyn PartRefunds>,
    reports: Reports,
    metrics: Metrics,
    /// When a report that could not be handled has its next turn.
    due: Mutex<HashMap<u64, Instant>>,
}

impl Inbox {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        refunds: Arc<dyn PartRefunds>,
        reports: Reports,
        metrics: Metrics,
    ) -> Self {
        Self(Arc::new(Shared { store, refunds, reports, metrics, due: Mutex::default() }))
    }

    /// Takes a report: it is durable when the future is ready. Returns whether it is new.
    pub(crate) async fn take(&self, signature: &str, body: &[u8]) -> Result<bool, NotTaken> {
        let shared = &*self.0;
        if shared.reports.secrets.is_empty() {
            return Err(NotTaken::Closed);
        }
        verify(signature, body, &shared.reports.secrets, time::now())
            .map_err(NotTaken::Signature)?;
        let event = StripeEvent::read(body).map_err(|_| NotTaken::Unreadable)?;
        let StripeEvent { id, kind, detail, .. } = event;
        let arrival = NewArrival { name: id, kind, detail };
        shared.store.take_in(arrival).await.map_err(NotTaken::Store)
    }

    /// Handles reports, those that earlier processes have taken too. Never returns.
    pub(crate) async fn follow(&self) {
        loop {
            match self.0.store.unhandled(READ).await {
                Ok(arrivals) => {
                    let due = self.0.due_now(arrivals);
                    let some = due.into_iter().take(AT_ONCE);
                    join_all(some.map(|arrival| self.0.handle(arrival))).await;
                }
                Err(error) => tracing::warn!(%error, "the reports cannot be read"),
            }
            sleep(EVERY).await;
        }
    }
}

impl Shared {
    fn due_now(&self, arrivals: Vec<Arrival>) -> Vec<Arrival> {
        let now = Instant::now();
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.retain(|_, at| *at > now);
        arrivals.into_iter().filter(|arrival| !due.contains_key(&arrival.number)).collect()
    }

    fn wait(&self, number: u64, time: Duration) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.insert(number, Instant::now() + time);
    }

    async fn handle(&self, arrival: Arrival) {
        let handled = timeout(LIMIT, self.handled(&arrival)).await;
        let handled = handled.unwrap_or_else(|_| Handled::Later("no answer in time".to_owned()));
        let (event, kind) = (arrival.name.as_str(), arrival.kind.as_str());
        let written = match handled {
            Handled::Done(outcome) => {
                tracing::info!(event, kind, outcome, "a report of the provider");
                self.metrics.reported("handled");
                self.store.arrival_handled(arrival.number, outcome).await
            }
            Handled::Later(cause) => {
                tracing::warn!(event, kind, cause, "a report of the provider is handled later");
                self.metrics.reported("postponed");
                self.wait(arrival.number, handle::pause(arrival.attempts));
                self.store.arrival_failed(arrival.number, cause).await
            }
        };
        // If this fails, the report is handled once more.
        if let Err(error) = written {
            tracing::warn!(event, kind, %error, "the end of a report is not recorded");
        }
    }
}
