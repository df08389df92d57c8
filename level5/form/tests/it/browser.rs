//! The page in headless Chromium, used with the mouse and the keyboard.
//!
//! Skipped, with a printed reason, where Chromium is missing. `FORM_SHOTS=FOLDER` also writes pictures of the page.

use std::net::{Ipv4Addr, SocketAddr};

use browser_kit::{Browser, installed};
use registration_page::server::Server;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// The variable that asks for pictures.
const SHOTS: &str = "FORM_SHOTS";

/// A condition on the status of a field.
fn field(name: &str, status: &str) -> String {
    format!("document.querySelector('[data-field={name}]').dataset.status === {status:?}")
}

/// A condition on the text of an element.
fn text(selector: &str, contains: &str) -> String {
    format!("document.querySelector({selector:?}).textContent.includes({contains:?})")
}

/// Replaces the value of a field, as a user who selects all and types.
async fn fill(browser: &mut Browser, name: &str, value: &str) {
    browser.click(&format!("#{name}")).await;
    browser.value(&format!("document.querySelector('#{name}').select()")).await;
    browser.types(value).await;
}

#[tokio::test]
async fn a_user_registers_in_spite_of_a_bad_service() {
    let Some(program) = installed() else { return };
    let server = Server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let (url, stop) = (format!("http://{}/", server.address()), CancellationToken::new());
    let served = tokio::spawn(server.serve(stop.clone()));
    let mut browser = Browser::start(program.as_os_str()).await;
    browser.size(1100, 800).await;
    browser.scheme("light").await;
    browser.open(&url).await;
    browser.until(&text("#connection", "Connected")).await;

    checks(&mut browser).await;
    submits(&mut browser).await;
    keyboard(&mut browser).await;

    browser.size(360, 740).await;
    browser.until("document.documentElement.clientWidth === 360").await;
    assert_eq!(browser.wider_than(360).await, json!([]));
    browser.picture(SHOTS, "telephone-dark", true).await;
    assert!(browser.complaints.is_empty(), "the console says {:#?}", browser.complaints);
    // Last, since a browser reports a lost connection on its console.
    stop.cancel();
    served.await.unwrap().unwrap();
    browser.until(&text("#connection", "has ended")).await;
}

/// Pending, valid, invalid, unknown, and the second check.
async fn checks(browser: &mut Browser) {
    browser.until(&field("username", "pristine")).await;
    browser.click("[data-mode=silent]").await;
    fill(browser, "username", "lin").await;
    browser.until(&field("username", "pending")).await;
    browser.until(&text("#username-says", "Checking")).await;
    browser.picture(SHOTS, "pending", true).await;
    browser.click("[data-mode=works]").await;
    browser.until(&field("username", "valid")).await;

    fill(browser, "username", "ada").await;
    browser.until(&field("username", "invalid")).await;
    browser.until(&text("#username-says", "taken")).await;
    assert_eq!(browser.value("document.querySelector('#username').ariaInvalid").await, "true");

    browser.click("[data-mode=fails]").await;
    fill(browser, "email", "lin@mail.example").await;
    browser.until(&field("email", "unknown")).await;
    browser.until("!document.querySelector('[data-field=email] .again').hidden").await;
    browser.picture(SHOTS, "unknown", true).await;
    assert_eq!(browser.low_contrast().await, json!([]));
    browser.click("[data-mode=works]").await;
    browser.until("document.querySelector('[data-mode=works]').ariaPressed === 'true'").await;
    browser.click("[data-field=email] .again").await;
    browser.until(&field("email", "valid")).await;
    assert_eq!(browser.value("document.activeElement.id").await, "email");

    // Two rules of two fields: the username must not be the name in the email, whichever is typed last.
    fill(browser, "username", "lin").await;
    browser.until(&text("#username-says", "must differ")).await;
    fill(browser, "email", "lyn@mail.example").await;
    browser.until(&field("username", "valid")).await;
    browser.until(&field("email", "valid")).await;
}

/// A submit that is not valid, one that the server refuses, one that fails, and one that succeeds.
async fn submits(browser: &mut Browser) {
    browser.click("#submit").await;
    browser.until(&field("password", "invalid")).await;
    browser.until("document.activeElement.id === 'password'").await;
    fill(browser, "password", "correct horse").await;
    browser.until(&field("password", "valid")).await;

    fill(browser, "username", "grace").await;
    browser.until(&field("username", "valid")).await;
    browser.click("#submit").await;
    browser.until(&field("username", "invalid")).await;
    browser.until(&text("#username-says", "This username is taken")).await;
    browser.until("document.activeElement.id === 'username'").await;
    browser.picture(SHOTS, "refused", true).await;

    fill(browser, "username", "hopper").await;
    browser.until(&field("username", "valid")).await;
    browser.click("[data-mode=fails]").await;
    browser.until("document.querySelector('[data-mode=fails]').ariaPressed === 'true'").await;
    browser.click("#submit").await;
    browser.until(&text("#outcome", "Please try again later")).await;
    browser.click("[data-mode=silent]").await;
    browser.until("document.querySelector('[data-mode=silent]').ariaPressed === 'true'").await;
    browser.click("#submit").await;
    browser.until(&text("#outcome", "Sending")).await;
    // A second press while the first one is under way makes no second account.
    browser.click("#submit").await;
    browser.click("[data-mode=works]").await;
    browser.until(&text("#outcome", "Your account has the number 1.")).await;
    assert_eq!(browser.value("document.querySelector('#username').value").await, "");
    browser.until(&field("username", "pristine")).await;
}

/// The whole form without a mouse.
async fn keyboard(browser: &mut Browser) {
    browser.scheme("dark").await;
    assert_eq!(browser.nameless().await, 0);
    browser.value("document.querySelector('#username').focus()").await;
    browser.types("mary").await;
    browser.presses("Tab", 9).await;
    browser.types("m@mail.example").await;
    browser.presses("Tab", 9).await;
    browser.types("correct horse").await;
    let outline = browser.value("getComputedStyle(document.activeElement).outlineWidth").await;
    assert_eq!(outline, "3px");
    for name in ["username", "email", "password"] {
        browser.until(&field(name, "valid")).await;
    }
    assert_eq!(browser.low_contrast().await, json!([]));
    browser.picture(SHOTS, "valid-dark", true).await;
    browser.enter().await;
    browser.until(&text("#outcome", "Your account has the number 2.")).await;
}
