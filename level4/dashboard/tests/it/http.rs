//! The server without a browser: the page's files, its events and its commands.

use std::time::Duration;

use level4_dashboard::assets::ASSETS;
use level4_dashboard::source::state::{Mode, Service};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::{LONG, Page, Running};

/// The number at a place of a state.
fn number(state: &Value, place: &str) -> u64 {
    state.pointer(place).and_then(Value::as_u64).unwrap_or_default()
}

/// How many items a list has.
fn count(state: &Value, place: &str) -> usize {
    state.pointer(place).and_then(Value::as_array).map_or(0, Vec::len)
}

/// What the shop has counted for a service.
fn given_up(server: &Running, service: Service) -> u64 {
    server.source.watch().borrow().services[service as usize].given_up
}

#[tokio::test]
async fn files_are_served_and_load_nothing_from_elsewhere() {
    let server = Running::start().await;
    for asset in ASSETS {
        let answer = server.get(asset.path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{}", asset.path);
        let header = |name: &str| answer.headers()[name].to_str().expect("a text").to_owned();
        assert_eq!(header("content-type"), asset.kind);
        assert!(header("content-security-policy").contains("default-src 'self'"));
        assert_eq!(answer.text().await.expect("a text"), asset.text);
    }
    assert_eq!(server.get("/nothing").await.status(), StatusCode::NOT_FOUND);
    server.end().await;
}

#[tokio::test]
async fn the_overview_loads_in_steps_and_can_be_stopped() {
    let server = Running::start().await;
    server.source.set(Service::User, Mode::Silent);
    let mut page = Page::open(&server).await;
    page.shows("/overview/with/look", "loading_user").await;
    page.send(&server, json!({ "overview": "stop" })).await;
    page.shows("/overview/with/look", "idle").await;
    page.until("the shop sees that the call is given up", |state| {
        number(state, "/source/services/0/given_up") == 1
    })
    .await;

    server.source.set(Service::User, Mode::Works);
    server.source.set(Service::Activities, Mode::Silent);
    page.send(&server, json!({ "overview": "reload" })).await;
    page.shows("/overview/with/look", "loading_data").await;
    page.send(&server, json!({ "overview": "stop" })).await;
    page.shows("/overview/with/look", "idle").await;

    server.source.set(Service::Activities, Mode::Works);
    page.send(&server, json!({ "overview": "reload" })).await;
    let state = page.shows("/overview/with/look", "ready").await;
    assert_eq!(state["overview"]["with"]["user"], "Ada Okafor");
    assert!(count(&state, "/overview/with/activities") > 0, "{state:#}");
    assert!(count(&state, "/overview/with/notifications") > 0, "{state:#}");
    server.end().await;
}

#[tokio::test]
async fn the_overview_is_partial_degraded_or_failed_and_a_retry_repairs_it() {
    let server = Running::start().await;
    server.source.set(Service::Activities, Mode::Down);
    let mut page = Page::open(&server).await;
    let state = page.shows("/overview/with/look", "partial").await;
    assert_eq!(state["overview"]["with"]["activities"], Value::Null);

    // The notifications have a copy, which is too old to answer after 4 s.
    server.source.set(Service::Activities, Mode::Works);
    server.source.set(Service::Notifications, Mode::Down);
    sleep(Duration::from_millis(4100)).await;
    page.send(&server, json!({ "overview": "reload" })).await;
    let state = page.shows("/overview/with/look", "degraded").await;
    assert_eq!(state["overview"]["with"]["is_old"], true);
    assert!(count(&state, "/overview/with/notifications") > 0, "{state:#}");

    server.source.set(Service::User, Mode::Down);
    page.send(&server, json!({ "overview": "reload" })).await;
    let state = page.shows("/overview/with/look", "failed").await;
    let overview = state["overview"]["with"].to_string();
    assert!(overview.contains("The service has a problem"), "{overview}");
    assert!(overview.contains("Ada Okafor"), "the old data stays: {overview}");
    assert!(!state.to_string().contains("db-7"), "no text of the service is shown: {state:#}");

    server.source.set(Service::User, Mode::Works);
    server.source.set(Service::Notifications, Mode::Works);
    page.send(&server, json!({ "overview": "retry" })).await;
    page.shows("/overview/with/look", "ready").await;
    server.end().await;
}

#[tokio::test]
async fn a_cut_link_is_reconnected_and_nothing_is_missing() {
    let server = Running::start().await;
    let mut page = Page::open(&server).await;
    page.shows("/live/with/trust/is", "live").await;
    page.send(&server, json!({ "cut": true })).await;
    page.until("a second attempt", |state| number(state, "/live/with/trust/attempt") >= 2).await;
    let state = page.until("no socket", |state| number(state, "/source/sockets") == 0).await;
    let version = number(&state, "/live/with/version");
    assert!(count(&state, "/live/with/orders") > 0, "the old list stays: {state:#}");

    page.send(&server, json!({ "cut": false })).await;
    page.shows("/live/with/trust/is", "live").await;
    // The shop went on in between, and the list goes on with it.
    page.until("newer versions", |state| number(state, "/live/with/version") > version + 5).await;
    server.end().await;
}

#[tokio::test]
async fn a_link_that_stays_cut_is_given_up_and_can_be_connected_again() {
    let server = Running::start().await;
    server.source.cut(true);
    let mut page = Page::open(&server).await;
    page.shows("/live/with/trust/is", "gave_up").await;
    server.source.cut(false);
    page.send(&server, json!({ "live": "connect" })).await;
    page.shows("/live/with/trust/is", "live").await;
    server.end().await;
}

#[tokio::test]
async fn orders_without_a_snapshot_are_old() {
    let server = Running::start().await;
    let mut page = Page::open(&server).await;
    page.shows("/live/with/trust/is", "live").await;
    server.source.set(Service::Orders, Mode::Down);
    server.source.cut(true);
    page.shows("/live/with/trust/is", "connecting").await;
    server.source.cut(false);
    page.shows("/live/with/trust/is", "stale").await;
    server.source.set(Service::Orders, Mode::Works);
    page.shows("/live/with/trust/is", "live").await;
    server.end().await;
}

#[tokio::test]
async fn pages_share_one_socket_and_close_it() {
    let server = Running::start().await;
    let (mut one, mut two) = (Page::open(&server).await, Page::open(&server).await);
    assert_ne!(one.number, two.number);
    one.shows("/live/with/trust/is", "live").await;
    let state = two.shows("/live/with/trust/is", "live").await;
    assert_eq!((number(&state, "/source/sockets"), server.sessions.count()), (1, 2));
    drop((one, two));
    let mut source = server.source.watch();
    let closed = source.wait_for(|state| state.sockets == 0);
    timeout(LONG, closed).await.expect("a close in time").expect("a state");
    assert_eq!(server.sessions.count(), 0);
    server.end().await;
}

#[tokio::test]
async fn a_keystroke_cancels_the_request_under_way() {
    let server = Running::start().await;
    server.source.set(Service::Search, Mode::Silent);
    let mut page = Page::open(&server).await;
    page.shows("/search/with/phase", "idle").await;
    page.send(&server, json!({ "search": "bl" })).await;
    page.shows("/search/with/log/0/outcome/is", "running").await;

    server.source.set(Service::Search, Mode::Works);
    page.send(&server, json!({ "search": "blue lamp" })).await;
    let state = page.shows("/search/with/phase", "found").await;
    assert_eq!(state["search"]["with"]["results"]["query"], "blue lamp");
    assert_eq!(state["search"]["with"]["results"]["products"][0]["name"], "Blue lamp");
    let log = state["search"]["with"]["log"].as_array().expect("a log").clone();
    let ends: Vec<_> =
        log.iter().map(|it| (it["query"].as_str(), it["outcome"]["is"].as_str())).collect();
    assert_eq!(ends, [(Some("blue lamp"), Some("answered")), (Some("bl"), Some("cancelled"))]);
    // The cancellation has reached the shop: it saw the connection close.
    page.until("one call given up", |state| number(state, "/source/services/4/given_up") == 1)
        .await;

    page.send(&server, json!({ "search": "" })).await;
    page.shows("/search/with/phase", "idle").await;
    page.send(&server, json!({ "search": "blue lamp" })).await;
    page.shows("/search/with/log/0/outcome/is", "copied").await;
    server.end().await;
}

#[tokio::test]
async fn a_search_that_fails_says_so_without_details() {
    let server = Running::start().await;
    server.source.set(Service::Search, Mode::Down);
    let mut page = Page::open(&server).await;
    page.shows("/search/with/phase", "idle").await;
    page.send(&server, json!({ "search": "lamp" })).await;
    let state = page.shows("/search/with/phase", "failed").await;
    assert_eq!(
        state["search"]["with"]["failure"],
        "The shop has a problem. Try again in a moment."
    );
    server.source.set(Service::Search, Mode::Works);
    page.send(&server, json!({ "search": "lamps" })).await;
    page.shows("/search/with/phase", "found").await;
    server.end().await;
}

#[tokio::test]
async fn pages_of_the_history_come_and_go() {
    let server = Running::start().await;
    let mut page = Page::open(&server).await;
    let window = |first: u64, sales: usize| {
        move |state: &Value| {
            let is_still = state.pointer("/history/with/loading") == Some(&Value::Null);
            let at = number(state, "/history/with/first_index");
            is_still && at == first && count(state, "/history/with/sales") == sales
        }
    };
    for (first, sales) in [(0, 30), (0, 60), (0, 90), (30, 90)] {
        page.until("the next window", window(first, sales)).await;
        page.send(&server, json!({ "history": "next" })).await;
    }
    let state = page.until("the last window", window(60, 90)).await;
    assert_eq!(state["history"]["with"]["sales"][0]["number"], 61);

    server.source.set(Service::Sales, Mode::Down);
    page.send(&server, json!({ "history": "next" })).await;
    let state =
        page.until("a failure", |state| !state["history"]["with"]["failure"].is_null()).await;
    assert_eq!(state["history"]["with"]["failure"]["load"], "next");
    assert!(window(60, 90)(&state), "the window is as it was: {state:#}");
    // The page before is a copy, which needs no service.
    page.send(&server, json!({ "history": "previous" })).await;
    let state = page.until("the page before", window(30, 90)).await;
    assert_eq!(state["history"]["with"]["failure"], Value::Null);
    server.end().await;
}

#[tokio::test]
async fn a_page_that_is_closed_stops_its_work() {
    let server = Running::start().await;
    server.source.set(Service::Search, Mode::Silent);
    let mut page = Page::open(&server).await;
    page.shows("/search/with/phase", "idle").await;
    page.send(&server, json!({ "search": "lamp" })).await;
    page.shows("/search/with/phase", "searching").await;
    page.until("the shop has the call", |state| number(state, "/source/services/4/calls") == 1)
        .await;
    let number = page.number.clone();
    drop(page);
    let mut source = server.source.watch();
    let dropped = source.wait_for(|state| state.services[Service::Search as usize].given_up == 1);
    timeout(LONG, dropped).await.expect("a drop in time").expect("a state");
    let status = server.post(&number, json!({ "cut": true }).to_string()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    server.end().await;
}

#[tokio::test]
async fn commands_that_make_no_sense_are_refused() {
    let server = Running::start().await;
    let page = Page::open(&server).await;
    for (text, status) in [
        ("nonsense".to_owned(), StatusCode::BAD_REQUEST),
        (json!({ "overview": "explode" }).to_string(), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "search": "x".repeat(81) }).to_string(), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "search": "x".repeat(5000) }).to_string(), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(server.post(&page.number, text).await, status);
    }
    let known = json!({ "cut": false }).to_string();
    assert_eq!(server.post("999", known.clone()).await, StatusCode::NOT_FOUND);
    assert_eq!(server.post("x", known).await, StatusCode::BAD_REQUEST);
    server.end().await;
}

#[tokio::test]
async fn an_open_page_and_a_silent_service_do_not_hold_up_the_end() {
    let server = Running::start().await;
    server.source.set(Service::User, Mode::Silent);
    let mut page = Page::open(&server).await;
    page.until("a call that waits", |state| number(state, "/source/services/0/calls") == 1).await;
    assert_eq!(given_up(&server, Service::User), 0);
    server.end().await;
    page.ends().await;
}
