//! Requests that are refused, each with its problem.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures::future::join_all;
use gateway_service::ServiceConfig;
use level3::gateway::GatewayConfig;
use level3_adapters::sql::Store as _;
use level3_sim::{CallSite, Fault, NoFaults, Script};
use serde_json::json;

use crate::shop::{PATIENCE, Shop, order, payment, request};

#[tokio::test]
async fn a_request_that_is_wrong_costs_nothing() {
    let shop = Shop::new(NoFaults).await;
    let post = || request("POST", "/v1/payments", &shop.key);
    let json_body = |body: &str| Body::from(body.to_owned());
    let body = order(1).to_string();
    let with_key = || post().header("idempotency-key", "k");
    let json_type = "application/json";
    let stranger = Request::builder().method("POST").uri("/v1/payments");
    let huge = format!("{body}{}", " ".repeat(20_000));
    for (request, problem) in [
        (stranger.body(json_body(&body)), "unauthorized"),
        (
            post().header("content-type", json_type).body(json_body(&body)),
            "idempotency-key-missing",
        ),
        (with_key().header("idempotency-key", "k2").body(json_body(&body)), "invalid-request"),
        (with_key().body(json_body(&body)), "unsupported-media-type"),
        (
            with_key().header("content-type", "text/plain").body(json_body(&body)),
            "unsupported-media-type",
        ),
        (with_key().header("content-type", json_type).body(json_body("{")), "invalid-request"),
        (with_key().header("content-type", json_type).body(json_body(&huge)), "body-too-large"),
        (
            post()
                .header("idempotency-key", "4242424242424242")
                .header("content-type", json_type)
                .body(json_body(&body)),
            "invalid-request",
        ),
        (request("GET", "/v1/payments/pay_1", &shop.key).body(Body::empty()), "not-found"),
        (request("GET", "/v2/payments", &shop.key).body(Body::empty()), "not-found"),
        (request("GET", "/v1/payments?page=2", &shop.key).body(Body::empty()), "invalid-request"),
        (request("DELETE", "/v1/payments", &shop.key).body(Body::empty()), "method-not-allowed"),
    ] {
        let answer = shop.send(request.unwrap()).await;
        assert_eq!(answer.problem(), problem, "{answer:?}");
    }
    assert_eq!(shop.world.all_calls(), 0);
    assert_eq!(shop.store.counts().await.unwrap(), Default::default());
}

#[tokio::test]
async fn a_refused_method_names_those_that_are_there() {
    let shop = Shop::new(NoFaults).await;
    let delete = request("DELETE", "/v1/payments", &shop.key).body(Body::empty()).unwrap();
    let answer = shop.send(delete).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    let allow = answer.header("allow");
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
}

#[tokio::test]
async fn more_than_can_be_paid_is_refused_with_a_time() {
    let config = GatewayConfig { max_in_flight: 2, ..GatewayConfig::default() };
    // The two that are admitted get no answer at first: they do not end before the others have asked.
    let hangs = |script: Script, nth| script.on(CallSite::Create, nth, Fault::Hang);
    let script = [1, 2].into_iter().fold(Script::new(), hangs);
    let shop = Shop::with(script, config, ServiceConfig::default()).await;
    let (keys, body) = ((0..20).map(|number| format!("key-{number}")), order(1));
    let keys: Vec<_> = keys.collect();
    let answers = join_all(keys.iter().map(|key| shop.pay(key, &body))).await;
    let refused: Vec<_> =
        answers.iter().filter(|answer| answer.status != StatusCode::CREATED).collect();
    assert!((1..20).contains(&refused.len()), "{} of 20 were refused", refused.len());
    for answer in refused {
        assert_eq!(answer.problem(), "overloaded");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    // A refused payment was not accepted, so it is in no list.
    let listed = shop.get("/v1/payments").await.json()["data"].as_array().unwrap().len();
    assert_eq!(u32::try_from(listed).unwrap(), shop.charges());
}

#[tokio::test]
async fn an_outage_is_reported_with_a_time() {
    let shop = Shop::new(Script::new().always(CallSite::Fraud, Fault::FailBefore)).await;
    let mut last = shop.pay("key-0", &order(0)).await;
    for number in 1..10 {
        if last.status == StatusCode::SERVICE_UNAVAILABLE {
            break;
        }
        last = shop.pay(&format!("key-{number}"), &order(number)).await;
    }
    assert_eq!(last.problem(), "dependency-unavailable");
    assert!(last.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(shop.charges(), 0);
}

#[tokio::test]
async fn a_store_that_cannot_be_used_takes_no_payment() {
    let shop = Shop::new(NoFaults).await;
    shop.store.clone().close().await;
    let answer = shop.pay("key-1", &order(1)).await;
    assert_eq!(answer.problem(), "store-unavailable");
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(shop.get("/v1/payments").await.problem(), "store-unavailable");
    assert_eq!(shop.world.all_calls(), 0);
    let ready = shop.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json()["store"], "down");
    assert_eq!(shop.get("/healthz").await.status, StatusCode::OK, "a restart repairs no store");
    // The figures of the process are still there.
    assert_eq!(shop.get("/metrics").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_and_its_payment_goes_on() {
    let config =
        ServiceConfig { request_timeout: Duration::from_millis(8), ..ServiceConfig::default() };
    let shop = Shop::with(NoFaults, GatewayConfig::default(), config).await;
    let answer = shop.pay("key-1", &order(1)).await;
    assert_eq!(answer.problem(), "request-timeout");
    // Its saga is open, or was not begun yet: then a repeat begins it.
    let charged = async {
        while shop.charges() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let _ = shop.pay("key-1", &order(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, charged).await.expect("a charge");
    shop.settled().await;
    assert_eq!(shop.charges(), 1);
}

#[tokio::test]
async fn a_drain_ends_payments_and_refuses_new_ones() {
    // The first request to confirm is lost, so that the payment does not end before the drain begins.
    let lost = Script::new().on(CallSite::Confirm, 1, Fault::Hang);
    let shop = Arc::new(Shop::new(lost).await);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let service = shop.service.clone();
    let serving = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        service.serve(listener, None, stopped).await
    });
    assert_eq!(shop.get("/readyz").await.json()["ready"], json!(true));
    let paying = {
        let shop = Arc::clone(&shop);
        tokio::spawn(async move { shop.pay("key-1", &order(1)).await })
    };
    let begun = async {
        while shop.store.counts().await.unwrap().open == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.expect("a payment under way");
    stop.send(()).unwrap();
    while shop.get("/readyz").await.json()["draining"] == json!(false) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let refused = shop.send(payment(&shop.key, "key-2", &order(2))).await;
    assert_eq!(refused.problem(), "shutting-down");
    assert_eq!(refused.header("retry-after"), "5");
    let paid = paying.await.unwrap();
    assert_eq!(paid.status, StatusCode::CREATED, "{paid:?}");
    assert_eq!(serving.await.unwrap().under_way, 0);
    let again = shop.pay("key-1", &order(1)).await;
    assert_eq!(again.bytes, paid.bytes, "a repeat is answered while the gateway is closed");
    assert_eq!(shop.charges(), 1);
}
