//! A durable payment, with ever more rows in the store.

use std::sync::Arc;
use std::time::Duration;

use bench_criterion::plot::Curve;
use bench_kit::cpu;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use level3::answer::Status;
use level3::event::NoObserver;
use level3::gateway::{Gateway, GatewayConfig};
use level3::ids::{Email, IntentId, OrderId, PaymentId, PaymentKey};
use level3::journal::{Journal, Opened, Payload, Record, SagaId, Standing};
use level3::money::{Currency, Money};
use level3::nonzero;
use level3::provider::{Ledger, NewRow, Providers};
use level3::request::PaymentRequest;
use level3_adapters::sqlite::SqliteStore;
use level3_sim::{Latencies, NoFaults, World};
use tokio::runtime::Runtime;

type Failed = Box<dyn std::error::Error>;

/// Payments of one measurement, and how often it is made; the least counts. Together they add as many rows
/// as the smallest store has.
const PAYMENTS: usize = 250;
const REPEATS: usize = 4;
/// Payments at once: as many as share a commit.
const AT_ONCE: usize = 64;
/// Rows under way while a store is filled.
const FILLING: usize = 1024;
/// Longer than any disk needs.
const PATIENCE: Duration = Duration::from_secs(300);

/// The CPU time of all threads for one payment, and for a look for open sagas, on a SQLite file with so many
/// payments. Where the file lies does not matter: flushing takes time, but not of a processor.
pub fn rows(runtime: &Runtime, sizes: impl Iterator<Item = usize>) -> Result<[Curve; 2], Failed> {
    runtime.block_on(async {
        let folder = tempfile::tempdir()?;
        let store = SqliteStore::open(folder.path().join("rows.db")).await?;
        let gateway = gateway(&store)?;
        let (mut there, mut paid) = (0, 0);
        let (mut payments, mut looks) = (Vec::new(), Vec::new());
        for size in sizes {
            fill(&store, there..size).await?;
            there = there.max(size);
            let mut least = f64::INFINITY;
            for _ in 0..REPEATS {
                let before = cpu::process_time();
                pay(&gateway, paid..paid + PAYMENTS).await?;
                let took = cpu::process_time().saturating_sub(before);
                least = least.min(took.as_secs_f64() * 1e9 / PAYMENTS as f64);
                paid += PAYMENTS;
            }
            payments.push((size as f64, least));
            looks.push((size as f64, look(&store).await?));
        }
        gateway.drain(PATIENCE).await;
        store.close().await;
        Ok([
            Curve { name: "a durable payment on SQLite, by rows".to_owned(), points: payments },
            Curve { name: "a look for open sagas on SQLite, by rows".to_owned(), points: looks },
        ])
    })
}

/// Rows and ended sagas of a shop's past, written straight into the store.
async fn fill(store: &SqliteStore, numbers: std::ops::Range<usize>) -> Result<(), Failed> {
    let state = Payload::of(&"x".repeat(200))?;
    let numbers = stream::iter(numbers.map(Ok));
    numbers.try_for_each_concurrent(FILLING, |number| past(store, state.clone(), number)).await
}

async fn past(store: &SqliteStore, state: Payload, number: usize) -> Result<(), Failed> {
    let payment =
        PaymentId::derive(&store.store_id(), &PaymentKey::new(format!("past-{number}"))?, 1);
    let first = Record::Begun { kind: "payment".into(), state: state.clone() };
    let Opened::New(lease) = store.open(SagaId::from(&payment), first).await? else {
        return Err("the store knows a payment that is new".into());
    };
    let row = NewRow {
        payment,
        order: OrderId::new(format!("order-{number}"))?,
        intent: IntentId::new(format!("pi_{number}"))?,
        amount: Money::new(1999, Currency::USD)?,
        email: Email::new("someone@example.com")?,
    };
    let row = store.save(row).await?;
    let done = Record::StepDone { step: "save".into(), state };
    store.append(&lease, vec![done, Record::Completed]).await?;
    Ok(store.receipt_sent(row.transaction).await?)
}

fn gateway(store: &SqliteStore) -> Result<Gateway, Failed> {
    let world = World::with(Latencies::NONE, Arc::new(NoFaults), None);
    let providers = Providers { ledger: Arc::new(store.clone()), ..world.providers() };
    // A limit that is never met, and time enough for any disk.
    let rate = nonzero!(10_000_000);
    let mut config = GatewayConfig { rate, total: PATIENCE, ..GatewayConfig::default() };
    config.save.limit = PATIENCE / 2;
    Ok(Gateway::new(config, providers, Arc::new(store.clone()), Arc::new(NoObserver))?)
}

async fn pay(gateway: &Gateway, numbers: std::ops::Range<usize>) -> Result<(), Failed> {
    let request = |number: usize| PaymentRequest {
        key: format!("now-{number}"),
        ..level3_harness::request(u32::try_from(number).unwrap_or(u32::MAX))
    };
    let replies = stream::iter(numbers)
        .map(|number| gateway.pay(request(number)))
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<_>>()
        .await?;
    match replies.iter().find(|reply| !matches!(reply.answer.status, Status::Paid { .. })) {
        Some(reply) => Err(format!("a payment was not paid: {:?}", reply.answer).into()),
        None => Ok(()),
    }
}

/// What a recovery begins with: there is nothing open, and that is to be found out.
async fn look(store: &SqliteStore) -> Result<f64, Failed> {
    let mut least = f64::INFINITY;
    for _ in 0..REPEATS * 10 {
        let before = cpu::process_time();
        let open = store.list(Standing::Open).await?;
        let took = cpu::process_time().saturating_sub(before);
        if !open.is_empty() {
            return Err(format!("{} payments are open", open.len()).into());
        }
        least = least.min(took.as_secs_f64() * 1e9);
    }
    Ok(least)
}
