//! The gateway's outbox worker with SendGrid behind it: one receipt for each payment, whatever is tried
//! again, by whom and when.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use level3::gateway::{Gateway, GatewayConfig, Undelivered};
use level3::nonzero;
use level3::retry::Backoff;
use level3_adapters::receipts::{ClaimedReceipts, Feed};
use level3_adapters::sql::Store;
use level3_adapters::sqlite::SqliteStore;
use level3_domain::answer::Status;
use level3_domain::event::NoObserver;
use level3_domain::ids::{PaymentId, TransactionId};
use level3_domain::provider::{
    CallFuture, Ledger, NewRow, PendingReceipt, ProviderError, Providers, Row,
};
use level3_sim::{Latencies, NoFaults, World};
use serde_json::{Value, json};
use wiremock::matchers::{any, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::request::request;
use crate::sendgrid::{mails, sendgrid, server};
use crate::support::PATIENCE;

/// A ledger that can be kept from hearing that a receipt is out.
struct HardOfHearing {
    inner: Arc<dyn Ledger>,
    deaf: AtomicBool,
}

impl Ledger for HardOfHearing {
    fn save(&self, row: NewRow) -> CallFuture<Row> {
        self.inner.save(row)
    }

    fn void(&self, payment: PaymentId) -> CallFuture<()> {
        self.inner.void(payment)
    }

    fn pending_receipts(&self, most: usize) -> CallFuture<Vec<PendingReceipt>> {
        self.inner.pending_receipts(most)
    }

    fn receipt_sent(&self, transaction: TransactionId) -> CallFuture<()> {
        if self.deaf.load(Ordering::SeqCst) {
            return Box::pin(std::future::ready(Err(ProviderError::Unavailable)));
        }
        self.inner.receipt_sent(transaction)
    }
}

/// A shop, whose store and services outlive its processes.
struct Shop {
    world: World,
    folder: tempfile::TempDir,
    deaf: AtomicBool,
}

/// A process of the shop: its gateway, and its store.
struct Process {
    gateway: Gateway,
    store: Arc<dyn Store>,
}

impl Shop {
    fn new() -> Self {
        let world = World::with(Latencies::NONE, Arc::new(NoFaults), None);
        Self { world, folder: tempfile::tempdir().expect("a folder"), deaf: AtomicBool::new(false) }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a process with short pauses: this clock is real. With a feed, it looks there.
    async fn start(&self, server: &MockServer, lag: Option<Duration>) -> Process {
        let store = SqliteStore::open(self.path().join("store")).await.expect("a store");
        let store: Arc<dyn Store> = Arc::new(store);
        let mut config = GatewayConfig::default();
        let ms = Duration::from_millis;
        let three = nonzero!(3);
        config.receipt.retry.backoff = Backoff::new(ms(1), 2.0, ms(5), three).expect("figures");
        let client = Arc::new(sendgrid(&server.uri()));
        let feed = lag.map(|lag| Feed { feed: Arc::clone(&client) as _, lag });
        let receipts = Arc::new(ClaimedReceipts::new(client, Arc::clone(&store) as _, feed));
        let deaf = AtomicBool::new(self.deaf.load(Ordering::SeqCst));
        let ledger = Arc::new(HardOfHearing { inner: Arc::clone(&store) as _, deaf });
        let providers = Providers { receipts, ledger, ..self.world.providers() };
        let journal = Arc::clone(&store) as _;
        let gateway = Gateway::new(config, providers, journal, Arc::new(NoObserver))
            .expect("a configuration");
        Process { gateway, store }
    }
}

impl Process {
    async fn outbox(&self) -> (u64, u64) {
        let counts = self.store.counts().await.expect("a store");
        (counts.receipts, counts.receipts_in_doubt)
    }

    /// Begins a payment, whose receipt follows by itself.
    async fn begin(&self, key: &str) {
        let reply = self.gateway.pay(request(key)).await.expect("an answer");
        assert!(matches!(reply.answer.status, Status::Paid { .. }), "{reply:?}");
    }

    /// Pays, and waits until the receipt is out or put aside.
    async fn pay(&self, key: &str) {
        self.begin(key).await;
        assert_eq!(self.gateway.drain(PATIENCE).await, 0, "it goes on");
    }

    /// Recovers so many receipts, and waits until they are out or put aside.
    async fn recover(&self, receipts: usize) {
        assert_eq!(self.gateway.recover().await.expect("a journal").receipts, receipts);
        assert_eq!(self.gateway.drain(PATIENCE).await, 0, "it goes on");
    }
}

async fn answer_with(server: &MockServer, status: u16) {
    server.reset().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(status)).mount(server).await;
}

/// A server that answers mails with this status, and whose feed shows so many of them.
async fn with_feed(status: u16, shown: &Value) -> MockServer {
    let server = server(ResponseTemplate::new(status)).await;
    feed(&server, shown).await;
    server
}

async fn feed(server: &MockServer, shown: &Value) {
    let body = json!({ "messages": shown });
    Mock::given(method("GET"))
        .and(path("/v3/messages"))
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(server)
        .await;
}

/// Waits until the server has so many mails.
async fn arrived(server: &MockServer, count: usize) {
    let there = async {
        while mails(server).await.len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), there).await.expect("no mail arrives");
}

#[tokio::test]
async fn a_dead_letter_after_the_last_attempt_and_one_receipt_after_redrives() {
    let (shop, server) = (Shop::new(), server(ResponseTemplate::new(429)).await);
    let process = shop.start(&server, None).await;
    process.pay("a").await;
    assert_eq!(mails(&server).await.len(), 3);
    let letters = process.gateway.dead_letters();
    assert!(matches!(*letters[0].item, Undelivered::Receipt(_)), "{letters:?}");
    assert_eq!((letters.len(), process.outbox().await), (1, (1, 0)));

    answer_with(&server, 202).await;
    for _ in 0..3 {
        process.gateway.redrive().await;
    }
    assert_eq!(mails(&server).await.len(), 1);
    assert_eq!((process.gateway.dead_letters().len(), process.outbox().await), (0, (0, 0)));
}

#[tokio::test]
async fn a_permanent_refusal_is_not_tried_again() {
    let (shop, server) = (Shop::new(), server(ResponseTemplate::new(400)).await);
    let process = shop.start(&server, None).await;
    process.pay("a").await;
    assert_eq!(mails(&server).await.len(), 1);
    let letters = process.gateway.dead_letters();
    assert!(letters[0].cause.contains("400 from SendGrid"), "{letters:?}");
}

#[tokio::test]
async fn a_receipt_that_the_outbox_still_has_is_not_sent_again() {
    let (shop, server) = (Shop::new(), server(ResponseTemplate::new(202)).await);
    shop.deaf.store(true, Ordering::SeqCst);
    let process = shop.start(&server, None).await;
    // Not drained: a gateway that is closed takes over no receipt.
    process.begin("a").await;
    let taken_over = async {
        // While the payment's own attempts go on, a recovery leaves the receipt to them.
        while process.gateway.recover().await.expect("a journal").receipts == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, taken_over).await.expect("a recovery takes the receipt over");
    assert_eq!(process.gateway.drain(PATIENCE).await, 0, "it goes on");
    assert_eq!((mails(&server).await.len(), process.outbox().await), (1, (1, 1)));
}

/// The process dies between SendGrid's acceptance and the outbox.
#[tokio::test]
async fn after_a_restart_the_feed_shows_what_was_sent() {
    let (shop, server) = (Shop::new(), with_feed(202, &json!([{ "msg_id": "a" }])).await);
    shop.deaf.store(true, Ordering::SeqCst);
    shop.start(&server, Some(Duration::ZERO)).await.pay("a").await;
    assert_eq!(mails(&server).await.len(), 1);

    shop.deaf.store(false, Ordering::SeqCst);
    let next = shop.start(&server, Some(Duration::ZERO)).await;
    next.recover(1).await;
    assert_eq!((mails(&server).await.len(), next.outbox().await), (1, (0, 0)));
}

/// What remains where an account has no feed, or the operator wants none.
#[tokio::test]
async fn without_a_feed_a_second_mail_has_the_first_ones_id() {
    // The second SendGrid has a feed, and shows it to another key only.
    for lag in [None, Some(Duration::ZERO)] {
        let (shop, server) = (Shop::new(), server(ResponseTemplate::new(202)).await);
        shop.deaf.store(true, Ordering::SeqCst);
        shop.start(&server, lag).await.pay("a").await;

        shop.deaf.store(false, Ordering::SeqCst);
        let next = shop.start(&server, lag).await;
        next.recover(1).await;
        let mails = mails(&server).await;
        assert_eq!((mails.len(), next.outbox().await), (2, (0, 0)));
        assert_eq!(mails[0], mails[1], "so that a mailbox takes them for one");
    }
}

/// SendGrid has the mail and answers with an error: that is no reason for a second mail.
#[tokio::test]
async fn a_lost_answer_is_looked_up() {
    let (shop, server) = (Shop::new(), with_feed(500, &json!([{ "msg_id": "a" }])).await);
    let process = shop.start(&server, Some(Duration::ZERO)).await;
    process.pay("a").await;
    assert_eq!((mails(&server).await.len(), process.outbox().await), (1, (0, 0)));
}

/// A mail that the feed does not show yet is not sent again before the feed has had its time.
#[tokio::test]
async fn a_feed_is_given_its_time() {
    let lag = Duration::from_millis(200);
    let (shop, server) = (Shop::new(), with_feed(500, &json!([])).await);
    let process = shop.start(&server, Some(lag)).await;
    let begun = tokio::time::Instant::now();
    process.pay("a").await;
    // One mail, a look that is too early, and a second mail.
    assert_eq!(mails(&server).await.len(), 2);
    assert!(begun.elapsed() >= lag, "{:?}", begun.elapsed());
    assert_eq!((process.gateway.dead_letters().len(), process.outbox().await), (1, (1, 1)));
}

/// A recovery finds the receipts in the outbox that its own gateway is sending just now.
#[tokio::test]
async fn a_recovery_beside_its_gateway_sends_nothing_twice() {
    let slow = ResponseTemplate::new(202).set_delay(Duration::from_millis(300));
    let (shop, server) = (Shop::new(), server(slow).await);
    let process = shop.start(&server, None).await;
    process.begin("a").await;
    arrived(&server, 1).await;
    process.recover(1).await;
    assert_eq!((mails(&server).await.len(), process.outbox().await), (1, (0, 0)));
}

/// The same for a recovery of another process.
#[tokio::test]
async fn a_recovery_beside_another_process_sends_nothing_twice() {
    let slow = ResponseTemplate::new(202).set_delay(Duration::from_millis(300));
    let (shop, server) = (Shop::new(), server(slow).await);
    let (one, other) = (shop.start(&server, None).await, shop.start(&server, None).await);
    one.begin("a").await;
    arrived(&server, 1).await;
    other.recover(1).await;
    assert_eq!(one.gateway.drain(PATIENCE).await, 0);
    assert_eq!((mails(&server).await.len(), other.outbox().await), (1, (0, 0)));
    assert!(other.gateway.dead_letters().is_empty(), "{:?}", other.gateway.dead_letters());
}

#[tokio::test]
async fn every_payment_has_one_receipt() {
    let (shop, server) = (Shop::new(), server(ResponseTemplate::new(202)).await);
    let process = shop.start(&server, None).await;
    let keys: Vec<String> = (0..20).map(|n| format!("order-{n}")).collect();
    futures::future::join_all(keys.iter().map(|key| process.begin(key))).await;
    assert_eq!(process.gateway.drain(PATIENCE).await, 0);
    let mails = mails(&server).await;
    let mut orders: Vec<&str> = mails.iter().filter_map(|mail| mail["subject"].as_str()).collect();
    orders.sort_unstable();
    orders.dedup();
    assert_eq!((mails.len(), orders.len(), process.outbox().await), (20, 20, (0, 0)));
}
