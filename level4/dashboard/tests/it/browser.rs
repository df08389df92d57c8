//! The page in headless Chromium, used as a user uses it: with the mouse and the keyboard.
//!
//! Skipped, with a printed reason, where Chromium is missing. `DASHBOARD_SHOTS=FOLDER` also writes pictures of the page.

use browser_kit::{Browser, installed};
use level4_dashboard::source::state::{Mode, Service};
use serde_json::json;

use crate::support::Running;

/// The variable that asks for pictures.
const SHOTS: &str = "DASHBOARD_SHOTS";

/// A condition on the text of an element.
fn text(selector: &str, contains: &str) -> String {
    format!("document.querySelector({selector:?}).textContent.includes({contains:?})")
}

/// A condition on the pill of a panel.
fn pill(panel: &str, contains: &str) -> String {
    text(&format!("#{panel} .pill"), contains)
}

/// Writes a picture of the whole page, if the environment asks for it.
async fn shot(browser: &mut Browser, name: &str) {
    browser.picture(SHOTS, name, true).await;
}

/// Writes pictures of what a small window shows of each panel, if the environment asks for it.
async fn shots(browser: &mut Browser, name: &str) {
    for panel in ["overview", "live", "search", "history"] {
        browser.value(&format!("document.querySelector('#{panel}').scrollIntoView()")).await;
        browser.picture(SHOTS, &format!("{name}-{panel}"), false).await;
    }
}

#[tokio::test]
async fn a_user_breaks_and_repairs_every_panel() {
    let Some(program) = installed() else { return };
    let server = Running::start().await;
    let mut browser = Browser::start(program.as_os_str()).await;
    browser.size(1280, 900).await;
    browser.scheme("light").await;
    server.source.set(Service::User, Mode::Silent);
    browser.open(&format!("{}/", server.base)).await;

    overview(&server, &mut browser).await;
    live(&mut browser).await;
    search(&server, &mut browser).await;
    history(&server, &mut browser).await;
    shot(&mut browser, "desk-light").await;
    contrast(&mut browser).await;
    browser.scheme("dark").await;
    shot(&mut browser, "desk-dark").await;
    contrast(&mut browser).await;
    keyboard(&mut browser).await;
    telephone(&mut browser).await;

    let complaints = std::mem::take(&mut browser.complaints);
    assert!(complaints.is_empty(), "the console says {complaints:#?}");
    // Last, since a browser reports a lost connection on its console.
    server.end().await;
    browser.until(&text("#connection", "The program is gone")).await;
}

/// Loading, failed, repaired by the button, partial, complete.
async fn overview(server: &Running, browser: &mut Browser) {
    browser.until("document.readyState === 'complete'").await;
    browser.until(&text("#connection", "Connected")).await;
    browser.until(&pill("overview", "Loading the user")).await;
    shot(browser, "loading").await;
    browser.click("[data-do=stop]").await;
    browser.until(&pill("overview", "Nothing loaded")).await;

    server.source.set(Service::User, Mode::Down);
    browser.click("[data-do=reload]").await;
    browser.until(&pill("overview", "Failed")).await;
    browser.until("!document.querySelector('#overview .alert').hidden").await;
    browser.until(&text("#overview .alert p", "The service has a problem")).await;
    shot(browser, "failed").await;
    contrast(browser).await;
    server.source.set(Service::User, Mode::Works);
    server.source.set(Service::Activities, Mode::Down);
    browser.click("[data-do=retry]").await;
    browser.until(&pill("overview", "Partial")).await;
    browser.until(&text("#activities", "Not available")).await;
    server.source.set(Service::Activities, Mode::Works);
    server.source.set(Service::Notifications, Mode::Down);
    // The copy of the notifications is too old after 4 s.
    tokio::time::sleep(std::time::Duration::from_millis(4100)).await;
    browser.click("[data-do=reload]").await;
    browser.until(&pill("overview", "Degraded")).await;
    browser.until("!document.querySelector('#old').hidden").await;
    server.source.set(Service::Notifications, Mode::Works);
    browser.click("[data-do=reload]").await;
    browser.until(&pill("overview", "Complete")).await;
    browser.until("document.querySelector('#overview .alert').hidden").await;
    browser.until(&text("#user", "Ada Okafor")).await;
}

/// Cut and restored with the buttons.
async fn live(browser: &mut Browser) {
    browser.until(&pill("live", "Live")).await;
    browser.click("[data-cut=true]").await;
    browser.until(&pill("live", "Reconnecting")).await;
    let again = "/Reconnecting, attempt [2-9] of 9/.test(document.querySelector('#live .pill').textContent)";
    browser.until(again).await;
    browser.until("document.querySelectorAll('#orders tr').length > 2").await;
    shot(browser, "cut").await;
    contrast(browser).await;
    browser.click("[data-cut=false]").await;
    browser.until(&pill("live", "Live")).await;
}

/// Typed key by key: a request under way is cancelled, and only the last query has results.
async fn search(server: &Running, browser: &mut Browser) {
    server.source.set(Service::Search, Mode::Silent);
    browser.click("#text").await;
    browser.types("blue").await;
    browser.until("document.querySelector('#log [data-outcome=running]') !== null").await;
    server.source.set(Service::Search, Mode::Works);
    browser.types(" lamp").await;
    browser.until("document.querySelector('#log [data-outcome=cancelled]') !== null").await;
    browser.until(&text("#results-title", "Results for “blue lamp”: 1")).await;
    let results = browser
        .value("[...document.querySelectorAll('#results li')].map(it => it.textContent)")
        .await;
    assert_eq!(results.as_array().map(Vec::len), Some(1), "{results}");
    assert!(results[0].as_str().is_some_and(|it| it.starts_with("Blue lamp")), "{results}");
    browser.until(&text("#search-figures", "given up")).await;
}

/// Scrolled to its end again and again: pages are loaded, and the first ones leave.
async fn history(server: &Running, browser: &mut Browser) {
    let first = "Number(document.querySelector('#sales li span').textContent)";
    browser.until("document.querySelectorAll('#sales li').length >= 30").await;
    let scrolls = "(() => { const it = document.querySelector('#scroller'); it.scrollTop = it.scrollHeight; })()";
    browser.until_by(scrolls, &format!("{first} > 1")).await;
    let kept = browser.value("document.querySelectorAll('#sales li').length").await;
    assert_eq!(kept, 90);
    let back = "(() => { document.querySelector('#scroller').scrollTop = 0; })()";
    browser.value(back).await;
    browser.until(&format!("{first} === 1")).await;

    server.source.set(Service::Sales, Mode::Down);
    // Far beyond what has copies.
    browser.until_by(scrolls, "!document.querySelector('#history .alert').hidden").await;
    browser.until(&pill("history", "Failed")).await;
    server.source.set(Service::Sales, Mode::Works);
    browser.click("#again").await;
    browser.until(&pill("history", "Sales")).await;
}

/// Every text can be read.
async fn contrast(browser: &mut Browser) {
    assert_eq!(browser.low_contrast().await, json!([]));
}

/// Every control has a name, and the focus is visible.
async fn keyboard(browser: &mut Browser) {
    assert_eq!(browser.nameless().await, 0);
    browser.value("document.querySelector('[data-do=reload]').focus()").await;
    browser.presses("Tab", 9).await;
    let focused = browser.value("document.activeElement.dataset.do").await;
    assert_eq!(focused, "stop");
    let outline = browser.value("getComputedStyle(document.activeElement).outlineWidth").await;
    assert_eq!(outline, "3px");
    // A list that scrolls can be scrolled without a mouse.
    browser.value("document.querySelector('#scroller').focus()").await;
    assert_eq!(browser.value("document.activeElement.id").await, "scroller");
}

/// Nothing is wider than a small telephone.
async fn telephone(browser: &mut Browser) {
    browser.size(360, 740).await;
    browser.until("document.documentElement.clientWidth === 360").await;
    assert_eq!(browser.wider_than(360).await, json!([]));
    assert_eq!(browser.value("document.documentElement.scrollWidth").await, 360);
    shots(browser, "telephone-dark").await;
    browser.scheme("light").await;
    shots(browser, "telephone-light").await;
}
