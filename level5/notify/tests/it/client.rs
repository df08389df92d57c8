//! A client of the program's interface.

use reqwest::{Client, Method};
use serde_json::Value;

/// A client of the test. reqwest needs the provider of TLS first, also for http.
pub fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

/// Sends a request, with this body as JSON. Returns the status, and the answer if it is JSON.
pub async fn call(
    client: &Client,
    method: Method,
    url: &str,
    body: Option<&Value>,
) -> reqwest::Result<(u16, Value)> {
    let mut request = client.request(method, url);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let text = answer.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

pub async fn post(client: &Client, url: &str, body: &Value) -> reqwest::Result<(u16, Value)> {
    call(client, Method::POST, url, Some(body)).await
}

pub async fn get(client: &Client, url: &str) -> reqwest::Result<(u16, Value)> {
    call(client, Method::GET, url, None).await
}

/// Sets the profile of a user.
pub async fn set(client: &Client, url: &str, user: &str, profile: Value) {
    let url = format!("{url}/users/{user}");
    let (status, why) = call(client, Method::PUT, &url, Some(&profile)).await.unwrap();
    assert_eq!(status, 204, "{why}");
}
