//! Notifications while the service is killed: a merchant's server that is not ours gets each event, and
//! each has the same name and body whenever it comes.

use std::collections::HashMap;
use std::process::Command;
use std::time::{Duration, Instant};

use process_kit::{PATIENCE, run};
use tokio::time::sleep;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::client::{get, order, pay, refund};
use super::start::{Serving, command, key};

use crate::oracles::block_on;
use crate::process::{Place, dice, program};

fn header(request: &Request, name: &str) -> String {
    request.headers.get(name).unwrap().to_str().unwrap().to_owned()
}

/// The events that the server got: the type and the subject of each, and how often it came.
async fn events(server: &MockServer) -> HashMap<String, (String, String, u32)> {
    let mut events: HashMap<String, (String, String, u32)> = HashMap::new();
    for request in server.received_requests().await.unwrap() {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let got = (text(&body["type"]), text(&body["data"]["id"]));
        let known = events.entry(header(&request, "webhook-id")).or_insert((
            got.0.clone(),
            got.1.clone(),
            0,
        ));
        assert_eq!((&known.0, &known.1), (&got.0, &got.1), "another body under the same name");
        known.2 += 1;
    }
    events
}

/// The library of Standard Webhooks accepts each notification, and none with another body.
fn others_verify(secret: &str, requests: &[Request]) {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let run = |script: &str, input: &str| {
        let mut python = Command::new(&python);
        python.args(["-c", script]).env("INPUT", input).env("SECRET", secret).output()
    };
    match run("import standardwebhooks", "") {
        Ok(found) if found.status.success() => {}
        _ => return println!("skipped: Python has no standardwebhooks to check the signatures"),
    }
    let script = "import json, os, standardwebhooks as s\n\
        hook = s.Webhook(os.environ['SECRET'])\n\
        for one in json.loads(os.environ['INPUT']):\n    \
            hook.verify(one['body'], one['headers'])\n    \
            try:\n        hook.verify(one['body'] + ' ', one['headers'])\n    \
            except s.WebhookVerificationError: continue\n    \
            raise SystemExit('a wrong body was accepted')";
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let all: Vec<_> = requests
        .iter()
        .take(20)
        .map(|one| {
            let headers: HashMap<_, _> =
                names.iter().map(|name| (*name, header(one, name))).collect();
            serde_json::json!({ "body": String::from_utf8_lossy(&one.body), "headers": headers })
        })
        .collect();
    let output = run(script, &serde_json::Value::from(all).to_string()).unwrap();
    assert!(output.status.success(), "{output:?}");
    println!("standardwebhooks has checked the signatures");
}

#[test]
fn kills_lose_no_notification() {
    let place = Place::sqlite();
    let key = key(&place);
    let mut dice = dice();
    block_on(async {
        let server = MockServer::start().await;
        // Slow enough to be under way at a kill.
        let answer = ResponseTemplate::new(204).set_delay(Duration::from_millis(30));
        Mock::given(wiremock::matchers::any()).respond_with(answer).mount(&server).await;
        let mut add = program(place.folder(), "add-webhook shop --data data");
        add.arg(format!("{}/hook", server.uri()));
        let ended = run(add);
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        assert!(ended.stdout.starts_with("whsec_"), "{ended:#?}");
        let secret = ended.stdout.trim().to_owned();

        for round in 0..6 {
            let serving = Serving::start(command(&place, ""));
            let (address, key) = (serving.address.clone(), key.clone());
            let clients = tokio::spawn(async move {
                for number in round * 100.. {
                    let Ok(paid) =
                        pay(&address, &key, &format!("key-{number}"), &order(number)).await
                    else {
                        return;
                    };
                    if paid.status != 201 {
                        continue;
                    }
                    let name = paid.json()["id"].as_str().unwrap().to_owned();
                    if refund(&address, &key, &name, &format!("r-{number}"), 7).await.is_err() {
                        return;
                    }
                }
            });
            sleep(Duration::from_millis(200 + dice.below(500))).await;
            serving.kill();
            clients.await.unwrap();
        }

        let serving = Serving::start(command(&place, ""));
        // The list has every payment that was begun. Those under way end by themselves.
        let mut expected = HashMap::new();
        let begun = Instant::now();
        loop {
            expected.clear();
            let (mut open, mut after) = (0, String::new());
            loop {
                let path = format!("/v1/payments?limit=100{after}");
                let page = get(&serving.address, &key, &path).await.unwrap().json();
                for one in page["data"].as_array().unwrap() {
                    let state = one["state"].as_str().unwrap();
                    open += usize::from(!["paid", "declined", "failed"].contains(&state));
                    expected
                        .insert(one["id"].as_str().unwrap().to_owned(), format!("payment.{state}"));
                }
                let Some(next) = page["next"].as_str() else { break };
                after = format!("&after={next}");
            }
            if open == 0 {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{open} payments stay open");
            sleep(Duration::from_millis(50)).await;
        }
        assert!(expected.len() > 5, "hardly anything was paid: {}", expected.len());
        // The claim of a killed process lasts a minute.
        loop {
            let got = events(&server).await;
            let of = |(id, kind): (&String, &String)| {
                got.values().filter(|event| event.0 == *kind && event.1 == *id).count()
            };
            if expected.iter().map(of).all(|count| count == 1) {
                let refunds = got.values().filter(|event| event.0 == "refund.succeeded").count();
                let twice = got.values().filter(|event| event.2 > 1).count();
                println!("{} payments, {refunds} refunds, {twice} came twice", expected.len());
                assert!(refunds > 0);
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{expected:?} {got:?}");
            sleep(Duration::from_millis(100)).await;
        }
        serving.terminate();
        assert_eq!(serving.end().code, Some(0));
        others_verify(&secret, &server.received_requests().await.unwrap());
    });
}
