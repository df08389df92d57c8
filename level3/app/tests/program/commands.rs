//! The commands beside the stream, and services that are not simulated.

use process_kit::{Ended, run};
use serde_json::json;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::oracles;
use crate::process::Place;

const SENDGRID: &str = "--mail-from shop@example.com --sendgrid";

/// The program asks for it when it starts.
async fn a_key_that_may_send(server: &MockServer) {
    let scopes = ResponseTemplate::new(200).set_body_json(json!({ "scopes": ["mail.send"] }));
    Mock::given(path("/v3/scopes")).respond_with(scopes).mount(server).await;
}

async fn mails(server: &MockServer) -> Vec<Request> {
    let requests = server.received_requests().await.unwrap();
    requests.into_iter().filter(|request| request.url.path() == "/v3/mail/send").collect()
}

/// Answers are shown as they were given, and by the key that was asked with.
#[test]
fn payments_are_shown_with_their_steps() {
    let place = Place::sqlite();
    assert_eq!(
        run(place.program("--payments 9 --failure-rate 0 --key-prefix run-1")).code,
        Some(0)
    );
    // Which of them the simulated fraud check declines is chance.
    let show = |number: u32| {
        let shown = run(place.program(&format!("show run-1-{number}")));
        assert_eq!(shown.code, Some(0));
        shown
    };
    let is_paid = |(_, shown): &(u32, Ended)| shown.stdout.contains("completed");
    let paid = (1..=9).map(|number| (number, show(number))).find(is_paid);
    let (number, shown) = paid.expect("one of nine is paid");
    let amount = format!("10.0{number} USD paid");
    for words in ["create: done", "confirm: done", "save: done", amount.as_str()] {
        assert!(shown.stdout.contains(words), "{shown:#?}");
    }
    let shown = run(place.program(&format!("show run-1-{number} --json"))).json();
    let name = shown[0]["payment"].as_str().unwrap().to_owned();
    assert_eq!(run(place.program(&format!("show {name} --json"))).json(), shown);
    let unknown = run(place.program("show run-1-10"));
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("has no payment run-1-10"), "{unknown:#?}");
}

/// A receipt that cannot be sent is listed, and goes out when it is redriven.
#[tokio::test]
async fn dead_letters_are_listed_and_redriven() {
    let server = MockServer::start().await;
    a_key_that_may_send(&server).await;
    // An answer that no second attempt changes, and that is no outage.
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(400)).mount(&server).await;
    let place = Place::sqlite();
    let (here, url) = (&place, server.uri());
    let mailing = |command: &str| {
        let mut program = here.program(&format!("{command} {SENDGRID} {url}"));
        program.env("SENDGRID_API_KEY", "SG.hidden.hidden");
        async { tokio::task::spawn_blocking(|| run(program)).await.unwrap() }
    };
    let ended = mailing("--payments 20 --failure-rate 0 --json").await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let paid = ended.json()["payments"]["paid"].as_u64().unwrap();
    assert!(paid > 10, "{ended:#?}");
    assert_eq!(ended.json()["dead_letters"], paid, "{ended:#?}");
    let listed = || run(place.program("dead-letters --json")).json();
    assert_eq!(run(place.program("dead-letters")).code, Some(1), "there are some");
    let letters = listed();
    assert_eq!(letters.as_array().unwrap().len() as u64, paid);
    assert_eq!(letters[0]["kind"], "receipt", "{letters:#}");
    assert!(letters[0]["cause"].as_str().unwrap().contains("400 from SendGrid"), "{letters:#}");

    server.reset().await;
    a_key_that_may_send(&server).await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(202)).mount(&server).await;
    let redriven = mailing("redrive --json").await;
    assert_eq!(redriven.code, Some(0), "{redriven:#?}");
    assert_eq!(redriven.json()["receipts_pending"], 0, "{redriven:#?}");
    assert_eq!(listed().as_array().unwrap().len(), 0);
    assert_eq!(run(place.program("dead-letters")).code, Some(0));
    assert_eq!(mailing("redrive").await.code, Some(0));
    assert_eq!(mails(&server).await.len() as u64, paid, "one mail each");
}

/// A ledger from an old backup has lost a row: it is found, and written again, without a second receipt.
#[test]
fn a_row_that_is_missing_is_found() {
    let place = Place::sqlite();
    // More than one of them is paid, whatever the simulated fraud check declines.
    assert_eq!(run(place.program("--payments 12 --failure-rate 0")).code, Some(0));
    let fits = run(place.program("reconcile --failure-rate 0"));
    assert_eq!(fits.code, Some(0), "{fits:#?}");
    assert!(fits.stdout.contains("Everything fits"), "{fits:#?}");

    let db = rusqlite::Connection::open(place.url.strip_prefix("sqlite:").unwrap()).unwrap();
    assert_eq!(db.execute("DELETE FROM payments WHERE number = 2", ()).unwrap(), 1);
    drop(db);
    let dry = run(place.program("reconcile --dry-run --failure-rate 0"));
    assert_eq!(dry.code, Some(1), "{dry:#?}");
    assert!(dry.stdout.contains("charged, and not recorded; reported"), "{dry:#?}");
    let repaired = run(place.program("reconcile --json --failure-rate 0"));
    assert_eq!(repaired.code, Some(0), "{repaired:#?}");
    assert_eq!(repaired.json()["repaired"], 1, "{repaired:#?}");
    assert_eq!(run(place.program("reconcile --dry-run --failure-rate 0")).code, Some(0));
    let recovered = run(place.program("recover --failure-rate 0"));
    assert_eq!(recovered.code, Some(0), "{recovered:#?}");
    oracles::check(&place);
}

/// One request for each payment that is paid, with the key and without a second one in a later run.
#[tokio::test]
async fn receipts_go_out_by_sendgrid() {
    let server = MockServer::start().await;
    a_key_that_may_send(&server).await;
    Mock::given(method("POST"))
        .and(path("/v3/mail/send"))
        .respond_with(ResponseTemplate::new(202))
        .mount(&server)
        .await;
    let place = Place::sqlite();
    let with = format!("{SENDGRID} {}", server.uri());
    let mut program = place.program(&format!("--payments 20 --failure-rate 0 --json {with}"));
    program.env("SENDGRID_API_KEY", "SG.hidden.hidden");
    let ended = tokio::task::spawn_blocking(move || run(program)).await.unwrap();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let paid = ended.json()["payments"]["paid"].as_u64().unwrap();
    assert_eq!(ended.json()["receipts_sent"], paid, "{ended:#?}");
    let sent = mails(&server).await;
    assert_eq!(sent.len() as u64, paid);
    assert!(
        sent.iter().all(|request| request.headers["authorization"] == "Bearer SG.hidden.hidden")
    );

    let mut again = place.program(&format!("recover {with}"));
    again.env("SENDGRID_API_KEY", "SG.hidden.hidden");
    let ended = tokio::task::spawn_blocking(move || run(again)).await.unwrap();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(mails(&server).await.len() as u64, paid);
}
