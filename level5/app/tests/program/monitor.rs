//! The page of a run in headless Chromium.
//!
//! Skipped, with a printed reason, where Chromium is missing. `MONITOR_SHOTS=FOLDER` also writes pictures of the page.

use browser_kit::{Browser, installed};
use process_kit::Running;
use serde_json::json;

use crate::process::Place;

/// The variable that asks for pictures.
const SHOTS: &str = "MONITOR_SHOTS";

/// A condition on the text of an element.
fn text(selector: &str, contains: &str) -> String {
    format!("document.querySelector({selector:?}).textContent.includes({contains:?})")
}

#[tokio::test]
async fn a_run_is_watched_and_its_dead_letters_are_sent_again() {
    let Some(browser) = installed() else { return };
    let place = Place::new();
    // More events than any machine ends with meanwhile; Ctrl-C ends the run.
    let line = "--events 100000000 --rate 3000 --reject-rate 0.2 --failure-rate 10 --retry-wait 50 --threshold 5000 \
                --monitor 127.0.0.1:0";
    let running = Running::start(place.program(line));
    let address = running.stderr.says_after("the monitor is at ");
    let mut browser = Browser::start(browser.as_os_str()).await;
    browser.size(1280, 900).await;
    browser.scheme("light").await;
    browser.open(&address).await;

    browser.until(&text("#state", "Running")).await;
    let number = |id: &str| {
        format!("Number(document.getElementById({id:?}).textContent.replaceAll(',', ''))")
    };
    browser.until(&format!("{} > 0 && {} > 0", number("delivered"), number("dead"))).await;
    // The charts have a line for each figure, and grow.
    browser.until("document.querySelectorAll('#rates .line0, #rates .line1').length === 2").await;
    browser.until("document.querySelector('#rates .line1').getAttribute('points').trim().split(' ').length >= 3").await;
    assert_eq!(browser.value("document.querySelectorAll('#backlog .line3').length").await, 1);
    assert_eq!(browser.low_contrast().await, json!([]));
    browser.picture(SHOTS, "desk-light", true).await;

    // What the page shows is what the program counts: nothing that was accepted is missing.
    let sum = format!("{} >= {} + {}", number("accepted"), number("delivered"), number("dead"));
    browser.until(&sum).await;
    let before = browser.value("document.querySelector('#letters tbody td').textContent").await;
    assert!(before.as_str().is_some_and(|id| id.contains('-')), "{before}");
    browser.click("#redrive").await;
    browser.until(&text("#redriven", "are sent again")).await;

    browser.scheme("dark").await;
    assert_eq!(browser.low_contrast().await, json!([]));
    browser.picture(SHOTS, "desk-dark", true).await;
    browser.size(390, 800).await;
    browser.until("document.documentElement.clientWidth === 390").await;
    assert_eq!(browser.wider_than(390).await, json!([]));
    assert_eq!(browser.nameless().await, 0);
    browser.picture(SHOTS, "telephone-dark", true).await;

    // Another page of the browser may not press the button: it cannot send the header.
    let status = "fetch('/redrive', { method: 'POST' }).then(it => it.status)";
    assert_eq!(browser.value(status).await, 403);
    // Chromium reports that refusal on its console.
    browser.complaints.retain(|complaint| !complaint.contains("403"));
    assert!(browser.complaints.is_empty(), "the console says {:#?}", browser.complaints);

    running.interrupt();
    let ended = running.end();
    assert!(matches!(ended.code, Some(0 | 1)), "{ended:#?}");
    browser.until(&text("#state", "has ended")).await;
}

#[test]
fn an_address_that_is_taken_is_named() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = place.run(&format!("--events 1 --monitor {address}"));
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(ended.stderr.contains(&address) && ended.stderr.contains("--monitor"), "{ended:#?}");
}
