//! Answers have the form that the document gives them.

use axum::body::Body;
use gateway_service::document;
use level3_sim::{CallSite, Fault, Script};
use serde_json::{Value, json};

use crate::shop::{Answer, Shop, order, request};

/// Checks a value against the part of JSON Schema that the document uses.
fn check(schema: &Value, value: &Value, document: &Value, place: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let pointer = name.strip_prefix('#').unwrap();
        return check(document.pointer(pointer).unwrap(), value, document, place);
    }
    if let Some(choices) = schema["enum"].as_array() {
        assert!(choices.contains(value), "{place}: {value}");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(some) => some.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let is = |name: &&str| match *name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other}"),
    };
    assert!(types.iter().any(is), "{place}: {value} is not {types:?}");
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(value.get(name.as_str().unwrap()).is_some(), "{place}: {name} of {value}");
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => check(schema, inner, document, &format!("{place}/{name}")),
            None => assert_ne!(schema["additionalProperties"], false, "{place}: {name} is unknown"),
        }
    }
    for inner in value.as_array().into_iter().flatten() {
        check(&schema["items"], inner, document, place);
    }
}

fn fits(answer: &Answer, method: &str, path: &str) {
    let document = document();
    let status = answer.status.as_str();
    let described = &document["paths"][path][method]["responses"][status];
    let media = answer.header("content-type");
    let schema = &described["content"][media]["schema"];
    assert!(schema.is_object(), "{method} {path} has no {status} as {media}");
    check(schema, &answer.json(), &document, path);
}

#[tokio::test]
async fn answers_fit_the_document() {
    let script = Script::new()
        .on(CallSite::Fraud, 2, Fault::Decline)
        .on(CallSite::Fraud, 3, Fault::FailBefore)
        .on(CallSite::Fraud, 4, Fault::FailBefore)
        .on(CallSite::Fraud, 5, Fault::FailBefore);
    let shop = Shop::new(script).await;
    let mut names = Vec::new();
    for (number, status) in [(1, 201), (2, 402), (3, 502)] {
        let answer = shop.pay(&format!("key-{number}"), &order(number)).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        fits(&answer, "post", "/v1/payments");
        let body = answer.json();
        let name = body.get("payment").or(body.get("id")).unwrap();
        names.push(name.as_str().unwrap().to_owned());
    }
    fits(&shop.pay("key-1", &order(9)).await, "post", "/v1/payments");
    let paid = names[0].clone();
    for name in names {
        fits(&shop.get(&format!("/v1/payments/{name}")).await, "get", "/v1/payments/{id}");
    }
    let name = paid.as_str();
    for (key, amount, status) in
        [("r-1", 50, 201), ("r-1", 51, 422), ("r-2", 1001, 422), ("r-3", 0, 400)]
    {
        let answer = shop.refund(name, key, &json!({ "amount": amount })).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        fits(&answer, "post", "/v1/payments/{id}/refunds");
    }
    let path = format!("/v1/payments/{name}/refunds");
    let listed = shop.get(&path).await;
    fits(&listed, "get", "/v1/payments/{id}/refunds");
    let refund = listed.json()["data"][0]["id"].as_str().unwrap().to_owned();
    let shown = shop.get(&format!("{path}/{refund}")).await;
    fits(&shown, "get", "/v1/payments/{id}/refunds/{refund}");
    for path in ["/v1/payments", "/v1/dead-letters", "/healthz", "/readyz", "/problems"] {
        fits(&shop.get(path).await, "get", path);
    }
    fits(&shop.get("/problems/declined").await, "get", "/problems/{slug}");
    fits(&shop.get("/problems/none").await, "get", "/problems/{slug}");
    fits(&shop.get("/v1/payments?limit=x").await, "get", "/v1/payments");
    fits(&shop.get("/v1/payments/x").await, "get", "/v1/payments/{id}");
    let redrive = request("POST", "/v1/dead-letters/redrive", &shop.key);
    let redriven = shop.send(redrive.body(Body::empty()).unwrap()).await;
    fits(&redriven, "post", "/v1/dead-letters/redrive");
}
