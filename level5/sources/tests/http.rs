//! A document on a server on loopback: news, no news, deletions, faults. Real sockets, on real time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use http::header::{AUTHORIZATION, DATE, HeaderMap, HeaderName, HeaderValue};
use level4::http_client::{Request as ClientRequest, Response, Transport, TransportError};
use level4_http::{Limits, Reqwest};
use level5::conflict::{Fields, SourceId, Standing};
use level5::multi_source_cache::Failure;
use level5::sync_engine::{
    Config, Engine, Incoming, MemoryStore, Read, Source as _, SourceMeta, Store as _,
};
use level5::wall_clock::SystemWall;
use level5_sources::{HttpSource, Layout, UrlError, known};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

/// Longer than any test should take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A document with an `ETag` for each of its states, as a web server has it.
#[derive(Clone, Default)]
struct Document(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    records: Value,
    etag: Option<String>,
    modified: Option<&'static str>,
    status: Option<u16>,
    delay: Duration,
    /// What the requests were conditional on, and what they were answered.
    log: Vec<(Option<String>, u16)>,
}

impl Document {
    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().expect("a state"));
    }

    fn write(&self, etag: &str, modified: &'static str, records: Value) {
        self.set(|state| {
            (state.etag, state.modified) = (Some(format!("\"{etag}\"")), Some(modified));
            state.records = records;
        });
    }

    fn log(&self) -> Vec<(Option<String>, u16)> {
        std::mem::take(&mut self.0.lock().expect("a state").log)
    }
}

impl Respond for Document {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut state = self.0.lock().expect("a state");
        let condition = ["if-none-match", "if-modified-since"]
            .iter()
            .find_map(|name| request.headers.get(*name))
            .map(|value| value.to_str().expect("text").to_owned());
        let current = state.etag.clone().or(state.modified.map(ToOwned::to_owned));
        let is_same = condition.is_some() && condition == current;
        let status = state.status.unwrap_or(if is_same { 304 } else { 200 });
        state.log.push((condition, status));
        let mut answer = ResponseTemplate::new(status).set_delay(state.delay);
        if status == 200 {
            answer = answer.set_body_json(&state.records);
        }
        if let Some(etag) = &state.etag {
            answer = answer.insert_header("etag", etag.as_str());
        }
        if let Some(modified) = state.modified {
            answer = answer.insert_header("last-modified", modified);
        }
        answer
    }
}

async fn server(document: &Document) -> (MockServer, String) {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/records"))
        .respond_with(document.clone())
        .mount(&server)
        .await;
    let url = format!("{}/records", server.uri());
    (server, url)
}

fn source(url: &str) -> HttpSource<Reqwest> {
    let transport = Reqwest::new(Limits::default()).expect("a client");
    HttpSource::new(SourceId::new("web"), url, Layout::default(), transport).expect("a URL")
}

/// Each record as `id name time/version`.
fn shown(incoming: Vec<Incoming>) -> Vec<String> {
    let show = |record: Incoming| {
        let name = |fields: Fields| fields["name"].as_str().expect("a name").to_owned();
        let name = record.content.map_or("-".to_owned(), name);
        format!("{} {name} {}/{}", record.id, record.at.strftime("%H:%M:%S"), record.version)
    };
    incoming.into_iter().map(show).collect()
}

const NOON: &str = "Sun, 29 Nov 2026 12:00:00 GMT";
const ONE: &str = "Sun, 29 Nov 2026 13:00:00 GMT";
const TWO: &str = "Sun, 29 Nov 2026 14:00:00 GMT";

#[tokio::test]
async fn a_server_without_news_sends_no_document() {
    let document = Document::default();
    let (_server, url) = server(&document).await;
    document.write("1", NOON, json!([{"id": "a", "name": "Ann"}, {"id": "b", "name": "Bob"}]));
    let source = source(&url);
    let first = ["a Ann 12:00:00/0", "b Bob 12:00:00/0"];
    assert_eq!(shown(source.fetch_all().await.expect("an answer")), first);
    // What a 304 confirms is delivered, with the stamps of before.
    assert_eq!(shown(source.fetch_all().await.expect("an answer")), first);
    let some = source.fetch(&["b".into(), "x".into()]).await.expect("an answer");
    assert_eq!(shown(some), ["b Bob 12:00:00/0"]);
    document.write("2", ONE, json!([{"id": "a", "name": "Anna"}, {"id": "b", "name": "Bob"}]));
    let news = source.fetch_all().await.expect("an answer");
    assert_eq!(shown(news), ["a Anna 13:00:00/0", "b Bob 12:00:00/0"], "one has changed");
    let one = || Some("\"1\"".to_owned());
    assert_eq!(document.log(), [(None, 200), (one(), 304), (one(), 304), (one(), 200)]);
}

#[tokio::test]
async fn what_a_document_has_no_more_was_deleted() {
    let document = Document::default();
    let (_server, url) = server(&document).await;
    document.write("1", NOON, json!([{"id": "a", "name": "Ann"}, {"id": "b", "name": "Bob"}]));
    let (store, every) = (MemoryStore::new(), Duration::from_secs(3600));
    let meta = SourceMeta { standing: Standing::default(), latency: Duration::ZERO, every };
    let engine = Engine::start(Config::default(), store.clone(), SystemWall).await.expect("starts");
    engine.add_source(source(&url), meta).expect("a source");
    let a = "a".into();
    assert!(matches!(engine.get(&a, None).await, Read::Fresh(_)));
    // The process is away while the record is deleted.
    engine.shutdown(PATIENCE).await;
    drop(engine);
    document.write("2", ONE, json!([{"id": "b", "name": "Bob"}]));
    let before = known(&store, &SourceId::new("web")).await.expect("the store");
    assert_eq!(shown(before.clone()), ["a Ann 12:00:00/0", "b Bob 12:00:00/0"]);
    let engine = Engine::start(Config::default(), store.clone(), SystemWall).await.expect("starts");
    engine.add_source(source(&url).with_known(before), meta).expect("a source");
    assert_eq!(engine.get(&a, Some(Duration::ZERO)).await, Read::Missing);
    assert_eq!(engine.history(&a).len(), 2);
    engine.shutdown(PATIENCE).await;
    // Without what was known the deletion is not found again, and it is not undone either.
    let engine = Engine::start(Config::default(), store.clone(), SystemWall).await.expect("starts");
    engine.add_source(source(&url), meta).expect("a source");
    assert_eq!(engine.get(&a, Some(Duration::ZERO)).await, Read::Missing);
    engine.shutdown(PATIENCE).await;
    let saved = store.load().await.expect("the store");
    let a = saved.iter().find(|saved| saved.id.as_str() == "a").expect("a tombstone");
    assert_eq!(a.records[0].content, None);
}

#[tokio::test]
async fn faults_delete_nothing_and_are_over_with_the_next_answer() {
    let document = Document::default();
    let (_server, url) = server(&document).await;
    document.write("1", NOON, json!([{"id": "a", "name": "Ann"}]));
    let source = source(&url);
    let fails = async |part: &str| {
        let error = source.fetch_all().await.expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    };
    document.set(|state| state.status = Some(304));
    fails("304").await; // it was not asked whether there is news
    document.set(|state| state.status = None);
    assert_eq!(source.fetch_all().await.expect("an answer").len(), 1);
    for status in [404, 410, 429, 500, 503] {
        document.set(|state| state.status = Some(status));
        fails(&status.to_string()).await;
    }
    document.set(|state| state.status = None);
    document.write("2", ONE, json!({"error": "no records today"}));
    fails("no array of records").await;
    document.write("2", ONE, json!([{"id": "a", "name": "Ann"}, {"name": "nameless"}]));
    fails("record 2").await;
    assert_eq!(
        document.log().last(),
        Some(&(Some("\"1\"".to_owned()), 200)),
        "not that of a broken document"
    );
    document.write("3", TWO, json!([{"id": "a", "name": "Anna"}]));
    assert_eq!(shown(source.fetch_all().await.expect("an answer")), ["a Anna 14:00:00/0"]);
    // A node with an old copy, which has no record at all.
    document.write("1", NOON, json!([]));
    fails("outdated copy").await;
    document.write("3", TWO, json!([{"id": "a", "name": "Anna"}]));
    assert_eq!(shown(source.fetch_all().await.expect("an answer")), ["a Anna 14:00:00/0"]);
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let source = source(&format!("http://{address}/records"));
    let breaks = async {
        let (mut connection, _) = listener.accept().await.expect("a connection");
        let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n[{\"id\": \"a\"}";
        connection.write_all(cut).await.expect("it is open");
    };
    let (answer, ()) = tokio::join!(source.fetch_all(), breaks);
    assert!(answer.is_err(), "a part is no document");
    drop(listener);
    assert!(source.fetch_all().await.is_err(), "refused");
}

#[tokio::test]
async fn a_slow_server_is_given_up_and_asked_again() {
    let document = Document::default();
    let (_server, url) = server(&document).await;
    document.write("1", NOON, json!([{"id": "a", "name": "Ann"}]));
    document.set(|state| state.delay = Duration::from_secs(600));
    let config = Config { fetch_timeout: Duration::from_millis(200), ..Config::default() };
    let engine = Engine::start(config, MemoryStore::new(), SystemWall).await.expect("starts");
    let every = Duration::from_millis(100);
    let meta = SourceMeta { standing: Standing::default(), latency: Duration::ZERO, every };
    let mut metrics = engine.metrics();
    engine.add_source(source(&url), meta).expect("a source");
    let slow = timeout(
        PATIENCE,
        metrics.wait_for(|figures| {
            figures
                .sources
                .values()
                .any(|source| matches!(source.failure, Some(Failure::TimedOut(_))))
        }),
    );
    slow.await.expect("in time").expect("the engine runs");
    document.set(|state| state.delay = Duration::ZERO);
    let well = timeout(PATIENCE, metrics.wait_for(|figures| figures.records == 1));
    well.await.expect("in time").expect("the engine runs");
    assert!(matches!(engine.get(&"a".into(), None).await, Read::Fresh(_)));
}

/// Answers each request when the test says so, in the order of the requests.
struct Gated(Mutex<VecDeque<oneshot::Receiver<Response>>>);

impl Transport for Gated {
    async fn send(&self, _: ClientRequest) -> Result<Response, TransportError> {
        let answer =
            self.0.lock().expect("answers").pop_front().expect("an answer for each request");
        answer.await.map_err(|_| TransportError::Incomplete)
    }
}

#[tokio::test]
async fn an_answer_that_is_overtaken_changes_nothing() {
    let (first, first_answer) = oneshot::channel();
    let (second, second_answer) = oneshot::channel();
    let transport = Gated(Mutex::new([first_answer, second_answer].into()));
    let id = SourceId::new("web");
    let source = HttpSource::new(id, "http://web/", Layout::default(), transport).expect("a URL");
    let answer = |name: &str| {
        let headers = HeaderMap::from_iter([(DATE, HeaderValue::from_static(NOON))]);
        let body = json!([{"id": "a", "name": name}]).to_string().into_bytes().into();
        Response { status: StatusCode::OK, headers, body }
    };
    let (mut late, mut early) = (Box::pin(source.fetch_all()), Box::pin(source.fetch_all()));
    assert!(futures::poll!(late.as_mut()).is_pending());
    assert!(futures::poll!(early.as_mut()).is_pending());
    second.send(answer("new")).expect("it waits");
    assert_eq!(shown(early.await.expect("an answer")), ["a new 12:00:00/0"]);
    first.send(answer("old")).expect("it waits");
    assert_eq!(shown(late.await.expect("an answer")), ["a new 12:00:00/0"]);
}

#[tokio::test]
async fn without_an_etag_the_time_of_the_document_is_asked_for() {
    let document = Document::default();
    let (server, url) = server(&document).await;
    document.set(|state| {
        state.modified = Some("Fri, 27 Nov 2020 12:00:00 GMT");
        state.records =
            json!([{"id": 1, "updated_at": "2020-01-01T00:00:00Z", "version": 4, "name": "Ann"}]);
    });
    let header = (AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
    let source = source(&url).with_header(header.0, header.1);
    for _ in 0..2 {
        assert_eq!(shown(source.fetch_all().await.expect("an answer")), ["1 Ann 00:00:00/4"]);
    }
    assert_eq!(
        document.log(),
        [(None, 200), (Some("Fri, 27 Nov 2020 12:00:00 GMT".to_owned()), 304)]
    );
    let requests = server.received_requests().await.expect("recorded");
    let name = HeaderName::from_static("authorization");
    assert!(requests.iter().all(|request| request.headers.get(&name).is_some()));
    assert!(!format!("{source:?}").contains("secret"));
}

#[test]
fn only_urls_of_http_are_accepted() {
    for bad in ["", "example.com/x", "ftp://example.com/x", "http:///x", "file:///etc/passwd"] {
        let transport = Reqwest::new(Limits::default()).expect("a client");
        let made = HttpSource::new("web".into(), bad, Layout::default(), transport);
        assert_eq!(made.err(), Some(UrlError::NotHttp(bad.to_owned())));
    }
}
