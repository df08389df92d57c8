//! Copies and shared requests in one map, which is searched when something is invalidated.

mod message;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, Shared, WeakShared, join_all};
use futures::stream::{self, Stream};
use futures::{FutureExt as _, StreamExt as _};
use http::header::{
    ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, CACHE_CONTROL, ETAG, HeaderName, IF_NONE_MATCH,
};
use http::{Method, Uri};
use tokio::time::Instant;

use crate::limiter::Failure;

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

type Answer = Result<(Response, Instant), HttpError>;
type Work = BoxFuture<'static, Answer>;

/// Sends requests through a transport.
pub struct HttpClient<T> {
    transport: Arc<T>,
    settings: Arc<Settings>,
    state: Arc<Mutex<State>>,
}

/// URL first, so that a prefix is a range of the map.
type Key = (String, String, Vec<Vec<u8>>);

#[derive(Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    count: u64,
}

#[derive(Default)]
struct Entry {
    copy: Option<Copy>,
    /// With its number.
    request: Option<(u64, WeakShared<Work>)>,
}

struct Copy {
    response: Response,
    arrived: Instant,
    used: u64,
}

impl State {
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn copy(&mut self, key: &Key, settings: &Settings) -> Option<(Response, Duration)> {
        let used = self.next();
        let entry = self.entries.get_mut(key)?;
        let copy = entry.copy.as_mut()?;
        let age = copy.arrived.elapsed();
        if age >= settings.ttl.saturating_add(settings.stale_for) {
            entry.copy = None;
            self.tidy(key);
            return None;
        }
        copy.used = used;
        Some((copy.response.clone(), age))
    }

    fn keep(&mut self, key: &Key, response: Response, capacity: NonZeroUsize) {
        let used = self.next();
        let copy = Copy { response, arrived: Instant::now(), used };
        self.entries.entry(key.clone()).or_default().copy = Some(copy);
        let copies = || self.entries.iter().filter_map(|(key, it)| Some((it.copy.as_ref()?.used, key)));
        if copies().count() > capacity.get()
            && let Some((_, oldest)) = copies().min()
        {
            let oldest = oldest.clone();
            if let Some(entry) = self.entries.get_mut(&oldest) {
                entry.copy = None;
            }
            self.tidy(&oldest);
        }
    }

    /// An entry without a copy and without a request goes.
    fn tidy(&mut self, key: &Key) {
        if self.entries.get(key).is_some_and(|it| it.copy.is_none() && it.request.is_none()) {
            self.entries.remove(key);
        }
    }
}

/// Takes its request out of the map.
struct Ends {
    state: Arc<Mutex<State>>,
    key: Key,
    number: u64,
}

impl Ends {
    fn is_current(&self, state: &State) -> bool {
        let request = state.entries.get(&self.key).and_then(|entry| entry.request.as_ref());
        request.is_some_and(|(number, _)| *number == self.number)
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if self.is_current(&state) {
            if let Some(entry) = state.entries.get_mut(&self.key) {
                entry.request = None;
            }
            state.tidy(&self.key);
        }
    }
}

impl<T> Clone for HttpClient<T> {
    fn clone(&self) -> Self {
        let (transport, settings) = (Arc::clone(&self.transport), Arc::clone(&self.settings));
        Self { transport, settings, state: Arc::clone(&self.state) }
    }
}

impl<T> fmt::Debug for HttpClient<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClient")
    }
}

impl<T: Transport> HttpClient<T> {
    /// A client without copies.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ZeroTtl`].
    pub fn new(transport: T, settings: Settings) -> Result<Self, ConfigError> {
        if settings.ttl.is_zero() {
            return Err(ConfigError::ZeroTtl);
        }
        let (transport, settings) = (Arc::new(transport), Arc::new(settings));
        Ok(Self { transport, settings, state: Arc::default() })
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
        host(&request.url)?;
        if request.method != Method::GET && request.method != Method::HEAD {
            let value = checked(self.transport.send(request).await?)?;
            return Ok(Hit { value, age: Duration::ZERO, fresh: true });
        }
        if caching == Caching::Use {
            let copy = lock(&self.state).copy(&self.key(&request), &self.settings);
            if let Some((value, age)) = copy.filter(|(_, age)| *age < self.settings.ttl) {
                return Ok(Hit { value, age, fresh: true });
            }
        }
        let (value, arrived) = self.request(request).await?;
        let age = arrived.elapsed();
        Ok(Hit { value, age, fresh: age < self.settings.ttl })
    }

    /// The request that is on its way, or a new one.
    fn request(&self, request: Request) -> Shared<Work> {
        let key = self.key(&request);
        let mut state = lock(&self.state);
        let running = state.entries.get(&key).and_then(|entry| entry.request.as_ref());
        if let Some(shared) = running.and_then(|(_, weak)| weak.upgrade()) {
            return shared;
        }
        let number = state.next();
        let ends = Ends { state: Arc::clone(&self.state), key: key.clone(), number };
        let (transport, settings) = (Arc::clone(&self.transport), Arc::clone(&self.settings));
        let work = async move {
            let mut request = request;
            let copy = lock(&ends.state).copy(&ends.key, &settings).map(|(copy, _)| copy);
            let tag = copy.as_ref().and_then(|copy| copy.headers.get(ETAG)).cloned();
            let mine = !request.headers.contains_key(IF_NONE_MATCH);
            if let (Some(tag), true) = (&tag, mine) {
                request.headers.insert(IF_NONE_MATCH, tag.clone());
            }
            let answer = transport.send(request).await?;
            let response = match copy {
                Some(copy) if answer.status.as_u16() == 304 && tag.is_some() && mine => copy,
                _ => checked(answer)?,
            };
            let mut state = lock(&ends.state);
            if ends.is_current(&state) {
                if is_secret(&response) {
                    if let Some(entry) = state.entries.get_mut(&ends.key) {
                        entry.copy = None;
                    }
                } else {
                    state.keep(&ends.key, response.clone(), settings.capacity);
                }
            }
            drop(state);
            Ok((response, Instant::now()))
        };
        let shared = work.boxed().shared();
        if let Some(weak) = shared.downgrade() {
            state.entries.entry(key).or_default().request = Some((number, weak));
        }
        shared
    }

    /// Loads in steps.
    pub fn progressive(
        &self,
        url: &str,
    ) -> impl Stream<Item = Result<Progress, HttpError>> + Send + use<T> {
        let (client, request) = (self.clone(), Request::get(url));
        // Two streams, one behind the other: what is there, and what comes.
        let begin = async move {
            if let Err(error) = host(&request.url) {
                return stream::iter(vec![Err(error)]).boxed();
            }
            let copy = lock(&client.state).copy(&client.key(&request), &client.settings);
            let shown = copy.clone().map(|(value, age)| Ok(Progress::Cached { value, age }));
            let ask = async move {
                match (client.request(request).await, copy) {
                    (Ok((answer, _)), Some((copy, _)))
                        if (answer.status, &answer.body) == (copy.status, &copy.body) =>
                    {
                        Ok(Progress::Unchanged)
                    }
                    (Ok((answer, _)), _) => Ok(Progress::Fresh(answer)),
                    (Err(error), Some(_)) => Ok(Progress::RevalidateFailed(error)),
                    (Err(error), None) => Err(error),
                }
            };
            stream::iter(shown).chain(stream::once(ask)).boxed()
        };
        stream::once(begin).flatten()
    }

    /// Sends many requests.
    pub async fn batch<I>(
        &self,
        requests: Vec<(I, Request)>,
    ) -> Vec<(I, Result<Response, BatchError>)> {
        let mut results: Vec<(I, Option<Result<Response, BatchError>>)> = Vec::new();
        let mut groups: Vec<(String, Vec<(usize, Request)>)> = Vec::new();
        for (place, (id, request)) in requests.into_iter().enumerate() {
            let mut result = None;
            match host(&request.url) {
                Err(error) => result = Some(Err(Failure::Error(error))),
                Ok(host) => match groups.iter_mut().find(|(known, _)| *known == host) {
                    Some((_, group)) => group.push((place, request)),
                    None => groups.push((host, vec![(place, request)])),
                },
            }
            results.push((id, result));
        }
        let mut batches: Vec<Vec<(usize, Request)>> = Vec::new();
        for (_, group) in groups {
            batches.extend(group.chunks(self.settings.batch_size.get()).map(<[_]>::to_vec));
        }
        let one = |(place, request): (usize, Request)| async move {
            let sent = AssertUnwindSafe(self.send(request, Caching::Use)).catch_unwind().await;
            let result = match sent {
                Ok(Ok(hit)) => Ok(hit.value),
                Ok(Err(error)) => Err(Failure::Error(error)),
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().cloned();
                    let literal = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                    let text = text.or(literal).unwrap_or_else(|| "no message".to_owned());
                    Err(Failure::Panicked(text))
                }
            };
            (place, result)
        };
        let at_once = self.settings.batches.get();
        let runs = batches.into_iter().map(|batch| join_all(batch.into_iter().map(one)));
        let mut done = stream::iter(runs).buffer_unordered(at_once);
        while let Some(answers) = done.next().await {
            for (place, answer) in answers {
                results[place].1 = Some(answer);
            }
        }
        drop(done);
        results.into_iter().filter_map(|(id, result)| Some((id, result?))).collect()
    }

    /// Forgets what begins with `prefix`.
    pub fn invalidate(&self, prefix: &str) {
        lock(&self.state).entries.retain(|(url, ..), _| !url.starts_with(prefix));
    }

    fn key(&self, request: &Request) -> Key {
        let values = |name: &HeaderName| {
            let values = request.headers.get_all(name).iter();
            values.flat_map(|value| [value.as_bytes(), b"\n"].concat()).collect()
        };
        let varying = self.settings.vary.iter().map(values).collect();
        (request.url.clone(), request.method.to_string(), varying)
    }
}

fn host(url: &str) -> Result<String, HttpError> {
    let parsed = url.parse::<Uri>().ok();
    let known = parsed.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let host = known.and_then(|uri| uri.host().map(str::to_ascii_lowercase));
    host.filter(|host| !host.is_empty()).ok_or_else(|| HttpError::BadUrl(url.to_owned()))
}

fn checked(answer: Response) -> Result<Response, HttpError> {
    match answer.status.as_u16() {
        200..=299 => Ok(answer),
        _ => Err(HttpError::Status(answer)),
    }
}

fn is_secret(response: &Response) -> bool {
    response.headers.get_all(CACHE_CONTROL).iter().any(|value| {
        let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        text.split(',').any(|directive| directive.trim() == "no-store")
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
