//! Notifications of merchants: what is sent, when it is tried again, and what a restart leaves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use gateway_service::{EndpointEntry, EndpointFile, EventType};
use level3_adapters::sql::EventBook as _;
use level3_adapters::webhooks::{HookAnswer, HookError, HookPost, HookRequest};
use level3_sim::{CallSite, Fault, NoFaults, Script};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::shop::{PATIENCE, Shop, order, request};

/// The servers of merchants: they answer as a test says, and keep what they were sent.
#[derive(Default)]
pub struct Receiver {
    answers: Mutex<HashMap<String, Vec<Result<u16, HookError>>>>,
    got: Mutex<Vec<HookRequest>>,
}

impl Receiver {
    /// The next answers of a server; after them it answers 204.
    pub fn answers(&self, host: &str, answers: Vec<Result<u16, HookError>>) {
        self.answers.lock().unwrap().insert(host.to_owned(), answers);
    }

    /// What was sent to a server.
    pub fn got(&self, host: &str) -> Vec<HookRequest> {
        let got = self.got.lock().unwrap();
        got.iter().filter(|one| one.url.as_str().contains(host)).cloned().collect()
    }
}

impl HookPost for Receiver {
    fn post(&self, request: HookRequest) -> BoxFuture<'static, Result<HookAnswer, HookError>> {
        let mut answers = self.answers.lock().unwrap();
        let answer = answers
            .iter_mut()
            .find(|(host, answers)| request.url.as_str().contains(*host) && !answers.is_empty())
            .map(|(_, answers)| answers.remove(0));
        self.got.lock().unwrap().push(request);
        let status = answer.unwrap_or(Ok(204));
        std::future::ready(status.map(|status| HookAnswer { status, retry_after: None })).boxed()
    }
}

fn endpoint(merchant: &str, host: &str, events: Option<Vec<EventType>>) -> EndpointEntry {
    let url = format!("https://{host}.example/hook").parse().unwrap();
    EndpointEntry::new(merchant.parse().unwrap(), url, events).unwrap()
}

fn header<'a>(request: &'a HookRequest, name: &str) -> &'a str {
    &request.headers.iter().find(|(known, _)| *known == name).unwrap().1
}

fn types(requests: &[HookRequest]) -> Vec<String> {
    let of = |one: &HookRequest| {
        let body: Value = serde_json::from_str(&one.body).unwrap();
        body["type"].as_str().unwrap().to_owned()
    };
    requests.iter().map(of).collect()
}

/// Lets the service notify until `done` is true.
async fn until(shop: &Shop, done: impl AsyncFn() -> bool) {
    let done = async {
        while !done().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        done = timeout(PATIENCE, done) => done.expect("it does not happen"),
        () = shop.service.follow_notifications() => unreachable!("it never returns"),
    }
}

async fn deliveries(shop: &Shop, query: &str) -> Vec<Value> {
    let page = shop.get(&format!("/v1/webhook-deliveries?{query}")).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    page.json()["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_merchant_is_notified_of_its_payments_and_refunds() {
    let shop = Shop::new(Script::new().on(CallSite::Fraud, 2, Fault::Decline)).await;
    let (all, some) = (
        endpoint("shop", "all", None),
        endpoint("shop", "some", Some(vec![EventType::PaymentDeclined])),
    );
    let rival = endpoint("rival", "rival", None);
    shop.endpoints.replace(EndpointFile { endpoints: vec![all.clone(), some, rival] });
    let paid = shop.pay("key-1", &order(1)).await;
    let declined = shop.pay("key-2", &order(2)).await;
    assert_eq!(declined.status, StatusCode::PAYMENT_REQUIRED);
    let name = paid.json()["id"].as_str().unwrap().to_owned();
    let refund = shop.refund(&name, "r-1", &json!({ "amount": 50 })).await;
    until(&shop, async || shop.hooks.got("all").len() == 3).await;
    assert_eq!(
        types(&shop.hooks.got("all")),
        ["payment.paid", "payment.declined", "refund.succeeded"]
    );
    until(&shop, async || shop.hooks.got("some").len() == 1).await;
    assert_eq!(types(&shop.hooks.got("some")), ["payment.declined"]);
    assert_eq!(shop.hooks.got("rival").len(), 0);

    let first = &shop.hooks.got("all")[0];
    let body: Value = serde_json::from_str(&first.body).unwrap();
    assert_eq!((&body["data"]["id"], &body["data"]["state"]), (&json!(name), &json!("paid")));
    assert!(!first.body.contains("ann@example.com") && !first.body.contains("pm_card"));
    let last: Value = serde_json::from_str(&shop.hooks.got("all")[2].body).unwrap();
    assert_eq!(last["data"], refund.json());
    let id = header(first, "webhook-id");
    assert!(id.starts_with("evt_") && header(first, "webhook-signature").starts_with("v1,"));
    assert!(header(first, "webhook-timestamp").parse::<i64>().unwrap() > 1_700_000_000);

    until(&shop, async || deliveries(&shop, "state=delivered").await.len() == 4).await;
    let listed = deliveries(&shop, "").await;
    assert!(listed.iter().any(|one| one["event"] == id && one["payload"] == body), "{listed:?}");
    let theirs = shop.get_as(&shop.other, "/v1/webhook-deliveries").await.json();
    assert_eq!(theirs["data"], json!([]));
    // A repeat of a payment is no event.
    shop.pay("key-1", &order(1)).await;
    sleep(Duration::from_millis(50)).await;
    assert_eq!(shop.store.unplanned(10).await.unwrap(), []);
    assert_eq!(deliveries(&shop, "").await.len(), 4);
}

#[tokio::test]
async fn a_failed_run_and_the_next_one_are_two_events() {
    let script = Arc::new(Script::new().always(CallSite::Fraud, Fault::FailBefore));
    let shop = Shop::new(Arc::clone(&script)).await;
    shop.endpoints.replace(EndpointFile { endpoints: vec![endpoint("shop", "all", None)] });
    shop.pay("key-1", &order(1)).await;
    script.heal(CallSite::Fraud);
    // The event of the failed run is sent after the payment is paid, and says what it was about.
    assert_eq!(shop.pay("key-1", &order(1)).await.status, StatusCode::CREATED);
    until(&shop, async || shop.hooks.got("all").len() == 2).await;
    let mut got = types(&shop.hooks.got("all"));
    got.sort();
    assert_eq!(got, ["payment.failed", "payment.paid"]);
}

#[tokio::test]
async fn what_fails_is_sent_again_and_the_same() {
    let shop = Shop::new(NoFaults).await;
    shop.endpoints.replace(EndpointFile { endpoints: vec![endpoint("shop", "all", None)] });
    shop.hooks.answers("all", vec![Err(HookError::TimedOut(Duration::ZERO))]);
    shop.pay("key-1", &order(1)).await;
    until(&shop, async || {
        deliveries(&shop, "").await.first().is_some_and(|one| one["failures"] == 1)
    })
    .await;
    let pending = deliveries(&shop, "state=pending").await.remove(0);
    assert!(pending["cause"].as_str().unwrap().contains("no answer"), "{pending}");
    // A restart loses nothing of it. The merchant does not wait for the next attempt.
    let id = pending["id"].as_str().unwrap().to_owned();
    let shop = shop.restarted().await;
    for expected in [StatusCode::ACCEPTED, StatusCode::NOT_FOUND] {
        let key = if expected == StatusCode::ACCEPTED { &shop.key } else { &shop.other };
        let replay = request("POST", &format!("/v1/webhook-deliveries/{id}/replay"), key);
        assert_eq!(shop.send(replay.body(Body::empty()).unwrap()).await.status, expected);
    }
    until(&shop, async || deliveries(&shop, "state=delivered").await.len() == 1).await;
    let got = shop.hooks.got("all");
    assert_eq!(header(&got[0], "webhook-id"), pending["event"].as_str().unwrap());
    assert_eq!(serde_json::from_str::<Value>(&got[0].body).unwrap(), pending["payload"]);
}

#[tokio::test]
async fn one_that_is_gone_gets_no_more_and_one_that_is_down_holds_up_no_other() {
    let shop = Shop::new(NoFaults).await;
    let names = ["gone", "down", "fine"];
    let endpoints = names.map(|name| endpoint("shop", name, None)).to_vec();
    shop.endpoints.replace(EndpointFile { endpoints });
    shop.hooks.answers("gone", vec![Ok(410)]);
    shop.hooks.answers("down", vec![Ok(503); 1000]);
    for number in 1..=8 {
        shop.pay(&format!("key-{number}"), &order(number)).await;
    }
    until(&shop, async || {
        let delivered = deliveries(&shop, "state=delivered&limit=100").await.len();
        let pending = deliveries(&shop, "state=pending&limit=100").await;
        delivered == 15 && pending.iter().all(|one| one["cause"].is_string())
    })
    .await;
    // The breaker opens at the fifth failure, and the other notifications wait uncounted.
    let called = shop.hooks.got("down").len();
    assert!((5..8).contains(&called), "{called}");
    let pending = deliveries(&shop, "state=pending&limit=100").await;
    let counted = pending.iter().filter(|one| one["failures"] == 1).count();
    assert_eq!((pending.len(), counted), (8, called));
    let open = |one: &&Value| one["cause"].as_str().unwrap().contains("breaker");
    assert_eq!(pending.iter().filter(open).count(), 8 - called);

    let dead = deliveries(&shop, "state=dead").await;
    assert_eq!((dead.len(), &dead[0]["failures"]), (1, &json!(1)));
    let letters = shop.get("/v1/dead-letters").await.json();
    assert_eq!(letters["data"][0]["kind"], "webhook", "{letters}");
    assert!(letters["data"][0]["payment"].as_str().unwrap().starts_with("pay_"));
    let redrive = request("POST", "/v1/dead-letters/redrive", &shop.key);
    let redriven = shop.send(redrive.body(Body::empty()).unwrap()).await.json();
    assert_eq!(redriven["queued"], 1, "{redriven}");
    until(&shop, async || deliveries(&shop, "state=dead").await.is_empty()).await;
}
