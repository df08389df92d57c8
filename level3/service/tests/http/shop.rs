//! A service on a file and simulated services, and requests to it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use gateway_service::{
    ApiKey, EndpointFile, Endpoints, FiledJournal, KeyEntry, KeyFile, Keyring, LimitEntry, Metrics,
    Parts, Scope, Service, ServiceConfig,
};
use level3::gateway::{Gateway, GatewayConfig};
use level3_adapters::sql::Store;
use level3_adapters::sqlite::SqliteStore;
use level3_domain::nonzero;
use level3_domain::provider::Providers;
use level3_sim::{Faults, Latencies, World};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::webhooks::Receiver;

/// Longer than anything here takes, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A merchant with a key for everything, another one, and a key that may do nothing.
pub struct Shop {
    folder: Arc<tempfile::TempDir>,
    pub service: Service,
    pub world: World,
    pub store: SqliteStore,
    pub key: ApiKey,
    pub other: ApiKey,
    pub nothing: ApiKey,
    file: KeyFile,
    keys: Keyring,
    /// The servers of merchants.
    pub hooks: Arc<Receiver>,
    pub endpoints: Endpoints,
}

/// What outlives a service.
type Kept =
    (Arc<tempfile::TempDir>, World, ApiKey, ApiKey, ApiKey, KeyFile, (Arc<Receiver>, Endpoints));

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Answer {
    pub async fn of(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Self { status: head.status, headers: head.headers, bytes }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The slug of the problem.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16());
        body["type"].as_str().unwrap().strip_prefix("/problems/").unwrap().to_owned()
    }
}

impl Shop {
    pub async fn new(faults: impl Faults + 'static) -> Self {
        Self::with(faults, GatewayConfig::default(), ServiceConfig::default()).await
    }

    pub async fn with(
        faults: impl Faults + 'static,
        gateway: GatewayConfig,
        config: ServiceConfig,
    ) -> Self {
        let world = World::with(Latencies::faster(nonzero!(50)), Arc::new(faults), None);
        let entry = |merchant: &str, scopes: &[Scope]| {
            KeyEntry::new(merchant.parse().unwrap(), scopes.to_vec()).unwrap()
        };
        let (key, first) = entry("shop", Scope::ALL);
        let (other, second) = entry("rival", Scope::ALL);
        let (nothing, third) = entry("shop", &[]);
        let file = KeyFile { keys: vec![first, second, third], ..KeyFile::default() };
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let hooks = (Arc::default(), Endpoints::new(EndpointFile::default()));
        let parts = (folder, world, key, other, nothing, file, hooks);
        Self::start(parts, gateway, config).await
    }

    async fn start(parts: Kept, config: GatewayConfig, limits: ServiceConfig) -> Self {
        let (folder, world, key, other, nothing, file, (hooks, endpoints)) = parts;
        let keys = Keyring::new(&file);
        let store = SqliteStore::open(folder.path().join("store.sqlite")).await.unwrap();
        let shared: Arc<dyn Store> = Arc::new(store.clone());
        let simulated = world.providers();
        let ledger = Arc::new(store.clone());
        let providers = Providers { ledger, ..simulated.clone() };
        let metrics = Metrics::new();
        let journal = Arc::new(FiledJournal::new(Arc::clone(&shared)));
        let observer = Arc::new(metrics.clone());
        let gateway = Gateway::new(config, providers, journal, observer).unwrap();
        let parts = Parts {
            gateway,
            store: shared,
            provider: simulated.payments,
            refunds: world.part_refunds(),
            hooks: Arc::clone(&hooks) as _,
            reports: crate::reports::reports(&world, &store),
            endpoints: endpoints.clone(),
            metrics,
            keys: keys.clone(),
        };
        let service = Service::new(parts, limits);
        Self { folder, service, world, store, key, other, nothing, file, keys, hooks, endpoints }
    }

    /// Ends the service, and starts another one on the same file.
    pub async fn restarted(self) -> Self {
        let Self {
            folder, service, world, store, key, other, nothing, file, hooks, endpoints, ..
        } = self;
        drop(service);
        store.close().await;
        let parts = (folder, world, key, other, nothing, file, (hooks, endpoints));
        Self::start(parts, GatewayConfig::default(), ServiceConfig::default()).await
    }

    /// Changes the limit of a merchant, as an operator does in the file of the keys.
    pub fn limit(&self, merchant: &str, per_second: NonZeroU32) {
        let merchant = merchant.parse().unwrap();
        let limit = LimitEntry { merchant, per_second, burst: Some(per_second) };
        self.keys.replace(&KeyFile { limits: vec![limit], ..self.file.clone() });
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(self.service.router().oneshot(request).await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.get_as(&self.key, path).await
    }

    pub async fn get_as(&self, key: &ApiKey, path: &str) -> Answer {
        self.send(request("GET", path, key).body(Body::empty()).unwrap()).await
    }

    pub async fn pay(&self, key: &str, body: &Value) -> Answer {
        self.pay_as(&self.key, key, body).await
    }

    pub async fn pay_as(&self, merchant: &ApiKey, key: &str, body: &Value) -> Answer {
        self.send(payment(merchant, key, body)).await
    }

    /// Asks for a refund; the body is its amount.
    pub async fn refund(&self, payment: &str, key: &str, body: &Value) -> Answer {
        self.refund_as(&self.key, payment, key, body).await
    }

    pub async fn refund_as(
        &self,
        merchant: &ApiKey,
        payment: &str,
        key: &str,
        body: &Value,
    ) -> Answer {
        self.send(refund(merchant, payment, key, body)).await
    }

    /// Waits until no payment is under way.
    pub async fn settled(&self) {
        let settled = async {
            while self.store.counts().await.unwrap().open > 0 || self.world.is_busy() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, settled).await.expect("payments stay open");
    }

    /// How often customers were charged.
    pub fn charges(&self) -> u32 {
        self.world.intents().iter().map(|intent| intent.charges - intent.refunds).sum()
    }
}

pub fn request(method: &str, path: &str, key: &ApiKey) -> axum::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {}", key.expose()))
}

pub fn payment(merchant: &ApiKey, key: &str, body: &Value) -> Request<Body> {
    request("POST", "/v1/payments", merchant)
        .header("idempotency-key", key)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

pub fn refund(merchant: &ApiKey, payment: &str, key: &str, body: &Value) -> Request<Body> {
    request("POST", &format!("/v1/payments/{payment}/refunds"), merchant)
        .header("idempotency-key", key)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

pub fn order(number: u32) -> Value {
    json!({
        "order": format!("order-{number}"), "amount": 1050, "currency": "USD",
        "email": "ann@example.com", "card": "pm_card_visa",
    })
}
