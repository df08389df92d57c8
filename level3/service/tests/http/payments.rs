//! Payments that are made, repeated, shown and listed.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use futures::future::join_all;
use level3_sim::{CallSite, Fault, NoFaults, Script};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::shop::{Answer, Shop, order, payment};

#[tokio::test]
async fn a_payment_is_made_once_however_often_it_is_asked_for() {
    let shop = Shop::new(NoFaults).await;
    let first = shop.pay("key-1", &order(1)).await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    assert_eq!(first.header("idempotency-replayed"), "false");
    let body = first.json();
    assert_eq!((&body["state"], &body["amount"]), (&json!("paid"), &json!(1050)));
    let again = shop.pay("key-1", &order(1)).await;
    assert_eq!((again.status, &again.bytes), (first.status, &first.bytes));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(shop.charges(), 1);

    let reused = shop.pay("key-1", &order(2)).await;
    assert_eq!(reused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(reused.problem(), "idempotency-key-reused");
    assert_eq!(shop.charges(), 1);

    // The next process gives the same bytes.
    let shop = shop.restarted().await;
    let again = shop.pay("key-1", &order(1)).await;
    assert_eq!((again.status, &again.bytes), (first.status, &first.bytes));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(shop.pay("key-1", &order(2)).await.problem(), "idempotency-key-reused");
    assert_eq!(shop.charges(), 1);
}

#[tokio::test]
async fn requests_with_one_key_at_once_join() {
    let shop = Shop::new(NoFaults).await;
    let body = order(1);
    let answers = join_all((0..20).map(|_| shop.pay("key-1", &body))).await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.bytes), (StatusCode::CREATED, &answers[0].bytes));
    }
    assert_eq!(shop.charges(), 1);
}

#[tokio::test]
async fn a_payment_is_shown_with_its_steps() {
    let shop = Shop::new(NoFaults).await;
    let paid = shop.pay("key-1", &order(1)).await;
    let shown = shop.get(paid.header("location")).await;
    assert_eq!(shown.status, StatusCode::OK);
    let body = shown.json();
    for name in ["id", "order", "amount", "currency", "state", "transaction", "intent"] {
        assert_eq!(body[name], paid.json()[name], "{name}");
    }
    assert_eq!(body["idempotency_key"], "key-1");
    let steps = body["runs"][0]["steps"].as_array().unwrap();
    let names: Vec<_> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, ["create", "fraud", "confirm", "save"]);
    assert!(steps.iter().all(|step| step["state"] == "done" && step["ended_at"].is_string()));
    assert!(body["created_at"].as_str().unwrap() <= body["updated_at"].as_str().unwrap());
    let text = String::from_utf8_lossy(&shown.bytes).into_owned();
    assert!(!text.contains("ann@example.com") && !text.contains("pm_card"), "{text}");
}

#[tokio::test]
async fn lists_have_pages_and_filters() {
    let shop = Shop::new(Script::new().on(CallSite::Fraud, 3, Fault::Decline)).await;
    for number in 1..=5 {
        let answer = shop.pay(&format!("key-{number}"), &order(number)).await;
        let expected = if number == 3 { StatusCode::PAYMENT_REQUIRED } else { StatusCode::CREATED };
        assert_eq!(answer.status, expected, "{answer:?}");
    }
    shop.settled().await;
    let list = async |query: &str| {
        let page = shop.get(&format!("/v1/payments?{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        let page = page.json();
        let orders = page["data"].as_array().unwrap().iter();
        let orders: Vec<_> = orders.map(|one| one["order"].as_str().unwrap().to_owned()).collect();
        (orders, page["next"].clone())
    };
    let names = |numbers: &[u32]| -> Vec<String> {
        numbers.iter().map(|number| format!("order-{number}")).collect()
    };
    assert_eq!(list("").await, (names(&[5, 4, 3, 2, 1]), Value::Null));
    let (first, next) = list("limit=2").await;
    assert_eq!(first, names(&[5, 4]));
    let (second, next) = list(&format!("limit=2&after={}", next.as_str().unwrap())).await;
    assert_eq!(second, names(&[3, 2]));
    // A payment that arrives between two pages moves no other.
    shop.pay("key-6", &order(6)).await;
    let last = list(&format!("limit=2&after={}", next.as_str().unwrap())).await;
    assert_eq!(last, (names(&[1]), Value::Null));
    assert_eq!(list("state=declined").await, (names(&[3]), Value::Null));
    let (paid, next) = list("state=paid&limit=4").await;
    assert_eq!(paid, names(&[6, 5, 4, 2]));
    assert!(next.is_string());
    assert_eq!(list("limit=5&state=paid").await, (names(&[6, 5, 4, 2, 1]), Value::Null));
    let at = shop.get("/v1/payments?limit=1").await.json()["data"][0]["created_at"].clone();
    let at = at.as_str().unwrap().replace('+', "%2B");
    assert!(list(&format!("created_from={at}")).await.0.contains(&"order-6".to_owned()));
    assert!(!list(&format!("created_to={at}")).await.0.contains(&"order-6".to_owned()));
}

#[tokio::test]
async fn a_client_that_goes_away_stops_nothing() {
    let shop = Shop::new(NoFaults).await;
    let asked = shop.service.router().oneshot(payment(&shop.key, "key-1", &order(1)));
    let gone = tokio::time::timeout(Duration::from_millis(8), asked).await;
    assert!(gone.is_err(), "the payment takes longer");
    let again = shop.pay("key-1", &order(1)).await;
    assert_eq!(again.status, StatusCode::CREATED, "{again:?}");
    assert_eq!(shop.charges(), 1);
}

#[tokio::test]
async fn a_failed_payment_is_tried_again_under_its_key() {
    let script = Arc::new(Script::new().always(CallSite::Fraud, Fault::FailBefore));
    let shop = Shop::new(Arc::clone(&script)).await;
    let failed = shop.pay("key-1", &order(1)).await;
    assert_eq!(failed.status, StatusCode::BAD_GATEWAY, "{failed:?}");
    assert_eq!(failed.problem(), "payment-failed");
    assert_eq!(failed.json()["step"], "fraud");
    let name = failed.json()["payment"].as_str().unwrap().to_owned();
    let shown = shop.get(&format!("/v1/payments/{name}")).await.json();
    assert_eq!((&shown["state"], &shown["failure"]["retryable"]), (&json!("failed"), &json!(true)));
    script.heal(CallSite::Fraud);
    let paid = shop.pay("key-1", &order(1)).await;
    assert_eq!(paid.status, StatusCode::CREATED, "{paid:?}");
    assert_eq!(paid.json()["id"], json!(name), "the payment keeps its name");
    let shown = shop.get(&format!("/v1/payments/{name}")).await.json();
    assert_eq!(shown["state"], "paid");
    assert_eq!(shown["runs"].as_array().unwrap().len(), 2);
    let listed = shop.get("/v1/payments").await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "{listed:#}");
    assert_eq!(shop.charges(), 1);
}

#[tokio::test]
async fn a_decline_is_an_answer_and_stays() {
    let shop = Shop::new(Script::new().on(CallSite::Fraud, 1, Fault::Decline)).await;
    let declined = shop.pay("key-1", &order(1)).await;
    assert_eq!(declined.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(declined.problem(), "declined");
    let again: Answer = shop.pay("key-1", &order(1)).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!((again.status, again.bytes), (declined.status, declined.bytes));
    assert_eq!(shop.charges(), 0);
}
