//! Events over HTTP: answered when the journal has them, repeated without a loss.

use process_kit::Running;
use reqwest::{Client, Response};
use serde_json::Value;

use crate::process::{Place, balance};

fn client() -> Client {
    // Installed once for the process; another test may have done it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().build().unwrap()
}

async fn post(url: &str, body: &str) -> Response {
    let request = client().post(url).header("content-type", "application/x-ndjson");
    request.body(body.to_owned()).send().await.unwrap()
}

fn events(ids: std::ops::Range<u32>) -> String {
    ids.map(|id| format!("{{\"id\":\"e{id}\",\"kind\":\"mail.sent\",\"key\":\"ada\"}}\n")).collect()
}

#[tokio::test]
async fn what_was_answered_survives_a_kill_and_a_repeat() {
    let place = Place::new();
    // The services do not answer, so the events are pending when the program is killed.
    let line = "--source http:127.0.0.1:0 --latency 3600000";
    let running = Running::start(place.program(line));
    let url = running.stderr.says_after("events are taken at ");
    let answer = post(&url, &events(0..300)).await;
    assert_eq!(answer.status(), 200);
    let counts: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(counts, serde_json::json!({ "accepted": 300, "duplicates": 0 }));
    let repeated = post(&url, &events(200..310)).await;
    let counts: Value = serde_json::from_slice(&repeated.bytes().await.unwrap()).unwrap();
    assert_eq!(counts, serde_json::json!({ "accepted": 10, "duplicates": 100 }));
    running.kill();

    let ended = place.run("--events 0 --json");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(balance(&ended).delivered, 310, "{ended:#?}");
}

#[tokio::test]
async fn what_is_wrong_is_refused_as_a_whole() {
    let place = Place::new();
    let running = Running::start(place.program("--source http:127.0.0.1:0 --json"));
    let url = running.stderr.says_after("events are taken at ");
    let bad = post(&url, &format!("{}not json\n", events(0..2))).await;
    assert_eq!(bad.status(), 400);
    let why: Value = serde_json::from_slice(&bad.bytes().await.unwrap()).unwrap();
    assert_eq!(why["line"], 3, "{why}");
    let form = client().post(&url).header("content-type", "text/plain").body(events(0..2));
    assert_eq!(form.send().await.unwrap().status(), 415);
    let large = post(&url, &" ".repeat((8 << 20) + 1)).await;
    assert_eq!(large.status(), 413);
    assert_eq!(client().get(&url).send().await.unwrap().status(), 405);
    running.interrupt();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(balance(&ended).accepted, 0, "{ended:#?}");
}

#[tokio::test]
async fn a_client_is_asked_to_come_back_when_too_many_events_are_pending() {
    let place = Place::new();
    let line = "--source http:127.0.0.1:0 --latency 3600000 --threshold 50 --drain 0 --json";
    let running = Running::start(place.program(line));
    let url = running.stderr.says_after("events are taken at ");
    let answer = post(&url, &events(0..200)).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "1");
    let counts: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let [accepted, left] = ["accepted", "left"].map(|name| counts[name].as_u64().unwrap());
    assert!(accepted > 0 && accepted + left == 200, "{counts}");
    running.interrupt();
    let ended = running.end();
    assert_eq!(balance(&ended).accepted, accepted, "{ended:#?}");
    assert_eq!(balance(&ended).pending, accepted, "{ended:#?}");
}
