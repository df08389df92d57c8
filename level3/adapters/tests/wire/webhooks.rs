//! Notifications over HTTP.

use std::time::Duration;

use level3_adapters::webhooks::{HookAnswer, HookClient, HookError, HookPost, HookRequest};
use wiremock::matchers::{body_string, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::PATIENCE;

fn request(url: &str) -> HookRequest {
    HookRequest {
        url: url.parse().expect("a URL of this machine"),
        headers: vec![("webhook-id", "evt_1".to_owned())],
        body: "{\"a\":1}".to_owned(),
    }
}

async fn post(limit: Duration, url: &str) -> Result<HookAnswer, HookError> {
    HookClient::new(limit).expect("a client").post(request(url)).await
}

#[tokio::test]
async fn headers_and_body_are_sent_as_they_are() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/hook"))
        .and(query_param("token", "a"))
        .and(header("webhook-id", "evt_1"))
        .and(header("content-type", "application/json"))
        .and(body_string("{\"a\":1}"))
        .respond_with(ResponseTemplate::new(202))
        .expect(1)
        .mount(&server)
        .await;
    let answer = post(PATIENCE, &format!("{}/hook?token=a", server.uri())).await;
    assert_eq!(answer, Ok(HookAnswer { status: 202, retry_after: None }));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let server = MockServer::start().await;
    let elsewhere = ResponseTemplate::new(307).insert_header("location", "/elsewhere");
    Mock::given(path("/hook")).respond_with(elsewhere).expect(1).mount(&server).await;
    let answer = post(PATIENCE, &format!("{}/hook", server.uri())).await;
    assert_eq!(answer, Ok(HookAnswer { status: 307, retry_after: None }));
}

#[tokio::test]
async fn failures_have_causes() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(PATIENCE);
    Mock::given(path("/slow")).respond_with(slow).mount(&server).await;
    let busy = ResponseTemplate::new(503).insert_header("retry-after", "7");
    Mock::given(path("/busy")).respond_with(busy).mount(&server).await;
    let limit = Duration::from_millis(200);
    let silent = post(limit, &format!("{}/slow", server.uri())).await;
    assert_eq!(silent, Err(HookError::TimedOut(limit)));
    let asked = post(PATIENCE, &format!("{}/busy", server.uri())).await;
    assert_eq!(asked, Ok(HookAnswer { status: 503, retry_after: Some(Duration::from_secs(7)) }));
    let refused = post(PATIENCE, "http://127.0.0.1:1/").await;
    assert!(matches!(refused, Err(HookError::NotSent(_))), "{refused:?}");
}
