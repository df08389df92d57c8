//! Checks the body of a request for a payment.
//!
//! A message names the field and the rule, and repeats no value: a client that puts the number of a
//! card into a wrong field must not find it in a log.

use level3::request::{InvalidRequest, PaymentRequest};
use level3_domain::ids::{InvalidText, PaymentKey};
use level3_domain::money::MAX_MINOR;
use serde_json::{Map, Value};

use crate::card_number;
use crate::problem::Problem;

/// The fields of a body.
pub(crate) const FIELDS: [&str; 5] = ["order", "amount", "currency", "email", "card"];

/// Reads a body.
///
/// # Errors
///
/// [`ProblemKind::InvalidRequest`](crate::ProblemKind::InvalidRequest) for the first field that is
/// wrong.
pub(crate) fn read(body: &[u8], key: &PaymentKey) -> Result<PaymentRequest, Problem> {
    let fields = object(body, &FIELDS)?;
    let request = PaymentRequest {
        key: key.as_str().to_owned(),
        order: text(&fields, "order")?,
        amount: amount(&fields)?,
        currency: text(&fields, "currency")?,
        email: text(&fields, "email")?,
        card: text(&fields, "card")?,
    };
    request.validate().map_err(|why| invalid(&why))?;
    Ok(request)
}

/// Reads a JSON object that has no other fields than these.
pub(crate) fn object(body: &[u8], known: &[&str]) -> Result<Map<String, Value>, Problem> {
    let fields = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return Err(Problem::field("", "the body is not a JSON object")),
        // serde_json's own message may repeat a part of the body.
        Err(error) => {
            let at = format!("not JSON at line {}, column {}", error.line(), error.column());
            return Err(Problem::field("", &at));
        }
    };
    if fields.keys().any(|name| !known.contains(&name.as_str())) {
        let known = format!("the body has another field than {}", known.join(", "));
        return Err(Problem::field("", &known));
    }
    Ok(fields)
}

fn text(fields: &Map<String, Value>, name: &str) -> Result<String, Problem> {
    let pointer = format!("/{name}");
    match fields.get(name) {
        None => Err(Problem::field(&pointer, "is missing")),
        Some(Value::String(text)) if card_number::is_in(text) => Err(Problem::field(
            &pointer,
            "looks like the number of a card; send the provider's token instead",
        )),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(Problem::field(&pointer, "is not a text")),
    }
}

fn amount(fields: &Map<String, Value>) -> Result<i64, Problem> {
    let refused = |why: &str| Err(Problem::field("/amount", why));
    match fields.get("amount") {
        None => refused("is missing"),
        Some(Value::Number(number)) => match number.as_i64() {
            Some(minor) => Ok(minor),
            None if number.is_u64() => refused(&too_large()),
            None => refused("is not a whole number of minor units: 1050 with USD is 10.50 USD"),
        },
        Some(_) => refused("is not a number"),
    }
}

fn too_large() -> String {
    format!("is more than one payment may have: {MAX_MINOR} minor units")
}

/// Says what is wrong without the value: the gateway's own message may repeat it.
fn invalid(why: &InvalidRequest) -> Problem {
    use level3_domain::money::MoneyError::{NotPositive, TooLarge};

    match why {
        InvalidRequest::Key(why) => key(*why),
        InvalidRequest::Order(why) => Problem::field("/order", &why.to_string()),
        InvalidRequest::Amount(NotPositive { .. }) => Problem::field("/amount", "is not positive"),
        InvalidRequest::Amount(TooLarge { .. }) => Problem::field("/amount", &too_large()),
        InvalidRequest::Currency(_) => {
            Problem::field("/currency", "is not the code of a currency of ISO 4217, such as USD")
        }
        InvalidRequest::Email(why) => Problem::field("/email", &why.to_string()),
        InvalidRequest::Card(why) => Problem::field("/card", &why.to_string()),
    }
}

/// Makes the problem of an idempotency key.
pub(crate) fn key(why: InvalidText) -> Problem {
    Problem::field("Idempotency-Key", &why.to_string())
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::response::IntoResponse as _;
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({
            "order": "1", "amount": 1050, "currency": "USD", "email": "ann@example.com",
            "card": "pm_card_visa",
        })
    }

    fn parse(body: &[u8]) -> Result<PaymentRequest, Problem> {
        read(body, &PaymentKey::new("shop/1").unwrap())
    }

    async fn pointer_of(body: &[u8]) -> String {
        let response = parse(body).unwrap_err().into_response();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        body["errors"][0]["pointer"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_good_body_is_a_request() {
        let request = parse(good().to_string().as_bytes()).unwrap();
        assert_eq!((request.amount, request.currency.as_str()), (1050, "USD"));
        assert_eq!(request.key, "shop/1");
    }

    #[tokio::test]
    async fn a_wrong_field_is_named() {
        for (name, wrong) in [
            ("order", json!("")),
            ("order", json!(1)),
            ("amount", json!(0)),
            ("amount", json!(-1)),
            ("amount", json!(10.5)),
            ("amount", json!(1050.0)),
            ("amount", json!("1050")),
            ("amount", json!(MAX_MINOR + 1)),
            ("amount", json!(u64::MAX)),
            ("currency", json!("ZZZ")),
            ("email", json!("ann")),
            ("card", json!("")),
            ("card", json!("4242 4242 4242 4242")),
        ] {
            let mut body = good();
            body[name] = wrong;
            assert_eq!(pointer_of(body.to_string().as_bytes()).await, format!("/{name}"), "{body}");
        }
        for name in FIELDS {
            let mut body = good();
            body.as_object_mut().unwrap().remove(name);
            assert_eq!(pointer_of(body.to_string().as_bytes()).await, format!("/{name}"));
        }
        let mut more = good();
        more["capture"] = json!(false);
        for body in [more.to_string().as_bytes(), b"", b"[]", b"{", b"\xff"] {
            assert_eq!(pointer_of(body).await, "");
        }
    }

    #[test]
    fn no_message_repeats_a_value() {
        let canaries = ["4242424242424242", "5555-5555-5555-4444", "secret-canary", "QQQ"];
        for canary in canaries {
            for name in FIELDS {
                let mut body = good();
                body[name] = json!({ canary: canary });
                let mut long = good();
                long[name] = json!(format!("{canary}\u{7}").repeat(30));
                let mut other = good();
                other[canary] = json!(canary);
                let broken = format!("{{\"{name}\": \"{canary}\", {canary}");
                for body in [body.to_string(), long.to_string(), other.to_string(), broken] {
                    let problem = format!("{:?}", parse(body.as_bytes()).unwrap_err());
                    assert!(!problem.contains(canary), "{problem}");
                }
            }
        }
        let mut body = good();
        body["amount"] = json!(4_242_424_242_424_242_i64);
        let problem = format!("{:?}", parse(body.to_string().as_bytes()).unwrap_err());
        assert!(!problem.contains("4242"), "{problem}");
    }
}
