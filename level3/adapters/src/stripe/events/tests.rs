use level3_domain::provider::IntentStatus;
use level3_domain::refund::Made;
use serde_json::json;

use super::*;

const BODY: &[u8] = br#"{"id":"evt_1"}"#;
const NOW: i64 = 1_492_774_577;

fn secret(text: &str) -> EndpointSecret {
    EndpointSecret::new(&format!("whsec_{text}_0123456789abcdef")).unwrap()
}

fn signature(secret: &EndpointSecret, at: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.0.as_bytes());
    let signed = [at.to_string().as_bytes(), b".", body].concat();
    let tag = hmac::sign(&key, &signed);
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn header(secret: &EndpointSecret, at: i64, body: &[u8]) -> String {
    format!("t={at},v1={}", signature(secret, at, body))
}

/// Computed with another implementation: `hmac.new(key, message, 'sha256')` of Python.
#[test]
fn a_signature_of_another_implementation_is_right() {
    let secrets = [EndpointSecret::new("whsec_test_0123456789abcdef").unwrap()];
    let header = "t=1492774577,v1=4cd38f76288ce4736178ac94ba08c95d359f7bbbd310a27e18f271824ca6852a";
    assert_eq!(verify(header, BODY, &secrets, NOW), Ok(()));
}

#[test]
fn only_the_body_under_the_secret_is_right() {
    let (mine, other) = (secret("mine"), secret("other"));
    let good = header(&mine, NOW, BODY);
    let secrets = [mine.clone()];
    assert_eq!(verify(&good, BODY, &secrets, NOW), Ok(()));
    for at in [NOW - 300, NOW + 300] {
        assert_eq!(verify(&good, BODY, &secrets, at), Ok(()));
    }
    for at in [NOW - 301, NOW + 301, i64::MIN, i64::MAX] {
        assert_eq!(verify(&good, BODY, &secrets, at), Err(SignatureError::OutOfTolerance));
    }
    let wrong = Err(SignatureError::Wrong);
    // One byte more, white space too: the raw body is signed, and not what it means.
    assert_eq!(verify(&good, br#"{"id": "evt_1"}"#, &secrets, NOW), wrong);
    assert_eq!(verify(&good, b"", &secrets, NOW), wrong);
    assert_eq!(verify(&good, BODY, std::slice::from_ref(&other), NOW), wrong);
    assert_eq!(verify(&good, BODY, &[], NOW), wrong);
    // Another time than the signed one.
    let moved = good.replace("t=1492774577", "t=1492774578");
    assert_eq!(verify(&moved, BODY, &secrets, NOW), wrong);
    assert_eq!(verify(&header(&other, NOW, BODY), BODY, &secrets, NOW), wrong);
}

#[test]
fn a_rotation_has_two_secrets_or_two_signatures() {
    let (old, new) = (secret("old"), secret("new"));
    let both = [old.clone(), new.clone()];
    for signer in [&old, &new] {
        assert_eq!(verify(&header(signer, NOW, BODY), BODY, &both, NOW), Ok(()));
    }
    let two = format!("{},v1={}", header(&new, NOW, BODY), signature(&old, NOW, BODY));
    for known in [&old, &new] {
        assert_eq!(verify(&two, BODY, std::slice::from_ref(known), NOW), Ok(()));
    }
}

#[test]
fn other_headers_are_malformed() {
    let mine = secret("mine");
    let right = signature(&mine, NOW, BODY);
    let v0 = format!("t={NOW},v0={right}");
    let no_time = format!("v1={right}");
    let not_a_time = format!("t=soon,v1={right}");
    for bad in
        ["", "t=1", "t=1,v1=", ",", "=", &v0, &no_time, &not_a_time, "t=1,v1=xyz", "t=1,v1=\u{e4}"]
    {
        let outcome = verify(bad, BODY, std::slice::from_ref(&mine), NOW);
        assert!(outcome.is_err(), "{bad}");
    }
    for text in ["", "whsec_", "whsec_short", "sk_test_0123456789abcdef", "whsec_0123456789 abcdef"]
    {
        assert!(EndpointSecret::new(text).is_err(), "{text}");
    }
    assert!(!format!("{mine:?}").contains("mine"));
}

fn event(kind: &str, object: Value) -> Vec<u8> {
    let body = json!({
        "id": "evt_1", "object": "event", "type": kind, "created": NOW, "livemode": false,
        "data": { "object": object },
    });
    body.to_string().into_bytes()
}

const PAYMENT: &str = "pay_0bafe22156d2698c143b86040446d366_1";

#[test]
fn reports_of_this_system_are_read() {
    let intent = event(
        "payment_intent.succeeded",
        json!({
            "id": "pi_1", "amount": 1999, "currency": "usd", "status": "succeeded",
            "metadata": { "payment": PAYMENT, "customer": "canary" }, "receipt_email": "canary@example.org",
        }),
    );
    let read = StripeEvent::read(&intent).unwrap();
    let Reported::Intent(intent) = &read.reported else { panic!("{read:?}") };
    assert_eq!((intent.payment.as_str(), intent.status), (PAYMENT, IntentStatus::Succeeded));
    assert_eq!((read.id.as_str(), read.kind.as_str()), ("evt_1", "payment_intent.succeeded"));
    assert!(!read.detail.contains("canary"), "{}", read.detail);
    // What is kept is enough.
    assert_eq!(StripeEvent::read(read.detail.as_bytes()), Ok(read.clone()));

    let refund = event(
        "refund.failed",
        json!({
            "id": "re_1", "amount": 5, "currency": "usd", "status": "failed", "payment_intent": "pi_1",
            "metadata": { "refund": "re_866dafbc9163d61bdbd78cf50db16179" },
        }),
    );
    let read = StripeEvent::read(&refund).unwrap();
    let Reported::Refund { intent, made } = &read.reported else { panic!("{read:?}") };
    assert_eq!((intent.as_str(), made.made), ("pi_1", Made::Failed));
    assert_eq!(StripeEvent::read(read.detail.as_bytes()), Ok(read.clone()));

    let closed = event(
        "charge.dispute.closed",
        json!({
            "id": "dp_1", "amount": 5, "currency": "usd", "status": "lost", "reason": "fraudulent",
            "payment_intent": "pi_1", "evidence": { "customer_name": "canary" },
        }),
    );
    let read = StripeEvent::read(&closed).unwrap();
    let Reported::Dispute(dispute) = &read.reported else { panic!("{read:?}") };
    assert!(dispute.is_closed && dispute.as_of == NOW);
    assert!(!read.detail.contains("canary"), "{}", read.detail);
}

#[test]
fn other_reports_are_accepted_and_mean_nothing() {
    for (kind, object) in [
        ("customer.created", json!({ "id": "cus_1" })),
        (
            "payment_intent.succeeded",
            json!({ "id": "pi_1", "amount": 1, "currency": "usd", "status": "succeeded" }),
        ),
        ("payment_intent.succeeded", json!(null)),
        (
            "refund.failed",
            json!({ "id": "re_1", "amount": 5, "currency": "usd", "status": "failed", "payment_intent": "pi_1" }),
        ),
        ("charge.dispute.created", json!({ "id": "dp_1" })),
    ] {
        let read = StripeEvent::read(&event(kind, object)).unwrap();
        assert_eq!(read.reported, Reported::Other, "{kind}");
    }
    for bad in [
        "",
        "{}",
        "[]",
        "null",
        "{\"id\": 1}",
        "{\"id\": \"evt_1\", \"type\": \"x y\", \"data\": {\"object\": {}}}",
    ] {
        assert_eq!(StripeEvent::read(bad.as_bytes()), Err(NotAnEvent), "{bad}");
    }
}
