//! A client that speaks HTTP over a socket of its own, so that a test sees what was sent and what
//! came.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer takes ten seconds at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }
}

/// Sends a request. An answer that is cut off is an error.
pub async fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Answer> {
    timeout(PATIENCE, exchange(address, method, path, headers, body)).await?
}

async fn exchange(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the answer is cut off");
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(cut)?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok()).flatten()
    });
    if length.is_some_and(|length| length != body.len()) {
        return Err(cut());
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// Asks for a payment.
pub async fn pay(address: &str, key: &str, name: &str, order: &Value) -> io::Result<Answer> {
    let bearer = format!("Bearer {key}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("idempotency-key", name),
        ("content-type", "application/json"),
    ];
    send(address, "POST", "/v1/payments", &headers, &order.to_string()).await
}

/// Asks for a refund.
pub async fn refund(
    address: &str,
    key: &str,
    payment: &str,
    name: &str,
    amount: i64,
) -> io::Result<Answer> {
    let bearer = format!("Bearer {key}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("idempotency-key", name),
        ("content-type", "application/json"),
    ];
    let path = format!("/v1/payments/{payment}/refunds");
    send(address, "POST", &path, &headers, &json!({ "amount": amount }).to_string()).await
}

pub async fn get(address: &str, key: &str, path: &str) -> io::Result<Answer> {
    let bearer = format!("Bearer {key}");
    send(address, "GET", path, &[("authorization", bearer.as_str())], "").await
}

/// The body of a payment, the same for the same number.
pub fn order(number: u32) -> Value {
    json!({
        "order": format!("order-{number}"), "amount": 1000 + number, "currency": "USD",
        "email": "ann@example.com", "card": "pm_card_visa",
    })
}
