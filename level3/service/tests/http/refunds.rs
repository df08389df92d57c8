//! Refunds in full and in part: their sum, their keys, and what every fault leaves behind.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use futures::future::join_all;
use level3_adapters::sql::{NewRefund, RefundBook as _};
use level3_domain::ids::{PaymentId, PaymentKey};
use level3_domain::journal::Journal as _;
use level3_domain::refund::RefundId;
use level3_sim::{CallSite, Fault, NoFaults, Script};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use crate::shop::{Answer, PATIENCE, Shop, order, refund};

/// Makes a payment of 1050 and returns its name.
async fn paid(shop: &Shop) -> String {
    let paid = shop.pay("key-1", &order(1)).await;
    assert_eq!(paid.status, StatusCode::CREATED, "{paid:?}");
    paid.json()["id"].as_str().unwrap().to_owned()
}

fn part(amount: i64) -> Value {
    json!({ "amount": amount })
}

/// What the customer has paid after refunds.
fn net(shop: &Shop) -> i64 {
    shop.world.intents().iter().map(level3_sim::IntentTruth::net).sum()
}

/// Waits until the refund has an outcome, while the service works on what is open.
async fn outcome(shop: &Shop, place: &str) -> Value {
    let asked = async {
        loop {
            let shown = shop.get(place).await.json();
            if shown["state"] != "processing" {
                return shown;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        shown = timeout(PATIENCE, asked) => shown.expect("an outcome"),
        () = shop.service.follow_refunds() => unreachable!("it never returns"),
    }
}

#[tokio::test]
async fn a_payment_is_refunded_in_parts_and_never_beyond_the_charge() {
    let shop = Shop::new(NoFaults).await;
    let name = paid(&shop).await;
    let first = shop.refund(&name, "r-1", &part(400)).await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    let body = first.json();
    assert_eq!((&body["amount"], &body["currency"]), (&json!(400), &json!("USD")));
    assert_eq!((&body["state"], &body["payment"]), (&json!("succeeded"), &json!(name)));
    assert_eq!(first.header("idempotency-replayed"), "false");
    assert_eq!(net(&shop), 650);
    let again = shop.refund(&name, "r-1", &part(400)).await;
    assert_eq!((again.status, &again.bytes), (first.status, &first.bytes));
    assert_eq!(again.header("idempotency-replayed"), "true");
    for other in [part(401), json!({})] {
        assert_eq!(shop.refund(&name, "r-1", &other).await.problem(), "idempotency-key-reused");
    }
    let too_much = shop.refund(&name, "r-2", &part(651)).await;
    assert_eq!(too_much.problem(), "refund-exceeds-charge");
    assert_eq!(too_much.json()["left"], 650);
    // A key whose request was refused is free.
    let rest = shop.refund(&name, "r-2", &json!({})).await;
    assert_eq!((rest.status, &rest.json()["amount"]), (StatusCode::CREATED, &json!(650)));
    assert_eq!(shop.refund(&name, "r-3", &json!({})).await.json()["left"], 0);
    assert_eq!(net(&shop), 0);

    let listed = shop.get(&format!("/v1/payments/{name}/refunds")).await.json();
    assert_eq!(listed["data"], json!([body, rest.json()]));
    assert_eq!(shop.get(first.header("location")).await.json(), body);
    let shown = shop.get(&format!("/v1/payments/{name}")).await.json();
    assert_eq!((&shown["state"], &shown["refunded"]), (&json!("paid"), &json!(1050)));
    let shop = shop.restarted().await;
    let again = shop.refund(&name, "r-1", &part(400)).await;
    assert_eq!((again.status, &again.bytes), (first.status, &first.bytes));
    assert_eq!(shop.refund(&name, "r-3", &part(1)).await.problem(), "refund-exceeds-charge");
    assert_eq!(shop.world.calls(CallSite::Refund), 2);
}

#[tokio::test]
async fn refunds_at_once_never_exceed_the_charge() {
    let shop = Shop::new(NoFaults).await;
    let name = paid(&shop).await;
    let many = (0..20).map(|number| {
        let (shop, name) = (&shop, &name);
        async move { shop.refund(name, &format!("r-{}", number / 2), &part(250)).await }
    });
    let answers = join_all(many).await;
    // The provider works on one request for a charge at a time, so some have no outcome yet.
    let is_made = |answer: &&Answer| [201, 202].contains(&answer.status.as_u16());
    let made: Vec<_> = answers.iter().filter(is_made).collect();
    // Each key was sent twice, and both requests get the answer.
    assert_eq!(made.len(), 8);
    let refused = answers.iter().filter(|answer| !is_made(answer));
    for refused in refused {
        assert_eq!(refused.problem(), "refund-exceeds-charge");
    }
    for answer in made {
        assert_eq!(outcome(&shop, answer.header("location")).await["state"], "succeeded");
    }
    assert_eq!(net(&shop), 50);
}

#[tokio::test]
async fn every_fault_of_the_provider_ends_in_one_refund() {
    for fault in [
        Fault::FailBefore,
        Fault::LoseReply,
        Fault::Internal { effect: true },
        Fault::Internal { effect: false },
        Fault::RateLimited(Some(Duration::from_millis(1))),
        Fault::Panic,
    ] {
        let shop = Shop::new(Script::new().on(CallSite::Refund, 1, fault)).await;
        let name = paid(&shop).await;
        let answer = shop.refund(&name, "r-1", &part(400)).await;
        let place = match answer.status {
            StatusCode::CREATED | StatusCode::ACCEPTED => answer.header("location").to_owned(),
            _ => panic!("{fault:?}: {answer:?}"),
        };
        let shown = outcome(&shop, &place).await;
        assert_eq!(shown["state"], "succeeded", "{fault:?}");
        assert_eq!(net(&shop), 650, "{fault:?}");
        let again = shop.refund(&name, "r-1", &part(400)).await;
        assert_eq!((again.status, again.json()), (StatusCode::CREATED, shown), "{fault:?}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_provider_is_an_answer_and_takes_nothing() {
    let shop = Shop::new(Script::new().on(CallSite::Refund, 1, Fault::Decline)).await;
    let name = paid(&shop).await;
    let refused = shop.refund(&name, "r-1", &json!({})).await;
    assert_eq!(refused.problem(), "refund-failed", "{refused:?}");
    assert_eq!(refused.json()["payment"], json!(name));
    let again = shop.refund(&name, "r-1", &json!({})).await;
    assert_eq!(again.bytes, refused.bytes);
    assert_eq!(again.header("idempotency-replayed"), "true");
    let listed = shop.get(&format!("/v1/payments/{name}/refunds")).await.json();
    assert_eq!(listed["data"][0]["state"], "failed");
    assert_eq!(shop.refund(&name, "r-2", &json!({})).await.status, StatusCode::CREATED);
    assert_eq!(net(&shop), 0);
}

/// What a process leaves that dies at each point: after the record, and after the provider's effect.
#[tokio::test]
async fn the_next_process_finishes_what_one_has_left() {
    for fault in [None, Some(Fault::SwallowReply), Some(Fault::Hang)] {
        let script = Arc::new(Script::new());
        let shop = Shop::new(Arc::clone(&script)).await;
        let name = paid(&shop).await;
        if let Some(fault) = fault {
            script.add(CallSite::Refund, fault);
            let asked = shop.service.router().oneshot(refund(&shop.key, &name, "r-1", &part(400)));
            // The client disconnects.
            assert!(timeout(Duration::from_millis(100), asked).await.is_err());
        } else {
            let key = PaymentKey::new("shop/r-1").unwrap();
            let id = RefundId::derive(&shop.store.store_id(), &key);
            let payment = PaymentId::try_from(format!("{name}_1")).unwrap();
            let new = NewRefund { refund: id, payment, asked: Some(400) };
            shop.store.begin_refund(new).await.unwrap();
        }
        let before = net(&shop);
        assert_eq!(before, if fault == Some(Fault::SwallowReply) { 650 } else { 1050 });
        script.heal(CallSite::Refund);
        let shop = shop.restarted().await;
        let listed = shop.get(&format!("/v1/payments/{name}/refunds")).await.json();
        let refund = listed["data"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(listed["data"][0]["state"], "processing");
        let shown = outcome(&shop, &format!("/v1/payments/{name}/refunds/{refund}")).await;
        assert_eq!((&shown["state"], net(&shop)), (&json!("succeeded"), 650), "{fault:?}");
        let again = shop.refund(&name, "r-1", &part(400)).await;
        assert_eq!((again.status, again.json()), (StatusCode::CREATED, shown));
    }
}

#[tokio::test]
async fn only_a_paid_payment_of_the_merchant_is_refunded() {
    let shop = Shop::new(Script::new().on(CallSite::Fraud, 2, Fault::Decline)).await;
    let name = paid(&shop).await;
    let declined =
        shop.pay("key-2", &order(2)).await.json()["payment"].as_str().unwrap().to_owned();
    assert_eq!(shop.refund(&declined, "r-1", &part(1)).await.problem(), "payment-not-paid");
    for other in [&name, "pay_00000000000000000000000000000000", "x"] {
        let hidden = shop.refund_as(&shop.other, other, "r-1", &part(1)).await;
        assert_eq!(hidden.problem(), "not-found");
        let listed = shop.get_as(&shop.other, &format!("/v1/payments/{other}/refunds")).await;
        assert_eq!(listed.problem(), "not-found");
    }
    let forbidden = shop.refund_as(&shop.nothing, &name, "r-1", &part(1)).await;
    assert_eq!(forbidden.problem(), "insufficient-scope");
    let unknown = format!("/v1/payments/{name}/refunds/re_00000000000000000000000000000000");
    assert_eq!(shop.get(&unknown).await.problem(), "not-found");
    assert_eq!((net(&shop), shop.world.calls(CallSite::Refund)), (1050, 0));
    // The same key is another refund for another merchant.
    let theirs = shop.pay_as(&shop.other, "key-1", &order(1)).await;
    let theirs = theirs.json()["id"].as_str().unwrap().to_owned();
    let mine = shop.refund(&name, "r-1", &part(5)).await;
    let theirs = shop.refund_as(&shop.other, &theirs, "r-1", &part(5)).await;
    assert_eq!([mine.status, theirs.status], [StatusCode::CREATED; 2]);
    assert_ne!(mine.json()["id"], theirs.json()["id"]);
}
