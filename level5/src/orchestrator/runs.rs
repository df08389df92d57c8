//! The run of one request: its copy, its attempts, and the old copy that stands in for a failure. It does not know
//! which other requests it needs.

use std::any::Any;
use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use level3::retry::Jitter;
use level4::http_client::{HttpError, Response, Transport, TransportError};
use level4::single_flight::SingleFlight;
use level4::ttl_cache::TtlCache;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::figures::{Attempts, Minute};
use super::key::{Key, RunKey};
use super::ranks::{Priority, Ranks};
use super::retries::Retries;
use super::slots::Slots;
use super::{Done, Origin, RequestError, RequestId, Settings, Spec, lock};

/// The parts that the handles of an orchestrator share. Runs own them too, since a run lives in the futures of several
/// callers.
pub(super) struct Parts<T> {
    pub(super) transport: T,
    pub(super) settings: Settings,
    pub(super) jitter: Arc<dyn Jitter>,
    pub(super) retries: Retries,
    /// The registry. A std lock: no lock of the orchestrator is held across an await point.
    pub(super) requests: Mutex<HashMap<RequestId, Arc<Entry>>>,
    pub(super) slots: Slots,
    /// Counts until the task takes it at the end of each minute.
    pub(super) minute: Mutex<Minute>,
    /// Wakes the task with the first result of a minute: only a minute with results can change the limit. Apart from
    /// the parts, since the task waits for it while it holds none of them.
    pub(super) begins: Arc<Notify>,
    /// The limit of the slots, for readers. After the start only the task changes both.
    pub(super) limit: watch::Sender<usize>,
    /// Only a place for copies: it fetches nothing itself, so `Infallible`.
    pub(super) copies: TtlCache<Key, Response, Infallible>,
    /// The runs under way that a caller can join. They own these parts, and the map has weak references to them, so
    /// there is no cycle that keeps the parts alive.
    pub(super) runs: SingleFlight<RunKey, (Response, u32), Ended>,
    /// The callers of these runs, whose priorities decide about the run's place in the line.
    pub(super) ranks: Ranks,
}

/// A registered request. A run owns it, so a request that is replaced meanwhile ends with the rules that it began with.
pub(super) struct Entry {
    pub(super) spec: Spec,
    pub(super) attempts: Mutex<Attempts>,
}

/// How a run ended without an answer. The two are apart because a caller that has joined the run shares its failure and
/// not its time: both may look like a timeout.
#[derive(Debug, Clone)]
pub(super) enum Ended {
    /// The time of the caller that began the run is over.
    OutOfTime,
    /// The request failed, for all callers of the run.
    Failed(RequestError),
}

impl<T: Transport> Parts<T> {
    /// The answer to one request: a copy, the server's, or an old copy.
    pub(super) async fn answer(self: Arc<Self>, entry: Arc<Entry>) -> Result<Done, RequestError> {
        let began = Instant::now();
        let key = RunKey::of(&entry.spec);
        // The cache also returns copies that are past the `ttl`: a fresh one answers here, and an old one is of use
        // below.
        let copy = |key: &Option<RunKey>| {
            key.as_ref().filter(|key| key.cacheable).and_then(|key| self.copies.get(&key.request))
        };
        if let Some(hit) = copy(&key).filter(|hit| hit.fresh) {
            let (latency, origin) = (began.elapsed(), Origin::Cache { age: hit.age });
            return Ok(Done { data: hit.value, origin, latency, attempts: 0 });
        }
        let answer = self.ask(entry, key.clone(), began).await;
        let latency = began.elapsed();
        match answer {
            Ok((data, attempts)) => Ok(Done { data, origin: Origin::Network, latency, attempts }),
            // Looked up a second time: another run may have kept a newer copy meanwhile.
            Err(error) => match copy(&key).filter(|_| may_be_masked(&error)) {
                Some(hit) => {
                    let origin = Origin::Fallback { age: hit.age };
                    Ok(Done { data: hit.value, origin, latency, attempts: 0 })
                }
                None => Err(error),
            },
        }
    }

    /// The server's answer and the number of its attempts. Joins a run of the same request.
    async fn ask(
        self: &Arc<Self>,
        entry: Arc<Entry>,
        key: Option<RunKey>,
        began: Instant,
    ) -> Result<(Response, u32), RequestError> {
        // A timeout such as `Duration::MAX` is accepted, and a sum that overflows would panic.
        let deadline = began.checked_add(entry.spec.timeout).unwrap_or_else(|| began + CENTURY);
        // As long as this caller waits, a run that it has begun or joined has at least its priority.
        let priority = entry.spec.priority;
        let caller = key.as_ref().map(|key| self.ranks.join(key, priority));
        loop {
            let rank = caller.as_ref().map_or_else(|| Priority::fixed(priority), |it| it.run());
            let run = Arc::clone(self).attempts(Arc::clone(&entry), key.clone(), rank, deadline);
            let ended = match key.clone() {
                // A joined run may last longer than this caller's time: then this caller leaves, and the run goes on.
                Some(key) => timeout_at(deadline, self.runs.run(key, move || run)).await,
                None => Ok(run.await),
            };
            match ended {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Ended::Failed(error))) => return Err(error),
                // Another caller's run has used up that caller's time: a run of this caller's own ends with this
                // deadline. This caller still has time and tries again: it begins a run, or joins that of another such
                // caller.
                Ok(Err(Ended::OutOfTime)) if Instant::now() < deadline => {}
                Ok(Err(Ended::OutOfTime)) | Err(_) => return Err(RequestError::Timeout),
            }
        }
    }

    /// A run: attempts until one succeeds, a failure allows no other, or the time is over. A panic becomes an error.
    async fn attempts(
        self: Arc<Self>,
        entry: Arc<Entry>,
        key: Option<RunKey>,
        rank: Priority,
        deadline: Instant,
    ) -> Result<(Response, u32), Ended> {
        let run = async {
            let spec = &entry.spec;
            // A second `POST` may be a second order, also if the first had no answer: the server may have received it.
            let again = spec.retryable && spec.request.method.is_idempotent();
            let mut attempt = 1;
            loop {
                let error = match self.attempt(&entry, rank.clone(), deadline).await {
                    Ok(response) => {
                        // Kept inside the run and not by its callers: an answer is kept once, when it arrives. A caller
                        // that is polled late cannot put it over a newer one.
                        if let Some(key) = key.filter(|key| key.cacheable) {
                            self.keep(key.request, &response);
                        }
                        return Ok((response, attempt));
                    }
                    Err(error) => error,
                };
                // The slot of the attempt is free again: `attempt` has returned.
                let wait = self.retries.wait(&error, attempt, self.jitter.unit());
                let Some(wait) = wait.filter(|_| again) else {
                    // The deadline also ends the last attempt. That is no failure of the request: a caller with more
                    // time may still have an answer.
                    let timed_out = matches!(error, HttpError::Transport(TransportError::Timeout));
                    let cut_off = timed_out && Instant::now() >= deadline;
                    return Err(if cut_off {
                        Ended::OutOfTime
                    } else {
                        Ended::Failed(error.into())
                    });
                };
                sleep(wait).await;
                attempt += 1;
            }
        };
        // A run ends with the time of the caller that began it, also while others wait for it: they have time left and
        // begin one of their own. Without this, they would wait for attempts that have no time at all.
        let run = async { timeout_at(deadline, run).await.unwrap_or(Err(Ended::OutOfTime)) };
        // Nothing of a run that panicked is used afterwards, and the panic has returned the slot on its way through
        // the guard. The single flight would pass the panic on to every caller; as a value it is the error of this
        // request, also in a batch.
        let caught = AssertUnwindSafe(run).catch_unwind().await;
        caught.unwrap_or_else(|panic| {
            Err(Ended::Failed(RequestError::Panicked(said(panic.as_ref()))))
        })
    }

    /// Keeps a copy of the answer, or none.
    fn keep(&self, key: Key, response: &Response) {
        if may_be_kept(response) {
            self.copies.put(key, response.clone());
        } else {
            // The old copy goes too: it would stand in for a later failure, although a newer answer was there.
            self.copies.invalidate(&key);
        }
    }

    /// One attempt, in a slot of its own: a wait between attempts holds none.
    async fn attempt(
        &self,
        entry: &Entry,
        rank: Priority,
        deadline: Instant,
    ) -> Result<Response, HttpError> {
        let Spec { request, timeout: whole, .. } = &entry.spec;
        // `_slot` and not `_`, which would drop the slot at once.
        let _slot = self.slots.acquire(rank).await;
        // After the wait: the line is not the server's latency.
        let began = Instant::now();
        let left = deadline.saturating_duration_since(began);
        // Within the deadline, so that an attempt which it ends is counted as a failure. Both timers end in the same
        // moment; this one is polled first, since it is inside the other, and so the attempt is recorded.
        let limit = lock(&entry.attempts).limit(*whole).min(left);
        let answer = match timeout(limit, self.transport.send(request.clone())).await {
            Ok(answer) => answer.map_err(HttpError::from).and_then(usable),
            Err(_) => Err(TransportError::Timeout.into()),
        };
        let latency = began.elapsed();
        lock(&entry.attempts).record(answer.is_ok(), latency);
        let first = lock(&self.minute).record(answer.is_ok(), latency);
        // Without the lock: this wakes a task. It keeps the notice while the task is between two waits.
        if first {
            self.begins.notify_one();
        }
        answer
    }

    /// Ends a minute.
    fn adapt(&self) {
        // Taken out in one step, so that each attempt counts in exactly one minute.
        let minute = std::mem::take(&mut *lock(&self.minute));
        let Settings { lowest, highest, .. } = self.settings;
        let limit = *self.limit.borrow();
        let tuned = minute.tuned(limit, lowest.get(), highest.get());
        // Readers are woken by a change only. First the slots: a reader that sees the new limit can rely on it.
        if tuned != limit {
            self.slots.set_limit(tuned);
            self.limit.send_replace(tuned);
        }
    }
}

/// The wait of a request whose deadline no clock can hold. Longer than any process lives.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Adapts the limit at the end of each minute with results, until the last handle is dropped. Minutes count from `start`.
pub(super) async fn adapt<T: Transport>(
    parts: Weak<Parts<T>>,
    begins: Arc<Notify>,
    start: Instant,
) {
    loop {
        // Without results there is no timer, so an idle orchestrator costs nothing.
        begins.notified().await;
        sleep_until(start + minutes(start.elapsed())).await;
        // For this step alone; the reference ends before the next wait.
        let Some(parts) = parts.upgrade() else { return };
        parts.adapt();
    }
}

/// The end of the minute in which this time lies. Not a minute from now: the first result of a minute would move its
/// end, and a burst each 61 s would never be one minute's.
const fn minutes(elapsed: Duration) -> Duration {
    Duration::from_secs((elapsed.as_secs() / 60 + 1) * 60)
}

/// The answer, if its status is that of a success.
fn usable(answer: Response) -> Result<Response, HttpError> {
    if answer.status.is_success() { Ok(answer) } else { Err(HttpError::Status(answer)) }
}

/// Whether an old copy may stand in for this failure. A refusal such as 404 is the server's answer and must reach the
/// caller. So must a panic: it is a bug of the transport, which does not pass by itself.
fn may_be_masked(error: &RequestError) -> bool {
    match error {
        RequestError::Timeout | RequestError::Http(HttpError::Transport(_)) => true,
        RequestError::Http(HttpError::Status(answer)) => {
            let status = answer.status;
            let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
            status.is_server_error() || busy.contains(&status)
        }
        _ => false,
    }
}

fn may_be_kept(response: &Response) -> bool {
    // The header may occur several times, and each may list several directives. One that is no text is not `no-store`.
    let directives = response.headers.get_all(CACHE_CONTROL).iter();
    let mut directives = directives.filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(','));
    !directives.any(|directive| directive.trim().eq_ignore_ascii_case("no-store"))
}

/// The message of a panic. `panic!` carries a `&str` or a `String`; `panic_any` may carry any other type.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
