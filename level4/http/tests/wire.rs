//! The client over real sockets. Times are real: no assertion is about how long something takes.

use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use level4::http_client::{
    Caching, HttpClient, HttpError, Progress, Request, Settings, TransportError,
};
use level4_http::{Limits, Reqwest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate, Times};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(120);

fn client(limits: Limits) -> HttpClient<Reqwest> {
    let transport = Reqwest::new(limits).expect("a client");
    HttpClient::new(transport, Settings::default()).expect("five minutes")
}

/// A server that answers `GET /rates` so.
async fn server(answer: ResponseTemplate, expected: impl Into<Times>) -> (MockServer, String) {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/rates"))
        .respond_with(answer)
        .expect(expected)
        .mount(&server)
        .await;
    let url = format!("{}/rates", server.uri());
    (server, url)
}

#[tokio::test]
async fn callers_share_a_request_and_its_copy() {
    let slow = ResponseTemplate::new(200).set_body_string("7").set_delay(Duration::from_millis(50));
    let (server, url) = server(slow, 1).await;
    let client = client(Limits::default());
    let all = join_all((0..5).map(|_| client.get(&url, Caching::Use))).await;
    assert!(all.iter().all(|hit| hit.as_ref().is_ok_and(|hit| &hit.value.body[..] == b"7")));
    assert!(client.get(&url, Caching::Use).await.is_ok());
    server.verify().await;
}

#[tokio::test]
async fn no_store_is_obeyed_and_errors_are_not_kept() {
    let secret = ResponseTemplate::new(200).insert_header("Cache-Control", "private, no-store");
    let (secrets, url) = server(secret, 2).await;
    let (broken, broken_url) = server(ResponseTemplate::new(500), 2).await;
    let client = client(Limits::default());
    for _ in 0..2 {
        assert!(client.get(&url, Caching::Use).await.is_ok());
        let failed = client.get(&broken_url, Caching::Use).await;
        assert!(matches!(failed, Err(HttpError::Status(answer)) if answer.status == 500));
    }
    secrets.verify().await;
    broken.verify().await;
}

#[tokio::test]
async fn a_tag_confirms_the_copy() {
    let (server, url) = {
        let server = MockServer::start().await;
        let confirms = Mock::given(header("If-None-Match", "\"v1\""));
        confirms.respond_with(ResponseTemplate::new(304)).expect(1).mount(&server).await;
        let tagged =
            ResponseTemplate::new(200).insert_header("ETag", "\"v1\"").set_body_string("7");
        Mock::given(method("GET")).respond_with(tagged).expect(1).mount(&server).await;
        let url = format!("{}/rates", server.uri());
        (server, url)
    };
    let client = client(Limits::default());
    assert!(client.get(&url, Caching::Use).await.is_ok());
    let items: Vec<_> = client.progressive(&url).collect().await;
    let [Ok(Progress::Cached { value, .. }), Ok(Progress::Unchanged)] = &items[..] else {
        panic!("a copy, and that it is unchanged: {items:?}");
    };
    assert_eq!(&value.body[..], b"7");
    server.verify().await;
}

#[tokio::test]
async fn a_batch_has_an_answer_for_each() {
    let (server, url) = server(ResponseTemplate::new(200).set_body_string("7"), 1).await;
    let client = client(Limits::default());
    let missing = format!("{}/missing", server.uri());
    let mut batch = vec![("rates", Request::get(&url)), ("none", Request::get("/rates"))];
    batch.extend((0..25).map(|_| ("missing", Request::get(&missing))));
    let answers = client.batch(batch).await;
    assert_eq!(answers.len(), 27);
    for (id, answer) in answers {
        assert_eq!(answer.is_ok(), id == "rates", "{id}: {answer:?}");
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_or_is_too_large_is_an_error() {
    // On a busy machine the limit may be over before the request has arrived.
    let (_slow, url) = server(ResponseTemplate::new(200).set_delay(LONG), 0..=1).await;
    let limits = Limits { total: Duration::from_millis(100), ..Limits::default() };
    let answer = client(limits).get(&url, Caching::Use).await;
    assert_eq!(answer, Err(HttpError::Transport(TransportError::Timeout)));

    for (length, fits) in [(1000, true), (1001, false)] {
        let large = ResponseTemplate::new(200).set_body_bytes(vec![b'x'; length]);
        let (_large, url) = server(large, 1).await;
        let answer =
            client(Limits { body: 1000, ..Limits::default() }).get(&url, Caching::Use).await;
        assert_eq!(answer.is_ok(), fits, "{length} bytes of 1000");
    }
}

#[tokio::test]
async fn redirects_are_followed_and_a_circle_of_them_is_an_error() {
    let (rates, url) = server(ResponseTemplate::new(200).set_body_string("7"), 1).await;
    let moved = ResponseTemplate::new(302).insert_header("Location", url.as_str());
    let (_moved, old_url) = server(moved, 1).await;
    let client = client(Limits::default());
    let answer = client.get(&old_url, Caching::Use).await.expect("an answer");
    assert_eq!(&answer.value.body[..], b"7");
    rates.verify().await;

    let circle = ResponseTemplate::new(302).insert_header("Location", "/rates");
    let (_circle, url) = server(circle, 11).await;
    let answer = client.get(&url, Caching::Use).await;
    let Err(HttpError::Transport(TransportError::Connect(why))) = &answer else {
        panic!("an error of the connection: {answer:?}");
    };
    assert!(why.contains("redirect"), "{why}");
}

#[tokio::test]
async fn a_server_that_trickles_does_not_extend_the_limit() {
    let (listener, url) = listener().await;
    let client = client(Limits { total: Duration::from_millis(500), ..Limits::default() });
    let answer = client.get(&url, Caching::Use);
    let trickles = async {
        let mut stream = request(&listener).await;
        let head = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await;
        head.expect("it is open");
        // Until the client has gone: each byte comes well within the limit.
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (answer, ()) = futures::join!(answer, trickles);
    assert_eq!(answer, Err(HttpError::Transport(TransportError::Timeout)));
}

#[tokio::test]
async fn an_answer_that_comes_twice_is_for_its_own_request_only() {
    let (listener, url) = listener().await;
    let other = format!("{url}other");
    let client = client(Limits::default());
    let asks = async {
        let first = client.get(&url, Caching::Use).await.expect("an answer");
        let second = client.get(&other, Caching::Use).await.expect("an answer");
        (first.value.body, second.value.body)
    };
    let answers = async {
        let mut stream = request(&listener).await;
        let once = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1";
        stream.write_all(format!("{once}{once}").as_bytes()).await.expect("it is open");
        // What came unasked is no answer: the client leaves that connection.
        let mut next = request(&listener).await;
        next.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2").await.expect("it is open");
    };
    let ((first, second), ()) = futures::join!(asks, answers);
    assert_eq!((&first[..], &second[..]), (&b"1"[..], &b"2"[..]));
}

/// A server without HTTP: what happens on its first connection is up to the test.
async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    (listener, url)
}

/// Reads the whole request.
async fn request(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(stream.read_u8().await.expect("a request"));
    }
    stream
}

#[tokio::test]
async fn dropping_the_last_caller_reaches_the_server() {
    let (listener, url) = listener().await;
    let client = client(Limits::default());
    let caller = tokio::spawn(async move { client.get(&url, Caching::Use).await });
    let mut stream = request(&listener).await;
    caller.abort();
    // The connection is closed: the server reads the end, or an error.
    let read = timeout(LONG, stream.read(&mut [0])).await.expect("the connection is closed");
    assert!(matches!(read, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_connection_that_breaks_is_an_error() {
    for begun in ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"] {
        let (listener, url) = listener().await;
        let client = client(Limits::default());
        let answer = client.get(&url, Caching::Use);
        let breaks = async {
            let mut stream = request(&listener).await;
            stream.write_all(begun.as_bytes()).await.expect("it is open");
        };
        let (answer, ()) = futures::join!(answer, breaks);
        assert_eq!(answer, Err(HttpError::Transport(TransportError::Incomplete)), "{begun:?}");
    }
    // No server at all. The port is bound, so that no other program gets it, and nothing listens there.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let url = format!("http://{}/", socket.local_addr().expect("an address"));
    let answer = client(Limits::default()).get(&url, Caching::Use).await;
    assert!(matches!(answer, Err(HttpError::Transport(TransportError::Connect(_)))), "{answer:?}");
}
