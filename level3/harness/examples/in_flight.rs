//! What a payment takes in memory while it waits for the payment provider, and how many fit.
//!
//! `cargo run --release -p level3-harness --example in_flight [PAYMENTS ...]`
//!
//! The services answer at once, but for the charge: that answer never comes. So every payment stops at
//! the same place, with its journal, its timers, its place in the store of keys and a client who waits.
//! The provider's own future takes no room here, so all that is counted is the gateway's and the
//! client's.

use std::alloc::System;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig, StepConfig};
use level3::idempotency::StoreConfig;
use level3::ids::{IntentId, PaymentId};
use level3::journal::{
    Claimed, Journal, JournalFuture, Lease, MemoryJournal, Opened, Record, SagaId, SagaLog,
    Standing, StoreId,
};
use level3::money::{Currency, Money};
use level3::provider::{
    CallFuture, CreateIntent, Intent, PaymentProvider, ProviderKey, Providers, Refund,
};
use level3::request::PaymentRequest;
use level3_sim::InstantServices;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::task::yield_now;
use tokio::time::Instant;

type Failed = Box<dyn std::error::Error>;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const AMOUNT: i64 = 1999;
const HOUR: Duration = Duration::from_secs(3600);

fn main() -> Result<(), Failed> {
    let mut sizes: Vec<u32> =
        std::env::args().skip(1).map(|size| size.parse()).collect::<Result<_, _>>()?;
    if sizes.is_empty() {
        sizes = vec![1_000, 10_000, 100_000, 1_000_000];
    }
    println!("in flight  journal            heap B each  allocations each  s to get there");
    for size in sizes {
        // A runtime of its own for each, so that what one leaves behind is gone before the next.
        show(size, "on other machines", Arc::new(Elsewhere))?;
        show(size, "in memory", Arc::new(MemoryJournal::new()))?;
    }
    if let Some(most) = most_resident() {
        println!("the most real memory that this process had: {} MiB", most / 1024);
    }
    Ok(())
}

fn show(size: u32, journal: &str, kept: Arc<dyn Journal>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let figures = runtime.block_on(hold(size, kept))?;
    println!(
        "{size:>9}  {journal:<17}  {:>11}  {:>16.1}  {:>14.1}",
        figures.heap / size as usize,
        figures.blocks as f64 / f64::from(size),
        figures.took.as_secs_f64(),
    );
    Ok(())
}

struct Figures {
    heap: usize,
    blocks: usize,
    took: Duration,
}

/// Begins so many payments, waits until all of them wait for their charge, and looks at the memory.
async fn hold(size: u32, journal: Arc<dyn Journal>) -> Result<Figures, Failed> {
    let places = NonZeroUsize::new(size as usize).ok_or("no payments")?;
    let ordinary = GatewayConfig::default();
    let config = GatewayConfig {
        // Nothing may end while it is looked at.
        total: HOUR,
        confirm: StepConfig { limit: HOUR, ..ordinary.confirm },
        rate: places.saturating_mul(NonZeroUsize::MIN.saturating_add(1)),
        rate_window: HOUR,
        max_backlog: HOUR,
        max_in_flight: size,
        idempotency: StoreConfig { capacity: places, ..ordinary.idempotency },
        ..ordinary
    };
    let provider = Arc::new(Silent {
        rest: InstantServices::new(Money::new(AMOUNT, Currency::USD)?)?,
        waiting: AtomicU32::new(0),
    });
    let payments: Arc<dyn PaymentProvider> = Arc::clone(&provider) as _;
    let providers = Providers { payments, ..provider.rest.providers() };
    let gateway = Gateway::new(config, providers, journal, Arc::new(NoObserver))?;

    let (region, begin) = (Region::new(ALLOCATOR), Instant::now());
    let mut clients = Vec::with_capacity(size as usize);
    for number in 0..size {
        let gateway = gateway.clone();
        clients.push(tokio::spawn(async move { gateway.pay(request(number)).await }));
        // Clients come one after another: the payments before have got to where they wait.
        yield_now().await;
    }
    while provider.waiting.load(Ordering::Relaxed) < size {
        yield_now().await;
    }
    let change = region.change();
    Ok(Figures {
        heap: change.bytes_allocated.saturating_sub(change.bytes_deallocated),
        blocks: change.allocations.saturating_sub(change.deallocations),
        took: begin.elapsed(),
    })
}

fn request(number: u32) -> PaymentRequest {
    PaymentRequest { amount: AMOUNT, ..level3_harness::request(number) }
}

/// The most that the process has had in real memory, in KiB (Linux, proc_pid_status(5)); none where
/// the system does not say.
fn most_resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// A payment provider that never answers a charge.
struct Silent {
    rest: InstantServices,
    waiting: AtomicU32,
}

impl PaymentProvider for Silent {
    fn create_intent(&self, request: CreateIntent) -> CallFuture<Intent> {
        self.rest.create_intent(request)
    }

    fn confirm(&self, _key: ProviderKey, _intent: IntentId) -> CallFuture<Intent> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        std::future::pending().boxed()
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

/// A journal that keeps its records somewhere else, as one on a disk does: they take no memory here.
struct Elsewhere;

impl Journal for Elsewhere {
    fn store_id(&self) -> StoreId {
        StoreId::unnamed()
    }

    fn open(&self, saga: SagaId, _first: Record) -> JournalFuture<'_, Opened> {
        std::future::ready(Ok(Opened::New(Lease { saga, epoch: 1 }))).boxed()
    }

    fn append(&self, _lease: &Lease, _records: Vec<Record>) -> JournalFuture<'_, ()> {
        std::future::ready(Ok(())).boxed()
    }

    fn claim(&self, _saga: SagaId) -> JournalFuture<'_, Claimed> {
        std::future::ready(Ok(Claimed::Unknown)).boxed()
    }

    fn read(&self, _saga: SagaId) -> JournalFuture<'_, Option<SagaLog>> {
        std::future::ready(Ok(None)).boxed()
    }

    fn list(&self, _standing: Standing) -> JournalFuture<'_, Vec<SagaId>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }
}
