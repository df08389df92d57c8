//! Services over HTTP, on a real server.

use event_processor::sink::HttpSink;
use level5::event_processor::{
    Ack, Batch, Encoding, Event, EventId, SendError, Service, Sink as _,
};
use level5::priority_queue::Priority;
use process_kit::Running;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::process::{Place, balance};

fn batch(encoding: Encoding) -> Batch {
    let event = |id: &str| {
        Arc::new(Event {
            id: EventId::new(id),
            kind: "mail.sent".to_owned(),
            key: None,
            priority: Priority::High,
            at: jiff::Timestamp::UNIX_EPOCH,
            data: "data".into(),
        })
    };
    Batch::new(["a", "b", "c"].map(event).into(), encoding)
}

async fn answer(response: ResponseTemplate) -> Result<Vec<Ack>, SendError> {
    let server = MockServer::start().await;
    Mock::given(method("POST")).and(path("/in/mail")).respond_with(response).mount(&server).await;
    let sink = HttpSink::new(format!("{}/in", server.uri()).parse().unwrap()).unwrap();
    sink.send(&Service::new("mail"), &batch(Encoding::Plain)).await
}

#[tokio::test]
async fn answers_are_read() {
    assert_eq!(answer(ResponseTemplate::new(204)).await, Ok(vec![Ack::Ok; 3]));
    let each = json!(["ok", { "retry": "busy" }, { "reject": "no such user" }]);
    let expected =
        vec![Ack::Ok, Ack::Retry("busy".to_owned()), Ack::Reject("no such user".to_owned())];
    assert_eq!(answer(ResponseTemplate::new(200).set_body_json(each)).await, Ok(expected));
    // Too few: the processor sends the others again.
    let one = ResponseTemplate::new(200).set_body_json(json!(["ok"]));
    assert_eq!(answer(one).await, Ok(vec![Ack::Ok]));
}

#[tokio::test]
async fn errors_are_told_apart() {
    let busy = answer(ResponseTemplate::new(503).set_body_string("busy\n")).await.unwrap_err();
    assert!(
        busy.is_transient()
            && busy.to_string().contains("503")
            && busy.to_string().ends_with("busy")
    );
    let wrong = answer(ResponseTemplate::new(400)).await.unwrap_err();
    assert!(!wrong.is_transient(), "{wrong}");
    let moved = ResponseTemplate::new(307).insert_header("location", "http://127.0.0.1:1/");
    assert!(!answer(moved).await.unwrap_err().is_transient());
    for body in ["<html>", "[\"maybe\"]", "{}"] {
        let odd = answer(ResponseTemplate::new(200).set_body_string(body)).await.unwrap_err();
        assert!(odd.is_transient() && odd.to_string().contains("cannot be read"), "{odd}");
    }
    let sink = HttpSink::new("http://127.0.0.1:1/".parse().unwrap()).unwrap();
    let away = sink.send(&Service::new("mail"), &batch(Encoding::Gzip)).await.unwrap_err();
    assert!(matches!(away, SendError::Transport(_)), "{away}");
}

#[tokio::test]
async fn a_name_of_a_service_is_one_part_of_the_path() {
    let server = MockServer::start().await;
    let ok = ResponseTemplate::new(200);
    Mock::given(path("/in/a%2F..%2Fb%3Fc")).respond_with(ok).expect(1).mount(&server).await;
    let sink = HttpSink::new(format!("{}/in/", server.uri()).parse().unwrap()).unwrap();
    sink.send(&Service::new("a/../b?c"), &batch(Encoding::Plain)).await.unwrap();
}

/// The whole program: every third batch gets 503, and the rest is decoded and counted.
#[tokio::test(flavor = "multi_thread")]
async fn batches_arrive_over_http() {
    let count = AtomicU32::new(0);
    let server = MockServer::start().await;
    Mock::given(header("content-encoding", "gzip"))
        .respond_with(move |request: &Request| {
            assert!(Batch::decode(&request.body, Encoding::Gzip).is_ok());
            let status = if count.fetch_add(1, Ordering::Relaxed) % 3 == 2 { 503 } else { 200 };
            ResponseTemplate::new(status)
        })
        .mount(&server)
        .await;
    let place = Place::new();
    let args = format!(
        "--events 2000 --sink {}/in --batch 40 --retry-wait 10 --attempts 50 --json",
        server.uri()
    );
    let program = place.program(&args);
    let ended = tokio::task::spawn_blocking(|| Running::start(program).end()).await.unwrap();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(balance(&ended).delivered, 2000);
    let paths: std::collections::BTreeSet<_> = server
        .received_requests()
        .await
        .unwrap()
        .into_iter()
        .map(|it| it.url.path().to_owned())
        .collect();
    assert_eq!(Vec::from_iter(paths), ["/in/accounting", "/in/analytics", "/in/monitoring"]);
}
