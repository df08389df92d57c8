//! Notes each attempt of each request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use level5::orchestrator::RequestId;
use level5::orchestrator::http_client::{Request, Response, Transport, TransportError};
use tokio::time::Instant;

/// An attempt of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The requests that it was made for: more than one if they are equal.
    pub ids: Vec<RequestId>,
    /// When it began, since the plan began.
    pub begun: Duration,
    /// When it ended, since the plan began, and how; `None` while it is under way.
    pub ended: Option<(Duration, Ended)>,
}

/// How an attempt has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// With an answer of this status.
    Status(u16),
    /// Without an answer, for this reason.
    Failed(String),
    /// The orchestrator has dropped it: its time was over, or no request waited for it any more.
    Dropped,
}

/// All attempts, in the order in which they began. A clone is a handle to the same list.
#[derive(Debug, Clone)]
pub struct Attempts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    begin: Instant,
    requests: Vec<(RequestId, Request)>,
    // Held to add or to end an attempt, and never across an await.
    list: Mutex<Vec<Attempt>>,
}

impl Attempts {
    /// Begins the clock of a plan with these requests.
    #[must_use]
    pub fn new(requests: Vec<(RequestId, Request)>) -> Self {
        Self(Arc::new(Inner { begin: Instant::now(), requests, list: Mutex::default() }))
    }

    /// Returns the time since the plan began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.begin.elapsed()
    }

    /// Returns all attempts so far.
    #[must_use]
    pub fn list(&self) -> Vec<Attempt> {
        self.0.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn begin(&self, request: &Request) -> UnderWay {
        let equal = self.0.requests.iter().filter(|(_, it)| it == request);
        let ids = equal.map(|(id, _)| id.clone()).collect();
        let mut list = self.0.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(Attempt { ids, begun: self.elapsed(), ended: None });
        UnderWay { attempts: self.clone(), at: list.len() - 1, ended: None }
    }
}

/// An attempt that is under way. Dropping it ends it: the orchestrator drops the future of an attempt whose time is over.
struct UnderWay {
    attempts: Attempts,
    at: usize,
    ended: Option<Ended>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let ended = self.ended.take().unwrap_or(Ended::Dropped);
        let now = self.attempts.elapsed();
        let mut list = self.attempts.0.list.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attempt) = list.get_mut(self.at) {
            attempt.ended = Some((now, ended));
        }
    }
}

/// A transport whose attempts are noted.
#[derive(Debug)]
pub struct Watched<T> {
    inner: T,
    attempts: Attempts,
}

impl<T> Watched<T> {
    /// Notes the attempts of `inner`.
    pub const fn new(inner: T, attempts: Attempts) -> Self {
        Self { inner, attempts }
    }
}

impl<T: Transport> Transport for Watched<T> {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let mut under_way = self.attempts.begin(&request);
        let answer = self.inner.send(request).await;
        under_way.ended = Some(match &answer {
            Ok(response) => Ended::Status(response.status.as_u16()),
            Err(error) => Ended::Failed(error.to_string()),
        });
        answer
    }
}
