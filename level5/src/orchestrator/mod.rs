//! An orchestrator of requests: priorities, one limit for all, copies, retries by the kind of failure, requests that need
//! other requests, and batches.
//!
//! ```text
//!   run, run_batch ──▶ graph: what a request needs runs first
//!                         │
//!                         ▼
//!        a fresh copy? ── yes ──▶ Done, Origin::Cache
//!             │ no
//!             ▼
//!        a run of this request? ── yes: join it ─────────────────────────┐
//!             │ no                                                       │
//!             ▼                                                          ▼
//!   ┌─▶ a slot, by priority ──▶ transport ──▶ 200 to 299 ──▶ copy ──▶ Done, Origin::Network
//!   │                              │ a failure
//!   └── wait, without a slot ◀─────┤ another attempt is worth it
//!                                  └──▶ an old copy ──▶ Done, Origin::Fallback
//!                                       none: RequestError
//! ```
//!
//! Lesson: `level5/lessons/orchestrator.md`.

mod figures;
mod graph;
mod key;
mod retries;
mod runs;
mod slots;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, join_all, try_join_all};
use futures::stream::{self, StreamExt as _};
use level3::retry::{BackoffConfigError, Jitter};
use level4::http_client::{HttpError, Request, Response, Transport, TransportError};
use level4::single_flight::SingleFlight;
use level4::ttl_cache::{self, TtlCache};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use retries::Retries;
use runs::{Entry, Parts, adapt};
use slots::Slots;

/// Level 3's jitter, which this module is configured with.
pub use level3::retry;
/// Level 4's requests, answers and transport, which this module is used with.
pub use level4::http_client;

pub use figures::RequestMetrics;
pub use graph::GraphError;

/// The name under which a request is registered.
pub type RequestId = String;

/// A request, and how it is to be treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// What is sent.
    pub request: Request,
    /// The higher, the sooner a slot.
    pub priority: u8,
    /// How long the whole request may take, from the moment when all that it needs is there: the wait for a slot, all
    /// attempts, and the waits between them.
    pub timeout: Duration,
    /// Whether it may be sent again. Only idempotent methods are, whatever this says.
    pub retryable: bool,
    /// Whether a copy of its answer may be kept and may answer. Only `GET` and `HEAD` have copies.
    pub cacheable: bool,
    /// The requests that must have succeeded before.
    pub needs: Vec<RequestId>,
}

impl Spec {
    // starter: keep
    /// A `GET` of this URL: priority 0, 5 s, retryable, cacheable, without needs.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        let (request, timeout) = (Request::get(url), Duration::from_secs(5));
        Self { request, priority: 0, timeout, retryable: true, cacheable: true, needs: Vec::new() }
    }
}

/// How an orchestrator works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How many requests run at once, at first.
    pub limit: NonZeroUsize,
    /// The limit never falls below this.
    pub lowest: NonZeroUsize,
    /// The limit never rises above this.
    pub highest: NonZeroUsize,
    /// A request that has waited for a slot for this time goes ahead of every priority.
    pub most_wait: Duration,
    /// A copy answers while its age is less than this.
    pub ttl: Duration,
    /// After that, a copy stands in for a failed request for this time.
    pub stale_for: Duration,
    /// The most requests that can be registered, and the most copies.
    pub capacity: NonZeroUsize,
}

impl Default for Settings {
    /// 6 requests at once, between 2 and 10; 10 s of waiting; copies are fresh for 5 min and stand in for an hour more;
    /// 1000 requests.
    fn default() -> Self {
        let number = |number| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
        Self {
            limit: number(6),
            lowest: number(2),
            highest: number(10),
            most_wait: Duration::from_secs(10),
            ttl: Duration::from_secs(300),
            stale_for: Duration::from_secs(3600),
            capacity: number(1000),
        }
    }
}

/// A setting or a request that is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// The limit does not lie between the lowest and the highest one.
    #[error("the limit {limit} must lie between {lowest} and {highest}")]
    LimitOutOfRange {
        /// [`Settings::limit`].
        limit: NonZeroUsize,
        /// [`Settings::lowest`].
        lowest: NonZeroUsize,
        /// [`Settings::highest`].
        highest: NonZeroUsize,
    },
    /// The time of copies.
    #[error(transparent)]
    Copies(#[from] ttl_cache::ConfigError),
    /// The schedule of retries.
    #[error(transparent)]
    Retries(#[from] BackoffConfigError),
    /// A request that may take no time at all.
    #[error("`{0}` has a timeout of zero; give it at least 1 ms")]
    ZeroTimeout(RequestId),
    /// There are as many requests as [`Settings::capacity`] allows.
    #[error("{0} requests are registered, and no more are allowed")]
    Full(NonZeroUsize),
}

/// Where an answer is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A fresh copy of this age.
    Cache {
        /// The time since the answer arrived.
        age: Duration,
    },
    /// The server.
    Network,
    /// An old copy that stands in for a failed request.
    Fallback {
        /// The time since the answer arrived.
        age: Duration,
    },
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The answer itself.
    pub data: Response,
    /// Where it is from.
    pub origin: Origin,
    /// The time from the moment when all that the request needs was there.
    pub latency: Duration,
    /// How often the request was sent; 0 unless the answer is from the server.
    pub attempts: u32,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// What the request needs does not exist or needs it in turn. Nothing was sent.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A request that it needs has failed. It was not sent itself.
    #[error("`{id}`, which it needs, has failed: {source}")]
    DependencyFailed {
        /// The request that has failed.
        id: RequestId,
        /// Why.
        source: Arc<RequestError>,
    },
    /// There was no answer within the time of an attempt or of the whole request.
    #[error("no answer in time")]
    Timeout,
    /// The last attempt's failure.
    #[error(transparent)]
    Http(HttpError),
    /// The transport panicked. What the panic said.
    #[error("the transport panicked: {0}")]
    Panicked(String),
}

impl From<HttpError> for RequestError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Transport(TransportError::Timeout) => Self::Timeout,
            error => Self::Http(error),
        }
    }
}

/// Sends registered requests.
///
/// A clone is a handle to the same requests, copies and slots. Requests run inside of the futures of those who wait for
/// them. One task adapts the limit each minute; it ends with the last handle.
pub struct Orchestrator<T> {
    parts: Arc<Parts<T>>,
    _ticker: Arc<AbortOnDropHandle<()>>,
}

/// A request of a plan, after all that it needs. All who need it share it.
type Node = Shared<BoxFuture<'static, Result<Done, RequestError>>>;

impl<T> Clone for Orchestrator<T> {
    fn clone(&self) -> Self {
        Self { parts: Arc::clone(&self.parts), _ticker: Arc::clone(&self._ticker) }
    }
}

impl<T> fmt::Debug for Orchestrator<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orchestrator").finish_non_exhaustive()
    }
}

impl<T: Transport> Orchestrator<T> {
    /// The most requests of a group of a batch.
    const GROUP: usize = 5;
    /// The groups of a batch that run at once.
    const GROUPS: usize = 2;

    /// An orchestrator without requests. `jitter` spreads retries in time.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], if the settings contradict each other or the `ttl` is zero.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(
        transport: T,
        settings: Settings,
        jitter: Arc<dyn Jitter>,
    ) -> Result<Self, ConfigError> {
        let Settings { limit, lowest, highest, most_wait, ttl, stale_for, capacity } = settings;
        if !(lowest..=highest).contains(&limit) {
            return Err(ConfigError::LimitOutOfRange { limit, lowest, highest });
        }
        let parts = Arc::new(Parts {
            transport,
            settings,
            jitter,
            retries: Retries::new()?,
            requests: Mutex::default(),
            slots: Slots::new(limit.get(), most_wait),
            minute: Mutex::default(),
            limit: watch::Sender::new(limit.get()),
            copies: TtlCache::new(ttl_cache::Config { capacity, ttl, stale_for })?,
            runs: SingleFlight::new(),
        });
        // The task holds the parts only while it works, so that it keeps none of them alive.
        let ticker = tokio::spawn(adapt(Arc::downgrade(&parts)));
        Ok(Self { parts, _ticker: Arc::new(AbortOnDropHandle::new(ticker)) })
    }

    /// Registers a request. One of the same id is replaced, with its figures; runs of it go on.
    ///
    /// What it needs is looked up when it runs, so it may be registered later.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ZeroTimeout`], [`ConfigError::Full`].
    pub fn register(&self, id: impl Into<RequestId>, spec: Spec) -> Result<(), ConfigError> {
        let id = id.into();
        if spec.timeout.is_zero() {
            return Err(ConfigError::ZeroTimeout(id));
        }
        let capacity = self.parts.settings.capacity;
        let mut requests = lock(&self.parts.requests);
        if requests.len() >= capacity.get() && !requests.contains_key(&id) {
            return Err(ConfigError::Full(capacity));
        }
        requests.insert(id, Arc::new(Entry { spec, attempts: Mutex::default() }));
        Ok(())
    }

    /// The answer to a request, after all requests that it needs, each of which runs once.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    ///
    /// # Cancellation
    ///
    /// Before its first poll the future has done nothing. A request goes on while one caller waits for it, and is
    /// dropped with the last one, with its place in the line, its slot and its timers.
    pub async fn run(&self, id: &str) -> Result<Done, RequestError> {
        self.plan(id, &mut HashMap::new())?.await
    }

    /// The answers to many requests, each with its id, in the order of `ids`.
    ///
    /// Groups of at most five requests, and of no more than the limit, run in the order of their priorities, two groups
    /// at once. A request runs once, also if its id is there twice or other requests of the batch need it.
    ///
    /// # Errors
    ///
    /// [`RequestError`] of a request. The others are not touched by it.
    ///
    /// # Cancellation
    ///
    /// As of [`run`](Self::run).
    pub async fn run_batch(
        &self,
        ids: &[RequestId],
    ) -> Vec<(RequestId, Result<Done, RequestError>)> {
        let mut nodes = HashMap::new();
        let mut plans: HashMap<&RequestId, Result<Node, RequestError>> = HashMap::new();
        let mut line: Vec<(u8, Node)> = Vec::new();
        for id in ids {
            if !plans.contains_key(id) {
                let plan = self.plan(id, &mut nodes);
                let priority = lock(&self.parts.requests).get(id).map_or(0, |it| it.spec.priority);
                line.extend(plan.iter().map(|node| (priority, node.clone())));
                plans.insert(id, plan);
            }
        }
        line.sort_by_key(|(priority, _)| Reverse(*priority));
        let size = Self::GROUP.min(*self.parts.limit.borrow());
        let mut line = line.into_iter().map(|(_, node)| node).peekable();
        let mut groups = Vec::new();
        while line.peek().is_some() {
            groups.push(join_all(line.by_ref().take(size).collect::<Vec<_>>()));
        }
        stream::iter(groups).buffer_unordered(Self::GROUPS).for_each(|_| async {}).await;
        // Each node has ended, so that none of these waits.
        join_all(ids.iter().map(|id| {
            let plan = plans[id].clone();
            async move {
                let answer = match plan {
                    Ok(node) => node.await,
                    Err(error) => Err(error),
                };
                (id.clone(), answer)
            }
        }))
        .await
    }

    /// The figures of a request; `None` if it is not registered.
    #[must_use]
    pub fn metrics(&self, id: &str) -> Option<RequestMetrics> {
        let entry = lock(&self.parts.requests).get(id).map(Arc::clone)?;
        let metrics = lock(&entry.attempts).metrics();
        Some(metrics)
    }

    /// How many requests may run at once, now and after each change.
    #[must_use]
    pub fn limit(&self) -> watch::Receiver<usize> {
        self.parts.limit.subscribe()
    }

    /// The node of a request. It and those that it needs are added to `nodes`.
    fn plan(&self, id: &str, nodes: &mut HashMap<RequestId, Node>) -> Result<Node, RequestError> {
        let requests = lock(&self.parts.requests);
        let needs = |id: &str| requests.get(id).map(|entry| entry.spec.needs.clone());
        for id in graph::order(&id.to_owned(), needs)? {
            if nodes.contains_key(&id) {
                continue;
            }
            let entry = Arc::clone(&requests[&id]);
            let needs = entry.spec.needs.iter().map(|id| (id.clone(), nodes[id].clone()));
            let needs: Vec<_> = needs.map(|(id, node)| needed(id, node)).collect();
            let parts = Arc::clone(&self.parts);
            let node = async move {
                try_join_all(needs).await?;
                parts.answer(entry).await
            };
            nodes.insert(id, node.boxed().shared());
        }
        Ok(nodes[id].clone())
    }
}

async fn needed(id: RequestId, node: Node) -> Result<Done, RequestError> {
    let failed = |error| RequestError::DependencyFailed { id, source: Arc::new(error) };
    node.await.map_err(failed)
}

/// No foreign code runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
