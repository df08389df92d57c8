//! The page in headless Chromium. Skipped, with a printed reason, where Chromium is missing. `NOTIFIER_SHOTS=FOLDER` also
//! writes pictures of the page.

use browser_kit::{Browser, installed};
use process_kit::Running;
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::client::{client, post};
use crate::process::{program, url_of};

const SHOTS: &str = "NOTIFIER_SHOTS";

/// A condition on the text of an element.
fn text(selector: &str, contains: &str) -> String {
    format!("document.querySelector({selector:?}).textContent.includes({contains:?})")
}

/// An address that stays while the program behind it, which has another one after each start, comes and goes.
async fn front(program: watch::Receiver<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut browser, _)) = listener.accept().await {
            let address = program.borrow().trim_start_matches("http://").to_owned();
            tokio::spawn(async move {
                // Without the program, the browser's connection is closed.
                if let Ok(mut program) = TcpStream::connect(address).await {
                    let _ = copy_bidirectional(&mut browser, &mut program).await;
                }
            });
        }
    });
    format!("http://{address}/")
}

#[tokio::test]
async fn a_user_sees_each_message_once() {
    let Some(chromium) = installed() else { return };
    let folder = tempfile::tempdir().unwrap();
    let start = || Running::start(program(folder.path(), "serve --port 0"));
    let mut running = start();
    let (address, program) = watch::channel(url_of(&running.stdout).await);
    let page = front(program).await;
    let mut browser = Browser::start(chromium.as_os_str()).await;
    browser.size(1100, 800).await;
    browser.open(&page).await;
    browser.until(&text("#connection", "Connected")).await;
    browser.click("#text").await;
    browser.types("Tea is <b>ready</b>").await;
    browser.value("document.querySelector('#priority').value = 'high'").await;
    browser.enter().await;
    browser.until(&text("#outcome", "Accepted")).await;
    browser.until(&text("#list", "Tea is <b>ready</b>")).await;
    assert_eq!(browser.nameless().await, 0);
    assert_eq!(browser.low_contrast().await, json!([]));
    browser.picture(SHOTS, "light", true).await;
    assert!(browser.complaints.is_empty(), "the console says {:#?}", browser.complaints);

    // The program dies. The browser connects again, and shows what came meanwhile and nothing twice.
    running.kill();
    browser.until(&text("#connection", "does not answer")).await;
    running = start();
    let url = url_of(&running.stdout).await;
    address.send_replace(url.clone());
    let one = json!({"id": "2", "user": "ann", "topic": "it", "priority": "urgent", "data": {"text": "Second"}});
    assert_eq!(post(&client(), &format!("{url}/notifications"), &one).await.unwrap().0, 202);
    browser.until(&text("#list", "Second")).await;
    browser.until(&text("#connection", "Connected")).await;
    assert_eq!(browser.value("document.querySelectorAll('#list li').length").await, 2);
    browser.scheme("dark").await;
    browser.size(360, 740).await;
    browser.until("document.documentElement.clientWidth === 360").await;
    assert_eq!(browser.wider_than(360).await, json!([]));
    assert_eq!(browser.low_contrast().await, json!([]));
    browser.picture(SHOTS, "telephone-dark", true).await;
    running.interrupt();
    assert_eq!(running.end().code, Some(0));
}
