//! An orchestrator of requests: priorities, one limit for all, copies, retries by the kind of failure, requests that
//! need other requests, and batches.
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
mod plan;
mod ranks;
mod retries;
mod runs;
mod slots;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use level3::retry::{BackoffConfigError, Jitter};
use level4::http_client::{HttpError, Request, Response, Transport, TransportError};
use level4::single_flight::SingleFlight;
use level4::ttl_cache::{self, TtlCache};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use plan::{Node, Plan};
use ranks::Ranks;
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

/// A request and the rules for sending it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The request itself.
    pub request: Request,
    /// Of two requests that wait, the one with the higher number gets the next free slot, unless the other has waited
    /// for [`Settings::most_wait`].
    pub priority: u8,
    /// The time limit of the whole request, from the moment when all that it needs has succeeded: the wait for a slot,
    /// all attempts, and the waits between them.
    pub timeout: Duration,
    /// Whether it may be sent again after a failure. A request whose method is not idempotent is sent once in any case.
    pub retryable: bool,
    /// Whether a copy of its answer is kept and may answer later requests. Only `GET` and `HEAD` have copies. An answer
    /// with `Cache-Control: no-store` is not kept, and leaves no older copy.
    pub cacheable: bool,
    /// The requests that must succeed before this one is sent.
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

/// The limits and times of an orchestrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The number of requests that may run at once, at first.
    pub limit: NonZeroUsize,
    /// The limit never falls below this.
    pub lowest: NonZeroUsize,
    /// The limit never rises above this.
    pub highest: NonZeroUsize,
    /// A request that has waited for a slot for this time goes ahead of every priority.
    pub most_wait: Duration,
    /// A copy answers while its age is less than this.
    pub ttl: Duration,
    /// After the `ttl`, a copy stands in for a failed request for this time.
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

/// Why an orchestrator was not made, or a request not registered.
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
    /// The `ttl` of copies is zero.
    #[error(transparent)]
    Copies(#[from] ttl_cache::ConfigError),
    /// A schedule of retries is invalid.
    #[error(transparent)]
    Retries(#[from] BackoffConfigError),
    /// The request's `timeout` is zero.
    #[error("`{0}` has a timeout of zero; give it at least 1 ms")]
    ZeroTimeout(RequestId),
    /// As many requests are registered as [`Settings::capacity`] allows.
    #[error("{0} requests are registered, and no more are allowed")]
    Full(NonZeroUsize),
}

/// The origin of an answer.
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
    /// Where the answer is from.
    pub origin: Origin,
    /// The time from the moment when all that the request needs had succeeded.
    pub latency: Duration,
    /// The number of attempts; 0 unless the answer is from the server.
    pub attempts: u32,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A request that it needs, directly or not, does not exist, or the needs form a cycle. Nothing was sent.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A request that it needs has failed, so it was not sent.
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
    /// The last attempt failed.
    #[error(transparent)]
    Http(HttpError),
    /// The transport panicked, with this message.
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
/// A clone is a handle to the same requests, copies and slots. A request runs inside the futures of the callers that
/// wait for it. One task adapts the limit at the end of each minute with attempts, and waits for nothing else; it ends
/// with the last handle.
pub struct Orchestrator<T> {
    parts: Arc<Parts<T>>,
    /// The task that adapts the limit, aborted with the last handle. It is apart from `parts`, which the task needs
    /// before it has a handle.
    _ticker: Arc<AbortOnDropHandle<()>>,
}

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

    /// Makes an orchestrator without requests. `jitter` spreads retries in time.
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
            begins: Arc::default(),
            limit: watch::Sender::new(limit.get()),
            copies: TtlCache::new(ttl_cache::Config { capacity, ttl, stale_for })?,
            runs: SingleFlight::new(),
            ranks: Ranks::default(),
        });
        // Last, so that an error leaves no task. The task has a weak reference and holds the parts only while it
        // adapts the limit: a strong one would keep the transport alive between the drop of the last handle and the
        // abort.
        let adapts = adapt(Arc::downgrade(&parts), Arc::clone(&parts.begins), Instant::now());
        let ticker = tokio::spawn(adapts);
        Ok(Self { parts, _ticker: Arc::new(AbortOnDropHandle::new(ticker)) })
    }

    /// Registers a request. It replaces a request of the same id with its figures; a run of that one goes on.
    ///
    /// The requests that it needs are looked up when it runs, so they may be registered later.
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
        // One lock for the question and the insertion: two callers must not both take the last free place.
        let mut requests = lock(&self.parts.requests);
        if requests.len() >= capacity.get() && !requests.contains_key(&id) {
            return Err(ConfigError::Full(capacity));
        }
        // A new entry and no change of the old one: a run that is under way has the old one, and its late figures must
        // not count for another request.
        requests.insert(id, Arc::new(Entry { spec, attempts: Mutex::default() }));
        Ok(())
    }

    /// Runs a request, after all requests that it needs, and returns its answer. Each of them runs once.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    ///
    /// # Cancellation
    ///
    /// Before its first poll the future has done nothing. A request goes on while at least one caller waits for it.
    /// With its last caller it is dropped, together with its place in the line, its slot and its timers.
    pub async fn run(&self, id: &str) -> Result<Done, RequestError> {
        Plan::default().node(&self.parts, id)?.await
    }

    /// Runs many requests and returns each answer with its id, in the order of `ids`.
    ///
    /// Groups of at most five requests, and of no more than the limit, run in the order of their priorities, two groups
    /// at once. A request runs once, also if its id is listed twice or other requests of the batch need it.
    ///
    /// # Errors
    ///
    /// [`RequestError`] for a request without an answer. It does not affect the others.
    ///
    /// # Cancellation
    ///
    /// As of [`run`](Self::run).
    pub async fn run_batch(
        &self,
        ids: &[RequestId],
    ) -> Vec<(RequestId, Result<Done, RequestError>)> {
        // One plan for the whole batch: a request that several ids need is one node, so it runs once.
        let mut plan = Plan::default();
        let mut answers: HashMap<&RequestId, Result<Node, RequestError>> = HashMap::new();
        let mut line: Vec<(u8, Node)> = Vec::new();
        for id in ids {
            if !answers.contains_key(id) {
                let node = plan.node(&self.parts, id);
                let priority = lock(&self.parts.requests).get(id).map_or(0, |it| it.spec.priority);
                line.extend(node.iter().map(|node| (priority, node.clone())));
                answers.insert(id, node);
            }
        }
        // Stable, so equal priorities keep the caller's order.
        line.sort_by_key(|(priority, _)| Reverse(*priority));
        // A group larger than the limit would only wait in front of the slots.
        let size = Self::GROUP.min(*self.parts.limit.borrow());
        let mut line = line.into_iter().map(|(_, node)| node).peekable();
        let mut groups = Vec::new();
        while line.peek().is_some() {
            groups.push(join_all(line.by_ref().take(size).collect::<Vec<_>>()));
        }
        // Unordered: the next group begins when either of the two has ended. In order, a slow first group would hold up
        // the third one while the second has long ended.
        let groups = stream::iter(groups).buffer_unordered(Self::GROUPS).for_each(|_| async {});
        plan.drive(groups).await;
        // Each node has ended, so none of these waits. A shared future returns a clone of its answer to each id.
        join_all(ids.iter().map(|id| {
            let node = answers[id].clone();
            async move {
                let answer = match node {
                    Ok(node) => node.await,
                    Err(error) => Err(error),
                };
                (id.clone(), answer)
            }
        }))
        .await
    }

    /// Returns the figures of a request; `None` if it is not registered.
    #[must_use]
    pub fn metrics(&self, id: &str) -> Option<RequestMetrics> {
        let entry = lock(&self.parts.requests).get(id).map(Arc::clone)?;
        // The lock of all requests is free by now: the figures are sorted under the lock of this request alone.
        let metrics = lock(&entry.attempts).metrics();
        Some(metrics)
    }

    /// Returns a receiver of the number of requests that may run at once, now and after each change.
    #[must_use]
    pub fn limit(&self) -> watch::Receiver<usize> {
        self.parts.limit.subscribe()
    }
}

/// Locks, also after a panic: no foreign code runs under these locks, so what they guard is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
