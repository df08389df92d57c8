//! What Stripe is sent, and what is made of each of its answers.

use std::time::Duration;

use level3_adapters::stripe::API_VERSION;
use level3_domain::money::Money;
use level3_domain::provider::{
    Effect, Intent, IntentStatus, Operation, PaymentProvider, ProviderError, Refund,
};
use serde_json::{Value, json};
use wiremock::matchers::{
    body_string, body_string_contains, header, header_exists, method, path, query_param,
};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{KEY, create, error_json, intent_id, intent_json, key, payment, stripe, usd};

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

/// What a confirmation comes to that is answered like this.
async fn confirmed(answer: ResponseTemplate) -> Result<Intent, ProviderError> {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    let (key, intent) = (key("a", Operation::Confirm), intent_id("pi_1"));
    stripe(&server.uri()).confirm(key, intent).await
}

async fn refused(status: u16, class: &str, code: &str) -> ProviderError {
    let answer = ResponseTemplate::new(status).set_body_json(error_json(class, code));
    confirmed(answer).await.expect_err("a refusal")
}

#[tokio::test]
async fn create_sends_what_stripe_needs() {
    let server = MockServer::start().await;
    let form = format!(
        "amount=1999&currency=usd&payment_method=pm_card_visa&payment_method_types%5B%5D=card\
         &metadata%5Bpayment%5D={}",
        payment("a")
    );
    Mock::given(method("POST"))
        .and(path("/v1/payment_intents"))
        .and(header("authorization", format!("Bearer {KEY}").as_str()))
        .and(header("stripe-version", API_VERSION))
        .and(header("idempotency-key", format!("{}:create:0", payment("a")).as_str()))
        .and(header("content-type", "application/x-www-form-urlencoded"))
        .and(body_string(form))
        .respond_with(ok(intent_json("pi_1", "a", "requires_confirmation")))
        .expect(1)
        .mount(&server)
        .await;
    let made = stripe(&server.uri()).create_intent(create("a", usd(1999))).await;
    let expected = Intent {
        id: intent_id("pi_1"),
        payment: payment("a"),
        amount: usd(1999),
        status: IntentStatus::RequiresConfirmation,
        refunded: false,
    };
    assert_eq!(made, Ok(expected));
}

#[tokio::test]
async fn every_write_has_its_key() {
    let server = MockServer::start().await;
    let on = |verb: &str, operation: &str, body: Value| {
        Mock::given(method("POST"))
            .and(path(verb))
            .and(header("idempotency-key", format!("{}:{operation}:0", payment("a")).as_str()))
            .and(header("stripe-version", API_VERSION))
            .respond_with(ok(body))
            .expect(1)
    };
    let succeeded = intent_json("pi_1", "a", "succeeded");
    on("/v1/payment_intents/pi_1/confirm", "confirm", succeeded).mount(&server).await;
    let canceled = intent_json("pi_1", "a", "canceled");
    on("/v1/payment_intents/pi_1/cancel", "cancel", canceled).mount(&server).await;
    let refund = json!({
        "id": "re_1", "amount": 1999, "currency": "usd", "payment_intent": "pi_1",
        "status": "succeeded",
    });
    on("/v1/refunds", "refund", refund).mount(&server).await;
    let (stripe, id) = (stripe(&server.uri()), intent_id("pi_1"));
    let confirmed = stripe.confirm(key("a", Operation::Confirm), id.clone()).await;
    assert_eq!(confirmed.map(|intent| intent.status), Ok(IntentStatus::Succeeded));
    let canceled = stripe.cancel(key("a", Operation::Cancel), id.clone()).await;
    assert_eq!(canceled.map(|intent| intent.status), Ok(IntentStatus::Canceled));
    let refunded = stripe.refund(key("a", Operation::Refund), id.clone()).await;
    assert_eq!(refunded, Ok(Refund { intent: id, amount: usd(1999) }));
}

#[tokio::test]
async fn a_read_has_no_key() {
    let server = MockServer::start().await;
    let page = json!({ "data": [], "has_more": false });
    Mock::given(method("GET")).respond_with(ok(page)).expect(1).mount(&server).await;
    Mock::given(header_exists("idempotency-key"))
        .respond_with(ResponseTemplate::new(500))
        .with_priority(1)
        .expect(0)
        .mount(&server)
        .await;
    assert_eq!(stripe(&server.uri()).find_intent(payment("a")).await, Ok(None));
}

#[tokio::test]
async fn only_succeeded_is_paid() {
    for (name, status) in [
        ("succeeded", IntentStatus::Succeeded),
        ("requires_action", IntentStatus::RequiresAction),
        ("requires_payment_method", IntentStatus::RequiresAction),
        ("requires_capture", IntentStatus::RequiresAction),
        ("processing", IntentStatus::Processing),
        ("requires_confirmation", IntentStatus::RequiresConfirmation),
        ("canceled", IntentStatus::Canceled),
    ] {
        let answer = confirmed(ok(intent_json("pi_1", "a", name))).await;
        assert_eq!(answer.map(|intent| intent.status), Ok(status), "{name}");
    }
    let unknown = confirmed(ok(intent_json("pi_1", "a", "halfway"))).await.unwrap_err();
    assert!(matches!(unknown, ProviderError::Mismatch { .. }), "{unknown:?}");
}

#[tokio::test]
async fn a_decline_has_the_banks_code() {
    let mut body = error_json("card_error", "card_declined");
    body["error"]["decline_code"] = json!("insufficient_funds");
    let declined = confirmed(ResponseTemplate::new(402).set_body_json(body)).await;
    assert_eq!(declined, Err(ProviderError::Declined { code: "insufficient_funds".to_owned() }));
    let declined = refused(402, "card_error", "expired_card").await;
    assert_eq!(declined, ProviderError::Declined { code: "expired_card".to_owned() });
}

#[tokio::test]
async fn a_wrong_state_says_which() {
    let mut body = error_json("invalid_request_error", "payment_intent_unexpected_state");
    body["error"]["payment_intent"] = intent_json("pi_1", "a", "succeeded");
    let answer = ResponseTemplate::new(400).set_body_json(body);
    let error = confirmed(answer).await.unwrap_err();
    assert_eq!(error, ProviderError::WrongState { status: IntentStatus::Succeeded });
}

#[tokio::test]
async fn each_class_of_error() {
    let idempotency = refused(400, "idempotency_error", "").await;
    assert_eq!(idempotency, ProviderError::KeyReused);
    let running = refused(409, "idempotency_error", "idempotency_key_in_use").await;
    assert_eq!(running, ProviderError::InFlight);
    assert_eq!(refused(429, "api_error", "lock_timeout").await, ProviderError::InFlight);
    assert_eq!(refused(500, "api_error", "").await, ProviderError::Internal);
    assert_eq!(refused(503, "api_error", "").await, ProviderError::ConnectionLost);
    for status in [401, 403] {
        let error = refused(status, "invalid_request_error", "").await;
        assert_eq!((error.effect(), error.is_transient()), (Effect::None, true), "{status}");
        assert_eq!(error, ProviderError::Unavailable, "{status}");
    }
    let missing = refused(404, "invalid_request_error", "resource_missing").await;
    let message = "404 invalid_request_error: resource_missing".to_owned();
    assert_eq!(missing, ProviderError::Invalid { message });
}

#[tokio::test]
async fn an_intent_that_does_not_fit() {
    let mut other = intent_json("pi_1", "a", "succeeded");
    other["metadata"] = json!({});
    let mut odd = intent_json("pi_1", "a", "succeeded");
    odd["currency"] = json!("zzz");
    for body in [other, odd] {
        let error = confirmed(ok(body)).await.unwrap_err();
        assert!(matches!(error, ProviderError::Mismatch { .. }), "{error:?}");
        assert_eq!(error.effect(), Effect::Unknown);
    }
}

#[tokio::test]
async fn what_is_no_answer_of_stripes_says_nothing_about_the_effect() {
    let page = ResponseTemplate::new(403).set_body_string("<html>Access denied</html>");
    let redirect = ResponseTemplate::new(307).insert_header("location", "/v1/elsewhere");
    let garbage = ResponseTemplate::new(200).set_body_string("<html>Log in</html>");
    let error_in_200 = ok(error_json("api_error", ""));
    for answer in [page, redirect, garbage, error_in_200, ResponseTemplate::new(200)] {
        assert_eq!(confirmed(answer).await, Err(ProviderError::ConnectionLost));
    }
    // Not even Stripe's own form is needed to say these two.
    let busy = confirmed(ResponseTemplate::new(429)).await;
    assert_eq!(busy, Err(ProviderError::RateLimited { retry_after: None }));
    let broken = confirmed(ResponseTemplate::new(500)).await;
    assert_eq!(broken, Err(ProviderError::Internal));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ok(intent_json("pi_1", "a", "succeeded")))
        .expect(0)
        .mount(&elsewhere)
        .await;
    for status in [301, 302, 303, 307, 308] {
        let moved = ResponseTemplate::new(status).insert_header("location", elsewhere.uri());
        assert_eq!(confirmed(moved).await, Err(ProviderError::ConnectionLost), "{status}");
    }
}

#[tokio::test]
async fn retry_after_holds_back_every_call() {
    let server = MockServer::start().await;
    let busy = ResponseTemplate::new(429)
        .insert_header("retry-after", "7")
        .set_body_json(error_json("api_error", "rate_limit"));
    Mock::given(method("POST")).respond_with(busy).expect(1).mount(&server).await;
    let (stripe, id) = (stripe(&server.uri()), intent_id("pi_1"));
    let first = stripe.confirm(key("a", Operation::Confirm), id.clone()).await;
    let told = Duration::from_secs(7);
    assert_eq!(first, Err(ProviderError::RateLimited { retry_after: Some(told) }));
    // Not sent: the server expects one request.
    let second = stripe.refund(key("b", Operation::Refund), id).await.unwrap_err();
    let ProviderError::RateLimited { retry_after: Some(left) } = second else {
        panic!("{second:?}")
    };
    assert!(left <= told && left > Duration::ZERO, "{left:?}");
}

#[tokio::test]
async fn retry_after_is_obeyed_after_a_503_as_well() {
    let server = MockServer::start().await;
    let down = ResponseTemplate::new(503).insert_header("retry-after", "1000000");
    Mock::given(method("POST")).respond_with(down).expect(1).mount(&server).await;
    let (stripe, id) = (stripe(&server.uri()), intent_id("pi_1"));
    let first = stripe.confirm(key("a", Operation::Confirm), id.clone()).await;
    assert_eq!(first, Err(ProviderError::ConnectionLost), "its effect is unknown");
    let second = stripe.confirm(key("a", Operation::Confirm), id).await.unwrap_err();
    let ProviderError::RateLimited { retry_after: Some(left) } = second else {
        panic!("{second:?}")
    };
    assert!(left <= Duration::from_secs(60), "no more than a minute: {left:?}");
}

#[tokio::test]
async fn a_retry_after_that_is_not_understood_is_ignored() {
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "soon");
    let limited = confirmed(busy).await;
    assert_eq!(limited, Err(ProviderError::RateLimited { retry_after: None }));
    let no_hurry = ResponseTemplate::new(429).insert_header("stripe-should-retry", "false");
    let second = Some(Duration::from_secs(1));
    assert_eq!(confirmed(no_hurry).await, Err(ProviderError::RateLimited { retry_after: second }));
}

#[tokio::test]
async fn stripe_should_retry_is_obeyed() {
    let with = |status: u16, advice: &str| {
        ResponseTemplate::new(status)
            .insert_header("stripe-should-retry", advice)
            .set_body_json(error_json("api_error", ""))
    };
    // The key is worth another attempt, or burnt.
    assert_eq!(confirmed(with(500, "true")).await, Err(ProviderError::ConnectionLost));
    assert_eq!(confirmed(with(500, "false")).await, Err(ProviderError::Internal));
    assert_eq!(confirmed(with(503, "false")).await, Err(ProviderError::Internal));
    assert_eq!(confirmed(with(400, "true")).await, Err(ProviderError::InFlight));
    let error = confirmed(with(409, "false")).await.unwrap_err();
    assert_eq!((error.effect(), error.is_transient()), (Effect::Unknown, false), "{error:?}");
}

#[tokio::test]
async fn a_refund_that_failed_is_none() {
    for (status, is_made) in
        [("succeeded", true), ("pending", true), ("failed", false), ("requires_action", false)]
    {
        let server = MockServer::start().await;
        let refund = json!({
            "id": "re_1", "amount": 1999, "currency": "usd", "payment_intent": "pi_1",
            "status": status,
        });
        Mock::given(body_string("payment_intent=pi_1"))
            .respond_with(ok(refund))
            .mount(&server)
            .await;
        let key = key("a", Operation::Refund);
        let answer = stripe(&server.uri()).refund(key, intent_id("pi_1")).await;
        let failed = ProviderError::Declined { code: format!("refund_{status}") };
        assert_eq!(answer.map(|_| ()), if is_made { Ok(()) } else { Err(failed) });
    }
}

#[tokio::test]
async fn amounts_are_counted_in_stripes_units() {
    for (minor, code, counted) in
        [(1050, "USD", 1050), (1050, "JPY", 1050), (1050, "KWD", 1050), (5, "ISK", 500)]
    {
        let server = MockServer::start().await;
        let currency = code.to_lowercase();
        let mut body = intent_json("pi_1", "a", "requires_confirmation");
        (body["amount"], body["currency"]) = (json!(counted), json!(currency));
        let form = format!("amount={counted}&currency={currency}&");
        let amount = Money::new(minor, code.parse().unwrap()).unwrap();
        Mock::given(body_string_contains(form)).respond_with(ok(body)).mount(&server).await;
        let made = stripe(&server.uri()).create_intent(create("a", amount)).await;
        assert_eq!(made.map(|intent| intent.amount), Ok(amount));
    }
}

#[tokio::test]
async fn an_amount_that_stripe_cannot_charge_is_not_sent() {
    let server = MockServer::start().await;
    let amount = Money::new(1055, "KWD".parse().unwrap()).unwrap();
    let refused = stripe(&server.uri()).create_intent(create("a", amount)).await.unwrap_err();
    let message = "1.055 KWD cannot be charged: a multiple of 10 minor units can".to_owned();
    assert_eq!(refused, ProviderError::Invalid { message });
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_name_that_is_no_intents_is_not_sent() {
    let server = MockServer::start().await;
    for name in ["pi_1/../../customers", "pi_1?expand[]=customer", ".."] {
        let (key, id) = (key("a", Operation::Cancel), intent_id(name));
        let refused = stripe(&server.uri()).cancel(key, id).await.unwrap_err();
        assert!(matches!(refused, ProviderError::Invalid { .. }), "{refused:?}");
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn check_tells_a_wrong_key_from_a_wrong_url() {
    let server = MockServer::start().await;
    let unauthorized =
        ResponseTemplate::new(401).set_body_json(error_json("invalid_request_error", ""));
    Mock::given(query_param("limit", "1")).respond_with(unauthorized).mount(&server).await;
    let refused = stripe(&server.uri()).check().await.unwrap_err().to_string();
    assert_eq!(refused, "401 invalid_request_error");
    let nobody = stripe("http://127.0.0.1:1").check().await.unwrap_err().to_string();
    assert!(nobody.contains("cannot be reached") && nobody.contains("refused"), "{nobody}");
}

#[tokio::test]
async fn errors_tell_no_secrets() {
    let mut shown = String::new();
    for status in [400, 401, 402, 403, 404, 409, 429, 500, 503] {
        let error = refused(status, "invalid_request_error", "some_code").await;
        shown += &format!("{error:?} {error}\n");
    }
    let mut odd = error_json("card_error", "");
    odd["error"]["code"] = json!(format!("a sentence with {KEY}"));
    let error = confirmed(ResponseTemplate::new(402).set_body_json(odd)).await.unwrap_err();
    shown += &format!("{error:?} {error}\n");
    let client = stripe("http://127.0.0.1:1");
    shown += &format!("{client:?} {:?}", client.check().await);
    assert!(!shown.contains("Hidden") && !shown.contains("pm_card"), "{shown}");
}
