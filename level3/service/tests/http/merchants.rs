//! One merchant sees nothing of another.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::StatusCode;
use level3_sim::NoFaults;

use crate::shop::{Shop, order};

#[tokio::test]
async fn merchants_share_neither_keys_nor_payments() {
    let shop = Shop::new(NoFaults).await;
    let mine = shop.pay("key-1", &order(1)).await;
    // The same key is another payment, with whatever body.
    let theirs = shop.pay_as(&shop.other, "key-1", &order(2)).await;
    assert_eq!([mine.status, theirs.status], [StatusCode::CREATED; 2]);
    assert_ne!(mine.json()["id"], theirs.json()["id"]);
    assert_eq!(theirs.header("idempotency-replayed"), "false");
    assert_eq!(shop.charges(), 2);

    let place = mine.header("location");
    assert_eq!(shop.get(place).await.status, StatusCode::OK);
    let hidden = shop.get_as(&shop.other, place).await;
    let unknown =
        shop.get_as(&shop.other, "/v1/payments/pay_00000000000000000000000000000000").await;
    assert_eq!(hidden.problem(), "not-found");
    assert_eq!(hidden.bytes, unknown.bytes, "the answer does not tell the two apart");

    let orders = async |key, query: &str| {
        let page = shop.get_as(key, &format!("/v1/payments{query}")).await.json();
        let data = page["data"].as_array().unwrap().clone();
        data.iter().map(|one| one["order"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(orders(&shop.key, "").await, ["order-1"]);
    assert_eq!(orders(&shop.other, "").await, ["order-2"]);
    // Another merchant's payment is no place to go on from.
    let after = format!("?after={}", theirs.json()["id"].as_str().unwrap());
    assert!(orders(&shop.key, &after).await.is_empty());
}

#[tokio::test]
async fn a_key_does_only_what_its_scopes_allow() {
    let shop = Shop::new(NoFaults).await;
    assert_eq!(
        shop.pay_as(&shop.nothing, "key-1", &order(1)).await.problem(),
        "insufficient-scope"
    );
    for path in ["/v1/payments", "/v1/dead-letters", "/metrics"] {
        let answer = shop.get_as(&shop.nothing, path).await;
        assert_eq!(answer.problem(), "insufficient-scope", "{path}");
    }
    assert_eq!(shop.world.all_calls(), 0);
}

#[tokio::test]
async fn a_merchant_that_sends_too_much_is_told_when_to_come_back() {
    let shop = Shop::new(NoFaults).await;
    shop.limit("shop", NonZeroU32::MIN);
    // Nothing below reaches the store before the clock goes on, so the clock may stand still: on a busy
    // machine a second could pass between two requests.
    tokio::time::pause();
    // Any request counts, also one that its scopes do not allow.
    let first = shop.get_as(&shop.nothing, "/metrics").await;
    assert_eq!(first.problem(), "insufficient-scope");
    let refused = shop.pay("key-1", &order(1)).await;
    assert_eq!(refused.problem(), "rate-limited");
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.header("retry-after"), "1");
    // Another merchant, and requests that need no key, are not affected.
    assert_eq!(shop.get_as(&shop.other, "/v1/payments?page=2").await.problem(), "invalid-request");
    assert_eq!(shop.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(shop.world.all_calls(), 0);
    // The wait that the answer names is enough.
    tokio::time::sleep(Duration::from_secs(1)).await;
    tokio::time::resume();
    assert_eq!(shop.pay("key-1", &order(1)).await.status, StatusCode::CREATED);
}
