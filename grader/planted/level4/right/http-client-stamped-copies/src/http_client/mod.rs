//! Copies with a stamp, which is compared with those of the invalidations; a progressive load that polls by hand; workers
//! that take batches from a queue.

mod message;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use futures::stream::Stream;
use http::header::{
    ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, CACHE_CONTROL, ETAG, HeaderName, IF_NONE_MATCH,
};
use http::{Method, StatusCode, Uri};
use tokio::time::Instant;

use crate::limiter::{Failure, Limiter};
use crate::single_flight::SingleFlight;
use crate::ttl_cache::{self, TtlCache};

pub use crate::ttl_cache::{ConfigError, Hit};
pub use message::{HttpError, Request, Response, Transport, TransportError};

/// Why a request of a batch has no answer: its error, or the panic of its transport.
pub type BatchError = Failure<HttpError>;

/// How a client keeps copies and makes batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A copy answers while its age is less than this.
    pub ttl: Duration,
    /// A copy that does not answer any more is shown by a progressive load for this time.
    pub stale_for: Duration,
    /// The most copies that are kept. For one more, the copy goes that was not used for the longest time.
    pub capacity: NonZeroUsize,
    /// Requests that differ in one of these headers have copies of their own.
    pub vary: Vec<HeaderName>,
    /// The most requests of a batch.
    pub batch_size: NonZeroUsize,
    /// The most batches that run at once.
    pub batches: NonZeroUsize,
}

impl Default for Settings {
    /// Fresh for 5 min and shown for an hour more, 1000 copies, apart by `Accept`, `Accept-Language` and
    /// `Authorization`; three batches of ten requests at once.
    fn default() -> Self {
        let number = |number| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
        Self {
            ttl: Duration::from_secs(300),
            stale_for: Duration::from_secs(3600),
            capacity: number(1000),
            vary: vec![ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION],
            batch_size: number(10),
            batches: number(3),
        }
    }
}

/// Whether a copy may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Caching {
    /// A fresh copy answers.
    #[default]
    Use,
    /// The server answers, and its answer is the new copy. A request that is on its way is joined; one that was
    /// invalidated is not.
    Bypass,
}

/// What a progressive load yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The copy, first. It may be older than the `ttl`.
    Cached {
        /// The copy.
        value: Response,
        /// The time since it arrived.
        age: Duration,
    },
    /// The server's answer. It is not the copy, or there was none.
    Fresh(Response),
    /// The server's answer has the status and the body of the copy that was yielded.
    Unchanged,
    /// The server has no answer that can be used. The copy that was yielded is the best there is.
    RevalidateFailed(HttpError),
}

/// A text that tells requests apart.
type Key = String;

/// A copy, and the number of the moment at which its request began.
type Stamped = (Response, u64);

/// Sends requests through a transport.
pub struct HttpClient<T>(Arc<Inner<T>>);

struct Inner<T> {
    transport: T,
    settings: Settings,
    copies: TtlCache<Key, Stamped, Infallible>,
    requests: SingleFlight<Key, (Response, Instant), HttpError>,
    log: Mutex<Log>,
}

/// What was invalidated, the last at the end. Of a long log the older half becomes one: everything until then.
#[derive(Default)]
struct Log {
    now: u64,
    until: u64,
    prefixes: VecDeque<(String, u64)>,
    /// The keys of requests that are on their way, with their numbers.
    running: HashMap<Key, u64>,
}

impl Log {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    fn is_obsolete(&self, url: &str, stamp: u64) -> bool {
        let newer = self.prefixes.iter().filter(|(_, number)| *number > stamp);
        stamp < self.until || newer.map(|(prefix, _)| prefix).any(|it| url.starts_with(it.as_str()))
    }
}

impl<T> Clone for HttpClient<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for HttpClient<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpClient").finish()
    }
}

/// Leaves the list of running requests.
struct Running<T> {
    inner: Arc<Inner<T>>,
    key: Key,
    stamp: u64,
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        let mut log = lock(&self.inner.log);
        if log.running.get(&self.key) == Some(&self.stamp) {
            log.running.remove(&self.key);
        }
    }
}

impl<T: Transport> HttpClient<T> {
    /// A client without copies.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ZeroTtl`].
    pub fn new(transport: T, settings: Settings) -> Result<Self, ConfigError> {
        let Settings { ttl, stale_for, capacity, .. } = settings;
        let copies = TtlCache::new(ttl_cache::Config { capacity, ttl, stale_for })?;
        let (requests, log) = (SingleFlight::new(), Mutex::default());
        Ok(Self(Arc::new(Inner { transport, settings, copies, requests, log })))
    }

    /// Sends a `GET`.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub async fn get(&self, url: &str, caching: Caching) -> Result<Hit<Response>, HttpError> {
        self.send(Request::get(url), caching).await
    }

    /// The answer to a request.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub async fn send(
        &self,
        request: Request,
        caching: Caching,
    ) -> Result<Hit<Response>, HttpError> {
        let _ = host(&request.url)?;
        match request.method {
            Method::GET | Method::HEAD => {}
            _ => {
                let answer = self.0.transport.send(request).await?;
                let value = success(answer)?;
                return Ok(Hit { value, age: Duration::ZERO, fresh: true });
            }
        }
        if caching == Caching::Use
            && let Some(hit) = self.copy(&request)
            && hit.fresh
        {
            return Ok(hit);
        }
        self.ask(request).await
    }

    fn copy(&self, request: &Request) -> Option<Hit<Response>> {
        let key = self.0.key(request);
        let hit = self.0.copies.get(&key)?;
        let (value, stamp) = hit.value;
        if lock(&self.0.log).is_obsolete(&request.url, stamp) {
            self.0.copies.invalidate(&key);
            return None;
        }
        Some(Hit { value, age: hit.age, fresh: hit.fresh })
    }

    async fn ask(&self, request: Request) -> Result<Hit<Response>, HttpError> {
        let key = self.0.key(&request);
        {
            let log = lock(&self.0.log);
            let old = log.running.get(&key).is_some_and(|stamp| log.is_obsolete(&request.url, *stamp));
            drop(log);
            if old {
                self.0.requests.forget(&key);
            }
        }
        let (client, held) = (self.clone(), key.clone());
        let work = move || async move {
            let stamp = {
                let mut log = lock(&client.0.log);
                let stamp = log.tick();
                log.running.insert(held.clone(), stamp);
                stamp
            };
            let _running = Running { inner: Arc::clone(&client.0), key: held.clone(), stamp };
            client.work(held, request, stamp).await
        };
        let (value, arrived) = self.0.requests.run(key, work).await?;
        let age = arrived.elapsed();
        Ok(Hit { value, age, fresh: age < self.0.settings.ttl })
    }

    async fn work(
        &self,
        key: Key,
        mut request: Request,
        stamp: u64,
    ) -> Result<(Response, Instant), HttpError> {
        let url = request.url.clone();
        let mut tagged = None;
        if !request.headers.contains_key(IF_NONE_MATCH)
            && let Some(copy) = self.copy(&request)
            && let Some(tag) = copy.value.headers.get(ETAG).cloned()
        {
            request.headers.insert(IF_NONE_MATCH, tag);
            tagged = Some(copy.value);
        }
        let answer = self.0.transport.send(request).await?;
        let response = match tagged {
            Some(copy) if answer.status == StatusCode::NOT_MODIFIED => copy,
            _ => success(answer)?,
        };
        if no_store(&response) {
            self.0.copies.invalidate(&key);
        } else if !lock(&self.0.log).is_obsolete(&url, stamp) {
            self.0.copies.put(key, (response.clone(), stamp));
        }
        Ok((response, Instant::now()))
    }

    /// Loads in steps.
    pub fn progressive(
        &self,
        url: &str,
    ) -> impl Stream<Item = Result<Progress, HttpError>> + Send + use<T> {
        Steps { client: self.clone(), url: url.to_owned(), state: State::New }
    }

    /// Sends many requests.
    pub async fn batch<I>(
        &self,
        requests: Vec<(I, Request)>,
    ) -> Vec<(I, Result<Response, BatchError>)> {
        let mut hosts: Vec<(String, Vec<usize>)> = Vec::new();
        let mut answers: Vec<Option<Result<Response, BatchError>>> = Vec::new();
        for (place, (_, request)) in requests.iter().enumerate() {
            match host(&request.url) {
                Ok(host) => {
                    answers.push(None);
                    match hosts.iter_mut().find(|(known, _)| *known == host) {
                        Some((_, places)) => places.push(place),
                        None => hosts.push((host, vec![place])),
                    }
                }
                Err(error) => answers.push(Some(Err(Failure::Error(error)))),
            }
        }
        let size = self.0.settings.batch_size;
        let cut = |(_, places): (String, Vec<usize>)| {
            places.chunks(size.get()).map(<[usize]>::to_vec).collect::<Vec<_>>()
        };
        let queue: Mutex<VecDeque<Vec<usize>>> = Mutex::new(hosts.into_iter().flat_map(cut).collect());
        let filled = Mutex::new(answers);
        let count = self.0.settings.batches.get().min(lock(&queue).len());
        let (shared, queue, list) = (&filled, &queue, &requests);
        let worker = |_| async move {
            loop {
                let next = lock(queue).pop_front();
                let Some(places) = next else { return };
                let sends = places.iter().map(|place| {
                    let request = list[*place].1.clone();
                    || async { self.send(request, Caching::Use).await.map(|hit| hit.value) }
                });
                let done = Limiter::new(size).run_all(sends.collect()).await;
                for (place, answer) in places.into_iter().zip(done) {
                    lock(shared)[place] = Some(answer);
                }
            }
        };
        join_all((0..count).map(worker)).await;
        let answers = filled.into_inner().unwrap_or_else(PoisonError::into_inner);
        let ids = requests.into_iter().map(|(id, _)| id);
        ids.zip(answers).filter_map(|(id, answer)| Some((id, answer?))).collect()
    }

    /// Forgets what begins with `prefix`.
    pub fn invalidate(&self, prefix: &str) {
        let mut log = lock(&self.0.log);
        let number = log.tick();
        log.prefixes.retain(|(known, _)| known != prefix);
        log.prefixes.push_back((prefix.to_owned(), number));
        if log.prefixes.len() > 100 {
            for _ in 0..50 {
                if let Some((_, number)) = log.prefixes.pop_front() {
                    log.until = number;
                }
            }
        }
    }
}

impl<T> Inner<T> {
    fn key(&self, request: &Request) -> Key {
        let mut key = format!("{} {}", request.method, request.url);
        for name in &self.settings.vary {
            for value in request.headers.get_all(name) {
                key.push_str(&format!("\n{name}: {:?}", value.as_bytes()));
            }
        }
        key
    }
}

enum State {
    New,
    Shown(Response),
    Asks(Option<Response>, BoxFuture<'static, Result<Hit<Response>, HttpError>>),
    Over,
}

struct Steps<T> {
    client: HttpClient<T>,
    url: String,
    state: State,
}

impl<T> Unpin for Steps<T> {}

impl<T: Transport> Stream for Steps<T> {
    type Item = Result<Progress, HttpError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::New => {
                    if let Err(error) = host(&self.url) {
                        return Poll::Ready(Some(Err(error)));
                    }
                    match self.client.copy(&Request::get(&self.url)) {
                        Some(Hit { value, age, .. }) => {
                            self.state = State::Shown(value.clone());
                            return Poll::Ready(Some(Ok(Progress::Cached { value, age })));
                        }
                        None => self.state = State::Asks(None, self.asks()),
                    }
                }
                State::Shown(copy) => self.state = State::Asks(Some(copy), self.asks()),
                State::Asks(copy, mut asks) => {
                    let Poll::Ready(answer) = asks.as_mut().poll(cx) else {
                        self.state = State::Asks(copy, asks);
                        return Poll::Pending;
                    };
                    return Poll::Ready(Some(match (answer, copy) {
                        (Err(error), None) => Err(error),
                        (Err(error), Some(_)) => Ok(Progress::RevalidateFailed(error)),
                        (Ok(hit), Some(copy))
                            if hit.value.status == copy.status && hit.value.body == copy.body =>
                        {
                            Ok(Progress::Unchanged)
                        }
                        (Ok(hit), _) => Ok(Progress::Fresh(hit.value)),
                    }));
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }
}

impl<T: Transport> Steps<T> {
    fn asks(&self) -> BoxFuture<'static, Result<Hit<Response>, HttpError>> {
        let (client, request) = (self.client.clone(), Request::get(&self.url));
        async move { client.ask(request).await }.boxed()
    }
}

fn host(url: &str) -> Result<String, HttpError> {
    let bad = || HttpError::BadUrl(url.to_owned());
    let parts = url.parse::<Uri>().map_err(|_| bad())?.into_parts();
    let scheme = parts.scheme.ok_or_else(bad)?;
    if scheme != http::uri::Scheme::HTTP && scheme != http::uri::Scheme::HTTPS {
        return Err(bad());
    }
    let authority = parts.authority.ok_or_else(bad)?;
    if authority.host().is_empty() { Err(bad()) } else { Ok(authority.host().to_lowercase()) }
}

fn success(answer: Response) -> Result<Response, HttpError> {
    let is_well = answer.status.is_success();
    if is_well { Ok(answer) } else { Err(HttpError::Status(answer)) }
}

fn no_store(response: &Response) -> bool {
    let values = response.headers.get_all(CACHE_CONTROL);
    let mut texts = values.iter().filter_map(|value| value.to_str().ok());
    texts.any(|text| text.split(',').any(|it| it.trim().eq_ignore_ascii_case("no-store")))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
