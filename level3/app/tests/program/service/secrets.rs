//! What is sent and must not be seen: searched for in logs, figures, answers and files.

use process_kit::run;

use super::client::{get, order, send};
use super::start::{Serving, command, key};

use crate::oracles;
use crate::process::{Place, program};

/// A number of a card, which must be nowhere.
const CARD: &str = "4000056655665556";
/// A token and an address, which only the store and the provider may have.
const TOKEN: &str = "pm_canary_token_7261";
const EMAIL: &str = "canary.address@example.org";
/// Parts of headers and paths.
const WORD: &str = "canary-word-5309";

#[test]
fn nothing_that_was_sent_leaks() {
    let place = Place::sqlite();
    let key = key(&place);
    let mut traced = command(&place, "--failure-rate 30 --log-format json");
    traced.env("RUST_LOG", "trace").env("STRIPE_WEBHOOK_SECRET", format!("whsec_{WORD}"));
    // The path of an endpoint may hold a secret of the merchant. No server listens there.
    let mut add = program(place.folder(), "add-webhook shop --data data");
    add.arg(format!("http://127.0.0.1:1/{WORD}"));
    let added = run(add);
    assert_eq!(added.code, Some(0), "{added:#?}");
    let hook_secret = added.stdout.trim().to_owned();
    let serving = Serving::start(traced);
    let address = serving.address.clone();
    let mut answers = String::new();
    oracles::block_on(async {
        let bearer = format!("Bearer {key}");
        let ask = async |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
            let answer = send(&address, method, path, headers, body).await.unwrap();
            format!("{}\n{}\n", answer.head, answer.body)
        };
        for number in 1..=20 {
            let mut body = order(number);
            body["card"] = TOKEN.into();
            body["email"] = EMAIL.into();
            let name = format!("key-{number}");
            let headers = [
                ("authorization", bearer.as_str()),
                ("idempotency-key", name.as_str()),
                ("content-type", "application/json"),
                ("cookie", WORD),
                ("x-request-id", CARD),
            ];
            answers += &ask("POST", "/v1/payments", &headers, &body.to_string()).await;
        }
        for field in ["order", "amount", "currency", "email", "card", CARD] {
            for value in [CARD.into(), CARD.parse::<u64>().unwrap().into()] {
                let mut body = order(1);
                body[field] = value;
                let headers = [
                    ("authorization", bearer.as_str()),
                    ("idempotency-key", "key-x"),
                    ("content-type", "application/json"),
                ];
                answers += &ask("POST", "/v1/payments", &headers, &body.to_string()).await;
            }
        }
        let broken = format!("{{\"card\": \"{CARD}\", {EMAIL} {TOKEN}");
        let wrong_key = format!("Bearer pgk_{WORD}_{CARD}");
        for (headers, body) in [
            (
                [
                    ("authorization", bearer.as_str()),
                    ("idempotency-key", CARD),
                    ("content-type", "application/json"),
                ],
                broken.as_str(),
            ),
            (
                [
                    ("authorization", bearer.as_str()),
                    ("idempotency-key", "k"),
                    ("content-type", "application/json"),
                ],
                broken.as_str(),
            ),
            (
                [
                    ("authorization", bearer.as_str()),
                    ("idempotency-key", "k"),
                    ("content-type", CARD),
                ],
                broken.as_str(),
            ),
            (
                [
                    ("authorization", wrong_key.as_str()),
                    ("idempotency-key", "k"),
                    ("content-type", EMAIL),
                ],
                broken.as_str(),
            ),
        ] {
            answers += &ask("POST", "/v1/payments", &headers, body).await;
        }
        let report = format!("{{\"id\": \"{CARD}\", \"email\": \"{EMAIL}\"}}");
        for signature in ["", WORD, &format!("t=1,v1={TOKEN}")] {
            let headers = [("stripe-signature", signature)];
            answers += &ask("POST", "/v1/provider-events/stripe", &headers, &report).await;
        }
        for (key, body) in [
            (CARD, "{}".to_owned()),
            ("r-1", broken.clone()),
            ("r-1", format!("{{\"amount\": {CARD}}}")),
        ] {
            let headers = [
                ("authorization", bearer.as_str()),
                ("idempotency-key", key),
                ("content-type", "application/json"),
            ];
            answers +=
                &ask("POST", &format!("/v1/payments/{TOKEN}/refunds"), &headers, &body).await;
        }
        let key = [("authorization", bearer.as_str())];
        for path in [
            format!("/v1/payments/{CARD}"),
            format!("/v1/payments?state={CARD}&{WORD}={EMAIL}"),
            format!("/v1/payments?after={TOKEN}"),
            format!("/{WORD}/{EMAIL}/{CARD}"),
            format!("/problems/{CARD}"),
            format!("/v1/payments/{CARD}/refunds/{TOKEN}"),
            format!("/v1/webhook-deliveries?state={CARD}"),
            "/v1/webhook-deliveries?limit=100".to_owned(),
        ] {
            answers += &ask("GET", &path, &key, "").await;
        }
        answers += &ask(&format!("{}X", WORD.to_uppercase()), "/v1/payments", &key, "").await;
        let all =
            get(&address, bearer.trim_start_matches("Bearer "), "/v1/payments?limit=100").await;
        let all = all.unwrap();
        for one in all.json()["data"].as_array().unwrap() {
            let path = format!("/v1/payments/{}", one["id"].as_str().unwrap());
            answers += &ask("GET", &path, &key, "").await;
        }
        answers += &all.body;
        answers += &ask("GET", "/v1/dead-letters", &key, "").await;
        answers += &ask("GET", "/metrics", &key, "").await;
    });
    serving.terminate();
    let ended = serving.end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let log = ended.stderr;
    assert!(log.contains("\"request_id\""), "the log has no requests: {log}");

    let secret = key.rsplit('_').next().unwrap();
    let word = WORD.to_uppercase();
    assert!(answers.contains("cannot be reached"), "no notification was tried");
    for canary in [CARD, TOKEN, EMAIL, WORD, secret, word.as_str(), hook_secret.as_str()] {
        for (name, text) in [("the log", &log), ("an answer", &answers)] {
            let found = text.lines().find(|line| line.contains(canary));
            assert_eq!(found, None, "{canary} is in {name}");
        }
    }
    for file in std::fs::read_dir(place.folder())
        .unwrap()
        .chain(std::fs::read_dir(place.folder().join("data")).unwrap())
    {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains(CARD) && !text.contains(secret), "{}", path.display());
        }
    }
}
