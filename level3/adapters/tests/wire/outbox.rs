//! The gateway's outbox worker with SendGrid behind it: one receipt for each payment, whatever is tried
//! again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use level3::gateway::{Gateway, GatewayConfig, Undelivered};
use level3::nonzero;
use level3::retry::Backoff;
use level3_adapters::sendgrid::SendGrid;
use level3_domain::answer::Status;
use level3_domain::event::NoObserver;
use level3_domain::ids::{PaymentId, TransactionId};
use level3_domain::journal::MemoryJournal;
use level3_domain::provider::{
    CallFuture, Ledger, NewRow, PendingReceipt, ProviderError, Providers, Row,
};
use level3_sim::{Latencies, NoFaults, World};
use wiremock::{MockServer, ResponseTemplate};

use crate::request::request;
use crate::sendgrid::{bodies, sendgrid, server};
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

/// A shop: its ledger and journal outlive the gateway.
struct Shop {
    world: World,
    ledger: Arc<HardOfHearing>,
    journal: MemoryJournal,
}

impl Shop {
    fn new() -> Self {
        let world = World::with(Latencies::NONE, Arc::new(NoFaults), None);
        let inner = world.providers().ledger;
        let ledger = Arc::new(HardOfHearing { inner, deaf: AtomicBool::new(false) });
        Self { world, ledger, journal: MemoryJournal::new() }
    }

    /// A gateway with short pauses: this clock is real.
    fn gateway(&self, receipts: &SendGrid) -> Gateway {
        let mut config = GatewayConfig::default();
        let ms = Duration::from_millis;
        let three = nonzero!(3);
        config.receipt.retry.backoff = Backoff::new(ms(1), 2.0, ms(5), three).expect("figures");
        let receipts = Arc::new(receipts.clone());
        let ledger = Arc::clone(&self.ledger) as Arc<dyn Ledger>;
        let providers = Providers { receipts, ledger, ..self.world.providers() };
        let journal = Arc::new(self.journal.clone());
        Gateway::new(config, providers, journal, Arc::new(NoObserver)).expect("a configuration")
    }
}

/// Pays, and waits until the receipt is out or put aside.
async fn pay(gateway: &Gateway, key: &str) {
    let reply = gateway.pay(request(key)).await.expect("an answer");
    assert!(matches!(reply.answer.status, Status::Paid { .. }), "{reply:?}");
    assert_eq!(gateway.drain(PATIENCE).await, 0, "it goes on");
}

/// Recovers, and waits until the outbox is empty.
async fn recover(shop: &Shop, gateway: &Gateway) {
    assert_eq!(gateway.recover().await.expect("a journal").receipts, 1);
    let empty = async {
        while shop.world.outbox() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, empty).await.expect("it stays in the outbox");
}

async fn answer_with(server: &MockServer, status: u16) {
    use wiremock::{Mock, matchers::any};
    server.reset().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(status)).mount(server).await;
}

#[tokio::test]
async fn a_dead_letter_after_the_last_attempt_and_one_receipt_after_redrives() {
    let (shop, server) = (Shop::new(), server(ResponseTemplate::new(503)).await);
    let gateway = shop.gateway(&sendgrid(&server.uri()));
    pay(&gateway, "a").await;
    assert_eq!(bodies(&server).await.len(), 3);
    let letters = gateway.dead_letters();
    assert!(matches!(*letters[0].item, Undelivered::Receipt(_)), "{letters:?}");
    assert_eq!((letters.len(), shop.world.outbox()), (1, 1));

    answer_with(&server, 202).await;
    for _ in 0..3 {
        gateway.redrive().await;
    }
    assert_eq!(bodies(&server).await.len(), 1);
    assert_eq!((gateway.dead_letters().len(), shop.world.outbox()), (0, 0));
}

#[tokio::test]
async fn a_permanent_refusal_is_not_tried_again() {
    let (shop, server) = (Shop::new(), server(ResponseTemplate::new(400)).await);
    let gateway = shop.gateway(&sendgrid(&server.uri()));
    pay(&gateway, "a").await;
    assert_eq!(bodies(&server).await.len(), 1);
    let letters = gateway.dead_letters();
    assert!(letters[0].cause.contains("400 from SendGrid"), "{letters:?}");
}

#[tokio::test]
async fn a_receipt_that_the_outbox_still_has_is_not_sent_again() {
    let (shop, server) = (Shop::new(), server(ResponseTemplate::new(202)).await);
    let sendgrid = sendgrid(&server.uri());
    shop.ledger.deaf.store(true, Ordering::SeqCst);
    pay(&shop.gateway(&sendgrid), "a").await;
    assert_eq!((bodies(&server).await.len(), shop.world.outbox()), (1, 1));

    shop.ledger.deaf.store(false, Ordering::SeqCst);
    recover(&shop, &shop.gateway(&sendgrid)).await;
    assert_eq!(bodies(&server).await.len(), 1);
}

#[tokio::test]
async fn after_a_restart_a_second_mail_has_the_first_ones_id() {
    let (shop, server) = (Shop::new(), server(ResponseTemplate::new(202)).await);
    shop.ledger.deaf.store(true, Ordering::SeqCst);
    pay(&shop.gateway(&sendgrid(&server.uri())), "a").await;

    // Another process: what the client remembered is gone, and the outbox was never told.
    shop.ledger.deaf.store(false, Ordering::SeqCst);
    recover(&shop, &shop.gateway(&sendgrid(&server.uri()))).await;
    let mails = bodies(&server).await;
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0], mails[1], "so that a mailbox takes them for one");
}

#[tokio::test]
async fn every_payment_has_one_receipt() {
    let (shop, server) = (Shop::new(), server(ResponseTemplate::new(202)).await);
    let gateway = shop.gateway(&sendgrid(&server.uri()));
    let keys: Vec<String> = (0..20).map(|n| format!("order-{n}")).collect();
    futures::future::join_all(
        keys.iter().map(|key| async { gateway.pay(request(key)).await.expect("an answer") }),
    )
    .await;
    assert_eq!(gateway.drain(PATIENCE).await, 0);
    let mails = bodies(&server).await;
    let mut orders: Vec<&str> = mails.iter().filter_map(|mail| mail["subject"].as_str()).collect();
    orders.sort_unstable();
    orders.dedup();
    assert_eq!((mails.len(), orders.len(), shop.world.outbox()), (20, 20, 0));
}
