//! Providers that refuse in the middle of a run: the cause and the remedy are on the screen and in
//! the log, and nothing that was sent is in either.

use process_kit::{Ended, run};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::process::Place;

const CARD: &str = "pm_canary_token_7261";
const EMAIL: &str = "canary.address@example.org";
const STRIPE_KEY: &str = "sk_test_canary7261";
const MAIL_KEY: &str = "SG.canary7261.canary7261";

/// Stripe takes the key when the program starts, and not any more later. Its message repeats what
/// was sent.
async fn stripe() -> MockServer {
    let server = MockServer::start().await;
    let page = json!({ "object": "list", "data": [], "has_more": false });
    let page = ResponseTemplate::new(200).set_body_json(page);
    Mock::given(method("GET")).respond_with(page).mount(&server).await;
    let message = format!("Invalid API Key: {STRIPE_KEY}, {CARD}, {EMAIL}");
    let error = json!({ "error": { "type": "invalid_request_error", "message": message } });
    let refused = ResponseTemplate::new(401).set_body_json(error);
    Mock::given(method("POST")).respond_with(refused).mount(&server).await;
    server
}

/// SendGrid likewise.
async fn send_grid() -> MockServer {
    let server = MockServer::start().await;
    let scopes = ResponseTemplate::new(200).set_body_json(json!({ "scopes": ["mail.send"] }));
    Mock::given(path("/v3/scopes")).respond_with(scopes).mount(&server).await;
    let error = json!({ "errors": [{ "message": format!("{MAIL_KEY} {EMAIL} is revoked") }] });
    let refused = ResponseTemplate::new(401).set_body_json(error);
    Mock::given(method("POST")).respond_with(refused).mount(&server).await;
    server
}

async fn pay(place: &Place, args: &str, log: Option<&str>) -> Ended {
    let mut program = place.program(&format!(
        "--payments 3 --rate 100 --failure-rate 0 --card {CARD} --email {EMAIL} --log-format json \
         {args}"
    ));
    program.env("STRIPE_SECRET_KEY", STRIPE_KEY).env("SENDGRID_API_KEY", MAIL_KEY);
    if let Some(log) = log {
        program.env("RUST_LOG", log);
    }
    tokio::task::spawn_blocking(move || run(program)).await.unwrap()
}

/// The errors that are logged, as one text, after a search for secrets.
fn errors(ended: &Ended) -> String {
    for canary in [CARD, EMAIL, STRIPE_KEY, MAIL_KEY, "canary"] {
        for text in [&ended.stdout, &ended.stderr] {
            let found = text.lines().find(|line| line.contains(canary));
            assert_eq!(found, None, "{canary}");
        }
    }
    let lines = ended.stderr.lines().filter_map(|line| serde_json::from_str(line).ok());
    let errors = lines.filter(|line: &Value| line["level"] == "ERROR");
    errors.map(|line| line.to_string()).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_in_the_middle_of_a_run_is_told() {
    let server = stripe().await;
    let place = Place::sqlite();
    for log in [None, Some("trace")] {
        let ended = pay(&place, &format!("--stripe {}", server.uri()), log).await;
        assert_eq!(ended.code, Some(1), "{ended:#?}");
        let errors = errors(&ended);
        assert!(errors.contains("401") && errors.contains("STRIPE_SECRET_KEY"), "{ended:#?}");
        assert!(ended.stdout.contains("payments"), "{ended:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_key_that_is_revoked_in_the_middle_of_a_run_is_told() {
    let server = send_grid().await;
    let place = Place::sqlite();
    let with = format!("--mail-from shop@example.com --sendgrid {}", server.uri());
    for log in [None, Some("trace")] {
        let ended = pay(&place, &with, log).await;
        // A receipt fails no payment.
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        let errors = errors(&ended);
        assert!(errors.contains("401") && errors.contains("SENDGRID_API_KEY"), "{ended:#?}");
    }
    let letters = run(place.program("dead-letters --json"));
    assert!(!letters.stdout.contains("canary"), "{letters:#?}");
}
