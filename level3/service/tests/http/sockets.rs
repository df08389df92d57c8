//! Connections that are slow, cut off or too many. Real sockets, and a clock that runs.

use std::time::Duration;

use gateway_service::ServiceConfig;
use level3::gateway::GatewayConfig;
use level3_sim::NoFaults;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::shop::{PATIENCE, Shop, order};

/// A shop that listens, and its address.
async fn listening(config: ServiceConfig) -> (Shop, String) {
    let shop = Shop::with(NoFaults, GatewayConfig::default(), config).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = shop.service.clone();
    tokio::spawn(async move { service.serve(listener, None, std::future::pending()).await });
    (shop, address)
}

/// Reads until the service closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is an end too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("the end");
    String::from_utf8_lossy(&text).into_owned()
}

fn head(shop: &Shop, key: &str, length: usize) -> String {
    format!(
        "POST /v1/payments HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nidempotency-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n",
        shop.key.expose()
    )
}

#[tokio::test]
async fn a_client_that_sends_no_head_is_disconnected() {
    let head_timeout = Duration::from_millis(200);
    let config = ServiceConfig { head_timeout, max_connections: 1, ..ServiceConfig::default() };
    let (_shop, address) = listening(config).await;
    let mut slow = TcpStream::connect(&address).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nx-slow: ").await.unwrap();
    // The only place is occupied until the slow client is disconnected.
    let mut next = TcpStream::connect(&address).await.unwrap();
    next.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(!rest(&mut slow).await.contains("200 OK"));
    drop(slow);
    assert!(rest(&mut next).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_body_that_trickles_is_answered_in_time() {
    let request_timeout = Duration::from_millis(300);
    let (shop, address) =
        listening(ServiceConfig { request_timeout, ..ServiceConfig::default() }).await;
    let mut slow = TcpStream::connect(&address).await.unwrap();
    slow.write_all(head(&shop, "key-1", 100).as_bytes()).await.unwrap();
    slow.write_all(b"{").await.unwrap();
    let answer = rest(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(answer.contains("/problems/request-timeout"), "{answer}");
    assert_eq!(shop.world.all_calls(), 0);
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_no_payment() {
    let (shop, address) = listening(ServiceConfig::default()).await;
    let body = order(1).to_string();
    let mut cut = TcpStream::connect(&address).await.unwrap();
    cut.write_all(head(&shop, "key-1", body.len() + 1).as_bytes()).await.unwrap();
    cut.write_all(body.as_bytes()).await.unwrap();
    cut.shutdown().await.unwrap();
    let answer = rest(&mut cut).await;
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    assert_eq!(shop.world.all_calls(), 0);
}

#[tokio::test]
async fn a_connection_that_is_dropped_during_a_payment_loses_nothing() {
    let (shop, address) = listening(ServiceConfig::default()).await;
    let body = order(1).to_string();
    let mut gone = TcpStream::connect(&address).await.unwrap();
    let request = format!("{}{body}", head(&shop, "key-1", body.len()));
    gone.write_all(request.as_bytes()).await.unwrap();
    let begun = async {
        while shop.world.all_calls() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, begun).await.unwrap();
    drop(gone);
    let again = shop.pay("key-1", &order(1)).await;
    assert_eq!(again.status, 201, "{again:?}");
    assert_eq!(shop.charges(), 1);
}

/// Whatever arrives, the service answers the next request.
#[tokio::test]
async fn what_is_no_http_harms_no_other_connection() {
    let (shop, address) = listening(ServiceConfig::default()).await;
    for noise in [&b"\0\x01\x02\xff"[..], b"GET", b"\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(noise).await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(!rest(&mut stream).await.starts_with("HTTP/1.1 2"));
    }
    let long = format!("GET /healthz HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(1_000_000));
    let mut stream = TcpStream::connect(&address).await.unwrap();
    // The service may close the connection before all of it is sent.
    let _ = stream.write_all(long.as_bytes()).await;
    assert!(!rest(&mut stream).await.starts_with("HTTP/1.1 2"));
    assert_eq!(shop.pay("key-1", &order(1)).await.status, 201);
}
