//! What can go wrong below HTTP. Real sockets, so a real clock; no test waits for a margin: a silent
//! server stays silent, and the limits of the others are far away.

use std::time::Duration;

use level1::http::{HttpConfig, HttpSource};
use level1::source::{ProfileSource, SourceError};
use tokio::net::TcpSocket;

use crate::raw_server::{Step, config, ok_head, serve, source};

#[track_caller]
fn assert_connection_error(error: &SourceError, says: &str) {
    let SourceError::Connection { reason } = error else { panic!("{error:?}") };
    assert!(reason.contains(says), "{reason}");
}

#[tokio::test]
async fn refused() {
    // Bound, so that no other program gets the port, and not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    assert_connection_error(&source(address).user(1).await.unwrap_err(), "refused");
}

#[tokio::test]
async fn reset_before_the_answer() {
    let address = serve(vec![Step::Reset]).await;
    assert_connection_error(&source(address).user(1).await.unwrap_err(), "broke off");
}

#[tokio::test]
async fn closed_without_an_answer() {
    let address = serve(vec![]).await;
    assert_connection_error(&source(address).user(1).await.unwrap_err(), "broke off");
}

#[tokio::test]
async fn truncated_in_the_body() {
    let address = serve(vec![Step::Send(ok_head(100)), Step::Send(b"{\"id\":1,".to_vec())]).await;
    assert_connection_error(&source(address).user(1).await.unwrap_err(), "answer broke off");
}

#[tokio::test]
async fn silent_before_the_answer() {
    let limit = Duration::from_millis(200);
    let address = serve(vec![Step::Silence]).await;
    let source = HttpSource::new(HttpConfig { timeout: limit, ..config(address) }).unwrap();
    assert_eq!(source.user(1).await.unwrap_err(), SourceError::Timeout { limit });
}

#[tokio::test]
async fn silent_in_the_body() {
    let limit = Duration::from_millis(200);
    let address =
        serve(vec![Step::Send(ok_head(100)), Step::Send(b"{".to_vec()), Step::Silence]).await;
    let source = HttpSource::new(HttpConfig { timeout: limit, ..config(address) }).unwrap();
    assert_eq!(source.user(1).await.unwrap_err(), SourceError::Timeout { limit });
}

#[tokio::test]
async fn a_character_cut_in_two() {
    let body = r#"{"id":1,"name":"José Ñandú","email":"jose@example.com"}"#.as_bytes();
    let cut = body.iter().position(|byte| *byte >= 0x80).unwrap() + 1;
    let address = serve(vec![
        Step::Send(ok_head(body.len())),
        Step::Send(body[..cut].to_vec()),
        Step::Pause,
        Step::Send(body[cut..].to_vec()),
    ])
    .await;
    assert_eq!(source(address).user(1).await.unwrap().name, "José Ñandú");
}

#[tokio::test]
async fn not_utf8() {
    let body = b"{\"id\":1,\"name\":\"\xff\"}";
    let address = serve(vec![Step::Send(ok_head(body.len())), Step::Send(body.to_vec())]).await;
    let error = source(address).user(1).await.unwrap_err();
    assert!(matches!(error, SourceError::Malformed { .. }), "{error:?}");
}

/// The length is not announced and there is no end: only counting while reading stops it.
#[tokio::test]
async fn an_endless_body() {
    let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
    let address = serve(vec![Step::Send(head), Step::Send(vec![b' '; 2000]), Step::Silence]).await;
    let source = HttpSource::new(HttpConfig { max_body: 1000, ..config(address) }).unwrap();
    assert_eq!(source.user(1).await.unwrap_err(), SourceError::TooLarge { limit: 1000 });
}

#[tokio::test]
async fn not_http() {
    let address = serve(vec![Step::Send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec())]).await;
    assert_connection_error(&source(address).user(1).await.unwrap_err(), "broke off");
}
