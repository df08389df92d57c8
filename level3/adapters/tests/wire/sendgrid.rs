//! What SendGrid is sent, and what is made of its answers.

use std::time::Duration;

use level3_adapters::sendgrid::{CheckError, SendGrid, SendGridConfig, SendGridKey};
use level3_domain::ids::{Email, OrderId, TransactionId};
use level3_domain::provider::{Effect, MailFeed, MailTrace, ProviderError, Receipt, Receipts};
use serde_json::{Value, json};
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::peer::{Peer, Then, answer};
use crate::support::usd;

const KEY: &str = "SG.Hidden.Hidden";

pub fn config(url: &str) -> SendGridConfig {
    let key = SendGridKey::new(KEY).expect("a key");
    let from = Email::new("shop@example.org").expect("an address");
    SendGridConfig { base_url: url.to_owned(), ..SendGridConfig::new(key, from) }
}

pub fn sendgrid(url: &str) -> SendGrid {
    SendGrid::new(config(url)).expect("a valid configuration")
}

fn receipt(transaction: &str) -> Receipt {
    Receipt {
        transaction: TransactionId::new(transaction).expect("a name"),
        order: OrderId::new("order 7").expect("a name"),
        amount: usd(1999),
        email: Email::new("someone@example.com").expect("an address"),
    }
}

/// A server that answers like this, so many times at most.
pub async fn server(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v3/mail/send"))
        .respond_with(answer)
        .mount(&server)
        .await;
    server
}

/// The mails that the server was asked to send.
pub async fn mails(server: &MockServer) -> Vec<Value> {
    let requests = server.received_requests().await.expect("recording is on");
    let mails = requests.iter().filter(|request| request.url.path() == "/v3/mail/send");
    mails.map(|request| request.body_json().expect("JSON")).collect()
}

async fn sent(answer: ResponseTemplate) -> Result<(), ProviderError> {
    sendgrid(&server(answer).await.uri()).send(receipt("txn_1")).await
}

#[tokio::test]
async fn the_mail_is_a_receipt() {
    let server = MockServer::start().await;
    Mock::given(path("/v3/mail/send"))
        .and(method("POST"))
        .and(header("authorization", format!("Bearer {KEY}").as_str()))
        .and(header("content-type", "application/json"))
        .respond_with(ResponseTemplate::new(202))
        .expect(1)
        .mount(&server)
        .await;
    let named = SendGridConfig { from_name: Some("A shop".to_owned()), ..config(&server.uri()) };
    SendGrid::new(named).unwrap().send(receipt("txn_1")).await.unwrap();
    let mail = mails(&server).await.remove(0);
    let id = mail["headers"]["Message-ID"].as_str().unwrap();
    assert!(id.starts_with("<receipt.") && id.ends_with("@example.org>"), "{id}");
    let text = mail["content"][0]["value"].as_str().unwrap();
    for part in ["order 7", "19.99 USD", "txn_1"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(mail["personalizations"][0]["to"], json!([{ "email": "someone@example.com" }]));
    assert_eq!(mail["from"], json!({ "email": "shop@example.org", "name": "A shop" }));
    assert_eq!(mail["subject"], "Receipt for order order 7");
    assert_eq!(mail["content"][0]["type"], "text/plain");
    assert_eq!(mail["custom_args"], json!({ "transaction": "txn_1" }));
    assert_eq!(mail["mail_settings"]["sandbox_mode"]["enable"], false);
}

#[tokio::test]
async fn the_sandbox_answers_200_and_sends_nothing() {
    let server = server(ResponseTemplate::new(200)).await;
    let sandbox = SendGridConfig { sandbox: true, ..config(&server.uri()) };
    assert_eq!(SendGrid::new(sandbox).unwrap().send(receipt("txn_1")).await, Ok(()));
    assert_eq!(mails(&server).await[0]["mail_settings"]["sandbox_mode"]["enable"], true);
    // Outside of it a 200 is no acceptance.
    let answer = sendgrid(&server.uri()).send(receipt("txn_1")).await;
    assert_eq!(answer, Err(ProviderError::ConnectionLost));
}

#[tokio::test]
async fn each_request_is_a_mail() {
    let server = server(ResponseTemplate::new(202)).await;
    let sendgrid = sendgrid(&server.uri());
    for _ in 0..2 {
        assert_eq!(sendgrid.clone().send(receipt("txn_1")).await, Ok(()));
    }
    assert_eq!(mails(&server).await.len(), 2);
}

#[tokio::test]
async fn the_feed_is_asked_for_the_transaction() {
    let look = async |status: u16, body: Value| {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path("/v3/messages"))
            .and(header("authorization", format!("Bearer {KEY}")))
            .and(query_param("limit", "1"))
            .and(query_param("query", "(unique_args['transaction']=\"txn_1\")"))
            .respond_with(ResponseTemplate::new(status).set_body_json(body))
            .expect(1)
            .mount(&server)
            .await;
        sendgrid(&server.uri()).look(TransactionId::new("txn_1").unwrap()).await
    };
    let shown = json!({ "messages": [{ "msg_id": "a", "status": "processed" }] });
    assert_eq!(look(200, shown).await, Ok(MailTrace::Accepted));
    assert_eq!(look(200, json!({ "messages": [] })).await, Ok(MailTrace::NotShown));
    // An answer of something else, or none, says nothing about the mail.
    assert_eq!(look(200, json!([])).await, Err(ProviderError::ConnectionLost));
    assert_eq!(look(500, json!({})).await, Err(ProviderError::Internal));
    let limited = Err(ProviderError::RateLimited { retry_after: None });
    assert_eq!(look(429, json!({})).await, limited);
    for status in [401, 403, 404] {
        assert_eq!(look(status, json!({})).await, Ok(MailTrace::NoFeed), "{status}");
    }
}

#[tokio::test]
async fn each_status() {
    for (status, error) in [
        (401, ProviderError::Unavailable),
        (403, ProviderError::Unavailable),
        (429, ProviderError::RateLimited { retry_after: None }),
        (500, ProviderError::Internal),
        (503, ProviderError::Internal),
        (201, ProviderError::ConnectionLost),
        (307, ProviderError::ConnectionLost),
    ] {
        assert_eq!(sent(ResponseTemplate::new(status)).await, Err(error), "{status}");
    }
    let large = ProviderError::Invalid { message: "413 from SendGrid".to_owned() };
    assert_eq!(sent(ResponseTemplate::new(413)).await, Err(large));
}

#[tokio::test]
async fn a_bad_request_names_the_fields() {
    let body = json!({ "errors": [
        { "message": "Does not contain a valid address: someone@example.com.",
          "field": "personalizations.0.to.0.email", "help": "http://sendgrid.com/docs" },
        { "message": "...", "field": "someone@example.com is wrong" },
        { "message": "...", "field": null },
    ] });
    let error = sent(ResponseTemplate::new(400).set_body_json(body)).await.unwrap_err();
    let message = "400 from SendGrid: personalizations.0.to.0.email".to_owned();
    assert_eq!(error, ProviderError::Invalid { message });
    assert_eq!((error.effect(), error.is_transient()), (Effect::None, false));
}

#[tokio::test]
async fn a_limit_says_until_when() {
    let after = ResponseTemplate::new(429).insert_header("retry-after", "3");
    let told = Some(Duration::from_secs(3));
    assert_eq!(sent(after).await, Err(ProviderError::RateLimited { retry_after: told }));
    let head = "date: Fri, 31 Dec 1999 23:59:50 GMT\r\nx-ratelimit-reset: 946684795\r\n";
    let peer = Peer::new(vec![answer("429 Too Many Requests", head, "")]).await;
    let limited = sendgrid(&peer.url()).send(receipt("txn_1")).await;
    let told = Some(Duration::from_secs(5));
    assert_eq!(limited, Err(ProviderError::RateLimited { retry_after: told }));
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    let nobody = sendgrid("http://127.0.0.1:1").send(receipt("txn_1")).await.unwrap_err();
    assert_eq!(nobody, ProviderError::Unavailable);
    let peer = Peer::new(vec![Then::Reset]).await;
    let sendgrid = sendgrid(&peer.url());
    for requests in 1..=2 {
        let error = sendgrid.send(receipt("txn_1")).await.unwrap_err();
        assert_eq!(error, ProviderError::ConnectionLost);
        // No server has accepted it, as far as is known.
        assert_eq!(peer.requests(), requests);
    }
}

#[tokio::test]
async fn check_says_what_has_to_be_put_right() {
    let checked = async |status: u16, body: Value| {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(status).set_body_json(body);
        let scopes = Mock::given(method("GET")).and(path("/v3/scopes"));
        scopes
            .and(header("authorization", format!("Bearer {KEY}")))
            .respond_with(answer)
            .mount(&server)
            .await;
        sendgrid(&server.uri()).check().await
    };
    assert_eq!(checked(200, json!({ "scopes": ["alerts.read", "mail.send"] })).await, Ok(()));
    let read_only = checked(200, json!({ "scopes": ["alerts.read"] })).await;
    assert_eq!(read_only, Err(CheckError::Permission));
    assert_eq!(checked(401, json!({ "errors": [] })).await, Err(CheckError::Key { status: 401 }));
    assert_eq!(checked(200, json!([])).await, Err(CheckError::NoAnswer { status: 200 }));
    assert_eq!(checked(500, json!({})).await, Err(CheckError::NoAnswer { status: 500 }));
    let nobody = sendgrid("http://127.0.0.1:1").check().await.unwrap_err().to_string();
    assert!(nobody.contains("cannot be reached") && nobody.contains("refused"), "{nobody}");
}

#[tokio::test]
async fn errors_tell_no_secrets() {
    let mut shown = format!("{:?}", sendgrid("http://127.0.0.1:1"));
    for status in [200, 301, 400, 401, 403, 413, 429, 500] {
        let body = json!({ "errors": [{ "message": KEY, "field": "someone@example.com" }] });
        let error = sent(ResponseTemplate::new(status).set_body_json(body)).await.unwrap_err();
        shown += &format!("{error:?} {error}\n");
    }
    assert!(!shown.contains("Hidden") && !shown.contains("someone"), "{shown}");
}
