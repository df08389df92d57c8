//! The layer of an HTTP client above its transport: copies with an age, one shared request for concurrent callers,
//! batches, and progressive loads that show a copy first.
//!
//! ```text
//!   GET, HEAD ──▶ a fresh copy? ──▶ Hit, with its age
//!                     │ no, or Bypass
//!                     ▼
//!        a request of this key is under way? ─── yes: join it ──────┐
//!                     │ no                                          │
//!                     ▼                                             ▼
//!                transport ──▶ 200 to 299: keep a copy ──▶ Hit, of age 0
//!                     │        304: the copy is current again ──────▲
//!                     └──────▶ another status, no answer: HttpError, the old copy stays
//!
//!   other methods ──▶ transport ──▶ Hit, or HttpError
//! ```
//!
//! Lesson: `level4/lessons/http_client.md`.

mod batch;
mod key;
mod message;

use std::convert::Infallible;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{self, Stream};
use http::header::{
    ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, CACHE_CONTROL, ETAG, HeaderName, IF_NONE_MATCH,
};
use http::{Method, StatusCode};
use tokio::time::Instant;

use crate::limiter::{Failure, Limiter};
use crate::single_flight::SingleFlight;
use crate::ttl_cache::{self, TtlCache};
use batch::{Placed, batches};
use key::{Epochs, Key, host};

pub use crate::ttl_cache::{ConfigError, Hit};
pub use message::{HttpError, Request, Response, Transport, TransportError};

/// The reason why a request of a batch has no answer: its error, or the panic of its transport.
///
/// ```
/// use level4::http_client::BatchError;
///
/// let error = BatchError::Panicked("no socket".to_owned());
/// assert_eq!(error.to_string(), "the operation panicked: no socket");
/// ```
pub type BatchError = Failure<HttpError>;

/// How a client keeps copies and makes batches.
///
/// ```
/// use std::time::Duration;
/// use level4::http_client::{Caching, HttpClient, Request, Settings};
/// use tokio::time::sleep;
/// # use level4::http_client::{Response, Transport, TransportError};
/// # struct Hello;
/// # impl Transport for Hello {
/// #     async fn send(&self, request: Request) -> Result<Response, TransportError> {
/// #         let body = format!("hello from {}", request.url).into_bytes().into();
/// #         let status = match request.url.ends_with("/missing") {
/// #             true => http::StatusCode::NOT_FOUND,
/// #             false => http::StatusCode::OK,
/// #         };
/// #         Ok(Response { status, headers: http::HeaderMap::new(), body })
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let settings = Settings { ttl: Duration::from_secs(10), ..Settings::default() };
/// let client = HttpClient::new(Hello, settings)?;
/// client.get("http://example.com/", Caching::Use).await?;
/// sleep(Duration::from_secs(9)).await;
/// let hit = client.get("http://example.com/", Caching::Use).await?;
/// assert_eq!(hit.age, Duration::from_secs(9)); // the copy
/// sleep(Duration::from_secs(1)).await;
/// let hit = client.get("http://example.com/", Caching::Use).await?;
/// assert_eq!(hit.age, Duration::ZERO); // the server
/// # Ok(())
/// # }
/// ```
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

/// Whether a copy may answer a request.
///
/// ```
/// # use std::time::Duration;
/// # use tokio::time::sleep;
/// use level4::http_client::{Caching, HttpClient, Request, Settings};
/// # use level4::http_client::{Response, Transport, TransportError};
/// # struct Hello;
/// # impl Transport for Hello {
/// #     async fn send(&self, request: Request) -> Result<Response, TransportError> {
/// #         let body = format!("hello from {}", request.url).into_bytes().into();
/// #         let status = match request.url.ends_with("/missing") {
/// #             true => http::StatusCode::NOT_FOUND,
/// #             false => http::StatusCode::OK,
/// #         };
/// #         Ok(Response { status, headers: http::HeaderMap::new(), body })
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = HttpClient::new(Hello, Settings::default())?;
/// client.get("http://example.com/", Caching::Use).await?;
/// sleep(Duration::from_secs(60)).await;
/// let copy = client.get("http://example.com/", Caching::Use).await?;
/// let reloaded = client.get("http://example.com/", Caching::Bypass).await?;
/// assert_eq!((copy.age.as_secs(), reloaded.age.as_secs()), (60, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Caching {
    /// A fresh copy answers.
    #[default]
    Use,
    /// The server answers, and its answer becomes the copy. The caller joins a request of the same key that is under
    /// way, unless it was invalidated.
    Bypass,
}

/// What a progressive load yields.
///
/// ```
/// use futures::StreamExt as _;
/// use level4::http_client::{HttpClient, Progress, Request, Settings};
/// # use level4::http_client::{Response, Transport, TransportError};
/// # struct Hello;
/// # impl Transport for Hello {
/// #     async fn send(&self, request: Request) -> Result<Response, TransportError> {
/// #         let body = format!("hello from {}", request.url).into_bytes().into();
/// #         let status = match request.url.ends_with("/missing") {
/// #             true => http::StatusCode::NOT_FOUND,
/// #             false => http::StatusCode::OK,
/// #         };
/// #         Ok(Response { status, headers: http::HeaderMap::new(), body })
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = HttpClient::new(Hello, Settings::default())?;
/// let load = async || {
///     let steps = client.progressive("http://example.com/").map(|step| match step {
///         Ok(Progress::Cached { .. }) => "show the copy",
///         Ok(Progress::Fresh(_)) => "show the answer",
///         Ok(Progress::Unchanged) => "keep the copy",
///         Ok(Progress::RevalidateFailed(_)) | Err(_) => "show the error",
///     });
///     steps.collect::<Vec<_>>().await
/// };
/// assert_eq!(load().await, ["show the answer"]);
/// assert_eq!(load().await, ["show the copy", "keep the copy"]);
/// # Ok(())
/// # }
/// ```
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

/// Sends requests through a transport and keeps copies of the answers.
///
/// A clone is a handle to the same copies. There is no background task: a request runs inside the futures of the
/// callers that wait for it.
///
/// The client does not keep an answer with `Cache-Control: no-store`. It reads no other directive: the settings and
/// [`invalidate`](Self::invalidate) decide how long a copy lives.
///
/// ```
/// use level4::http_client::{
///     Caching, HttpClient, Request, Response, Settings, Transport, TransportError,
/// };
///
/// struct Hello;
/// impl Transport for Hello {
///     async fn send(&self, request: Request) -> Result<Response, TransportError> {
///         let body = format!("hello from {}", request.url).into_bytes().into();
///         Ok(Response { status: http::StatusCode::OK, headers: http::HeaderMap::new(), body })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = HttpClient::new(Hello, Settings::default())?;
/// let hit = client.get("http://example.com/", Caching::Use).await?;
/// assert_eq!(&hit.value.body[..], b"hello from http://example.com/");
/// # Ok(())
/// # }
/// ```
pub struct HttpClient<T> {
    parts: Arc<Parts<T>>,
}

struct Parts<T> {
    transport: T,
    settings: Settings,
    /// The copies. The cache only stores here and fetches nothing itself, so its fetch error is `Infallible`:
    /// `requests` decides who asks the server.
    copies: TtlCache<Key, Response, Infallible>,
    /// The requests under way that a caller can join. Each answer carries the time of its arrival, so that all
    /// callers that waited for it report the same age, also one that is polled late.
    requests: SingleFlight<Key, (Response, Instant), HttpError>,
    /// A std lock: it is held for a lookup or an insertion and never across an await point.
    epochs: Mutex<Epochs>,
}

impl<T> Clone for HttpClient<T> {
    fn clone(&self) -> Self {
        Self { parts: Arc::clone(&self.parts) }
    }
}

impl<T> fmt::Debug for HttpClient<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

impl<T: Transport> HttpClient<T> {
    /// Makes a client without copies.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ZeroTtl`].
    pub fn new(transport: T, settings: Settings) -> Result<Self, ConfigError> {
        let Settings { ttl, stale_for, capacity, .. } = settings;
        let copies = TtlCache::new(ttl_cache::Config { capacity, ttl, stale_for })?;
        let (requests, epochs) = (SingleFlight::new(), Mutex::default());
        let parts = Parts { transport, settings, copies, requests, epochs };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// Sends a `GET` of `url`, as [`send`](Self::send) does.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    ///
    /// # Cancellation
    ///
    /// As for [`send`](Self::send).
    pub async fn get(&self, url: &str, caching: Caching) -> Result<Hit<Response>, HttpError> {
        self.send(Request::get(url), caching).await
    }

    /// Answers a request from a copy or from the server.
    ///
    /// A fresh copy answers a `GET` or a `HEAD` if `caching` allows it. Otherwise the client asks the server once for
    /// all concurrent callers and keeps the answer. Two requests are the same if their method, URL and the headers of
    /// [`Settings::vary`] are equal. Every other method goes to the server, once for each call.
    ///
    /// If the copy has an `ETag`, the request carries it as `If-None-Match`. The answer 304 makes the copy current
    /// again.
    ///
    /// # Errors
    ///
    /// [`HttpError`]. Every caller that waits for the request gets it. It is not kept, and an old copy stays as it is.
    ///
    /// # Panics
    ///
    /// A panic of the transport passes to every caller that waits for its answer.
    ///
    /// # Cancellation
    ///
    /// Before its first poll the future has done nothing. A request goes on while at least one caller waits for it,
    /// and is dropped with the last one.
    pub async fn send(
        &self,
        request: Request,
        caching: Caching,
    ) -> Result<Hit<Response>, HttpError> {
        // First, so that a URL that cannot be asked has the same answer whether or not a copy exists.
        host(&request.url)?;
        if !matches!(request.method, Method::GET | Method::HEAD) {
            // Two `POST`s with equal keys are two orders of the caller, not one question: neither a copy nor a
            // request under way may answer the second.
            let value = usable(self.parts.transport.send(request).await?)?;
            return Ok(Hit { value, age: Duration::ZERO, fresh: true });
        }
        // The cache also returns copies that are too old to answer: they serve the progressive load and hold the tag
        // for the next request.
        let copy = self.copy(&request).filter(|copy| copy.fresh && caching == Caching::Use);
        match copy {
            Some(copy) => Ok(copy),
            None => self.refresh(request).await,
        }
    }

    /// Loads `url` in steps: first the copy, if there is one, then the server's answer.
    ///
    /// The last item is `Fresh`, `Unchanged` or `RevalidateFailed`, or the error if there was no copy. Then the stream
    /// ends. The poll after the one that yields the copy begins the request. Concurrent callers with the same key
    /// share it.
    ///
    /// # Cancellation
    ///
    /// Before its first poll the stream has done nothing. Dropping it leaves the shared request, which is dropped with
    /// its last caller.
    pub fn progressive(
        &self,
        url: &str,
    ) -> impl Stream<Item = Result<Progress, HttpError>> + Send + use<T> {
        // The stream owns a handle, so it may outlive the client's owner (`use<T>` borrows nothing).
        let client = self.clone();
        stream::unfold(Next::Look(Request::get(url)), move |next| client.clone().step(next))
    }

    /// Sends many requests and returns each result with its id, in the order of `requests`.
    ///
    /// Requests of one host form batches of at most [`Settings::batch_size`] requests, and at most
    /// [`Settings::batches`] batches run at once. The requests of a batch run at the same time, each as
    /// [`send`](Self::send) with [`Caching::Use`]. A batch ends when all its requests have ended.
    ///
    /// # Errors
    ///
    /// [`BatchError`] for a request without an answer. It does not affect the others.
    ///
    /// # Cancellation
    ///
    /// Before its first poll the future has done nothing. Dropping it leaves the requests that are under way and sends
    /// no others.
    pub async fn batch<I>(
        &self,
        requests: Vec<(I, Request)>,
    ) -> Vec<(I, Result<Response, BatchError>)> {
        let (ids, requests): (Vec<I>, Vec<Request>) = requests.into_iter().unzip();
        let (batches, refused) = batches(requests.into_iter(), self.parts.settings.batch_size);
        // Closures and not futures: the limiter calls one only when it has a slot, so a batch that waits has not
        // begun a single request.
        let runs = batches
            .into_iter()
            .map(|batch| || async { Ok::<_, Infallible>(self.run(batch).await) });
        let done = Limiter::new(self.parts.settings.batches).run_all(runs.collect()).await;
        let refused = refused.into_iter().map(|(place, error)| (place, Err(Failure::Error(error))));
        // A batch returns the failures of its requests as values and has none of its own, so both `flatten`s lose
        // nothing: the outer one takes the batch out of its `Ok`, the inner one joins the batches.
        let mut placed: Vec<_> = done.into_iter().flatten().flatten().chain(refused).collect();
        // Batches end in any order. Each answer has its place, so sorting gives the caller's order back, and each id
        // meets its own answer.
        placed.sort_unstable_by_key(|(place, _)| *place);
        ids.into_iter().zip(placed).map(|(id, (_, answer))| (id, answer)).collect()
    }

    /// Forgets all copies whose URL begins with `prefix`.
    ///
    /// A request that is under way becomes obsolete as well: the callers that wait for it get its answer, but the
    /// client does not keep the answer, and a later caller does not join the request.
    ///
    /// Every URL begins with the empty prefix.
    pub fn invalidate(&self, prefix: &str) {
        // Nothing is removed: a new epoch gives every concerned URL another key, under which no copy and no request
        // exists. That is one step for both, with no moment between them in which an obsolete request is kept. The
        // old copies have no reader and leave the cache by age or by its capacity.
        lock(&self.parts.epochs).invalidate(prefix);
    }

    fn key(&self, request: &Request) -> Key {
        let epoch = lock(&self.parts.epochs).of(&request.url);
        Key::new(request, &self.parts.settings.vary, epoch)
    }

    fn copy(&self, request: &Request) -> Option<Hit<Response>> {
        self.parts.copies.get(&self.key(request))
    }

    /// The server's answer. Joins a request of the same key that is under way.
    async fn refresh(&self, request: Request) -> Result<Hit<Response>, HttpError> {
        let key = self.key(&request);
        // The request owns its parts, because it may outlive this caller: the single flight lets another caller drive
        // it on. It keeps its answer under the key of its own beginning; after an invalidation no reader looks there.
        let (parts, keeps) = (Arc::clone(&self.parts), key.clone());
        let work = move || async move { parts.ask(keeps, request).await };
        let (value, arrived) = self.parts.requests.run(key, work).await?;
        // More than zero for a caller that is polled long after the arrival.
        let age = arrived.elapsed();
        Ok(Hit { value, age, fresh: age < self.parts.settings.ttl })
    }

    /// One step of a progressive load: the item and what the next poll does. The state travels as a value, so a
    /// stream that is dropped between two steps leaves nothing to clean up.
    async fn step(self, next: Next) -> Option<(Result<Progress, HttpError>, Next)> {
        let (request, copy) = match next {
            Next::Look(request) => {
                if let Err(error) = host(&request.url) {
                    return Some((Err(error), Next::End));
                }
                if let Some(Hit { value, age, .. }) = self.copy(&request) {
                    let shown = Progress::Cached { value: value.clone(), age };
                    return Some((Ok(shown), Next::Ask(request, value)));
                }
                (request, None)
            }
            Next::Ask(request, copy) => (request, Some(copy)),
            Next::End => return None,
        };
        // The comparison is with the copy that this caller has seen. The cache's copy may be another one by now.
        let item = match (self.refresh(request).await, copy) {
            (Ok(hit), Some(copy)) if is_same(&hit.value, &copy) => Ok(Progress::Unchanged),
            (Ok(hit), _) => Ok(Progress::Fresh(hit.value)),
            (Err(error), Some(_)) => Ok(Progress::RevalidateFailed(error)),
            (Err(error), None) => Err(error),
        };
        Some((item, Next::End))
    }

    /// Runs the requests of one batch at the same time and returns their answers with their places.
    async fn run(&self, batch: Vec<Placed>) -> Vec<(usize, Result<Response, BatchError>)> {
        let (places, requests): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let sends = requests.into_iter().map(|request| {
            || async { self.send(request, Caching::Use).await.map(|hit| hit.value) }
        });
        // A batch has at most `batch_size` requests, so no request waits for a slot. The limiter is here because it
        // turns a panic into a value: a request whose transport panics does not take its batch along.
        let limiter = Limiter::new(self.parts.settings.batch_size);
        places.into_iter().zip(limiter.run_all(sends.collect()).await).collect()
    }
}

/// What a progressive load does at its next poll.
enum Next {
    /// It looks for a copy, and asks the server if there is none.
    Look(Request),
    /// It asks the server and compares the answer with the copy that it has yielded.
    Ask(Request, Response),
    /// It ends the stream.
    End,
}

impl<T: Transport> Parts<T> {
    /// Asks the server, and keeps a copy of its answer.
    async fn ask(&self, key: Key, mut request: Request) -> Result<(Response, Instant), HttpError> {
        let copy = self.copies.get(&key).map(|hit| hit.value);
        // A tag of the caller's own stays, also one that equals ours: then a 304 is the caller's answer.
        let own = request.headers.contains_key(IF_NONE_MATCH);
        let tag = copy.as_ref().and_then(|copy| copy.headers.get(ETAG)).filter(|_| !own);
        if let Some(tag) = tag {
            request.headers.insert(IF_NONE_MATCH, tag.clone());
        }
        let asked = tag.is_some();
        let answer = self.transport.send(request).await?;
        let response = match copy {
            Some(copy) if asked && answer.status == StatusCode::NOT_MODIFIED => copy,
            // An error returns here, before anything is kept: the old copy stays.
            _ => usable(answer)?,
        };
        // Kept inside the shared request and not by its callers: each answer is kept once, when it arrives, and a
        // caller that is polled late cannot put it over a newer one.
        if may_be_kept(&response) {
            self.copies.put(key, response.clone());
        } else {
            // `no-store` is about the old copy too: the server's answer has replaced it.
            self.copies.invalidate(&key);
        }
        Ok((response, Instant::now()))
    }
}

/// The answer, if its status is that of a success.
fn usable(answer: Response) -> Result<Response, HttpError> {
    if answer.status.is_success() { Ok(answer) } else { Err(HttpError::Status(answer)) }
}

/// Headers such as `Date` differ in every answer, so they are not compared.
fn is_same(answer: &Response, copy: &Response) -> bool {
    answer.status == copy.status && answer.body == copy.body
}

fn may_be_kept(response: &Response) -> bool {
    // The header may occur several times, and each may list several directives. One that is no text is not
    // `no-store`.
    let directives = response.headers.get_all(CACHE_CONTROL).iter();
    let mut directives = directives.filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(','));
    !directives.any(|directive| directive.trim().eq_ignore_ascii_case("no-store"))
}

/// Locks, also after a panic: no code of the caller runs under the lock, so what it guards is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
