//! Plans events, and makes deliveries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use level3::breaker::{BreakerConfig, BreakerError, CircuitBreaker, Trip};
use level3_adapters::sql::{DeliveryEnd, DeliveryTurn, NewDelivery, Store, StoreError};
use level3_adapters::webhooks::{HookPost, HookRequest};
use level3_domain::nonzero;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::endpoints::{EndpointEntry, Endpoints};
use super::event::compose;
use super::schedule::{self, Failure};
use super::secret::headers;
use crate::metrics::Metrics;
use crate::time;

/// How often the store is asked for events and deliveries that are due.
const EVERY: Duration = Duration::from_millis(250);
/// The most events, and the most deliveries, that are read at once.
const READ: usize = 100;
/// For how long a delivery is claimed: longer than an attempt may take.
const CLAIM: Duration = Duration::from_secs(30);
/// The attempts at one endpoint at the same time: a slow one holds up no other.
const AT_ONCE: usize = 4;
/// The pause of a delivery whose endpoint has no place.
const NO_PLACE: Duration = Duration::from_secs(1);
/// The pause of a delivery whose endpoint is not in the file. It may come back.
const NO_ENDPOINT: Duration = Duration::from_secs(3600);

/// Sends the events of a store. Cheap to clone; clones share one state.
#[derive(Clone)]
pub(crate) struct Sender(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    post: Arc<dyn HookPost>,
    endpoints: Endpoints,
    metrics: Metrics,
    /// The state of each endpoint that was called. Local to the process.
    called: Mutex<HashMap<String, Arc<Called>>>,
}

/// An endpoint as this process knows it.
struct Called {
    breaker: CircuitBreaker<Failure>,
    places: Arc<Semaphore>,
}

impl Called {
    fn new(name: &str) -> Option<Self> {
        let config = BreakerConfig {
            trip: Trip::Consecutive(nonzero!(5)),
            reset_timeout: Duration::from_secs(30),
            probes: nonzero!(1),
            successes_to_close: nonzero!(1),
            is_failure: schedule::is_outage,
        };
        let breaker = CircuitBreaker::new(name, config).ok()?;
        Some(Self { breaker, places: Arc::new(Semaphore::new(AT_ONCE)) })
    }
}

impl Sender {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        post: Arc<dyn HookPost>,
        endpoints: Endpoints,
        metrics: Metrics,
    ) -> Self {
        Self(Arc::new(Shared { store, post, endpoints, metrics, called: Mutex::default() }))
    }

    /// Plans events and makes deliveries that are due. Never returns.
    ///
    /// Dropping the future stops that. Attempts that are under way go on; a delivery whose attempt
    /// ends with the process is due again after its claim.
    pub(crate) async fn follow(&self) {
        loop {
            match self.0.round().await {
                // There may be more.
                Ok(READ..) => {}
                Ok(_) => sleep(EVERY).await,
                Err(error) => {
                    tracing::warn!(%error, "the notifications cannot be read");
                    sleep(EVERY).await;
                }
            }
        }
    }
}

impl Shared {
    /// Returns how many events or deliveries there were.
    async fn round(self: &Arc<Self>) -> Result<usize, StoreError> {
        let events = self.store.unplanned(READ).await?;
        let planned = events.len();
        for event in events {
            let composed = compose(self.store.as_ref(), &event).await?;
            let endpoints = self.endpoints.all();
            let mut deliveries = Vec::new();
            if let Some(composed) = &composed {
                let wants = |entry: &&EndpointEntry| entry.wants(&event.label, composed.event);
                let body = composed.body.to_string();
                deliveries.extend(endpoints.iter().filter(wants).map(|entry| NewDelivery {
                    endpoint: entry.id.as_str().to_owned(),
                    body: body.clone(),
                }));
            }
            self.store.plan(event.number, deliveries).await?;
        }
        let due = self.store.claim_deliveries(READ, CLAIM).await?;
        let claimed = due.len();
        for turn in due {
            self.begin(turn);
        }
        Ok(planned.max(claimed))
    }

    fn begin(self: &Arc<Self>, turn: DeliveryTurn) {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let end = shared.attempt(&turn).await;
            let outcome = match &end {
                DeliveryEnd::Delivered => "delivered",
                DeliveryEnd::Again { counts: true, .. } => "failed",
                DeliveryEnd::Again { .. } => "postponed",
                DeliveryEnd::Dead { .. } => "dead",
            };
            let (event, endpoint) = (turn.delivery.event.as_str(), turn.delivery.endpoint.as_str());
            shared.metrics.notified(outcome);
            tracing::debug!(event, endpoint, outcome, "a notification");
            // If this fails, the delivery is due again when its claim ends.
            if let Err(error) = shared.store.delivery_ended(&turn, end).await {
                tracing::warn!(event, endpoint, %error, "the end of an attempt is not recorded");
            }
        });
    }

    async fn attempt(&self, turn: &DeliveryTurn) -> DeliveryEnd {
        let later = |after, cause: &str| DeliveryEnd::Again {
            after,
            cause: cause.to_owned(),
            counts: false,
        };
        let delivery = &turn.delivery;
        let entry = self.endpoints.find(&delivery.endpoint);
        // A name that another merchant has got must not get the events of this one.
        let entry = entry.filter(|entry| entry.merchant.as_str() == delivery.label);
        let Some(entry) = entry else { return later(NO_ENDPOINT, "there is no such endpoint") };
        let Some(called) = self.called(&delivery.endpoint) else {
            return later(NO_PLACE, "no breaker");
        };
        let Ok(_place) = called.places.try_acquire() else {
            return later(NO_PLACE, "the endpoint is busy");
        };
        let request = HookRequest {
            headers: headers(&entry.secrets, &delivery.event, time::now(), &delivery.body),
            url: entry.url,
            body: delivery.body.clone(),
        };
        let call = || async { schedule::read(self.post.post(request).await) };
        match called.breaker.call(call).await {
            Ok(()) => DeliveryEnd::Delivered,
            Err(BreakerError::Open { retry_after }) => {
                later(retry_after, "the endpoint is down: its breaker is open")
            }
            Err(BreakerError::Inner(failure)) => {
                schedule::after(&failure, delivery.attempts, chance())
            }
        }
    }

    fn called(&self, endpoint: &str) -> Option<Arc<Called>> {
        let mut called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = called.get(endpoint) {
            return Some(Arc::clone(known));
        }
        let new = Arc::new(Called::new(endpoint)?);
        called.insert(endpoint.to_owned(), Arc::clone(&new));
        Some(new)
    }
}

/// A random number that spreads pauses; the middle if there is none.
fn chance() -> u8 {
    let mut byte = [127];
    let _ = getrandom::fill(&mut byte);
    byte[0]
}
