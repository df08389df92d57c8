//! Reports of the provider: signed, kept, and handled with the same result however often and in
//! whichever order they come.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures::FutureExt as _;
use gateway_service::{Reports, gateway_key};
use level3_adapters::reconcile::{Booked, Books, ReconcileConfig, Reconciler, Sides};
use level3_adapters::sql::{Asked, EventBook as _, Inbox as _, Store as _};
use level3_adapters::sqlite::SqliteStore;
use level3_adapters::stripe::events::EndpointSecret;
use level3_domain::ids::{CardToken, Email, OrderId, PaymentId};
use level3_domain::journal::{Journal as _, Lease, Opened, Payload, Record, Standing};
use level3_domain::money::{Currency, Money};
use level3_domain::payment::Payment;
use level3_domain::provider::{CreateIntent, Operation, ProviderKey};
use level3_sim::{NoFaults, World};
use ring::hmac;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::shop::{Answer, PATIENCE, Shop, order};

const SECRET: &str = "whsec_0123456789abcdef";

/// A wrapper, because the store implements `Books` by value.
struct Rows(SqliteStore);

impl Books for Rows {
    fn row(&self, payment: PaymentId) -> Asked<'_, Option<Booked>> {
        Books::row(&self.0, payment)
    }

    fn rows(&self, after: u64, most: usize) -> Asked<'_, Vec<Booked>> {
        Books::rows(&self.0, after, most)
    }

    fn refunded(&self, payment: PaymentId) -> Asked<'_, i64> {
        Books::refunded(&self.0, payment).boxed()
    }
}

/// What a service repairs with.
pub fn reports(world: &World, store: &SqliteStore) -> Reports {
    let store = store.clone();
    let sides = Sides {
        payments: world.providers().payments,
        intents: Arc::new(world.clone()),
        journal: Arc::new(store.clone()),
        ledger: Arc::new(store.clone()),
        claims: Some(Arc::new(store.clone())),
        books: Arc::new(Rows(store)),
    };
    let secrets = vec![EndpointSecret::new(SECRET).unwrap()];
    Reports { secrets, reconciler: Reconciler::new(sides, ReconcileConfig::default()) }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn signed(body: &str, at: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = hmac::sign(&key, format!("{at}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={at},v1={hex}")
}

async fn send(shop: &Shop, body: &str, signature: &str) -> Answer {
    let request = Request::builder()
        .method("POST")
        .uri("/v1/provider-events/stripe")
        .header("stripe-signature", signature)
        .body(Body::from(body.to_owned()))
        .unwrap();
    shop.send(request).await
}

/// Sends a report as Stripe does.
async fn report(shop: &Shop, id: &str, kind: &str, created: i64, object: Value) {
    let body = json!({ "id": id, "type": kind, "created": created, "data": { "object": object } });
    let body = body.to_string();
    let answer = send(shop, &body, &signed(&body, now())).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({ "received": true })));
}

/// Lets the service handle reports until `done` is true.
async fn until(shop: &Shop, done: impl AsyncFn() -> bool) {
    let done = async {
        while !done().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        done = timeout(PATIENCE, done) => done.expect("it does not happen"),
        () = shop.service.follow_reports() => unreachable!("it never returns"),
    }
}

async fn handled(shop: &Shop) {
    until(shop, async || shop.store.unhandled(10).await.unwrap().is_empty()).await;
}

fn net(shop: &Shop) -> i64 {
    shop.world.intents().iter().map(level3_sim::IntentTruth::net).sum()
}

/// The intent as Stripe reports it.
fn intent(shop: &Shop, status: &str) -> Value {
    let truth = shop.world.intents().remove(0);
    json!({
        "id": truth.id.as_str(), "object": "payment_intent", "amount": truth.amount.minor(),
        "currency": "usd", "status": status, "metadata": { "payment": truth.payment.as_str() },
    })
}

#[tokio::test]
async fn only_what_the_provider_has_signed_just_now_is_taken() {
    let shop = Shop::new(NoFaults).await;
    let body = json!({ "id": "evt_1", "type": "x", "data": { "object": {} } }).to_string();
    let good = signed(&body, now());
    for (body, signature) in [
        (body.as_str(), ""),
        (&body, "t=1"),
        (&body, &signed(&body, now() - 400)),
        (&body, &signed(&body, now() + 400)),
        (&body, &signed("{}", now())),
        (&body.replace(':', ": "), &good),
    ] {
        let refused = send(&shop, body, signature).await;
        assert_eq!(refused.problem(), "signature-invalid", "{signature}");
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    }
    let request = Request::builder().method("POST").uri("/v1/provider-events/stripe");
    let missing = shop.send(request.body(Body::from(body.clone())).unwrap()).await;
    assert_eq!(missing.problem(), "signature-invalid");
    let no_event = send(&shop, "{}", &signed("{}", now())).await;
    assert_eq!(no_event.problem(), "invalid-request");
    assert_eq!(shop.store.unhandled(10).await.unwrap(), []);
    for _ in 0..3 {
        assert_eq!(send(&shop, &body, &good).await.status, StatusCode::OK);
    }
    assert_eq!(shop.store.unhandled(10).await.unwrap().len(), 1);
    handled(&shop).await;
}

/// A payment that has ended like this, and whose customer is charged after that.
async fn charged_after(shop: &Shop, end: Record) {
    let key = gateway_key(&"shop".parse().unwrap(), "key-1").unwrap();
    let id = PaymentId::derive(&shop.store.store_id(), &key, 1);
    let payment = Payment {
        key,
        order: OrderId::new("1").unwrap(),
        amount: Money::new(1050, Currency::USD).unwrap(),
        email: Email::new("ann@example.com").unwrap(),
        card: CardToken::new("pm_card_visa").unwrap(),
    };
    let state = Payload::of(&json!({ "payment": payment })).unwrap();
    let begun = Record::Begun { kind: "payment".into(), state };
    let opened = shop.store.open_labelled((&id).into(), begun, "shop".to_owned()).await.unwrap();
    let Opened::New(lease) = opened else { panic!("{opened:?}") };
    shop.store.append(&lease, vec![end]).await.unwrap();
    let services = shop.world.providers().payments;
    let key = |operation| ProviderKey::new(id.clone(), operation);
    let create = CreateIntent {
        key: key(Operation::CreateIntent),
        payment: id.clone(),
        amount: payment.amount,
        card: payment.card,
    };
    let intent = services.create_intent(create).await.unwrap().id;
    services.confirm(key(Operation::Confirm), intent).await.unwrap();
    assert_eq!(net(shop), 1050);
}

async fn rows(shop: &Shop) -> u64 {
    shop.store.counts().await.unwrap().completed
}

#[tokio::test]
async fn a_late_charge_of_a_payment_that_was_undone_is_refunded_once() {
    let shop = Shop::new(NoFaults).await;
    charged_after(&shop, Record::Compensated).await;
    for number in 0..3 {
        // Repeats, and reports in the wrong order.
        report(&shop, "evt_1", "payment_intent.succeeded", 20, intent(&shop, "succeeded")).await;
        let name = format!("evt_early_{number}");
        report(&shop, &name, "payment_intent.processing", 10, intent(&shop, "processing")).await;
        report(
            &shop,
            &format!("{name}_x"),
            "payment_intent.succeeded",
            20,
            intent(&shop, "succeeded"),
        )
        .await;
        handled(&shop).await;
    }
    let truth = shop.world.intents().remove(0);
    assert_eq!((truth.charges, truth.refunds, rows(&shop).await), (1, 1, 0), "{truth:?}");
}

#[tokio::test]
async fn a_report_waits_until_its_payment_has_ended() {
    let shop = Shop::new(NoFaults).await;
    charged_after(&shop, Record::StepStarted { step: "confirm".into() }).await;
    report(&shop, "evt_1", "payment_intent.succeeded", 20, intent(&shop, "succeeded")).await;
    until(&shop, async || shop.store.unhandled(10).await.unwrap()[0].attempts == 1).await;
    assert_eq!(net(&shop), 1050);
    let saga = shop.store.list(Standing::Open).await.unwrap().remove(0);
    let lease = Lease { saga, epoch: 1 };
    shop.store.append(&lease, vec![Record::Compensated]).await.unwrap();
    handled(&shop).await;
    assert_eq!(net(&shop), 0);
}

#[tokio::test]
async fn a_charge_without_a_row_is_recorded() {
    let shop = Shop::new(NoFaults).await;
    charged_after(&shop, Record::Completed).await;
    assert_eq!(rows(&shop).await, 0);
    report(&shop, "evt_1", "payment_intent.succeeded", 20, intent(&shop, "succeeded")).await;
    handled(&shop).await;
    assert_eq!((rows(&shop).await, net(&shop)), (1, 1050));
}

#[tokio::test]
async fn a_dispute_is_recorded_and_the_merchant_is_notified() {
    let shop = Shop::new(NoFaults).await;
    let paid = shop.pay("key-1", &order(1)).await.json();
    let dispute = |status: &str| {
        json!({
            "id": "dp_1", "object": "dispute", "amount": 1050, "currency": "usd", "status": status,
            "reason": "fraudulent", "payment_intent": paid["intent"],
        })
    };
    // The end comes before the beginning.
    report(&shop, "evt_3", "charge.dispute.closed", 30, dispute("lost")).await;
    handled(&shop).await;
    report(&shop, "evt_1", "charge.dispute.created", 10, dispute("needs_response")).await;
    report(&shop, "evt_3", "charge.dispute.closed", 30, dispute("lost")).await;
    handled(&shop).await;
    let path = format!("/v1/payments/{}", paid["id"].as_str().unwrap());
    let shown = shop.get(&path).await.json();
    let found = shown["disputes"].as_array().unwrap();
    assert_eq!(
        (found.len(), &found[0]["status"], &found[0]["closed"]),
        (1, &json!("lost"), &json!(true))
    );
    let events = shop.store.unplanned(10).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["paid", "dispute"]);
    assert!(events.iter().all(|event| event.label == "shop"));
}

#[tokio::test]
async fn a_refund_that_the_provider_has_not_failed_stays() {
    let shop = Shop::new(NoFaults).await;
    let paid = shop.pay("key-1", &order(1)).await.json();
    let name = paid["id"].as_str().unwrap();
    let refund = shop.refund(name, "r-1", &json!({ "amount": 400 })).await.json();
    // A report that does not fit the provider's present state.
    let object = json!({
        "id": format!("sim_{}", refund["id"].as_str().unwrap()), "object": "refund", "amount": 400,
        "currency": "usd", "status": "failed", "payment_intent": paid["intent"],
        "metadata": { "refund": refund["id"] },
    });
    report(&shop, "evt_1", "refund.failed", 10, object.clone()).await;
    handled(&shop).await;
    let shown = shop.get(&format!("/v1/payments/{name}/refunds")).await.json();
    assert_eq!(shown["data"][0]["state"], "succeeded");
    // The bank returns the money.
    shop.world.return_refunds();
    report(&shop, "evt_2", "refund.failed", 20, object).await;
    handled(&shop).await;
    let shown = shop.get(&format!("/v1/payments/{name}/refunds")).await.json();
    assert_eq!(shown["data"][0]["state"], "failed", "{shown}");
    let again = shop.refund(name, "r-2", &json!({})).await;
    assert_eq!(again.json()["amount"], 1050, "{again:?}");
}
