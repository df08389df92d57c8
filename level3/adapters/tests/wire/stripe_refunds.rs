//! Refunds in part at Stripe: what is sent, and what each answer means.

use level3_adapters::stripe::API_VERSION;
use level3_domain::ids::{CardToken, PaymentKey};
use level3_domain::journal::StoreId;
use level3_domain::provider::ProviderError;
use level3_domain::refund::{Made, MadeRefund, PartRefund, PartRefunds, RefundId, RefundKey};
use serde_json::{Value, json};
use wiremock::matchers::{body_string, header, method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{KEY, error_json, intent_id, payment, stripe, usd};

fn refund() -> RefundId {
    RefundId::derive(&StoreId::unnamed(), &PaymentKey::new("a").expect("a key"))
}

fn part() -> PartRefund {
    PartRefund {
        key: RefundKey { refund: refund(), generation: 2 },
        payment: payment("a"),
        intent: intent_id("pi_1"),
        amount: usd(500),
    }
}

fn refund_json(id: &str, amount: i64, status: &str) -> Value {
    json!({
        "object": "refund", "id": id, "amount": amount, "currency": "usd", "status": status,
        "payment_intent": "pi_1", "charge": "ch_1", "metadata": { "refund": refund().as_str() },
    })
}

async fn answered(status: u16, body: Value) -> Result<MadeRefund, ProviderError> {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(status).set_body_json(body);
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    stripe(&server.uri()).refund_part(part()).await
}

#[tokio::test]
async fn it_sends_amount_key_and_reference() {
    let server = MockServer::start().await;
    let form = format!("payment_intent=pi_1&amount=500&metadata%5Brefund%5D={}", refund());
    let answer = ResponseTemplate::new(200).set_body_json(refund_json("re_1", 500, "succeeded"));
    Mock::given(method("POST"))
        .and(path("/v1/refunds"))
        .and(header("authorization", format!("Bearer {KEY}").as_str()))
        .and(header("stripe-version", API_VERSION))
        .and(header("idempotency-key", format!("{}:2", refund()).as_str()))
        .and(body_string(form))
        .respond_with(answer)
        .expect(1)
        .mount(&server)
        .await;
    let made = MadeRefund {
        provider_id: "re_1".to_owned(),
        refund: Some(refund()),
        amount: usd(500),
        made: Made::Accepted,
    };
    assert_eq!(stripe(&server.uri()).refund_part(part()).await, Ok(made));
}

#[tokio::test]
async fn answers_mean_what_they_say() {
    for (status, made) in [
        ("pending", Made::Accepted),
        ("requires_action", Made::Accepted),
        ("failed", Made::Failed),
        ("canceled", Made::Failed),
    ] {
        let refund = answered(200, refund_json("re_1", 500, status)).await.expect("a refund");
        assert_eq!(refund.made, made, "{status}");
    }
    for odd in [refund_json("re_1", 501, "succeeded"), refund_json("re_1", 500, "sold")] {
        let error = answered(200, odd).await.expect_err("an odd answer");
        assert!(matches!(error, ProviderError::Mismatch { .. }), "{error:?}");
    }
    let too_much = error_json("invalid_request_error", "charge_already_refunded");
    let error = answered(400, too_much).await.expect_err("a refusal");
    assert!(matches!(error, ProviderError::Invalid { .. }), "{error:?}");
    let failed = answered(500, error_json("api_error", "x")).await;
    assert_eq!(failed, Err(ProviderError::Internal));
}

#[tokio::test]
async fn the_list_is_read_to_its_end() {
    let server = MockServer::start().await;
    let page = |refunds: &[Value], more: bool| {
        ResponseTemplate::new(200).set_body_json(json!({ "data": refunds, "has_more": more }))
    };
    let mut foreign = refund_json("re_1", 100, "succeeded");
    foreign["metadata"] = json!({});
    let first = page(&[foreign], true);
    let last = page(&[refund_json("re_2", 500, "succeeded")], false);
    let list = || {
        Mock::given(method("GET"))
            .and(path("/v1/refunds"))
            .and(query_param("payment_intent", "pi_1"))
    };
    let begin = list().and(query_param_is_missing("starting_after")).respond_with(first);
    begin.mount(&server).await;
    list().and(query_param("starting_after", "re_1")).respond_with(last).mount(&server).await;
    let found = stripe(&server.uri()).refunds_of(payment("a"), intent_id("pi_1")).await;
    let names: Vec<_> = found.expect("a list").into_iter().map(|one| one.refund).collect();
    assert_eq!(names, [None, Some(refund())]);
}

/// At a Stripe that is not ours: a repeat makes no second refund, the provider refuses more than the
/// charge, and the list finds each refund by its name.
#[tokio::test]
async fn parts_at_an_independent_stripe_add_up() {
    use crate::stripe_gateway::Account;
    use level3_domain::provider::{CreateIntent, Operation, PaymentProvider as _, ProviderKey};

    let Some(account) = Account::emulated("refunds").await else { return };
    let stripe = account.stripe();
    let key = |operation| ProviderKey::new(payment("a"), operation);
    let create = CreateIntent {
        key: key(Operation::CreateIntent),
        payment: payment("a"),
        amount: usd(1999),
        card: CardToken::new(account.card("tok_visa").await).expect("a token"),
    };
    let intent = stripe.create_intent(create).await.expect("an intent").id;
    stripe.confirm(key(Operation::Confirm), intent.clone()).await.expect("a charge");
    let named = |name: &str, minor| {
        let refund = RefundId::derive(&StoreId::unnamed(), &PaymentKey::new(name).expect("a key"));
        let key = RefundKey { refund, generation: 0 };
        PartRefund { key, payment: payment("a"), intent: intent.clone(), amount: usd(minor) }
    };
    let first = stripe.refund_part(named("one", 500)).await.expect("a refund");
    assert_eq!(stripe.refund_part(named("one", 500)).await, Ok(first.clone()));
    let too_much = stripe.refund_part(named("two", 1500)).await.expect_err("more than is left");
    assert!(matches!(too_much, ProviderError::Invalid { .. }), "{too_much:?}");
    stripe.refund_part(named("three", 1499)).await.expect("the rest");
    let found = stripe.refunds_of(payment("a"), intent).await.expect("a list");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.contains(&first));
    assert_eq!(found.iter().map(|one| one.amount.minor()).sum::<i64>(), 1999);
}
