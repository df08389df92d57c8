//! Finding an intent by our own reference.

use level3_adapters::stripe::{Stripe, StripeConfig};
use level3_domain::provider::{IntentStatus, Operation, PaymentProvider, ProviderError};
use serde_json::{Value, json};
use wiremock::matchers::{method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{
    config, create, error_json, intent_id, intent_json, key, payment, stripe, usd,
};

const INTENTS: &str = "/v1/payment_intents";

async fn get(server: &MockServer, at: &str, answer: ResponseTemplate, times: u64) {
    Mock::given(method("GET"))
        .and(path(at))
        .and(query_param_is_missing("starting_after"))
        .respond_with(answer)
        .expect(times)
        .mount(server)
        .await;
}

fn page(intents: Vec<Value>, has_more: bool) -> ResponseTemplate {
    ResponseTemplate::new(200)
        .set_body_json(json!({ "object": "list", "data": intents, "has_more": has_more }))
}

fn one(intent: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(intent)
}

/// An intent that is in the account for another reason.
fn foreign(id: &str) -> Value {
    let mut intent = intent_json(id, "x", "succeeded");
    intent["metadata"] = json!({ "basket": "7" });
    intent
}

#[tokio::test]
async fn an_intent_that_was_met_is_read_by_its_id() {
    let server = MockServer::start().await;
    let mut refunded = intent_json("pi_1", "a", "succeeded");
    refunded["latest_charge"] = json!({ "id": "ch_1", "refunded": true });
    get(&server, "/v1/payment_intents/pi_1", one(refunded), 2).await;
    get(&server, INTENTS, page(vec![], false), 0).await;
    let made = one(intent_json("pi_1", "a", "requires_confirmation"));
    Mock::given(method("POST")).respond_with(made).mount(&server).await;
    // By making it, and, in another process, by naming it.
    let maker = stripe(&server.uri());
    maker.create_intent(create("a", usd(1999))).await.unwrap();
    let user = stripe(&server.uri());
    let _ = user.confirm(key("a", Operation::Confirm), intent_id("pi_1")).await;
    for stripe in [maker, user] {
        let found = stripe.find_intent(payment("a")).await.unwrap().expect("an intent");
        assert_eq!((found.status, found.refunded), (IntentStatus::Succeeded, true));
    }
}

#[tokio::test]
async fn others_are_looked_for_page_by_page() {
    let server = MockServer::start().await;
    let newest = vec![intent_json("pi_9", "other", "succeeded"), foreign("pi_8")];
    get(&server, INTENTS, page(newest, true), 1).await;
    Mock::given(query_param("starting_after", "pi_8"))
        .and(query_param("limit", "100"))
        .and(query_param("expand[]", "data.latest_charge"))
        .respond_with(page(vec![intent_json("pi_7", "a", "processing")], true))
        .expect(1)
        .mount(&server)
        .await;
    let found = stripe(&server.uri()).find_intent(payment("a")).await.unwrap().expect("an intent");
    assert_eq!((found.id, found.status), (intent_id("pi_7"), IntentStatus::Processing));
}

#[tokio::test]
async fn a_complete_list_without_it_says_that_there_is_none() {
    let server = MockServer::start().await;
    get(&server, INTENTS, page(vec![foreign("pi_8")], false), 1).await;
    assert_eq!(stripe(&server.uri()).find_intent(payment("a")).await, Ok(None));
}

/// A client that looks at one page, at an account that has more.
async fn busy_account(found: Vec<Value>) -> (MockServer, Stripe) {
    let server = MockServer::start().await;
    get(&server, INTENTS, page(vec![foreign("pi_8")], true), 1).await;
    let query = format!("metadata['payment']:'{}'", payment("a"));
    Mock::given(path("/v1/payment_intents/search"))
        .and(query_param("query", query))
        .respond_with(page(found, false))
        .with_priority(1)
        .expect(1)
        .mount(&server)
        .await;
    let config = StripeConfig { find_pages: 1, ..config(&server.uri()) };
    (server, Stripe::new(config).expect("a valid configuration"))
}

#[tokio::test]
async fn beyond_the_list_the_search_knows_the_id_and_not_the_state() {
    // The index is behind: it still says "requires_confirmation".
    let stale = intent_json("pi_1", "a", "requires_confirmation");
    let (server, stripe) = busy_account(vec![stale]).await;
    let fresh = one(intent_json("pi_1", "a", "succeeded"));
    get(&server, "/v1/payment_intents/pi_1", fresh, 1).await;
    let found = stripe.find_intent(payment("a")).await.unwrap().expect("an intent");
    assert_eq!(found.status, IntentStatus::Succeeded);
}

#[tokio::test]
async fn what_neither_knows_may_be_there_all_the_same() {
    let (_server, stripe) = busy_account(vec![]).await;
    assert_eq!(stripe.find_intent(payment("a")).await, Err(ProviderError::InFlight));
}

#[tokio::test]
async fn an_id_that_is_gone_is_looked_for() {
    let server = MockServer::start().await;
    let missing = ResponseTemplate::new(404)
        .set_body_json(error_json("invalid_request_error", "resource_missing"));
    get(&server, "/v1/payment_intents/pi_1", missing, 1).await;
    get(&server, INTENTS, page(vec![], false), 1).await;
    let stripe = stripe(&server.uri());
    let _ = stripe.confirm(key("a", Operation::Confirm), intent_id("pi_1")).await;
    assert_eq!(stripe.find_intent(payment("a")).await, Ok(None));
}

#[tokio::test]
async fn a_search_that_fails_is_no_answer() {
    let server = MockServer::start().await;
    get(&server, INTENTS, ResponseTemplate::new(500), 1).await;
    assert_eq!(stripe(&server.uri()).find_intent(payment("a")).await, Err(ProviderError::Internal));
}
