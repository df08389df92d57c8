//! What a healthy HTTP server may answer.

use std::sync::Arc;

use level1::async_await::{fetch_user_profile, fetch_user_profile_parallel};
use level1::errors::FetchError;
use level1::http::{HttpConfig, HttpSource, SetupError};
use level1::model::{Post, Profile, User};
use level1::source::{ProfileSource, Request, SourceError};
use serde_json::json;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::raw_server::config;

/// A server with user 123 as the assignment shows it, below `prefix`.
pub async fn server(prefix: &str) -> MockServer {
    let server = MockServer::start().await;
    let user = json!({"id": 123, "name": "John", "email": "john@example.com", "phone": "-"});
    let posts = json!([
        {"id": 1, "title": "Hello World", "likes": 10},
        {"id": 2, "title": "Tips", "body": "Read the docs.", "userId": 123},
    ]);
    answer(&server, &format!("{prefix}/users/123"), ResponseTemplate::new(200).set_body_json(user))
        .await;
    let posts = ResponseTemplate::new(200).set_body_json(posts);
    answer(&server, &format!("{prefix}/users/123/posts"), posts).await;
    server
}

async fn answer(server: &MockServer, at: &str, response: ResponseTemplate) {
    Mock::given(method("GET")).and(path(at)).respond_with(response).mount(server).await;
}

/// The profile that [`server`] holds.
pub fn john() -> Profile {
    Profile {
        user: User { id: 123, name: "John".into(), email: "john@example.com".into() },
        posts: vec![
            Post { id: 1, title: "Hello World".into(), likes: Some(10), body: None },
            Post { id: 2, title: "Tips".into(), likes: None, body: Some("Read the docs.".into()) },
        ],
    }
}

fn source(server: &MockServer) -> HttpSource {
    HttpSource::new(config(*server.address())).unwrap()
}

async fn user_error(response: ResponseTemplate) -> SourceError {
    let server = MockServer::start().await;
    answer(&server, "/api/users/7", response).await;
    source(&server).user(7).await.unwrap_err()
}

#[tokio::test]
async fn a_profile() {
    let server = server("/api").await;
    let source = Arc::new(source(&server));
    assert_eq!(fetch_user_profile(source.clone(), 123).await, Ok(john()));
    assert_eq!(fetch_user_profile_parallel(source, 123).await, Ok(john()));
}

#[tokio::test]
async fn a_base_url_with_a_path_and_no_prefix() {
    let server = server("/mirror").await;
    let source = HttpSource::new(HttpConfig {
        base_url: format!("{}/mirror/", server.uri()),
        prefix: String::new(),
        ..config(*server.address())
    });
    assert_eq!(fetch_user_profile(Arc::new(source.unwrap()), 123).await, Ok(john()));
}

#[tokio::test]
async fn statuses() {
    for status in [400, 401, 404, 429, 500, 503] {
        let error = user_error(ResponseTemplate::new(status).set_body_string("{}")).await;
        assert_eq!(error, SourceError::Status { status });
    }
}

#[tokio::test]
async fn the_error_names_the_request() {
    let server = MockServer::start().await;
    let user = json!({"id": 7, "name": "Ann", "email": "ann@example.com"});
    answer(&server, "/api/users/7", ResponseTemplate::new(200).set_body_json(user)).await;
    answer(&server, "/api/users/7/posts", ResponseTemplate::new(500)).await;
    let error = fetch_user_profile(Arc::new(source(&server)), 7).await.unwrap_err();
    let cause = SourceError::Status { status: 500 };
    assert_eq!(error, FetchError::new(Request::Posts(7), cause));
    assert_eq!(
        error.to_string(),
        "posts of user 7: network failure: the server answered with status 500"
    );
}

#[tokio::test]
async fn not_json() {
    let error = user_error(ResponseTemplate::new(200).set_body_string("<html>")).await;
    assert!(matches!(error, SourceError::Malformed { .. }), "{error:?}");
}

#[tokio::test]
async fn json_of_another_shape() {
    let body = json!({"id": 7, "name": "Ann"});
    let error = user_error(ResponseTemplate::new(200).set_body_json(body)).await;
    let SourceError::Malformed { reason } = error else { panic!("{error:?}") };
    assert!(reason.contains("email"), "{reason}");
}

#[tokio::test]
async fn a_body_over_the_limit() {
    let server = server("/api").await;
    let config = config(*server.address());
    let source = HttpSource::new(HttpConfig { max_body: 10, ..config }).unwrap();
    assert_eq!(source.user(123).await.unwrap_err(), SourceError::TooLarge { limit: 10 });
}

#[tokio::test]
async fn a_redirection_is_followed() {
    let server = server("/api").await;
    let moved = ResponseTemplate::new(302).insert_header("location", "/api/users/123");
    answer(&server, "/api/users/5", moved).await;
    assert_eq!(source(&server).user(5).await.unwrap().id, 123);
}

#[tokio::test]
async fn a_redirection_loop() {
    let server = MockServer::start().await;
    let moved = ResponseTemplate::new(302).insert_header("location", "/api/users/7");
    answer(&server, "/api/users/7", moved).await;
    let error = source(&server).user(7).await.unwrap_err();
    assert_eq!(error, SourceError::Redirects { limit: 5 });
}

#[test]
fn base_urls_that_cannot_be_used() {
    let setup = |url: &str| HttpSource::new(HttpConfig::new(url)).unwrap_err();
    for url in ["", "localhost:3000", "ftp://localhost", "http://", "http://a/?q=1", "http://a/#f"]
    {
        assert!(matches!(setup(url), SetupError::BaseUrl { .. }), "{url}: {:?}", setup(url));
    }
}

#[tokio::test]
async fn an_https_url_is_spoken_to_in_tls() {
    // The peer sends what no TLS server sends.
    let peer = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", peer.local_addr().unwrap());
    let greet = async {
        let (mut stream, _) = peer.accept().await.unwrap();
        let mut first = [0];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut first).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        first[0]
    };
    let source = HttpSource::new(HttpConfig::new(url)).unwrap();
    let (first, answer) = tokio::join!(greet, source.user(1));
    // 22: a record of the TLS handshake (RFC 8446, 5.1).
    assert_eq!(first, 22);
    assert!(matches!(answer, Err(SourceError::Connection { .. })), "{answer:?}");
}
