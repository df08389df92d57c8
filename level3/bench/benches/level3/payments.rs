//! The gateway with services that answer at once: what is left is the gateway.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bench_kit::contest::Case;
use futures::FutureExt as _;
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig, StepConfig};
use level3::idempotency::StoreConfig;
use level3::ids::{IntentId, PaymentId};
use level3::journal::MemoryJournal;
use level3::money::{Currency, Money};
use level3::nonzero;
use level3::provider::{
    CallFuture, CreateIntent, Intent, PaymentProvider, ProviderError, ProviderKey, Providers,
    Refund,
};
use level3::request::PaymentRequest;
use level3_sim::InstantServices;
use tokio::runtime::Runtime;
use tokio::sync::watch;

pub const PAYMENT: &str = "payment/all protections, one after another";

/// Payments in a batch. Each batch has a gateway of its own: what a gateway remembers grows.
const BATCH: u64 = 2000;

/// All payments are of this amount, so that the provider need not remember what it was asked for.
const AMOUNT: i64 = 1999;

type Failed = Box<dyn std::error::Error>;

/// The services that answer at once. With a gate, charges wait until it opens.
pub struct Services {
    rest: InstantServices,
    gate: Option<watch::Receiver<bool>>,
    /// How many charges have been asked for.
    pub arrived: AtomicU64,
}

impl Services {
    pub fn new(gate: Option<watch::Receiver<bool>>) -> Result<Arc<Self>, Failed> {
        let rest = InstantServices::new(Money::new(AMOUNT, Currency::USD)?)?;
        Ok(Arc::new(Self { rest, gate, arrived: AtomicU64::new(0) }))
    }

    fn providers(self: &Arc<Self>) -> Providers {
        let all = self.rest.providers();
        match self.gate {
            Some(_) => Providers { payments: Arc::clone(self) as _, ..all },
            None => all,
        }
    }
}

impl PaymentProvider for Services {
    fn create_intent(&self, request: CreateIntent) -> CallFuture<Intent> {
        self.rest.create_intent(request)
    }

    fn confirm(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        let paid = self.rest.confirm(key, intent);
        let Some(mut gate) = self.gate.clone() else { return paid };
        self.arrived.fetch_add(1, Ordering::Relaxed);
        async move {
            // An error means that the gate will not open any more.
            gate.wait_for(|open| *open).await.map_err(|_| ProviderError::Unavailable)?;
            paid.await
        }
        .boxed()
    }

    fn cancel(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Intent> {
        self.rest.cancel(key, intent)
    }

    fn refund(&self, key: ProviderKey, intent: IntentId) -> CallFuture<Refund> {
        self.rest.refund(key, intent)
    }

    fn find_intent(&self, payment: PaymentId) -> CallFuture<Option<Intent>> {
        self.rest.find_intent(payment)
    }
}

/// A gateway with every protection on, whose limits are never met: this measures what a call costs, not
/// how long it waits.
pub fn gateway(services: &Arc<Services>, in_flight: u32) -> Result<Gateway, Failed> {
    let hour = Duration::from_secs(3600);
    let wide = |step: StepConfig| StepConfig { limit: hour, ..step };
    let figures = GatewayConfig::default();
    let capacity = figures.idempotency.capacity.saturating_add(in_flight as usize);
    let config = GatewayConfig {
        rate: nonzero!(10_000_000),
        total: hour * 10,
        create: wide(figures.create),
        fraud: wide(figures.fraud),
        confirm: wide(figures.confirm),
        save: wide(figures.save),
        max_in_flight: in_flight.max(figures.max_in_flight),
        idempotency: StoreConfig { capacity, ..figures.idempotency },
        ..figures
    };
    let journal = Arc::new(MemoryJournal::new());
    Ok(Gateway::new(config, services.providers(), journal, Arc::new(NoObserver))?)
}

pub fn request(number: u32) -> PaymentRequest {
    PaymentRequest { amount: AMOUNT, ..level3_harness::request(number) }
}

/// One payment after another, receipts included, paid every one.
pub fn case(runtime: &Runtime) -> Result<Case<'_>, Failed> {
    let services = Services::new(None)?;
    // Made before the clock starts: writing requests is the clients' work.
    let requests: Vec<PaymentRequest> = (0..BATCH).map(|number| request(number as u32)).collect();
    Ok(Case::new(PAYMENT, move |_| {
        runtime.block_on(async {
            let gateway = gateway(&services, 0).expect("the figures fit together");
            for request in &requests {
                let reply = gateway.pay(request.clone()).await;
                let paid = reply.is_ok_and(|reply| {
                    matches!(reply.answer.status, level3::answer::Status::Paid { .. })
                });
                assert!(black_box(paid), "every payment succeeds here");
            }
            gateway.drain(Duration::from_secs(60)).await;
        });
    })
    .in_batches_of(BATCH))
}
