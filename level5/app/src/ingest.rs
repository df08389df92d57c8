//! Takes the events of a lane into the processor.

use std::collections::VecDeque;
use std::num::{NonZeroU32, NonZeroUsize};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _, poll};
use level5::event_processor::{Event, EventId, JournalError, Processor, Rejected};
use tokio::sync::{OnceCell, mpsc, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::figures::Figures;
use crate::journal::{AnyJournal, is_at_its_limit};
use crate::sink::{AnySink, Listening};
use crate::source::{CHUNK, Lane};

/// How long a lane waits for room in a full journal while no event ends.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it waits until it tries again.
const LOOK: Duration = Duration::from_millis(50);

/// The processor of the program.
pub type Moving = Processor<Listening<AnySink>, AnyJournal>;

/// What all lanes share.
#[derive(Debug, Clone)]
pub struct Ingest {
    /// Where events go.
    pub processor: Arc<Moving>,
    /// Counts them.
    pub figures: Arc<Figures>,
    /// Asks the lanes to take no more.
    pub stopping: CancellationToken,
    /// The error of the journal that has stopped the run.
    pub failure: Arc<OnceCell<JournalError>>,
    /// Gets the ids of accepted events.
    pub acks: Option<mpsc::Sender<Vec<EventId>>>,
    /// How many events of a lane may be on their way to the journal. A file journal writes them together.
    pub at_once: usize,
    /// Events per second of a lane.
    pub rate: Option<f64>,
}

/// A call of `ingest` that has ended.
struct Ended {
    id: EventId,
    took: Duration,
    result: Result<(), Rejected>,
}

type Call<'a> = Pin<Box<dyn Future<Output = Ended> + Send + 'a>>;

/// Events per second of each of several lanes.
#[must_use]
pub fn rate_of_lane(rate: NonZeroU32, lanes: usize) -> f64 {
    f64::from(rate.get()) / lanes as f64
}

/// What a lane has counted and not shown yet.
#[derive(Default)]
struct Noted {
    accepted: u64,
    times: Vec<Duration>,
    ids: Vec<EventId>,
}

impl Ingest {
    /// Takes all events of a lane, or as many as come before it is asked to stop. Returns when the journal has them.
    ///
    /// # Cancellation
    ///
    /// Dropping the future withdraws the events whose calls are under way.
    pub async fn run(self, mut lane: Lane) {
        let mut calls: FuturesUnordered<Call<'_>> = FuturesUnordered::new();
        let mut pressed = self.processor.backpressure();
        let mut noted = Noted::default();
        // With a rate, a chunk is what comes in a hundredth of a second.
        let chunk = self.rate.map_or(CHUNK, |rate| ((rate / 100.0) as usize).clamp(1, CHUNK));
        let chunk = NonZeroUsize::new(chunk).unwrap_or(NonZeroUsize::MIN);
        let mut due = Instant::now();
        loop {
            let next = async {
                if self.rate.is_some() {
                    sleep_until(due).await;
                }
                lane.next(chunk).await
            };
            let events = tokio::select! {
                biased;
                () = self.stopping.cancelled() => break,
                // The calls go on while the lane has nothing.
                Some(ended) = calls.next() => {
                    self.note(ended, &mut noted);
                    self.flush(&mut noted).await;
                    continue;
                }
                events = next => events,
            };
            if events.is_empty() {
                break;
            }
            if let Some(rate) = self.rate {
                due += Duration::from_secs_f64(events.len() as f64 / rate);
            }
            self.take(events.into(), &mut calls, &mut pressed, &mut noted).await;
            self.flush(&mut noted).await;
            // A journal in memory never waits: without this the lane would hold its thread.
            yield_now().await;
        }
        while let Some(ended) = calls.next().await {
            self.note(ended, &mut noted);
            if noted.times.len() >= CHUNK {
                self.flush(&mut noted).await;
            }
        }
        self.flush(&mut noted).await;
    }

    /// Begins a call for each event, in order. The next one begins when the one before has its place, and the journal's
    /// calls for a key return in the order in which they began ([`key_order`](crate::key_order)): so events of a key are
    /// accepted in the order of the source.
    async fn take<'a>(
        &'a self,
        mut events: VecDeque<Event>,
        calls: &mut FuturesUnordered<Call<'a>>,
        pressed: &mut watch::Receiver<bool>,
        noted: &mut Noted,
    ) {
        let mut full = None;
        while let Some(event) = events.pop_front() {
            if self.stopping.is_cancelled() {
                let left = events.len() as u64 + 1;
                self.figures.not_accepted.fetch_add(left, Ordering::Relaxed);
                return;
            }
            let mut call = self.call(event.clone());
            match poll!(call.as_mut()) {
                Poll::Ready(Ended {
                    result: Err(Rejected::Backpressure { retry_after }), ..
                }) => {
                    events.push_front(event);
                    self.figures.waits.fetch_add(1, Ordering::Relaxed);
                    self.flush(noted).await;
                    self.wait(retry_after, calls, Some(&mut *pressed), noted).await;
                }
                Poll::Ready(Ended { result: Err(Rejected::Journal(error)), .. })
                    if self.makes_room(&error, &mut full) =>
                {
                    events.push_front(event);
                    self.figures.waits.fetch_add(1, Ordering::Relaxed);
                    self.flush(noted).await;
                    self.wait(LOOK, calls, None, noted).await;
                }
                Poll::Ready(ended) => {
                    full = None;
                    self.note(ended, noted);
                }
                Poll::Pending => calls.push(call),
            }
            while calls.len() >= self.at_once {
                if let Some(ended) = calls.next().await {
                    self.note(ended, noted);
                }
            }
        }
        while let Some(Some(ended)) = calls.next().now_or_never() {
            self.note(ended, noted);
        }
    }

    /// Whether the journal has refused an event because it has reached its limit, and events still end, which makes room.
    /// A full disk is another error: what fills it need not be the journal. `full`: since when, and how many events had
    /// ended at that time.
    fn makes_room(&self, error: &JournalError, full: &mut Option<(Instant, u64)>) -> bool {
        if !is_at_its_limit(error) {
            return false;
        }
        let metrics = self.processor.metrics();
        let ended = metrics.borrow().delivered + metrics.borrow().dead;
        let now = Instant::now();
        match full {
            Some((since, before)) if *before == ended => {
                now.saturating_duration_since(*since) < PATIENCE
            }
            _ => {
                *full = Some((now, ended));
                true
            }
        }
    }

    fn call(&self, event: Event) -> Call<'_> {
        let begun = Instant::now();
        Box::pin(async move {
            let id = event.id.clone();
            let result = self.processor.ingest(event).await;
            Ended { id, took: begun.elapsed(), result }
        })
    }

    /// Waits until there is room. The calls go on meanwhile: room comes when their events are delivered.
    async fn wait(
        &self,
        retry_after: Duration,
        calls: &mut FuturesUnordered<Call<'_>>,
        pressed: Option<&mut watch::Receiver<bool>>,
        noted: &mut Noted,
    ) {
        // The processor shows the pressure a moment after it has refused.
        yield_now().await;
        let again = sleep(retry_after);
        let room = async {
            match pressed {
                // An error says that the processor is gone: then the next call says so.
                Some(pressed) => drop(pressed.wait_for(|pressed| !pressed).await),
                None => std::future::pending().await,
            }
        };
        tokio::pin!(again, room);
        loop {
            tokio::select! {
                Some(ended) = calls.next() => self.note(ended, noted),
                () = &mut room => break,
                () = &mut again => break,
                () = self.stopping.cancelled() => break,
            }
        }
    }

    fn note(&self, ended: Ended, noted: &mut Noted) {
        match ended.result {
            Ok(()) => {
                noted.accepted += 1;
                noted.times.push(ended.took);
                if self.acks.is_some() {
                    noted.ids.push(ended.id);
                }
            }
            Err(Rejected::Duplicate) => {
                self.figures.duplicates.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                self.figures.not_accepted.fetch_add(1, Ordering::Relaxed);
                if let Rejected::Journal(error) = error {
                    // The first one is the reason; those that follow are often about it.
                    let _ = self.failure.set(error);
                    self.stopping.cancel();
                }
            }
        }
    }

    /// Shows what was noted.
    async fn flush(&self, noted: &mut Noted) {
        if noted.accepted == 0 {
            return;
        }
        self.figures.accepted.fetch_add(noted.accepted, Ordering::Relaxed);
        self.figures.took(&noted.times);
        noted.accepted = 0;
        noted.times.clear();
        if let Some(acks) = &self.acks {
            // The reader of stdout is gone: the events are accepted anyway.
            let _ = acks.send(std::mem::take(&mut noted.ids)).await;
        }
    }
}
