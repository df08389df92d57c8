//! Random input at every door: each is refused with a problem, none is a panic, and none calls a
//! service.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request};
use level3_sim::NoFaults;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::shop::Shop;

const CASES: usize = 300;

/// Values of a header, of which most are wrong.
fn header() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "[ -~]{0,300}".prop_map(String::into_bytes),
        "(Bearer|Basic|bearer) pgk_[0-9a-f]{0,12}_[0-9a-f]{0,64}".prop_map(String::into_bytes),
    ]
}

/// Bodies that are nearly right: JSON with a wrong value, or cut off, or anything.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        "-?[0-9]{1,25}",
        "[0-9]{1,3}\\.[0-9]{1,3}(e[0-9]{1,3})?",
        "\"\\PC{0,40}",
        Just("null".to_owned()),
        Just("[[[[".to_owned()),
    ];
    let field = prop_oneof!["order", "amount", "currency", "email", "card", "[a-z]{1,8}"];
    let object = prop::collection::vec((field, value), 0..7).prop_map(|fields| {
        let fields = fields.iter().map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(",")).into_bytes()
    });
    prop_oneof![object, prop::collection::vec(any::<u8>(), 0..300)]
}

#[tokio::test]
async fn nothing_that_arrives_is_a_panic() {
    let shop = Shop::new(NoFaults).await;
    let mut runner = TestRunner::deterministic();
    let paths = "/(v1/payments/|v1/|problems/)?[a-z0-9%f._~+-]{0,40}(\\?[a-z0-9%f=&_+-]{0,60})?";
    let case = (
        prop_oneof!["GET", "POST", "DELETE", "[A-Z]{1,12}"],
        paths,
        body(),
        // Whether the key of the merchant is right, and the other headers.
        any::<bool>(),
        prop::collection::vec((0..4_usize, header()), 0..5),
    );
    let names = ["authorization", "idempotency-key", "content-type", "x-request-id"];
    let mut tried = 0;
    for _ in 0..CASES {
        let (method, path, body, has_key, headers) = case.new_tree(&mut runner).unwrap().current();
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap());
        request = request.uri(path.as_str());
        if has_key {
            request = request.header("authorization", format!("Bearer {}", shop.key.expose()));
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                request = request.header(HeaderName::from_static(names[name]), value);
            }
        }
        // What is no request never reaches the service.
        let Ok(request) = request.body(Body::from(body)) else { continue };
        tried += 1;
        let shown = format!("{request:?}");
        let answer = shop.send(request).await;
        if answer.status.is_success() {
            assert!(has_key, "{shown}: {answer:?}");
        } else if answer.header("content-length") != "0" && !answer.bytes.is_empty() {
            assert!(answer.status.is_client_error(), "{shown}: {answer:?}");
            assert_ne!(answer.problem(), "", "{shown}");
        }
        assert!(!answer.header("x-request-id").is_empty(), "{shown}");
    }
    assert!(tried > CASES / 2, "{tried}");
    assert_eq!(shop.world.all_calls(), 0);
}
