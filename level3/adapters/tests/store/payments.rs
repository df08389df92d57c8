//! Whole gateways on durable stores: what is charged, what is recorded, and what a crash leaves.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use level3::gateway::{Gateway, GatewayConfig};
use level3::nonzero;
use level3_adapters::postgres::{PostgresOptions, PostgresStore};
use level3_adapters::sql::{Counts, Store};
use level3_adapters::sqlite::SqliteStore;
use level3_domain::answer::Status;
use level3_domain::event::NoObserver;
use level3_domain::ids::{PaymentId, PaymentKey, TransactionId};
use level3_domain::journal::{SagaId, Standing};
use level3_domain::provider::{
    CallFuture, Ledger, NewRow, PendingReceipt, ProviderError, Providers, Row, RowStatus,
};
use level3_harness::request;
use level3_sim::{Dice, Latencies, RandomFaults, Rates, World};
use tokio::time::{sleep, timeout};

use crate::audit::whole;
use crate::backend::{SHORT, leased, real};
use crate::model::seed;
use crate::postings::balanced;

/// Longer than any of these tests takes on a machine that has nothing else to do, by far.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Where a store is, so that it can be opened again.
#[derive(Debug, Clone)]
pub enum Place {
    File(PathBuf),
    Url(String),
}

impl Place {
    pub async fn open(&self, lease: Duration) -> Arc<dyn Store> {
        match self {
            Self::File(path) => {
                Arc::new(SqliteStore::open_with(path, leased(lease)).await.unwrap())
            }
            Self::Url(url) => {
                let options = PostgresOptions { lease, ..PostgresOptions::default() };
                Arc::new(PostgresStore::connect_with(url, options).await.unwrap())
            }
        }
    }
}

/// A ledger whose calls fail now and then, half of them after they have had their effect.
struct Flaky {
    ledger: Arc<dyn Ledger>,
    dice: Arc<Dice>,
}

impl Flaky {
    fn call<T: Send + 'static>(&self, call: CallFuture<T>) -> CallFuture<T> {
        match self.dice.below(20) {
            0 => {
                // Takes as long as a call that works: of many at once, those that fail would all be
                // answered first, and a breaker would take that for an outage.
                let nothing = self.ledger.pending_receipts(0);
                async move { nothing.await.and(Err(ProviderError::Unavailable)) }.boxed()
            }
            1 => async move { call.await.and(Err(ProviderError::ConnectionLost)) }.boxed(),
            _ => call,
        }
    }
}

impl Ledger for Flaky {
    fn save(&self, row: NewRow) -> CallFuture<Row> {
        self.call(self.ledger.save(row))
    }

    fn void(&self, payment: PaymentId) -> CallFuture<()> {
        self.call(self.ledger.void(payment))
    }

    fn pending_receipts(&self, most: usize) -> CallFuture<Vec<PendingReceipt>> {
        self.call(self.ledger.pending_receipts(most))
    }

    fn receipt_sent(&self, transaction: TransactionId) -> CallFuture<()> {
        self.call(self.ledger.receipt_sent(transaction))
    }
}

/// The other side of all gateways of a test, and what their clients were told.
pub struct Shop {
    pub world: World,
    seed: u64,
    next: AtomicU32,
}

impl Shop {
    /// Every kind of call fails with 10 %.
    pub fn new() -> Self {
        let seed = seed();
        println!("STORE_SEED={seed}");
        let faults = RandomFaults::new(Rates::TEN_PERCENT, seed);
        let world = World::with(Latencies::NONE, Arc::new(faults), None);
        Self { world, seed, next: AtomicU32::new(0) }
    }

    /// What the provider has of the customers' money, by its own account.
    fn net(&self) -> i64 {
        self.world.intents().iter().map(|intent| intent.net()).sum()
    }

    pub fn gateway(&self, store: &Arc<dyn Store>) -> Gateway {
        let ledger = Arc::new(Flaky {
            ledger: Arc::clone(store) as _,
            dice: Arc::new(Dice::new(self.seed)),
        });
        let providers = Providers { ledger, ..self.world.providers() };
        let rate = nonzero!(10_000_000);
        let config = GatewayConfig { rate, seed: self.seed, ..GatewayConfig::default() };
        Gateway::new(config, providers, Arc::clone(store) as _, Arc::new(NoObserver)).unwrap()
    }

    /// Sends so many new payments at once. The answers come in any order.
    pub async fn pay(&self, gateway: &Gateway, payments: u32) -> Vec<(u32, Option<Status>)> {
        let first = self.next.fetch_add(payments, Ordering::Relaxed);
        let payments = (first..first + payments).map(|number| {
            let gateway = gateway.clone();
            tokio::spawn(async move {
                let reply = gateway.pay(request(number)).await;
                (number, reply.ok().map(|reply| reply.answer.status.clone()))
            })
        });
        join_all(payments).await.into_iter().map(|answer| answer.unwrap()).collect()
    }

    /// The books balance: each charged customer has one row, each row has a charge, and no customer has
    /// two mails. Returns the rows.
    pub async fn audit(&self, store: &Arc<dyn Store>) -> HashMap<PaymentId, i64> {
        let mut rows = HashMap::new();
        let mut after = 0;
        loop {
            let page = store.rows(after, 100).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last.number;
            for booked in page.iter().filter(|booked| booked.row.status == RowStatus::Completed) {
                let minor = booked.row.amount.minor();
                let before = rows.insert(booked.row.payment.clone(), minor);
                assert_eq!(before, None, "two rows of {}", booked.row.payment);
            }
        }
        let mut charged = HashMap::new();
        for intent in self.world.intents() {
            assert!(intent.charges <= 1 && intent.refunds <= intent.charges, "{intent:?}");
            *charged.entry(intent.payment.clone()).or_insert(0) += intent.net();
        }
        charged.retain(|_, net| *net != 0);
        assert_eq!(charged, rows, "what is charged and what is recorded");
        let mails = self.world.mails();
        let mut mailed: Vec<_> = mails.iter().map(|mail| mail.transaction.clone()).collect();
        mailed.sort_unstable();
        mailed.dedup();
        assert_eq!(mailed.len(), mails.len(), "a receipt that was sent twice");
        assert!(mails.len() <= rows.len(), "{} mails for {} rows", mails.len(), rows.len());
        rows
    }
}

fn payment(store: &Arc<dyn Store>, number: u32, run: u32) -> PaymentId {
    let key = PaymentKey::new(&request(number).key).unwrap();
    PaymentId::derive(&store.store_id(), &key, run)
}

async fn counts(store: &Arc<dyn Store>) -> Counts {
    store.counts().await.unwrap()
}

/// 300 payments with failures everywhere, the ledger's wire included.
pub async fn books_balance(place: Place) {
    let shop = Shop::new();
    let store = place.open(SHORT).await;
    // A gateway of its own for every few payments: a breaker that opens by chance refuses no more.
    let gateways: Vec<_> = (0..10).map(|_| shop.gateway(&store)).collect();
    let answers = join_all(gateways.iter().map(|gateway| shop.pay(gateway, 30)));
    let answers = timeout(PATIENCE, answers).await.unwrap().concat();
    for gateway in &gateways {
        assert_eq!(gateway.drain(PATIENCE).await, 0);
    }
    let rows = shop.audit(&store).await;
    let mut paid = 0;
    for (number, status) in &answers {
        let is_paid = matches!(status, Some(Status::Paid { .. }));
        assert_eq!(
            rows.contains_key(&payment(&store, *number, 1)),
            is_paid,
            "{number}: {status:?}"
        );
        paid += usize::from(is_paid);
    }
    // 5 % are declined and a few fail; a breaker that opens by chance refuses some more.
    assert!(paid > 150, "{paid} of 300: {answers:?}");
    let counts = counts(&store).await;
    assert_eq!((counts.open, counts.parked), (0, 0));
    assert_eq!(counts.completed, u64::try_from(rows.len()).unwrap());
    whole(&place).await;
    assert_eq!(balanced(&place).await, shop.net());

    // Another process gives the same answers and calls no service.
    drop(gateways);
    drop(store);
    let store = place.open(SHORT).await;
    let (gateway, calls) = (shop.gateway(&store), shop.world.all_calls());
    for (number, status) in answers.iter().take(20) {
        if let Some(status @ (Status::Paid { .. } | Status::Declined { .. })) = status {
            let again = gateway.pay(request(*number)).await.unwrap();
            assert!(again.replayed);
            assert_eq!(again.answer.status, *status);
        }
    }
    assert_eq!(shop.world.all_calls(), calls);
}

/// The sagas that a crash has left, once nothing ends one any more: what a runtime had handed to a
/// store's thread or to a server before it was ended is still done.
async fn left_open(store: &Arc<dyn Store>) -> Vec<SagaId> {
    let mut open = store.list(Standing::Open).await.unwrap();
    loop {
        sleep(Duration::from_millis(200)).await;
        let now = store.list(Standing::Open).await.unwrap();
        if now == open {
            return open;
        }
        open = now;
    }
}

/// Runs payments on a runtime of their own and ends it in the middle of everything: whatever was under
/// way is dropped where it stands.
fn crash_under_load(shop: &Shop, place: &Place, payments: u32, after: Duration) {
    let runtime = real();
    runtime.block_on(async {
        let store = place.open(SHORT).await;
        let gateway = shop.gateway(&store);
        // Cut off, not waited for.
        let _ = timeout(after, shop.pay(&gateway, payments)).await;
    });
    runtime.shutdown_background();
}

/// Crash after crash, each followed by a recovery that is itself cut off now and then.
pub fn crashes_lose_nothing(place: Place) {
    let shop = Shop::new();
    let dice = Dice::new(shop.seed);
    for round in 0..8 {
        let after = Duration::from_millis(5 + dice.below(150));
        crash_under_load(&shop, &place, 30, after);
        if round % 3 == 2 {
            let runtime = real();
            runtime.block_on(async {
                let store = place.open(SHORT).await;
                let gateway = shop.gateway(&store);
                let _ = timeout(Duration::from_millis(dice.below(40)), gateway.recover()).await;
            });
            runtime.shutdown_background();
        }
    }
    real().block_on(async {
        let store = place.open(SHORT).await;
        let left = left_open(&store).await.len();
        let gateway = shop.gateway(&store);
        let recovered = timeout(PATIENCE, gateway.recover()).await.unwrap().unwrap();
        println!("{left} open, {recovered:?}");
        assert_eq!(gateway.drain(PATIENCE).await, 0);
        shop.audit(&store).await;
        let counts = counts(&store).await;
        assert_eq!((counts.open, counts.parked), (0, 0));
        assert_eq!(recovered.finished + recovered.undone, left);
        whole(&place).await;
        assert_eq!(balanced(&place).await, shop.net());
    });
}

/// Two processes recover the same store at the same time: each saga has one owner.
///
/// Their lease is longer than the pauses between the attempts to undo something, as it has to be.
pub fn two_recover_at_once(place: Place) {
    const LEASE: Duration = Duration::from_secs(30);
    let shop = Shop::new();
    crash_under_load(&shop, &place, 120, Duration::from_millis(200));
    real().block_on(async {
        let (first, second) = (place.open(LEASE).await, place.open(LEASE).await);
        let open = left_open(&first).await;
        let (one, other) = (shop.gateway(&first), shop.gateway(&second));
        let recoveries = async { tokio::join!(one.recover(), other.recover()) };
        let (mine, theirs) = timeout(PATIENCE, recoveries).await.unwrap();
        let (mine, theirs) = (mine.unwrap(), theirs.unwrap());
        println!("{} open, {mine:?}, {theirs:?}", open.len());
        let done = mine.finished + mine.undone + theirs.finished + theirs.undone;
        assert_eq!(done, open.len(), "{mine:?} {theirs:?}");
        for saga in open {
            let id = PaymentId::try_from(String::from(saga)).unwrap();
            let shown = first.show(id).await.unwrap().unwrap();
            assert_eq!(shown.standing, Some(Standing::Ended));
            assert_eq!(shown.epoch, 2, "claimed more than once: {shown:?}");
        }
        assert_eq!((one.drain(PATIENCE).await, other.drain(PATIENCE).await), (0, 0));
        shop.audit(&first).await;
        whole(&place).await;
        assert_eq!(balanced(&place).await, shop.net());
    });
}
