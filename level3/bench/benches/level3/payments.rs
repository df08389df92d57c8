//! The gateway with services that answer at once: what is left is the gateway.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bench_kit::contest::Case;
use futures::FutureExt as _;
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig, StepConfig};
use level3::idempotency::StoreConfig;
use level3::ids::{IntentId, PaymentId, TransactionId};
use level3::journal::MemoryJournal;
use level3::money::{Currency, Money};
use level3::provider::{
    Answer, CreateIntent, FraudCheck, FraudQuestion, Intent, IntentStatus, Ledger, NewRow,
    PaymentProvider, PendingReceipt, ProviderError, ProviderKey, Providers, Receipt, Receipts,
    Refund, RiskScore, Row, RowStatus, Verdict,
};
use level3::request::PaymentRequest;
use tokio::runtime::Runtime;
use tokio::sync::watch;

pub const PAYMENT: &str = "payment/all protections, one after another";

/// Payments in a batch. Each batch has a gateway of its own: what a gateway remembers grows.
const BATCH: u64 = 2000;

/// All payments are of this amount, so that the provider need not remember what it was asked for.
const AMOUNT: i64 = 1999;

type Failed = Box<dyn std::error::Error>;

/// Services that answer at once and remember nothing. With a gate, charges wait until it opens.
#[derive(Clone)]
pub struct AtOnce {
    amount: Money,
    made: Arc<AtomicU64>,
    gate: Option<watch::Receiver<bool>>,
    /// How many charges have been asked for.
    pub arrived: Arc<AtomicU64>,
}

impl AtOnce {
    pub fn new(gate: Option<watch::Receiver<bool>>) -> Result<Self, Failed> {
        let amount = Money::new(AMOUNT, Currency::USD)?;
        Ok(Self { amount, made: Arc::default(), gate, arrived: Arc::default() })
    }

    pub fn providers(&self) -> Providers {
        let it = Arc::new(self.clone());
        Providers { payments: it.clone(), fraud: it.clone(), ledger: it.clone(), receipts: it }
    }

    fn next(&self) -> u64 {
        self.made.fetch_add(1, Ordering::Relaxed)
    }
}

fn ready<T: Send + 'static>(answer: Result<T, ProviderError>) -> Answer<T> {
    std::future::ready(answer).boxed()
}

/// An intent's name that this provider made, or an answer that no gateway takes for paid.
fn intent(name: &str, payment: PaymentId, amount: Money, status: IntentStatus) -> Answer<Intent> {
    let id = IntentId::new(name).map_err(|_| ProviderError::Unavailable);
    ready(id.map(|id| Intent { id, payment, amount, status, refunded: false }))
}

impl PaymentProvider for AtOnce {
    fn create_intent(&self, request: CreateIntent) -> Answer<Intent> {
        let name = format!("pi_{}", self.next());
        intent(&name, request.payment, request.amount, IntentStatus::RequiresConfirmation)
    }

    fn confirm(&self, key: ProviderKey, id: IntentId) -> Answer<Intent> {
        let status = IntentStatus::Succeeded;
        let paid =
            Intent { id, payment: key.payment, amount: self.amount, status, refunded: false };
        let Some(mut gate) = self.gate.clone() else { return ready(Ok(paid)) };
        self.arrived.fetch_add(1, Ordering::Relaxed);
        async move {
            // An error means that nobody will open it any more.
            gate.wait_for(|open| *open).await.map_err(|_| ProviderError::Unavailable)?;
            Ok(paid)
        }
        .boxed()
    }

    fn cancel(&self, _: ProviderKey, _: IntentId) -> Answer<Intent> {
        ready(Err(ProviderError::Unavailable))
    }

    fn refund(&self, _: ProviderKey, _: IntentId) -> Answer<Refund> {
        ready(Err(ProviderError::Unavailable))
    }

    fn find_intent(&self, _: PaymentId) -> Answer<Option<Intent>> {
        ready(Ok(None))
    }
}

impl FraudCheck for AtOnce {
    fn check(&self, _: FraudQuestion) -> Answer<Verdict> {
        ready(Ok(Verdict { score: RiskScore { hundredths: 100 } }))
    }
}

impl Ledger for AtOnce {
    fn save(&self, row: NewRow) -> Answer<Row> {
        let name = format!("txn_{}", self.next());
        let transaction = TransactionId::new(name).map_err(|_| ProviderError::Unavailable);
        ready(transaction.map(|transaction| Row {
            transaction,
            payment: row.payment,
            amount: row.amount,
            status: RowStatus::Completed,
        }))
    }

    fn void(&self, _: PaymentId) -> Answer<()> {
        ready(Ok(()))
    }

    fn pending_receipts(&self, _: usize) -> Answer<Vec<PendingReceipt>> {
        ready(Ok(Vec::new()))
    }

    fn receipt_sent(&self, _: TransactionId) -> Answer<()> {
        ready(Ok(()))
    }
}

impl Receipts for AtOnce {
    fn send(&self, _: Receipt) -> Answer<()> {
        ready(Ok(()))
    }
}

/// A gateway with every protection on, whose limits are never met: this measures what a call costs, not
/// how long it waits.
pub fn gateway(services: &AtOnce, in_flight: u32) -> Result<Gateway, Failed> {
    let hour = Duration::from_secs(3600);
    let wide = |step: StepConfig| StepConfig { limit: hour, ..step };
    let figures = GatewayConfig::default();
    let capacity = figures.idempotency.capacity.saturating_add(in_flight as usize);
    let config = GatewayConfig {
        rate: NonZeroUsize::new(10_000_000).ok_or("a rate is not zero")?,
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
    PaymentRequest { amount: AMOUNT, ..level3::trial::request(number) }
}

/// One payment after another, receipts included, paid every one.
pub fn case(runtime: &Runtime) -> Result<Case<'_>, Failed> {
    let services = AtOnce::new(None)?;
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
