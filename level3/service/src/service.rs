//! The service: the gateway, the store and what they need to be reached over HTTP.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use level3::gateway::Gateway;
use level3_adapters::sql::Store;
use level3_adapters::webhooks::HookPost;
use level3_domain::provider::PaymentProvider;
use level3_domain::refund::PartRefunds;
use tokio::sync::{Mutex, Notify};

use crate::inbox::{Inbox, Reports};
use crate::merchants::Keyring;
use crate::metrics::Metrics;
use crate::readiness::{CheckAges, Readiness};
use crate::refunds::Refunds;
use crate::webhooks::{Endpoints, Sender};
use crate::{api, layers};

/// The limits of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceConfig {
    /// The longest body, in bytes.
    pub max_body: usize,
    /// How long a request may take, its body included. It must be longer than
    /// [`GatewayConfig::total`](level3::gateway::GatewayConfig::total): a payment has its answer by
    /// then.
    pub request_timeout: Duration,
    /// How long the head of a request may take, and how long a connection may be idle.
    pub head_timeout: Duration,
    /// The most connections at once; more of them wait to be accepted.
    pub max_connections: usize,
    /// How long a drain waits for payments that are under way. What is not over by then is left to
    /// the next process.
    pub drain_limit: Duration,
    /// The Retry-After of refusals that name no time of their own.
    pub retry_after: Duration,
    /// How old the results of the readiness checks may be.
    pub check_ages: CheckAges,
}

impl Default for ServiceConfig {
    /// Bodies of 16 KiB, 15 s for a request, 10 s for a head, 1024 connections, and 150 s for a
    /// drain: the gateway tries to undo a payment for more than a minute.
    fn default() -> Self {
        Self {
            max_body: 16 * 1024,
            request_timeout: Duration::from_secs(15),
            head_timeout: Duration::from_secs(10),
            max_connections: 1024,
            drain_limit: Duration::from_secs(150),
            retry_after: Duration::from_secs(5),
            check_ages: CheckAges::default(),
        }
    }
}

/// What a service is made of.
pub struct Parts {
    /// The gateway. Its journal must be a [`FiledJournal`](crate::FiledJournal) of `store`, so that
    /// payments can be listed, and its observer must pass events on to `metrics`.
    pub gateway: Gateway,
    /// The store with the sagas, the ledger and the outbox.
    pub store: Arc<dyn Store>,
    /// The payment provider, for the readiness check.
    pub provider: Arc<dyn PaymentProvider>,
    /// Refunds parts of the charges of the same account.
    pub refunds: Arc<dyn PartRefunds>,
    /// Sends notifications to merchants.
    pub hooks: Arc<dyn HookPost>,
    /// The endpoints that get them.
    pub endpoints: Endpoints,
    /// Takes reports of the provider.
    pub reports: Reports,
    /// The figures that `/metrics` shows.
    pub metrics: Metrics,
    /// The keys of the merchants.
    pub keys: Keyring,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

/// The payment service. Cheap to clone; clones share one service.
#[derive(Clone)]
pub struct Service(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) gateway: Gateway,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) refunds: Refunds,
    pub(crate) sender: Sender,
    pub(crate) inbox: Inbox,
    pub(crate) metrics: Metrics,
    pub(crate) keys: Keyring,
    pub(crate) readiness: Readiness,
    pub(crate) config: ServiceConfig,
    pub(crate) draining: AtomicBool,
    // Held while letters are redriven: a second redrive at the same time would find them busy.
    pub(crate) redriving: Arc<Mutex<()>>,
    // Wakes the recovery: an answer left a payment that only a recovery may end.
    pub(crate) unsettled: Notify,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("gateway", &self.0.gateway).finish_non_exhaustive()
    }
}

impl Service {
    /// Makes a service.
    #[must_use]
    pub fn new(parts: Parts, config: ServiceConfig) -> Self {
        let Parts { gateway, store, provider, refunds, hooks, endpoints, reports, metrics, keys } =
            parts;
        let inbox = Inbox::new(Arc::clone(&store), Arc::clone(&refunds), reports, metrics.clone());
        let sender = Sender::new(Arc::clone(&store), hooks, endpoints, metrics.clone());
        let refunds = Refunds::new(Arc::clone(&store), refunds, metrics.clone());
        let readiness = Readiness::new(Arc::clone(&store), provider, config.check_ages);
        Self(Arc::new(Inner {
            gateway,
            store,
            refunds,
            sender,
            inbox,
            metrics,
            keys,
            readiness,
            config,
            draining: AtomicBool::new(false),
            redriving: Arc::default(),
            unsettled: Notify::new(),
        }))
    }

    /// Returns the routes with all layers.
    pub fn router(&self) -> Router {
        layers::around(api::routes(self), self)
    }

    /// Waits until an answer says that a payment may need a recovery: its outcome is not final, or
    /// the store could not be used.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses no wake-up.
    pub async fn unsettled(&self) {
        self.0.unsettled.notified().await;
    }

    /// Works on refunds without an outcome: those whose client did not wait for it, and those of
    /// earlier processes. Never returns.
    ///
    /// # Cancellation
    ///
    /// Refunds that are under way go on. The others stay in the store.
    pub async fn follow_refunds(&self) {
        self.0.refunds.follow().await;
    }

    /// Sends notifications to merchants, those that earlier processes have left too. Never returns.
    ///
    /// # Cancellation
    ///
    /// Attempts that are under way go on. What is still to be sent stays in the store.
    pub async fn follow_notifications(&self) {
        self.0.sender.follow().await;
    }

    /// Handles reports of the provider, those that earlier processes have taken too. Never returns.
    ///
    /// # Cancellation
    ///
    /// A repair that is under way may still take effect. The report is handled again.
    pub async fn follow_reports(&self) {
        self.0.inbox.follow().await;
    }

    /// Reports that the service is not ready from now on. Payments are still accepted.
    pub(crate) fn begin_draining(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }
}

impl Inner {
    /// Whether new work is refused.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
