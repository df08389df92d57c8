//! What operators and their tools see.

use std::io::Read as _;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use level3_adapters::sql::Store as _;
use level3_domain::ids::PaymentId;
use level3_sim::{CallSite, Fault, NoFaults, Script};
use serde_json::json;

use crate::shop::{PATIENCE, Shop, order, request};

#[tokio::test]
async fn a_request_has_a_name() {
    let shop = Shop::new(NoFaults).await;
    let named = |name: &str| {
        Request::builder().uri("/healthz").header("x-request-id", name).body(Body::empty()).unwrap()
    };
    assert_eq!(shop.send(named("checkout-7")).await.header("x-request-id"), "checkout-7");
    let made = shop.send(named("4242424242424242")).await;
    assert_eq!(made.header("x-request-id").len(), 24);
    assert_ne!(made.header("x-request-id"), shop.get("/healthz").await.header("x-request-id"));
}

#[tokio::test]
async fn answers_are_compressed_for_those_that_ask() {
    let shop = Shop::new(NoFaults).await;
    let ask = Request::builder().uri("/openapi.json").header("accept-encoding", "gzip");
    let packed = shop.send(ask.body(Body::empty()).unwrap()).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed.bytes[..]).read_to_string(&mut text).unwrap();
    let plain = shop.get("/openapi.json").await;
    assert_eq!(text.as_bytes(), &plain.bytes[..]);
    assert!(packed.bytes.len() < plain.bytes.len() / 3);
}

#[tokio::test]
async fn no_page_of_another_origin_may_read_an_answer() {
    let shop = Shop::new(NoFaults).await;
    let asked = request("GET", "/v1/payments", &shop.key).header("origin", "https://example.com");
    let answer = shop.send(asked.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK);
    let cors = answer.headers.keys().any(|name| name.as_str().starts_with("access-control"));
    assert!(!cors, "{answer:?}");
    let asked = Request::builder().method("OPTIONS").uri("/v1/payments");
    let asked = asked.header("origin", "https://example.com").body(Body::empty()).unwrap();
    assert_eq!(shop.send(asked).await.problem(), "method-not-allowed");
}

#[tokio::test]
async fn figures_follow_what_happens() {
    let shop = Shop::new(Script::new().on(CallSite::Confirm, 1, Fault::FailBefore)).await;
    assert_eq!(shop.pay("key-1", &order(1)).await.status, StatusCode::CREATED);
    assert_eq!(shop.pay("key-1", &order(2)).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let answer = shop.get("/metrics").await;
    let text = String::from_utf8(answer.bytes.to_vec()).unwrap();
    for line in [
        "payment_gateway_http_requests_total{method=\"POST\",route=\"/v1/payments\",status=\"201\"} 1",
        "payment_gateway_problems_total{problem=\"idempotency-key-reused\"} 1",
        "payment_gateway_payments_total{outcome=\"paid\"} 1",
        "payment_gateway_steps_total{step=\"confirm\"} 1",
        "payment_gateway_step_attempts_total{step=\"confirm\"} 2",
        "payment_gateway_step_duration_seconds_count{step=\"confirm\"} 1",
        "payment_gateway_breaker_state{service=\"payments\",state=\"closed\"} 1",
        "payment_gateway_breaker_state{service=\"payments\",state=\"open\"} 0",
        "payment_gateway_open_sagas 0",
        "payment_gateway_dead_letters 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("pay_"), "a name of a payment is no label: {text}");
}

#[tokio::test]
async fn a_receipt_that_cannot_be_sent_is_listed_and_redriven() {
    let lost = |script: Script, nth| script.on(CallSite::Receipt, nth, Fault::FailBefore);
    let shop = Shop::new((1..=3).fold(Script::new(), lost)).await;
    let paid = shop.pay("key-1", &order(1)).await;
    assert_eq!(paid.status, StatusCode::CREATED);
    let name = paid.json()["id"].as_str().unwrap().to_owned();
    // The receipt becomes a dead letter after its last attempt.
    let given_up = async {
        let line = "payment_gateway_receipts_total{outcome=\"parked\"} 1";
        while !String::from_utf8_lossy(&shop.get("/metrics").await.bytes).contains(line) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, given_up).await.unwrap();
    // The program notes it in the store.
    let run = PaymentId::try_from(format!("{name}_1")).unwrap();
    shop.store.receipt_failed(run, "no route".to_owned()).await.unwrap();
    let letters = shop.get("/v1/dead-letters").await.json();
    assert_eq!(letters["data"][0]["payment"], json!(name), "{letters:#}");
    assert_eq!(letters["data"][0]["kind"], "receipt");
    let redrive = request("POST", "/v1/dead-letters/redrive", &shop.key).body(Body::empty());
    let answer = shop.send(redrive.unwrap()).await;
    assert_eq!(answer.json(), json!({ "delivered": 1, "failed": 0, "queued": 0 }));
    assert_eq!(shop.get("/v1/dead-letters").await.json()["data"], json!([]));
    assert_eq!(shop.world.mails().len(), 1);
}
