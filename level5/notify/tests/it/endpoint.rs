//! An endpoint for webhooks, which notes what it gets and checks its signature.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use notifier::sign::Secret;
use tokio::net::TcpListener;
use tokio::time::sleep;

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A webhook that has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    pub key: String,
    pub ids: Vec<String>,
}

/// The endpoint. It ends with the runtime of the test.
#[derive(Clone)]
pub struct Endpoint {
    port: u16,
    got: Arc<Mutex<Vec<Hook>>>,
    /// From the moment at which a webhook is noted to its answer.
    delay: Duration,
}

impl Endpoint {
    pub async fn start(delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoint = Self { port, got: Arc::default(), delay };
        let routes = Router::new().route("/hook", post(take)).with_state(endpoint.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        endpoint
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    pub fn got(&self) -> Vec<Hook> {
        self.got.lock().unwrap().clone()
    }
}

async fn take(State(endpoint): State<Endpoint>, headers: HeaderMap, body: Bytes) {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let (key, at) = (header("webhook-id"), header("webhook-timestamp").parse().unwrap());
    let secret = Secret::parse(SECRET).unwrap();
    assert!(secret.verify(&header("webhook-signature"), &key, at, &body));
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let notifications = body["data"]["notifications"].as_array().unwrap();
    let ids = notifications.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    endpoint.got.lock().unwrap().push(Hook { key, ids });
    sleep(endpoint.delay).await;
}
