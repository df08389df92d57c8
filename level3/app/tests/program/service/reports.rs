//! Reports of Stripe to the service as a process: what it has acknowledged outlives a kill.

use process_kit::{PATIENCE, run};
use ring::hmac;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::client::{Answer, get, order, pay, send};
use super::start::{Serving, command, key};

use crate::oracles::block_on;
use crate::process::Place;

const SECRETS: [&str; 2] = ["whsec_0123456789abcdef", "whsec_fedcba9876543210"];

async fn report(address: &str, secret: &str, body: &Value) -> Answer {
    let (body, at) = (body.to_string(), jiff::Timestamp::now().as_second());
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{at}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let signature = format!("t={at},v1={hex}");
    let headers = [("stripe-signature", signature.as_str())];
    send(address, "POST", "/v1/provider-events/stripe", &headers, &body).await.unwrap()
}

#[test]
fn a_report_that_was_acknowledged_outlives_a_kill() {
    let place = Place::sqlite();
    let key = key(&place);
    let start = |secrets: &str| {
        let mut command = command(&place, "");
        command.env("STRIPE_WEBHOOK_SECRET", secrets);
        Serving::start(command)
    };
    block_on(async {
        let serving = start(SECRETS[0]);
        let paid = pay(&serving.address, &key, "one", &order(1)).await.unwrap();
        assert_eq!(paid.status, 201, "{paid:?}");
        let dispute = |number: u32| {
            json!({
                "id": format!("evt_{number}"), "type": "charge.dispute.created", "created": 10,
                "data": { "object": {
                    "id": format!("dp_{number}"), "amount": 5, "currency": "usd", "reason": "general",
                    "status": "needs_response", "payment_intent": paid.json()["intent"],
                } },
            })
        };
        for number in 0..5 {
            let answer = report(&serving.address, SECRETS[0], &dispute(number)).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        let stranger = report(&serving.address, SECRETS[1], &dispute(9)).await;
        assert_eq!(stranger.status, 400, "{stranger:?}");
        serving.kill();

        // A rotation: both secrets are valid.
        let serving = start(&SECRETS.join(","));
        for secret in SECRETS {
            assert_eq!(report(&serving.address, secret, &dispute(0)).await.status, 200);
        }
        let path = format!("/v1/payments/{}", paid.json()["id"].as_str().unwrap());
        let begun = std::time::Instant::now();
        loop {
            let shown = get(&serving.address, &key, &path).await.unwrap().json();
            match shown["disputes"].as_array().unwrap().len() {
                5 => break,
                found => assert!(found < 5 && begun.elapsed() < PATIENCE, "{shown}"),
            }
            sleep(std::time::Duration::from_millis(20)).await;
        }
        serving.kill();
        let serving = start("");
        assert_eq!(report(&serving.address, SECRETS[0], &dispute(0)).await.status, 404);
    });
}

#[test]
fn a_secret_that_is_none_is_refused_and_not_repeated() {
    let place = Place::sqlite();
    for wrong in ["sk_test_canary", "whsec_0123456789abcdef,canary"] {
        let mut command = command(&place, "--check-config");
        command.env("STRIPE_WEBHOOK_SECRET", wrong);
        let ended = run(command);
        assert_eq!(ended.code, Some(2), "{ended:#?}");
        assert!(ended.stderr.contains("STRIPE_WEBHOOK_SECRET"), "{ended:#?}");
        assert!(!format!("{ended:?}").contains("canary"), "{ended:#?}");
    }
}
